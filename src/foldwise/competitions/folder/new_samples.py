"""New images of a folder competition, which were not there when its data were prepared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foldwise.competitions.folder import samples, tables
from foldwise.competitions.folder.find_images import ids_of_images
from foldwise.competitions.folder.image_rules import ImageRules
from foldwise.competitions.folder.rows import NO_TEST, check_inside, joined, test_rows, with_columns
from foldwise.data.records import Record
from foldwise.errors import FoldwiseError, choices
from foldwise.storage import size_in_bytes

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
    import pandas as pd

    check_inside(options)
    shared = [*options["auxiliary"], *options["categories"], *options["image_columns"]]
    shared += options["crop_columns"] or ()
    test, join, id_column = options["test"], options["join"], options["id_column"]
    test = "test.csv" if test == NO_TEST else test
    from_join = shared if join and not (raw_dir / test).is_file() else []
    if new_images is None or new_sample is not None:
        name, no_ids = str(new_sample or options["sample"]), pd.Series([], dtype=str)
        table = test_rows(
            raw_dir, name, test, id_column, shared, join, from_join, no_ids, targets, options["separator"]
        )
    else:
        name = raw_dir.name
        in_pages = options["slices"] is not None or options["pages"] is not None
        table = pd.DataFrame({tables.ID: ids_of_images(raw_dir / new_images, series=in_pages)})
        if table.empty:
            raise FoldwiseError(f"{raw_dir / new_images}: expected image files, found none")
        if from_join:
            table = joined(table, shared, raw_dir / join[0], join[1], name)
        elif shared:
            table = with_columns(table, shared, raw_dir / test, id_column, name)
    columns: dict[str, Any] = {column: tables.numbers(table, column, name) for column in options["auxiliary"]}
    for column in options["categories"]:
        columns[column] = _numbered(table, column, category_names[column], name)
    places = new_images or options["test_images"] or options["images"]
    new = samples.find_samples(raw_dir, places, table, columns, options["image_columns"], options["crop_columns"], name)
    return samples.records_of_new(_rules(options), new)


def _rules(options: Mapping[str, Any]) -> ImageRules:
    side, names = options["side"], ("fit", "pages", "slices", "upright", "window", "broken", "draft")
    size = (side, side) if side else options["size"]
    most = size_in_bytes("competition.options.max_decoded", options["max_decoded"])
    return ImageRules(
        options["channels"], options["depth"], size, **{name: options[name] for name in names}, max_decoded=most
    )


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
