"""Checksums of the files of a folder, which lie in it: what was changed since it was written is found by them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foldwise.storage import read_json, sha256, write_json

NAME = "checksums"  # of the files that hold them: checksums.json, and checksums_<name>.json of files that come later


def write(folder: Path, **about: Any) -> None:
    """Write `checksums.json` into a folder that is complete but for that: the SHA-256 of each of its files.

    about: what else it holds, such as `of`, whose folder it is.
    """
    digests = {path.name: sha256(path) for path in sorted(folder.iterdir()) if not path.name.startswith(NAME)}
    write_json(folder / f"{NAME}.json", {**about, "files": digests})


def write_one(path: Path, digest: str) -> None:
    """Write the SHA-256 of a file that comes into a folder later; each has a file of its own, `listed_in`."""
    write_json(listed_in(path), {"files": {path.name: digest}})


def listed_in(path: Path) -> Path:
    """Return the file that holds the checksum of a file that came into its folder later.

    >>> listed_in(Path("mlp-0123/run.json")).as_posix()
    'mlp-0123/checksums_run.json'
    """
    return path.with_name(f"{NAME}_{path.stem}.json")


def stored(path: Path) -> dict[str, Any]:
    """Read a file of checksums; raise Damaged where it is none."""
    found = read_json(path, f"`rm {path}` removes it: the folder then counts as one without checksums")
    if not isinstance(found.get("files"), dict):
        return {**found, "files": {}}
    return found


def of_file(path: Path) -> str | None:
    """Return the SHA-256 of a file that came into its folder later, where it was written; else None."""
    if not listed_in(path).is_file():
        return None
    digest = stored(listed_in(path))["files"].get(path.name)
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
