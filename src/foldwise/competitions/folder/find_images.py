"""Find the image of each id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foldwise.competitions.folder.image_rules import ImageFile


def find_images(
    raw_dir: Path, images: str | Sequence[str], ids: Sequence[str], where: Sequence[str]
) -> list[ImageFile]:
    """Return the file of each id, in the order of the ids.

    images: a folder in `raw_dir` (with its sub-folders), a list of folders, a glob, or a file that holds images:
        parquet with a column of bytes, HDF5 with a dataset for each id, or zip.
    where: the place of each id in the tables, for messages.
    Raises FoldwiseError for ids without an image, all at once, and for an id that two files answer.
    """
    raise NotImplementedError
