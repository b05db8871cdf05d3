"""Unpack a competition's archive: zip, and the .7z files inside it."""

import re
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import py7zr

from foldwise.errors import FoldwiseError


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip into `folder`; unpack members that end in .7z in their own folders, and remove them.

    Folders inside archives are kept. Sizes and checksums are checked as the bytes are written. Raises
    FoldwiseError for an archive that is truncated, damaged, encrypted or larger than the disk, and for a
    member whose name leads out of the folder, that is a link, or that exists already; `folder` is then incomplete.
    """
    _unpack_zip(archive, folder)
    for path in sorted(folder.rglob("*.7z")):
        _unpack_7z(path)
        path.unlink()


def _unpack_zip(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            members = file.infolist()
            links = [member.filename for member in members if member.external_attr >> 28 == 0o12]
            files = [member.filename for member in members if not member.is_dir()]
            _check(archive, folder, files, links, sum(member.file_size for member in members))
            file.extractall(folder)
    except FoldwiseError:
        raise
    except Exception as error:  # damaged bytes make the readers raise almost anything
        raise _damaged(archive, error) from error


def _unpack_7z(archive: Path) -> None:
    try:
        with py7zr.SevenZipFile(archive) as file:
            members = file.list()
            links = [member.filename for member in members if member.is_symlink]
            files = [member.filename for member in members if not member.is_directory]
            _check(archive, archive.parent, files, links, sum(member.uncompressed for member in members))
            file.extractall(archive.parent)
    except FoldwiseError:
        raise
    except Exception as error:  # damaged bytes make the readers raise almost anything
        raise _damaged(archive, error) from error


def _check(archive: Path, folder: Path, files: list[str], links: Iterable[str], size: int) -> None:
    for name in files:
        # in an archive made on Windows a backslash is a separator
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
            raise FoldwiseError(f"{archive.name}: refused, its member {name!r} would be written outside the folder")
        if (folder / name).exists():
            raise FoldwiseError(f"{archive.name}: refused, its member {name!r} exists already")
    for name in links:
        raise FoldwiseError(f"{archive.name}: refused, its member {name!r} is a link")
    if len(set(files)) < len(files):
        raise FoldwiseError(f"{archive.name}: refused, two of its members have the same name")
    free = shutil.disk_usage(folder).free
    if size > free:
        raise FoldwiseError(f"{archive.name} unpacks to {size:,} bytes, but {folder} has {free:,} bytes free")


def _damaged(archive: Path, error: Exception) -> FoldwiseError:
    size = archive.stat().st_size
    return FoldwiseError(f"{archive.name} ({size:,} bytes) could not be unpacked, download it again: {error}")
