"""New images of a folder competition, which were not there when its data were prepared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foldwise.competitions.folder import samples, tables
from foldwise.competitions.folder.find_images import ids_of_images
from foldwise.competitions.folder.image_rules import ImageRules
from foldwise.competitions.folder.rows import NO_TEST, test_rows, with_columns
from foldwise.data.records import Record
from foldwise.errors import FoldwiseError, choices

if TYPE_CHECKING:
    import pandas as pd


def read_new(
    raw_dir: Path,
    *,
    new_images: str | None,
    new_sample: Path | None,
    targets: Sequence[str],
    category_names: Mapping[str, Sequence[str]],
    **options: Any,
) -> Iterator[Record]:
    """Return a record for each new image, read by the options of `reader.read`.

    raw_dir: a folder with new images, or one laid out as the raw data, with a sample submission.
    new_images: the folder of the images in it; None: as in the raw data.
    new_sample: a sample submission that lists the ids. None: the one in `raw_dir`, or where `new_images` is given an id
        is a file's name without its suffix.
    category_names: what the numbers of each category stand for.

    Raises FoldwiseError for an id without image and for a category that the training data do not have.
    """
    shared = [*options["auxiliary"], *options["categories"], *options["image_columns"]]
    shared += options["crop_columns"] or ()
    if new_images is None or new_sample is not None:
        name = str(new_sample or options["sample"])
        test = "test.csv" if options["test"] == NO_TEST else options["test"]
        table = _rows_of_sample(raw_dir, name, test, shared, targets, options)
    else:
        name = raw_dir.name
        table = _rows_of_files(raw_dir, new_images, shared, options)
    columns: dict[str, Any] = {column: tables.numbers(table, column, name) for column in options["auxiliary"]}
    for column in options["categories"]:
        columns[column] = _numbered(table, column, category_names[column], name)
    places = new_images or options["test_images"] or options["images"]
    new = samples.find_samples(raw_dir, places, table, columns, options["image_columns"], options["crop_columns"], name)
    return samples.records_of_new(_rules(options), new)


def _rules(options: Mapping[str, Any]) -> ImageRules:
    side, names = options["side"], ("fit", "pages", "upright", "window", "broken", "draft")
    size = (side, side) if side else options["size"]
    return ImageRules(options["channels"], options["depth"], size, **{name: options[name] for name in names})


def _rows_of_sample(
    raw_dir: Path, sample: str, test: str, shared: Sequence[str], targets: Sequence[str], options: Mapping[str, Any]
) -> pd.DataFrame:
    import pandas as pd

    no_ids, id_column = pd.Series([], dtype=str), options["id_column"]
    return test_rows(
        raw_dir, sample, test, id_column, shared, options["join"], [], no_ids, targets, options["separator"]
    )


def _rows_of_files(raw_dir: Path, images: str, shared: Sequence[str], options: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    ids = ids_of_images(raw_dir / images)
    if not ids:
        raise FoldwiseError(f"{raw_dir / images}: expected image files, found none")
    table = pd.DataFrame({"id": ids})
    return with_columns(table, shared, raw_dir / "test.csv", options["id_column"], raw_dir.name) if shared else table


def _numbered(table: pd.DataFrame, column: str, names: Sequence[str], where: str) -> list[int]:
    """Return the number, from 1, of each row's name of a category."""
    number = {name: i for i, name in enumerate(names, start=1)}
    unknown = table.index[~table[column].isin(number)]
    if len(unknown):
        name, row = table[column].loc[unknown[0]], unknown[0] + 1
        raise FoldwiseError(
            f"{where}, row {row}: the {column} {name!r} is not in the training data; {choices(name, names)}"
        )
    return [number[value] for value in table[column]]
