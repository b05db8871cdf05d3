"""Stage `simulate`: write the raw files of a simulated or embedded source, as the host would ship them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foldwise.config.check import generator
from foldwise.errors import FoldwiseError
from foldwise.plugins import default_options
from foldwise.settings import Settings, differences, plain
from foldwise.storage import one_at_a_time, own_files, read_json, remove_left_over, write_json, written_aside

log = logging.getLogger(__name__)

MARK = "source.json"  # marks a generated raw folder, and names its generator and options


def simulate(settings: Settings) -> Path:
    """Return the raw folder, with the files of `source`, writing them where they are absent.

    A folder of another simulation is replaced: its files can be made again at any time. The host's own
    files never are. Meanwhile no other process replaces it, or reads it to prepare data.
    """
    if settings.source.kind != "kaggle" and _same_source(settings, _mark(settings)):
        return _unchanged(settings)
    with one_at_a_time(settings.prepared_dir):
        return _simulated(settings)


@contextmanager
def held_files(settings: Settings) -> Iterator[Path]:
    """Yield the raw folder of any source, generating its files where they are absent; they stay during the block.

    One process at a time is in such a block: the others wait. Raises FoldwiseError where the host has no files there.
    """
    with one_at_a_time(settings.prepared_dir):
        yield host_files(settings) if settings.source.kind == "kaggle" else _simulated(settings)


def _simulated(settings: Settings) -> Path:
    """Do what `simulate` does, in a process that no other one disturbs."""
    raw_dir = settings.raw_dir
    if settings.source.kind == "kaggle":
        host_files(settings)
        log.info("source=kaggle: %s holds files; there is nothing to simulate", raw_dir)
        return raw_dir
    mark = generated_by(settings)
    found = _mark(settings)
    if _same_source(settings, found):
        return _unchanged(settings)
    if raw_dir.is_dir() and any(own_files(raw_dir)) and (found is None or found["files"] != _sizes(raw_dir)):
        raise FoldwiseError(
            f"{raw_dir} holds files that foldwise did not generate, and leaves them alone: choose source=kaggle to "
            "use them, or root=PATH to generate elsewhere"
        )
    function, options = generator(settings)
    with written_aside(raw_dir, replace_folder=True) as aside:
        aside.mkdir()
        function(aside, **options)
        write_json(aside / MARK, mark | {"files": _sizes(aside)})
    log.info("%s: wrote %s (%s)", settings.competition.name, raw_dir, _described(mark))
    return raw_dir


def found_files(settings: Settings) -> Path:
    """Return the raw folder of any source, writing nothing; raise FoldwiseError where its files are not there."""
    if settings.source.kind == "kaggle":
        return host_files(settings)
    found = _mark(settings)
    if not _same_source(settings, found):
        held = "no generated files" if found is None else f"those of another simulation ({_described(found)})"
        raise FoldwiseError(
            f"{settings.raw_dir} holds {held}; `foldwise simulate competition={settings.competition.name}` with the "
            "same source writes them"
        )
    return settings.raw_dir


def host_files(settings: Settings) -> Path:
    """Return the raw folder of the host's files; raise FoldwiseError where they are not there."""
    raw_dir = settings.raw_dir
    found = _mark(settings)
    if found is not None:
        raise FoldwiseError(
            f"source=kaggle: {raw_dir} holds generated files ({_described(found)}); remove that folder, or set "
            "root=PATH to keep the host's files elsewhere"
        )
    if not raw_dir.is_dir() or not any(own_files(raw_dir)):
        raise FoldwiseError(
            f"source=kaggle: {raw_dir} holds no files; `foldwise download competition={settings.competition.name}` "
            "fetches them, or put yours there"
        )
    return raw_dir


def generated_by(settings: Settings) -> dict[str, Any]:
    """Describe a generated source: what decides every byte of its files."""
    function, options = generator(settings)
    version = function.__globals__["VERSION"]
    generator_name = "_".join(function.__module__.split(".")[-2:])
    return {"generator": generator_name, "version": version, "options": plain(options)}  # as the mark's JSON has them


def _same_source(settings: Settings, found: dict[str, Any] | None) -> bool:
    """Tell whether the mark of a raw folder is that of the settings' source; an option at its default is none."""
    if found is None:
        return False
    defaults = default_options(generator(settings)[0])
    marks = [one | {"options": differences(one["options"], defaults)} for one in (found, generated_by(settings))]
    return all(marks[0].get(name) == marks[1][name] for name in marks[1])


def _sizes(raw_dir: Path) -> dict[str, int]:
    """Return the bytes of every file but the mark and foreign ones, by its path in the folder."""
    return {name: status.st_size for name, status in sorted(own_files(raw_dir)) if Path(name).name != MARK}


def _mark(settings: Settings) -> dict[str, Any] | None:
    """Return the mark of a generated raw folder, None of one without; raise FoldwiseError where it is damaged."""
    path = settings.raw_dir / MARK
    if not path.is_file():
        return None
    repair = (
        f"`rm -r {settings.raw_dir}` removes the generated files, and `foldwise simulate "
        f"competition={settings.competition.name}` writes them again"
    )
    found = read_json(path, repair)
    expected = {"generator": str, "version": int, "options": dict, "files": dict}
    for name, kind in expected.items():
        if not isinstance(found.get(name), kind):
            raise FoldwiseError(f"{path} is damaged (expected {name!r} with a {kind.__name__}); {repair}")
    return found


def _unchanged(settings: Settings) -> Path:
    """Return the raw folder; raise FoldwiseError where a generated file is not of the size that it was written with.

    The answers are not looked at: they decide no prediction.
    """
    raw_dir, found = settings.raw_dir, _mark(settings)
    remove_left_over(raw_dir)  # a process may have been killed after it had replaced the folder
    sizes = _sizes(raw_dir)
    for name, size in (found or {"files": {}})["files"].items():
        if name != "solution.csv" and sizes.get(name) != size:
            state = "is missing" if name not in sizes else f"has {sizes[name]} bytes, expected {size}"
            raise FoldwiseError(
                f"{raw_dir / name} was changed since it was generated: it {state}; `rm -r {raw_dir}` removes the "
                f"generated files, and `foldwise simulate competition={settings.competition.name}` writes them again"
            )
    return raw_dir


def _described(mark: dict[str, Any]) -> str:
    return ", ".join([mark["generator"], *(f"{name}={value}" for name, value in mark["options"].items())])
