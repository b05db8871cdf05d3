"""Stage `prepare`: raw files into memory-mapped arrays and tables, once for each data key."""

from __future__ import annotations

import logging
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from foldwise.config.check import generator
from foldwise.data import dataset, remote
from foldwise.data.dataset import Dataset
from foldwise.errors import FoldwiseError
from foldwise.execution.reading import in_shards
from foldwise.plugins import competition_module, default_options
from foldwise.runs import submission
from foldwise.settings import Settings, differences
from foldwise.stages.check_task import check_order, check_task, checked
from foldwise.stages.simulate import generated_by, held_files, host_files
from foldwise.storage import (
    content_key,
    is_foreign,
    one_at_a_time,
    own_files,
    read_json,
    sha256,
    write_json,
    written_aside,
)

log = logging.getLogger(__name__)


def prepare(settings: Settings) -> Dataset:
    """Return the prepared data of the competition and source, reading the raw files where that is not done yet.

    One process at a time prepares a competition. Raises FoldwiseError where raw files change while they are read.
    """
    key = data_key(settings, keep_digests=True)
    if not (settings.prepared_dir / key).is_dir():
        if _raw_url(settings):
            with one_at_a_time(settings.prepared_dir):
                key = _prepare(settings, settings.raw_dir)
        else:
            with held_files(settings) as raw_dir:
                key = _prepare(settings, raw_dir)
    return checked(settings, dataset.read(settings.prepared_dir / key))


def _prepare(settings: Settings, raw_dir: Path) -> str:
    """Write the prepared data where another process has not; return their key, that of the files that were read."""
    key = data_key(settings, keep_digests=True)  # of the files as they are after waiting for others
    path = settings.prepared_dir / key
    if path.is_dir():
        return key
    log.info("%s: preparing data in %s", settings.competition.name, path)
    reader = competition_module(settings.competition.reader)
    resumes = getattr(reader, "RESUMES", False)
    work_dir, spread = path.with_name(f".{key}.scans"), partial(in_shards, settings.execution)
    with written_aside(path) as aside:
        try:
            given = (work_dir, spread) if resumes else ()
            records = reader.read(raw_dir, *given, **settings.competition.options)
            check_task(settings, records.task)
            check_order(settings, records)
            dataset.check_names(records)
            submission.try_layout(reader, records, settings.competition.options)
            dataset.write(records, aside, key, source_key(settings))
        except FileNotFoundError as error:
            raise FoldwiseError(_missing(settings, raw_dir, error)) from None
        except FoldwiseError as error:
            if hint := _packed(settings, raw_dir):
                raise FoldwiseError(f"{error}; {hint}") from None
            raise
        if data_key(settings) != key:
            raise FoldwiseError(
                f"{raw_dir}: files changed while they were read; run the same command again when nothing writes there"
            )
    shutil.rmtree(work_dir, ignore_errors=True)
    return key


def show(data: Dataset, width: int) -> str:
    """Return what was prepared in one line."""
    n_train, n_test = (len(split.table) for split in (data.train, data.test))
    shape = " x ".join(map(str, data.train.images.shape[1:]))
    return f"{n_train} train and {n_test} test rows, images of {shape} {data.train.images.dtype}: {data.path}"


def prepared(settings: Settings) -> Dataset:
    """Return the prepared data of the competition and source; nothing is read or written to make it.

    Raises FoldwiseError, naming the command that prepares it, where it is not there.
    """
    path = settings.prepared_dir / data_key(settings)
    if not path.is_dir():
        raise FoldwiseError(
            f"{settings.competition.name}: this data is not prepared: {path} is missing; `foldwise prepare "
            f"competition={settings.competition.name}` makes it, and `foldwise train` trains on it too"
        )
    return checked(settings, dataset.read(path))


def data_key(settings: Settings, keep_digests: bool = False) -> str:
    """Hash what decides the prepared data: the reader, its options, and the source or the raw files' contents.

    keep_digests: write the digests of the host's files down, so that unchanged files are not read again.
    """
    reader = competition_module(settings.competition.reader)
    code = [f"foldwise.competitions.{settings.competition.reader}", reader.VERSION, dataset.VERSION]
    options = settings.competition.options
    named = {name: Path(options[name]) for name in getattr(reader, "FILES", ())}  # options that may name a file
    content = [[name, sha256(path)] for name, path in named.items() if path.is_file()]
    changes = differences(options, default_options(reader.read))
    return content_key(["data", *code, changes, source_key(settings, keep_digests), *content])


def source_key(settings: Settings, keep_digests: bool = False) -> str:
    """Hash what decides the raw files: the generator and its arguments, or the host's files themselves.

    Remote files are not read for that: their names, sizes and the hashes that the store knows are hashed instead.
    """
    if (url := _raw_url(settings)) is not None:
        return content_key(["remote", remote.listing(url)])
    if settings.source.kind == "kaggle":
        return content_key(_digests(host_files(settings), settings.prepared_dir / "raw_digests.json", keep_digests))
    function, options = generator(settings)
    mark = generated_by(settings)
    return content_key(mark | {"options": differences(options, default_options(function))})


def _raw_url(settings: Settings) -> str | None:
    """Where the raw files lie, if not on this machine."""
    return settings.competition.options.get("raw_url")


def _digests(raw_dir: Path, cache: Path, keep: bool) -> dict[str, str]:
    """Hash every raw file but foreign ones; a file of unchanged size and time is not read again."""
    known = _known_digests(cache) if cache.is_file() else {}
    found: dict[str, list[Any]] = {}
    for name, status in sorted(own_files(raw_dir)):
        # archives are read when they are unpacked, and the answers are read by `grade` alone
        if name.endswith((".7z", ".zip")) or name == "solution.csv":
            continue
        state = [status.st_size, status.st_mtime_ns]
        if known.get(name, [])[:2] == state:
            found[name] = known[name]
        else:
            found[name] = [*state, sha256(raw_dir / name)]
    if keep and found != known:
        write_json(cache, found)
    return {name: digest for name, (_, _, digest) in found.items()}


def _known_digests(cache: Path) -> dict[str, list[Any]]:
    """Return the stored digests: size, time and SHA-256 of each file by its name; none of a damaged file of them."""
    try:
        found = read_json(cache, "all raw files are read to make it again")
    except FoldwiseError as error:
        log.warning("%s", error)
        return {}
    if all(isinstance(one, list) and [*map(type, one)] == [int, int, str] for one in found.values()):
        return found
    log.warning("%s is damaged; all raw files are read to make it again", cache)
    return {}


def _packed(settings: Settings, raw_dir: Path) -> str:
    """Return what to do about archives of the host that are not unpacked; an empty string where there is none."""
    if settings.source.kind != "kaggle" or not raw_dir.is_dir():
        return ""
    from foldwise.kaggle import archives  # only where something is missing

    try:
        found = archives.packed(raw_dir)
    except FoldwiseError as error:
        return str(error)
    if not found:
        return ""
    return (
        f"{raw_dir} holds {', '.join(one.relative_to(raw_dir).as_posix() for one in found[:8])}, not unpacked: "
        f"`foldwise download competition={settings.competition.name}` unpacks it and fetches nothing"
    )


def _missing(settings: Settings, raw_dir: Path, error: FileNotFoundError) -> str:
    name = Path(str(error.filename)).name
    if hint := _packed(settings, raw_dir):
        return f"{raw_dir / name} is missing; {hint}"
    held = ", ".join(sorted(p.name for p in raw_dir.glob("*") if not is_foreign(Path(p.name)))[:8])
    return (
        f"{raw_dir / name} is missing; the folder holds {held}. "
        f"`foldwise download competition={settings.competition.name}` fetches and unpacks the host's files"
    )
