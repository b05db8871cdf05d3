"""Download a competition's raw files: all as one archive, or some of them one by one."""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from foldwise.errors import FoldwiseError
from foldwise.kaggle.archives import unpack
from foldwise.kaggle.cli import TryLater, check_ready, printed_list, run_cli
from foldwise.progress import Transfer
from foldwise.storage import one_at_a_time, own_files, write_json, written_aside

log = logging.getLogger(__name__)

STALL_SECONDS = 300.0
TRIES = 6
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 600.0  # seconds between two tries; doubled each time, or what the host asks for
PAGE = 200  # files that the host lists at once
MOST_LISTED = 50_000  # files: each page of them is a request, and hosts with more pack them into archives
MANY = 300  # single files, each with its own request: the whole archive is faster


@dataclass(frozen=True)
class RemoteFile:
    """A file that the host lists: its name with folders, and its bytes as the host states them."""

    name: str
    size: int


def download(slug: str, raw_dir: Path, most_unpacked: int | None = None) -> list[Path]:
    """Fetch the competition's archive and unpack it into `raw_dir`; return the files that were added.

    What was fetched of it is kept in `.<name>.download` next to `raw_dir` until all is unpacked: a download that was
    interrupted goes on where it was. `raw_dir` is complete or as it was before; `complete` knows which. Files that are
    missing in it are added, and none is overwritten.

    most_unpacked: bytes that the archive may unpack to; None: see `archives.unpack`.

    Raises FoldwiseError where `raw_dir` holds files that were not downloaded, or others than those of the host; without
    credentials or access; when no byte has come for 5 minutes; and for what `archives.unpack` refuses.
    """
    with one_at_a_time(raw_dir):
        if complete(raw_dir):
            return []
        _check_own(raw_dir)
        check_ready(slug)
        store = _store(raw_dir)
        arguments = ["competitions", "download", slug, f"--path={store}", "--quiet"]
        archive = store / f"{slug}.zip"
        _fetch(arguments, slug, store, archive)
        try:
            with written_aside(store / "unpacked", replace_folder=True) as aside:
                aside.mkdir()
                unpack(archive, aside, most_unpacked)
        except FoldwiseError:
            shutil.rmtree(store)  # what is damaged is fetched anew
            raise
        return _add(store / "unpacked", raw_dir, slug)


def download_some(slug: str, raw_dir: Path, patterns: Sequence[str], most: int | None = None) -> list[Path]:
    """Fetch the files whose names, or paths, match a pattern; return those that were added.

    Files that are in `raw_dir` with the host's size are not fetched again. Each is whole or absent.

    most: bytes of all of them together, at most; None: what the disk holds.

    Raises FoldwiseError where no file matches, where they are larger than `most` or the free disk (before any is
    fetched), and as `download` does.
    """
    with one_at_a_time(raw_dir):
        check_ready(slug)
        listed = list_files(slug)
        wanted = [one for one in listed if any(_matches(one.name, pattern) for pattern in patterns)]
        if not wanted:
            examples = ", ".join(one.name for one in listed[:8])
            raise FoldwiseError(
                f"download.files={list(patterns)}: none of the {len(listed)} files of {slug} matches; there are "
                f"{examples}"
            )
        wanted = [one for one in wanted if not _is_there(raw_dir, one)]
        _check_size(wanted, raw_dir, most)
        if len(wanted) > MANY:
            log.warning(
                "%d single files, each with a request of its own: `foldwise download` without download.files= fetches "
                "one archive",
                len(wanted),
            )
        store, added = _store(raw_dir), []
        for number, one in enumerate(wanted, start=1):
            log.info("%s: file %d of %d, %s", slug, number, len(wanted), one.name)
            folder = store / "files"
            arguments = ["competitions", "download", slug, f"--file={one.name}", f"--path={folder}", "--quiet"]
            place = folder / one.name
            _fetch(arguments, slug, folder, place, place.with_name(f"{place.name}.zip"))
            added.append(_place(place, raw_dir / one.name, one))
        shutil.rmtree(store, ignore_errors=True)
        return added


def list_files(slug: str) -> list[RemoteFile]:
    """Return all files of a competition that the host lists, page by page."""
    found: list[RemoteFile] = []
    token = ""
    while True:
        page = [f"--page-token={token}"] if token else []
        arguments = ["competitions", "files", slug, "--format=json", f"--page-size={PAGE}", *page]
        answer = _patiently(arguments, slug)
        listed = printed_list(answer) or []
        found += [RemoteFile(one["name"], int(one.get("totalBytes") or one.get("size") or 0)) for one in listed]
        more = re.search(r"^Next Page Token = (\S+)", answer, re.MULTILINE)
        if not listed or more is None:
            return found
        if len(found) >= MOST_LISTED:
            log.warning("%s lists more than %d files; the further ones are not looked at", slug, MOST_LISTED)
            return found
        token = more[1]


def complete(raw_dir: Path) -> bool:
    """Tell whether a folder holds all files of a download, with their sizes.

    Raises FoldwiseError where one of them was changed since.
    """
    record = _record(raw_dir)
    if not record.is_file() or not raw_dir.is_dir():
        return False
    expected = json.loads(record.read_text())["files"]
    there = {name: status.st_size for name, status in own_files(raw_dir)}
    changed = [name for name, size in expected.items() if there.get(name, size) != size]
    if changed:
        raise FoldwiseError(
            f"{raw_dir / changed[0]} was changed since it was downloaded ({there[changed[0]]:,} bytes, then "
            f"{expected[changed[0]]:,}); delete it, and `foldwise download` fetches it again"
        )
    return expected.keys() <= there.keys()


def _fetch(arguments: list[str], slug: str, store: Path, *places: Path) -> None:
    """Run the client until one of the places is a whole file: it goes on with what an earlier run left there.

    The client takes a part for whole where the host's file is older and smaller than it. It leaves its marker then.
    """
    store.mkdir(parents=True, exist_ok=True)
    if any(place.is_file() and _whole(place).is_file() for place in places):
        return
    for place in places:
        if not _marker(place).is_file():  # it could not be told whether the part is of the host's present file
            place.unlink(missing_ok=True)
    with Transfer(slug) as transfer:

        def grown() -> int:
            sizes = [place.stat().st_size for place in places if place.is_file()]
            total = next((_total(place) for place in places if _marker(place).is_file()), None)
            if total is not None and total - sum(sizes) > shutil.disk_usage(store).free:
                raise FoldwiseError(
                    f"{slug}: the download has {total:,} bytes, and {store} has "
                    f"{shutil.disk_usage(store).free:,} bytes free"
                )
            transfer.update(sum(sizes), total)
            return sum(sizes)

        _patiently(arguments, slug, grown)
        if stale := [place for place in places if _marker(place).is_file()]:
            for place in stale:
                place.unlink(missing_ok=True)
                _marker(place).unlink()
            _patiently(arguments, slug, grown)
    found = [place for place in places if place.is_file()]
    if not found:
        there = sorted(one.name for one in places[0].parent.iterdir())
        raise FoldwiseError(f"expected kaggle to leave {places[0].name}, but it left {there}")
    _whole(found[0]).touch()


def _patiently(arguments: list[str], slug: str, grown: Callable[[], int] | None = None) -> str:
    """Run the client; where the host is busy or unreachable, wait and try again, some times."""
    pause = FIRST_PAUSE
    for number in range(1, TRIES + 1):
        try:
            return run_cli(arguments, slug, STALL_SECONDS, grown=grown)
        except TryLater as error:
            if number == TRIES:
                raise
            wait = min(max(pause, error.seconds), LONGEST_PAUSE)
            log.warning("%s: %s; try %d of %d in %.0f s", slug, str(error).splitlines()[0], number + 1, TRIES, wait)
            time.sleep(wait)
            pause *= 2
    raise AssertionError


def _add(unpacked: Path, raw_dir: Path, slug: str) -> list[Path]:
    """Move the files that `raw_dir` lacks into it, and write down that all are there."""
    files = {name: status.st_size for name, status in sorted(own_files(unpacked))}
    if not raw_dir.exists():
        raw_dir.parent.mkdir(parents=True, exist_ok=True)
        unpacked.rename(raw_dir)
        added = list(files)
    else:
        added = [name for name in files if not (raw_dir / name).exists()]
        for name in added:
            (raw_dir / name).parent.mkdir(parents=True, exist_ok=True)
            (unpacked / name).replace(raw_dir / name)
    write_json(_record(raw_dir), {"slug": slug, "files": files})
    shutil.rmtree(_store(raw_dir), ignore_errors=True)
    return [raw_dir / name for name in added]


def _place(fetched: Path, target: Path, one: RemoteFile) -> Path:
    """Move a single file to its place; the host serves large ones in an archive of their own."""
    wrapped = fetched.with_name(f"{fetched.name}.zip")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not fetched.is_file():
        with tempfile.TemporaryDirectory(dir=fetched.parent, prefix=".unpacked-") as aside:
            unpack(wrapped, Path(aside))
            (inner,) = [Path(aside, name) for name, _ in own_files(Path(aside))]
            inner.replace(fetched)
        wrapped.unlink()
        _whole(wrapped).unlink(missing_ok=True)
    size = fetched.stat().st_size
    if one.size and size != one.size:
        fetched.unlink()
        raise FoldwiseError(
            f"{one.name}: {size:,} bytes came, and the host lists {one.size:,}; run the same command again"
        )
    fetched.replace(target)
    _whole(fetched).unlink(missing_ok=True)
    return target


def _check_own(raw_dir: Path) -> None:
    """Refuse a folder whose files were not downloaded by foldwise."""
    is_other = raw_dir.exists() and (not raw_dir.is_dir() or any(own_files(raw_dir)))
    if is_other and not _record(raw_dir).is_file():
        raise FoldwiseError(
            f"{raw_dir} already holds files: nothing is fetched; move or delete it, then download again"
        )
    if raw_dir.is_dir() and not any(own_files(raw_dir)):
        shutil.rmtree(raw_dir)


def _check_size(wanted: Sequence[RemoteFile], raw_dir: Path, most: int | None) -> None:
    total = sum(one.size for one in wanted)
    if most is not None and total > most:
        largest = max(wanted, key=lambda one: one.size)
        raise FoldwiseError(
            f"download.max_size: the {len(wanted)} files have {total:,} bytes, more than {most:,}; the largest is "
            f"{largest.name} ({largest.size:,}); narrow download.files or raise download.max_size"
        )
    raw_dir.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(raw_dir.parent).free
    if total > free:
        raise FoldwiseError(
            f"the {len(wanted)} files have {total:,} bytes, and {raw_dir.parent} has {free:,} bytes free; narrow "
            "download.files, or set root= to a larger disk"
        )


def _matches(name: str, pattern: str) -> bool:
    """Tell whether a path, or its last part, matches a pattern.

    >>> _matches("train/a/1.dcm", "train/*"), _matches("train/a/1.dcm", "*.dcm"), _matches("a.csv", "b*")
    (True, True, False)
    """
    return fnmatch(name, pattern) or fnmatch(PurePosixPath(name).name, pattern)


def _is_there(raw_dir: Path, one: RemoteFile) -> bool:
    path = raw_dir / one.name
    return path.is_file() and (not one.size or path.stat().st_size == one.size)


def _store(raw_dir: Path) -> Path:
    """Where a download grows: next to the raw folder, so that nothing takes it for raw files."""
    return raw_dir.parent / f".{raw_dir.name}.download"


def _record(raw_dir: Path) -> Path:
    """The file that lists what was downloaded."""
    return raw_dir.parent / f".{raw_dir.name}.downloaded.json"


def _marker(place: Path) -> Path:
    """The file by which the client knows a part of a file; it removes it when the file is whole."""
    return place.with_name(f"{place.name}.kaggle-partial")


def _whole(place: Path) -> Path:
    """The file by which foldwise knows that the client has ended with a whole file."""
    return place.with_name(f"{place.name}.whole")


def _total(place: Path) -> int | None:
    try:
        size = json.loads(_marker(place).read_text()).get("size")
    except (OSError, ValueError):
        return None
    return None if size is None else int(size)
