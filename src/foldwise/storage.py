"""Files that are complete or absent: each is written under another name and renamed when complete."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foldwise.errors import ConfigError, FoldwiseError

# what Finder, Explorer, file servers and notebooks leave in folders, in small letters; no data of anybody
FOREIGN = {
    ".appledouble",
    ".ds_store",
    ".fseventsd",
    ".ipynb_checkpoints",
    ".spotlight-v100",
    ".temporaryitems",
    ".trashes",
    "$recycle.bin",
    "@eadir",
    "__macosx",
    "desktop.ini",
    "ehthumbs.db",
    "icon\r",
    "system volume information",
    "thumbs.db",
}
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
# what may lie at a path in place of a file
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextlib.contextmanager
def written_aside(path: Path, replace_folder: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to `path` to write a file or a folder to; rename it to `path` when the block ends.

    A block that raises, or a process that is killed, leaves `path` as it was. Leftovers of a killed process are removed
    the next time the same path is written. A folder that exists by then (another process was faster) is kept and ours
    is dropped, since both were made from the same key; unless `replace_folder`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{path.name}.partial-*"):
        if not _is_alive(int(stale.name.rpartition("-")[2])):
            _remove(stale)
    aside = path.parent / f".{path.name}.partial-{os.getpid()}"
    old = path.parent / f".{path.name}.partial-old-{os.getpid()}"
    _remove(aside)
    try:
        yield aside
        if aside.is_dir() and path.is_dir():
            if not replace_folder:
                return
            path.rename(old)
        try:
            aside.replace(path)
        except OSError:
            if replace_folder or not path.is_dir():
                raise  # else another process was faster after all
    finally:
        _remove(aside)
        _remove(old)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, completely or not at all; NaN and infinity raise ValueError."""
    with written_aside(path) as aside:
        aside.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def content_key(value: Any) -> str:
    """Hash the canonical JSON of a value (sorted keys, no spaces) to 12 hex digits.

    >>> content_key({"a": 1, "b": [2.0]}) == content_key({"b": [2.0], "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's contents in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_is_file(path: Path) -> None:
    """Raise FoldwiseError where something else than a file lies at `path`, whose opening could wait for ever.

    Nothing there is no error here: opening the file names it.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        found = next((name for is_kind, name in KINDS if is_kind(mode)), "something else")
        raise FoldwiseError(f"{path}: expected a file, found {found}; remove it, or put the file there")


def is_foreign(path: Path) -> bool:
    """Tell whether a file was left by an operating system; path: relative to the folder of the data.

    >>> is_foreign(Path("images/._7.png")), is_foreign(Path("__MACOSX/7.png")), is_foreign(Path("images/7.png"))
    (True, True, False)
    """
    return any(is_foreign_name(part) for part in path.parts)


def is_foreign_name(name: str) -> bool:
    """Tell whether a file or a folder of this name was left by an operating system."""
    return name.startswith("._") or name.lower() in FOREIGN


def own_files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the path, relative and with slashes, and the status of each file below a folder that is not foreign.

    Links to files are followed, links to folders are not.
    """
    waiting = [(str(folder), "")]
    while waiting:
        place, prefix = waiting.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                if is_foreign_name(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, f"{prefix}{entry.name}/"))
                elif entry.is_file():
                    yield prefix + entry.name, entry.stat()


def size_in_bytes(key: str, text: str | None) -> int | None:
    """Return the bytes of a size such as 20GB; raise ConfigError, which names the setting, for any other text.

    >>> size_in_bytes("download.max_size", "1.5GB"), size_in_bytes("download.max_size", "700")
    (1500000000, 700)
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,20}(?:\.\d{1,20})?)\s*([KMGT]?)B?", text, re.IGNORECASE)
    if found is None:
        raise ConfigError(f"{key}={text}: expected a size such as 20GB, 500MB or a number of bytes")
    return int(float(found[1]) * UNITS[found[2].upper()])


@contextlib.contextmanager
def clear_csv_errors(name: str) -> Iterator[None]:
    """Turn an error of pandas that a CSV cannot be read into a FoldwiseError that names the file."""
    import pandas as pd

    try:
        yield
    except pd.errors.EmptyDataError:
        raise FoldwiseError(f"{name}: the file is empty") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise FoldwiseError(f"{name}: cannot be read as a CSV: {error}") from None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Let one process at a time enter the block, which makes `path`; the others wait.

    A process that is killed frees the lock. Its file, `.<name>.lock` next to `path`, stays.
    """
    from filelock import FileLock  # a tenth of a second, which most commands do not need

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / f".{path.name}.lock"):
        yield
