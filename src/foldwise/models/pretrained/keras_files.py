"""Check a .weights.h5 or .keras file before Keras reads it: what its numbers take in memory, and where they lie."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import BinaryIO

from foldwise.errors import FoldwiseError
from foldwise.storage import check_is_file

# Weights hardly shrink, but those that are all zeros do
LEAST_LIMIT, LIMIT_RATIO = 16 * 2**20, 8
WEIGHTS = "model.weights.h5"  # the member of a .keras file


def check_keras_file(path: Path) -> None:
    """Raise FoldwiseError, which names the file, where it is damaged, takes too much memory, or names another file.

    Keras asks for all memory that datasets claim, up to 4 GiB each.
    """
    check_is_file(path)
    if not path.is_file():
        raise FoldwiseError(f"{path}: no such file")
    most = max(LEAST_LIMIT, LIMIT_RATIO * path.stat().st_size)
    try:
        with path.open("rb") as file:
            if path.suffix == ".keras":
                with zipfile.ZipFile(file) as archive:
                    _refuse(path, sum(member.file_size for member in archive.infolist()), most)
                    _check_datasets(path, io.BytesIO(archive.read(WEIGHTS)), most)
            else:
                _check_datasets(path, file, most)
    except FoldwiseError:
        raise
    except Exception as error:  # damaged bytes make h5py and zipfile raise nearly anything
        why = " ".join(str(error).split())
        raise FoldwiseError(f"{path}: cannot be read as weights of Keras, is the file complete? {why[:300]}") from None


def _check_datasets(path: Path, file: BinaryIO, most: int) -> None:
    import h5py

    taken = 0
    with h5py.File(file) as opened:
        names: list[str] = []
        opened.visit_links(names.append)  # h5py loses an error that is raised meanwhile
        for name in names:
            link = opened.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise FoldwiseError(f"{path}: refused: {name} is no part of the file, but a {type(link).__name__}")
            found = opened[name]
            if isinstance(found, h5py.Dataset):
                if found.external or found.is_virtual:
                    raise FoldwiseError(f"{path}: refused: the numbers of {name} lie in other files")
                taken += found.nbytes
                _refuse(path, taken, most)


def _refuse(path: Path, n_bytes: int, most: int) -> None:
    if n_bytes > most:
        raise FoldwiseError(
            f"{path}: refused: its weights take {n_bytes:,} bytes and more, of {most:,} that are read from a file of "
            f"this size ({LIMIT_RATIO} times its own). Ask its author for weights that are not compressed"
        )
