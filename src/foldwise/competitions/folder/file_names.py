"""Names of image files: what is compared, which suffixes are known, and which files are passed over."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator

from foldwise.storage import is_foreign_name

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".gif", ".avif", ".ico"}
    | {".jp2", ".j2k", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".ras", ".sr", ".hdr", ".exr", ".tga"}
    | {".npy", ".npz", ".dcm", ".dicom", ".nii", ".nii.gz"}
)
# files that lie next to images under the same names: annotations, tables, archives
NO_IMAGES = frozenset(
    {".csv", ".tsv", ".txt", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".html", ".pdf", ".log", ".py"}
    | {".zip", ".7z", ".tar", ".gz", ".db", ".ini", ".parquet", ".h5", ".hdf5", ".pkl", ".sqlite", ".crdownload"}
    | {".ipynb", ".part"}
)


def normal(name: str) -> str:
    """Return a name with forward slashes and composed letters (Unicode NFC), as names are compared.

    >>> normal("./train\\\\a.png")
    'train/a.png'
    """
    if "\\" in name:
        name = name.replace("\\", "/")
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    return name[2:] if name.startswith("./") else name


def split_suffix(name: str) -> tuple[str, str]:
    """Return the name without the suffix of an image or of another known kind, and the suffix in small letters.

    >>> split_suffix("a/IMG_1.JPG"), split_suffix("brain.nii.gz"), split_suffix("v1.5")
    (('a/IMG_1', '.jpg'), ('brain', '.nii.gz'), ('v1.5', ''))
    """
    at = name.rfind(".")
    if at < 1:
        return name, ""
    suffix = name[at:].lower()
    if suffix == ".gz" and name[:at].lower().endswith(".nii"):
        return name[: at - 4], ".nii.gz"
    if (suffix in SUFFIXES or suffix in NO_IMAGES) and name[at - 1] != "/":
        return name[:at], suffix
    return name, ""


def bare_key(name: str) -> str:
    """Return what two spellings of an image's name share: no folder, no suffix, small letters, composed.

    >>> bare_key("a/IMG_1.JPG")
    'img_1'
    """
    stem = split_suffix(name)[0]
    stem = stem[stem.rfind("/") + 1 :]
    return stem.lower() if stem.isascii() else unicodedata.normalize("NFC", stem.casefold())


def walk(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield every file of a folder and its sub-folders, but those that file managers leave."""
    inner = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] == "." or is_foreign_name(entry.name):
                continue
            if entry.is_dir():
                inner.append(entry.path)
            else:
                yield entry
    for path in sorted(inner):
        yield from walk(path)
