"""Files that are complete or absent: each is written under another name and renamed when complete."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import itertools
import json
import logging
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foldwise.errors import ConfigError, Damaged, FoldwiseError

log = logging.getLogger(__name__)

RENAMES = 100  # tries to put a folder in the place of one that other processes replace at the same time
OLD = 7 * 24 * 3600  # seconds without a change after which what another machine wrote is left over
REASON = 160  # letters of a parser's message that are shown
WAIT_QUIETLY = 1.0  # seconds of waiting for another process that are not worth a line

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

    A block that raises, or a process that is killed, leaves `path` as it was. The temporary path is this block's own:
    its name holds the machine, the process and a number. Leftovers of a killed process are removed the next time the
    same path is written on its machine; see `_is_left_over`. A folder that exists by then (another process was faster)
    is kept and ours is dropped, since both were made from the same key; unless `replace_folder`, where the last wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left_over(path)
    own = f"{_host()}-{os.getpid()}-{_started(os.getpid())}-{next(_numbers)}"
    aside = path.parent / f".{path.name}.partial-{own}"
    old = path.parent / f".{path.name}.partial-{own}-old"
    try:
        yield aside
        if not aside.is_dir():
            aside.replace(path)
        else:
            _rename_folder(aside, path, old if replace_folder else None)
    finally:
        _remove(aside)
        _remove(old)


def remove_left_over(path: Path) -> None:
    """Remove what killed processes left beside a path: halves, or what was there before they replaced it."""
    for other in path.parent.glob(f".{glob.escape(path.name)}.partial-*"):
        if _is_left_over(other):
            _remove(other)


def _rename_folder(aside: Path, path: Path, old: Path | None) -> None:
    """Rename a folder to `path`; move a folder that is there to `old`, or keep it where that is None."""
    for _ in range(RENAMES):
        if path.is_dir():
            if old is None:
                return
            _remove(old)
            with contextlib.suppress(FileNotFoundError):  # another process has moved it
                path.rename(old)
        try:
            aside.replace(path)
            return
        except OSError:
            if path.is_dir() and aside.is_dir():
                continue  # another process was faster after all
            if old is not None and old.is_dir():
                old.replace(path)
            raise
    raise FoldwiseError(f"{path}: other processes write it all the time; end them and run the same command again")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, completely or not at all; NaN and infinity raise ValueError."""
    with written_aside(path) as aside:
        aside.write_text(json_text(value))


def json_text(value: Any) -> str:
    """Return `value` as `write_json` writes it; NaN and infinity raise ValueError."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


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
    except (pd.errors.ParserError, UnicodeError) as error:
        raise FoldwiseError(f"{name}: cannot be read as a CSV: {str(error).strip()}") from None


def check_widths(table: Any, name: str) -> None:
    """Raise FoldwiseError where each row of a CSV has more cells than the header, which pandas takes for an index.

    table: as `pd.read_csv` returns it.
    """
    import pandas as pd

    if not isinstance(table.index, pd.RangeIndex):
        n = table.shape[1]
        raise FoldwiseError(
            f"{name}: cannot be read as a CSV: the header has {n} cells, the rows {n + table.index.nlevels}"
        )


_numbers = itertools.count()  # of the temporary paths of this process


@contextmanager
def readable(path: Path, repair: str) -> Iterator[None]:
    """Turn what a damaged file raises when a block reads it into the error Damaged, which names it.

    repair: how to get rid of it or to make it again, for the message. Errors of the system (no permission, a broken
    disk) and want of memory pass as they are: the file may be whole.
    """
    try:
        yield
    except (FoldwiseError, MemoryError):
        raise
    except FileNotFoundError:
        raise Damaged(path, "is missing", repair) from None
    except Exception as error:  # readers of JSON, YAML, parquet and arrays raise whatever their parsers meet
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".replace(str(path), path.name).split())
        raise Damaged(path, f"is damaged ({reason[:REASON]})", repair) from None


def read_json(path: Path, repair: str) -> dict[str, Any]:
    """Read a JSON object; raise Damaged, with the advice `repair`, where the file holds none."""
    with readable(path, repair):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError(f"expected a JSON object, found {type(found).__name__}")
    return found


def _is_left_over(partial: Path) -> bool:
    """Tell whether the process that wrote a temporary path is gone.

    Ids of processes mean nothing on another machine, whose paths are kept until they are OLD. A process id that was
    given anew has another time of start. Names of earlier versions hold the id of a process alone.
    """
    owner = re.fullmatch(r"(\w+)-(\d+)-(\d+)-\d+(-old)?", partial.name.rpartition(".partial-")[2])
    if owner is None:
        earlier = re.fullmatch(r"(?:old-)?(\d+)", partial.name.rpartition(".partial-")[2])
        return earlier is not None and (int(earlier[1]) == os.getpid() or not _is_alive(int(earlier[1])))
    host, pid, started, _ = owner.groups()
    if host != _host():
        with contextlib.suppress(OSError):  # it is gone by now
            return time.time() - partial.stat().st_mtime > OLD
        return False
    return not _is_alive(int(pid)) or _started(int(pid)) != int(started)


def _host() -> str:
    """Return the name of this machine, with letters, digits and underscores alone."""
    return re.sub(r"\W", "_", socket.gethostname(), flags=re.ASCII) or "_"


def _started(pid: int) -> int:
    """Return when a process started, in clock ticks since the machine did; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _remove(path: Path) -> None:
    """Remove a temporary file or folder, where it is there; another process may remove it at the same time."""
    for _ in range(2):  # an error of the disk may be over
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Let one process at a time enter the block, which makes `path`; the others wait.

    A process that is killed frees the lock. Its file, `.<name>.lock` next to `path`, stays. A file system without
    locks is used without them.
    """
    from filelock import FileLock, Timeout  # a tenth of a second, which most commands do not need

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.parent / f".{path.name}.lock")
    try:
        lock.acquire(timeout=WAIT_QUIETLY)
    except Timeout:
        log.info("waiting for another process that works on %s", path)
        lock.acquire()
    except NotImplementedError:
        log.warning("%s: this file system has no locks; run one command at a time on it", path.parent)
    try:
        yield
    finally:
        lock.release()
