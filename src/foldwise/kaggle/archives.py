"""Unpack a competition's archive and the archives inside it: zip, 7z and tar."""

from __future__ import annotations

import filecmp
import re
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import py7zr

from foldwise.errors import FoldwiseError
from foldwise.storage import is_foreign, one_at_a_time, own_files

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
SUFFIXES = (".zip", ".7z", *TARS)
DEEPEST = 8  # archives inside archives; hosts use two, and an archive that holds itself would never end
# What an archive may unpack to, those inside it included: tables and empty images shrink to a hundredth, a bomb to less
LEAST_LIMIT, LIMIT_RATIO = 2**30, 200


@dataclass(frozen=True)
class _Member:
    """What an archive lists of a member: its name, its bytes when unpacked, and whether foldwise can write it."""

    name: str
    size: int
    is_folder: bool = False
    is_link: bool = False
    is_encrypted: bool = False

    @property
    def path(self) -> PurePosixPath:
        return PurePosixPath(self.name.replace("\\", "/"))  # in an archive made on Windows a backslash is a separator


class _Limit:
    """The bytes that an archive, and those inside it, may still unpack to."""

    def __init__(self, archive: Path, most: int | None) -> None:
        self.most = max(LEAST_LIMIT, LIMIT_RATIO * archive.stat().st_size) if most is None else most
        self.left = self.most

    def take(self, archive: Path, size: int) -> None:
        """Count what an archive unpacks to; raise FoldwiseError where that is too much."""
        self.check(archive, size)
        self.left -= size

    def check(self, archive: Path, size: int) -> None:
        """Raise FoldwiseError where an archive unpacks to too much."""
        if size > self.left:
            raise FoldwiseError(
                f"{archive.name}: refused, it unpacks to {self.most - self.left + size:,} bytes and more, of "
                f"{self.most:,} allowed; if you trust it, set download.max_unpacked=SIZE, such as 500GB"
            )


def unpack(archive: Path, folder: Path, most: int | None = None) -> None:
    """Unpack an archive into `folder`, and the archives inside it where they lie; those are removed.

    Folders inside archives are kept. An inner archive with several entries at its top, files among them, is unpacked
    into a folder of its own name: train.zip and test.zip may both hold 1.png. Members that operating systems add
    (__MACOSX) are left out. Sizes and checksums are checked as the bytes are written.

    most: bytes that it may unpack to, archives inside it included. None: 200 times its own, but 1 GiB at least.

    Raises FoldwiseError for an archive that is truncated, damaged, encrypted or larger than allowed or than the disk,
    and for a member whose name leads out of the folder, that is a link, or that exists already with other contents;
    `folder` is then incomplete.
    """
    before, limit = set(archives_in(folder)), _Limit(archive, most)
    _extract(archive, folder, limit)
    for inner in sorted(set(archives_in(folder)) - before - {archive}):
        _unpack_inner(inner, 1, limit)


def repair(folder: Path, most: int | None = None) -> list[Path]:
    """Unpack the archives that lie in a folder of raw files, unless what they hold is there; return what was added.

    The archives stay. An archive that is alone in the folder is taken for the whole download: its files are put into
    the folder itself; for all others see `unpack`.

    most: bytes that each archive may unpack to, see `unpack`.

    Raises FoldwiseError as `unpack` does; nothing is added then.
    """
    prefix = f".{folder.name}.unpacked-"
    with one_at_a_time(folder):
        for stale in folder.parent.glob(f"{prefix}*"):  # of a process that was killed
            shutil.rmtree(stale)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix) as aside:
            moves: list[tuple[Path, Path]] = []
            for number, (archive, target) in enumerate(_targets(folder, most).items()):
                store = Path(aside, str(number))
                store.mkdir()
                unpack(archive, store, most)
                moves += _moves(store, target, archive)
            _move(moves)
    return [new for _, new in moves]


def packed(folder: Path) -> list[Path]:
    """Return the archives in a folder that hold files which do not lie where `repair` puts them.

    Only names and sizes are compared, and archives inside archives are not looked into.
    """
    targets = _targets(folder, None)
    return [archive for archive, target in targets.items() if not _are_in(target, _members(archive))]


def is_archive(name: str) -> bool:
    """Tell whether a file has the name of an archive that `unpack` reads.

    >>> is_archive("train.tar.gz"), is_archive("TRAIN.ZIP"), is_archive("scan.nii.gz")
    (True, True, False)
    """
    return name.lower().endswith(SUFFIXES)


def archives_in(folder: Path) -> list[Path]:
    """Return the archives below a folder, in order."""
    return sorted(folder / name for name, _ in own_files(folder) if is_archive(name))


def _targets(folder: Path, most: int | None) -> dict[Path, Path]:
    """Return where `repair` puts the files of each archive in a folder; most: see `unpack`."""
    found, targets = archives_in(folder), {}
    whole = len(found) == 1 and all(is_archive(name) for name, _ in own_files(folder))
    for archive in found:
        members = _members(archive, _Limit(archive, most))
        apart = _is_loose(members) and not whole and not _are_in(archive.parent, members)
        targets[archive] = _own_folder(archive) if apart else archive.parent
    return targets


def _are_in(folder: Path, members: list[_Member]) -> bool:
    """Tell whether files of these names and sizes lie in a folder, archives aside."""
    files = [member for member in members if not member.is_folder and not is_archive(member.name)]
    places = [(folder / member.path, member.size) for member in files]
    return all(place.is_file() and place.stat().st_size == size for place, size in places)


def _unpack_inner(archive: Path, depth: int, limit: _Limit) -> None:
    """Unpack an archive where it lies, and those inside it; remove it."""
    if depth > DEEPEST:
        raise FoldwiseError(f"{archive.name}: refused, it lies more than {DEEPEST} archives deep")
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".unpacked-") as aside:
        store = Path(aside)
        _extract(archive, store, limit)
        target = _own_folder(archive) if _is_loose(_members(archive)) else archive.parent
        archive.unlink()
        for inner in archives_in(store):
            _unpack_inner(inner, depth + 1, limit)
        _move(_moves(store, target, archive))


def _extract(archive: Path, folder: Path, limit: _Limit) -> None:
    """Write the members of an archive into a folder, once all of them are checked."""
    members = _members(archive, limit)
    _check(archive, folder, members)
    limit.take(archive, sum(member.size for member in members))
    names = {member.name for member in members}
    try:
        if _is_zip(archive):
            with zipfile.ZipFile(archive) as file:
                file.extractall(folder, names)
        elif archive.name.lower().endswith(TARS):
            with tarfile.open(archive) as file:
                # Python 3.11 has filters from 3.11.4 on; names and links were checked above
                safe: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                file.extractall(folder, [one for one in file if one.name in names], **safe)
        else:
            with py7zr.SevenZipFile(archive) as file:
                file.extract(folder, names)
    except FoldwiseError:
        raise
    except Exception as error:  # damaged bytes make the readers raise almost anything
        raise _damaged(archive, error) from error


def _members(archive: Path, limit: _Limit | None = None) -> list[_Member]:
    """List the members of an archive but foreign ones.

    limit: of all their bytes, which is checked as they are listed: what a tar holds is unpacked to find the next one.
    """
    found, size = [], 0
    try:
        for member in _listed(archive):
            size += member.size
            if limit is not None:
                limit.check(archive, size)
            if not is_foreign(Path(member.path)):
                found.append(member)
        return found
    except FoldwiseError:
        raise
    except py7zr.exceptions.PasswordRequired:  # where not even the names can be read
        raise _encrypted(archive) from None
    except Exception as error:  # see above
        raise _damaged(archive, error) from error


def _listed(archive: Path) -> Iterator[_Member]:
    if _is_zip(archive):
        with zipfile.ZipFile(archive) as file:
            for one in file.infolist():
                link = one.external_attr >> 28 == 0o12
                yield _Member(one.filename, one.file_size, one.is_dir(), link, bool(one.flag_bits & 1))
    elif archive.name.lower().endswith(TARS):
        with tarfile.open(archive) as file:
            for item in file:
                yield _Member(item.name, item.size, item.isdir(), not (item.isdir() or item.isreg()))
    else:
        with py7zr.SevenZipFile(archive) as file:
            encrypted = file.needs_password()
            for entry in file.list():
                size = int(entry.uncompressed)
                yield _Member(entry.filename, size, entry.is_directory, entry.is_symlink, encrypted)


def _check(archive: Path, folder: Path, members: list[_Member]) -> None:
    files = [member for member in members if not member.is_folder]
    for member in files:
        if member.path.is_absolute() or ".." in member.path.parts or re.match("[A-Za-z]:", member.name):
            raise FoldwiseError(
                f"{archive.name}: refused, its member {member.name!r} would be written outside the folder"
            )
        if (folder / member.name).exists():
            raise FoldwiseError(f"{archive.name}: refused, its member {member.name!r} exists already")
        if member.is_link:
            raise FoldwiseError(f"{archive.name}: refused, its member {member.name!r} is a link")
        if member.is_encrypted:
            raise _encrypted(archive)
    if len({member.name for member in files}) < len(files):
        raise FoldwiseError(f"{archive.name}: refused, two of its members have the same name")
    size, free = sum(member.size for member in members), shutil.disk_usage(folder).free
    if size > free:
        raise FoldwiseError(f"{archive.name} unpacks to {size:,} bytes, but {folder} has {free:,} bytes free")


def _is_zip(archive: Path) -> bool:
    """Tell whether an archive is read as a zip: all are but 7z and tar."""
    return not archive.name.lower().endswith((".7z", *TARS))


def _is_loose(members: Iterable[_Member]) -> bool:
    """Tell whether an archive has several entries at its top, files among them."""
    tops = {member.path.parts[0]: len(member.path.parts) == 1 and not member.is_folder for member in members}
    return len(tops) > 1 and any(tops.values())


def _own_folder(archive: Path) -> Path:
    """Return the folder next to an archive that has its name without the suffix."""
    suffix = max((one for one in SUFFIXES if archive.name.lower().endswith(one)), key=len)
    return archive.with_name(archive.name[: -len(suffix)])


def _moves(store: Path, target: Path, archive: Path) -> list[tuple[Path, Path]]:
    """Return (file, new path) of the files in `store` that are not in `target`; refuse one that differs from ours."""
    found = []
    for name, _ in sorted(own_files(store)):
        file, new = store / name, target / name
        if not new.exists():
            found.append((file, new))
        elif not new.is_file() or not filecmp.cmp(file, new, shallow=False):
            raise FoldwiseError(
                f"{archive.name}: refused, its member {name!r} exists already in {target}, with other contents"
            )
    return found


def _move(moves: list[tuple[Path, Path]]) -> None:
    for file, new in moves:
        new.parent.mkdir(parents=True, exist_ok=True)
        file.replace(new)


def _encrypted(archive: Path) -> FoldwiseError:
    return FoldwiseError(
        f"{archive.name}: refused, it is encrypted; unpack it by hand with the password that the host gives"
    )


def _damaged(archive: Path, error: Any) -> FoldwiseError:
    size = archive.stat().st_size
    return FoldwiseError(f"{archive.name} ({size:,} bytes) could not be unpacked, download it again: {error}")
