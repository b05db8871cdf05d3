"""Names of image files: what is compared, which suffixes are known, and which files are passed over."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator

SUFFIXES = frozenset(
    {
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".tif",
        ".tiff",
        ".bmp",
        ".dib",
        ".webp",
        ".gif",
        ".avif",
        ".ico",
        ".tga",
    }
    | {".jp2", ".j2k", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".ras", ".sr", ".hdr", ".exr"}
    | {".npy", ".npz", ".dcm", ".dicom", ".nii", ".nii.gz"}
)
# files that lie beside images under the same names: annotations, tables, archives
NO_IMAGES = frozenset(
    {
        ".csv",
        ".tsv",
        ".txt",
        ".json",
        ".jsonl",
        ".xml",
        ".yaml",
        ".yml",
        ".md",
        ".html",
        ".pdf",
        ".log",
        ".py",
        ".ipynb",
    }
    | {
        ".zip",
        ".7z",
        ".tar",
        ".gz",
        ".db",
        ".ini",
        ".parquet",
        ".h5",
        ".hdf5",
        ".pkl",
        ".sqlite",
        ".crdownload",
        ".part",
    }
)
FOREIGN_FOLDERS = frozenset({"__MACOSX", "@eaDir"})
FOREIGN_FILES = frozenset({"thumbs.db", "desktop.ini"})


def normal(name: str) -> str:
    """Return a name with forward slashes and composed letters (Unicode NFC), as names are compared."""
    if "\\" in name:
        name = name.replace("\\", "/")
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    return name[2:] if name.startswith("./") else name


def split_suffix(name: str) -> tuple[str, str]:
    """Return the name without the suffix of an image or of another known kind, and the suffix in small letters."""
    at = name.rfind(".")
    if at <= name.rfind("/") + 1:
        return name, ""
    suffix = name[at:].lower()
    if suffix == ".gz" and name[:at].lower().endswith(".nii"):
        return name[: at - 4], ".nii.gz"
    return (name[:at], suffix) if suffix in SUFFIXES or suffix in NO_IMAGES else (name, "")


def walk(folder: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path inside the folder, path) of every file, but those that file managers leave."""
    inner = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name[0] == ".":
                continue
            if entry.is_dir():
                if name not in FOREIGN_FOLDERS:
                    inner.append((entry.path, f"{prefix}{normal(name)}/"))
            elif name.lower() not in FOREIGN_FILES:
                yield prefix + normal(name), entry.path
    for path, below in inner:
        yield from walk(path, below)
