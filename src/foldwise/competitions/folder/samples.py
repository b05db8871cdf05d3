"""From the rows of a folder competition and their image files to records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.competitions.folder import long_form, tables
from foldwise.competitions.folder.image_files import find_images, read_images
from foldwise.competitions.folder.image_rules import Box, ImageFile, ImageRules
from foldwise.data.records import Record
from foldwise.errors import FoldwiseError

if TYPE_CHECKING:
    import pandas as pd


def image_files_of(
    raw_dir: Path, images: str | Sequence[str], table: pd.DataFrame, columns: list[str], name: str
) -> list[ImageFile]:
    """Return the image files of all rows, those of a row one after the other."""
    names = table[columns].to_numpy().ravel().tolist()
    where = [f"{name}, row {index + 1}" for index in np.repeat(table.index.to_numpy(), len(columns))]
    empty = table[columns].isin(tables.MISSING[:1]).any(axis=1)
    tables.refuse_rows(table, empty, name, f"the name of an image is missing in {', '.join(columns)}")
    try:
        return find_images(raw_dir, images, names, where)
    except FoldwiseError as error:
        if len(columns) > 1 or not long_form.looks_long(table["id"]):
            raise
        raise FoldwiseError(
            f"{error}; the ids look like IMAGE_LABEL, which needs competition.options.label_form=long"
        ) from None


def rules_of(options: Mapping[str, Any]) -> ImageRules:
    """Return the rules that the options of `reader.read` set."""
    side, size = options["side"], options["size"]
    names = ("fit", "pages", "upright", "window", "broken", "draft")
    return ImageRules(
        options["channels"],
        options["depth"],
        (side, side) if side else size,
        **{name: options[name] for name in names},
    )


def answering(rules: ImageRules) -> ImageRules:
    """Return the rules for test images, of which none can be left out."""
    return replace(rules, broken="blank") if rules.broken == "skip" else rules


def records(
    table: pd.DataFrame,
    columns: dict[str, Sequence[Any]],
    files: list[ImageFile],
    rules: ImageRules,
    boxes: Sequence[Box | None] | None,
    views: int,
    name: str,
) -> Iterator[Record]:
    """Yield a record for each row, whose image is decoded then; a row whose image is skipped is left out."""
    of_files = None if boxes is None else [box for box in boxes for _ in range(views)]
    decoded = read_images(files, rules, of_files)
    for i, (id_, index) in enumerate(zip(table["id"], table.index, strict=True)):
        parts = [next(decoded) for _ in range(views)]
        if any(part is None for part in parts):
            continue
        where = f"{name}, row {index + 1}"
        if len({part.shape for part in parts}) > 1:
            shapes = ", ".join(str(part.shape) for part in parts)
            raise FoldwiseError(
                f"{where}: the images of one row must have one shape, received {shapes}; "
                "competition.options.size=[H,W] makes them so"
            )
        image = parts[0] if views == 1 else np.concatenate(parts) if parts[0].ndim == 4 else np.stack(parts)
        yield Record(id_, image, {column: values[i] for column, values in columns.items()}, where)


def boxes_of(table: pd.DataFrame, columns: Sequence[str] | None, name: str) -> list[Box | None] | None:
    """Return the part of each row's image that is kept; None where no column gives one.

    Raises FoldwiseError, naming the row, where a box is incomplete or empty.
    """
    if columns is None:
        return None
    values = np.stack([tables.numbers(table, column, name) for column in columns], axis=1)  # (n, 4)
    absent = np.isnan(values).all(axis=1)
    tables.refuse_rows(
        table,
        ~absent & ~((values[:, 2:] > 0).all(axis=1) & np.isfinite(values).all(axis=1)),
        name,
        lambda row: (
            f"the box {', '.join(columns)} is {values[row].tolist()}, expected numbers, a width and a height above 0"
        ),
    )
    return [None if none else (x, y, w, h) for none, (x, y, w, h) in zip(absent.tolist(), values.tolist(), strict=True)]
