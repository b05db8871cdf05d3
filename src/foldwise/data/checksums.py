"""Checksums of the files of a folder, which lie in it: what was changed since it was written is found by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from foldwise.storage import read_json, sha256, write_json

NAME = "checksums"  # of the files that hold them: checksums.json, and checksums_<name>.json of files that come later


def write(folder: Path, files: Iterable[Path] | None = None, name: str = NAME, **about: Any) -> None:
    """Write `<name>.json` into a folder: `files`, the SHA-256 of each file by its name.

    files: all of the folder by default. A file that still has a temporary name is given by `add` instead.
    about: what else it holds, such as `of`, whose folder it is.
    """
    listed = sorted(folder.iterdir()) if files is None else files
    add(folder, {path.name: sha256(path) for path in listed if not path.name.startswith(NAME)}, name, **about)


def add(folder: Path, digests: dict[str, str], name: str = NAME, **about: Any) -> None:
    """Write SHA-256 digests into `<name>.json`, beside those of other files that it holds already."""
    path = folder / f"{name}.json"
    known = stored(path) if path.is_file() else {}
    write_json(path, {**about, "files": {**known.get("files", {}), **digests}})


def stored(path: Path) -> dict[str, Any]:
    """Read a file of checksums; raise Damaged where it is none."""
    found = read_json(path, f"`rm {path}` removes it: the folder then counts as one without checksums")
    if not isinstance(found.get("files"), dict):
        return {**found, "files": {}}
    return found


def of_file(path: Path) -> str | None:
    """Return the SHA-256 that `checksums.json` holds of a file next to it; None where it holds none."""
    listed = path.parent / f"{NAME}.json"
    if not listed.is_file():
        return None
    digest = stored(listed)["files"].get(path.name)
    return None if digest is None else str(digest)


def wrong_files(listed: Path, may_be_absent: bool = False) -> Iterator[tuple[Path, str]]:
    """Yield each file that differs from a file of checksums, and how.

    may_be_absent: a file that is not there is no error, where its checksum is written before it.
    """
    for name, digest in stored(listed)["files"].items():
        path = listed.parent / Path(name).name
        if not path.is_file():
            if not may_be_absent:
                yield path, "is missing"
        elif sha256(path) != digest:
            yield path, "was changed since foldwise wrote it"
