"""From the rows of a folder competition and their image files to records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.competitions.folder import long_form
from foldwise.competitions.folder.image_files import find_images, read_images, settle
from foldwise.competitions.folder.image_rules import Box, ImageFile, ImageRules
from foldwise.competitions.folder.tables import ID, numbers, refuse_rows
from foldwise.data.records import Record
from foldwise.errors import FoldwiseError

if TYPE_CHECKING:
    import pandas as pd
    from pandas import DataFrame  # in a dataclass `pd.DataFrame` would make dataclasses look into pandas


@dataclass(frozen=True)
class Samples:
    """The rows of a split, their columns and their image files; nothing is decoded yet.

    files: those of a row one after the other, `views` of them.
    boxes: the part of each file's image that is kept; None: all of each.
    name: of the table, for messages.
    """

    table: DataFrame
    columns: Mapping[str, Any]  # (n,) each
    files: list[ImageFile]
    boxes: list[Box | None] | None
    views: int
    name: str


def find_samples(
    raw_dir: Path,
    images: str | Sequence[str],
    table: pd.DataFrame,
    columns: Mapping[str, Any],
    image_columns: Sequence[str],
    crop_columns: Sequence[str] | None,
    name: str,
    prefix: str = "",
    advice: str = "",
) -> Samples:
    """Find the image files of all rows.

    prefix: of the records' ids, which the names of the files lack.
    advice: what to do where images are missing.

    Raises FoldwiseError, naming the rows, where an image or its name is missing or its box is not one.
    """
    named = list(image_columns) or [ID]
    refuse_rows(
        table,
        (table[named] == "").any(axis=1),
        name,
        f"the name of an image is missing in {', '.join(named)}",
    )
    boxes = _boxes(table, crop_columns, name)
    where = [f"{name}, row {index + 1}" for index in np.repeat(table.index.to_numpy(), len(named)).tolist()]
    try:
        files = find_images(raw_dir, images, table[named].to_numpy().ravel().tolist(), where)
    except FoldwiseError as error:
        if not image_columns and long_form.looks_long(table[ID]):
            advice = "the ids look like IMAGE_LABEL, which needs competition.options.label_form=long"
        if not advice or "no image of" not in str(error):
            raise
        raise FoldwiseError(f"{error}; {advice}") from None
    of_files = None if boxes is None else [box for box in boxes for _ in named]
    return Samples(table.assign(**{ID: prefix + table[ID]}), columns, files, of_files, len(named), name)


def records_of(rules: ImageRules, train: Samples, test: Samples) -> tuple[Iterator[Record], Iterator[Record]]:
    """Return the records of the training and the test rows, whose images are decoded when they are taken.

    A training row whose image is skipped is left out; test rows, which must be answered, get a blank image.
    """

    @cache
    def settled() -> ImageRules:  # by a sample of the images, so not before the first is taken
        boxes = None if train.boxes is None else [*train.boxes, *(test.boxes or [])]
        return settle(rules, [*train.files, *test.files], boxes)

    return _records(train, settled), _records(test, lambda: _answering(settled()))


def records_of_new(rules: ImageRules, new: Samples) -> Iterator[Record]:
    """Return the records of new rows, which must be answered as test rows are."""
    return _records(new, lambda: _answering(settle(rules, new.files, new.boxes)))


def _answering(rules: ImageRules) -> ImageRules:
    """Return the rules for rows of which none can be left out."""
    return replace(rules, broken="blank") if rules.broken == "skip" else rules


def _records(samples: Samples, rules: Callable[[], ImageRules]) -> Iterator[Record]:
    decoded = read_images(samples.files, rules(), samples.boxes)
    for i, (id_, index) in enumerate(zip(samples.table[ID], samples.table.index, strict=True)):
        parts = [next(decoded) for _ in range(samples.views)]
        views = [part for part in parts if part is not None]
        if len(views) < len(parts):
            continue
        where = f"{samples.name}, row {index + 1}"
        if len({view.shape for view in views}) > 1:
            shapes = ", ".join(str(view.shape) for view in views)
            raise FoldwiseError(
                f"{where}: the images of one row must have one shape, received {shapes}; "
                "competition.options.size=[H,W] makes them so"
            )
        image = views[0] if len(views) == 1 else np.concatenate(views) if views[0].ndim == 4 else np.stack(views)
        yield Record(id_, image, {column: values[i] for column, values in samples.columns.items()}, where)


def _boxes(table: pd.DataFrame, columns: Sequence[str] | None, name: str) -> list[Box | None] | None:
    """Return the part of each row's image that is kept; None where no column gives one.

    Raises FoldwiseError, naming the row, where a box is incomplete or empty.
    """
    if columns is None:
        return None
    values = np.stack([numbers(table, column, name) for column in columns], axis=1)  # (n, 4)
    absent = np.isnan(values).all(axis=1)
    refuse_rows(
        table,
        ~absent & ~((values[:, 2:] > 0).all(axis=1) & np.isfinite(values).all(axis=1)),
        name,
        lambda row: (
            f"the box {', '.join(columns)} is {values[row].tolist()}, expected numbers, a width and a height above 0"
        ),
    )
    return [None if none else (x, y, w, h) for none, (x, y, w, h) in zip(absent.tolist(), values.tolist(), strict=True)]
