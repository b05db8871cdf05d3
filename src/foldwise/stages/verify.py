"""Stage `verify`: compare all that foldwise wrote for a competition with its checksums."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foldwise.data import checksums
from foldwise.data import dataset as datasets
from foldwise.errors import Damaged, FoldwiseError
from foldwise.runs.store import Run, check_owner, remake_fit, remake_run
from foldwise.runs.submission import read_about
from foldwise.settings import Settings
from foldwise.storage import sha256

log = logging.getLogger(__name__)

Wrong = tuple[Path, str, str]  # a file, what is wrong with it, and the command that repairs it


def verify(settings: Settings) -> dict[str, Any]:
    """Read every prepared array and table, run and submission of the competition; nothing is written.

    Returns n_folders and n_files that were compared, `wrong` (file, what, repair: each file that differs),
    `without_checksums` (folders from versions that wrote none) and seconds.
    """
    started = time.perf_counter()
    folders = [*_prepared(settings), *_runs(settings)]
    wrong: list[Wrong] = []
    bare: list[Path] = []
    n_files = 0
    for folder, run, fit in folders:
        listed = sorted(folder.glob(f"{checksums.NAME}*.json"))
        own = f"{checksums.NAME}.json" if run is None or fit is not None else f"{checksums.NAME}_recipe.json"
        if not any(one.name == own for one in listed):
            bare.append(folder)
        for one in listed:
            found, n = _compared(one, run, fit)
            wrong, n_files = wrong + found, n_files + n
        wrong += _unreadable(run, fit)
    submissions, n = _submissions(settings)
    wrong += submissions
    return {
        "competition": settings.competition.name,
        "n_folders": len(folders),
        "n_files": n_files + n,
        "wrong": [{"file": str(path), "what": what, "repair": repair} for path, what, repair in dict.fromkeys(wrong)],
        "without_checksums": [str(folder) for folder in bare],
        "seconds": time.perf_counter() - started,
    }


def show(result: dict[str, Any], width: int) -> str:
    """Return a line for each file that is wrong, and one that counts what was compared."""
    lines = [f"{one['file']} {one['what']}; {one['repair']}" for one in result["wrong"]]
    if bare := result["without_checksums"]:
        lines.append(
            f"{len(bare)} folders have no checksums, since an earlier version wrote them, such as {bare[0]}: they were "
            "not compared"
        )
    lines.append(
        f"{result['n_files']} files in {result['n_folders']} folders of {result['competition']} compared in "
        f"{result['seconds']:.1f} s: {len(result['wrong'])} are wrong"
    )
    return "\n".join(lines)


def verdict(result: dict[str, Any]) -> None:
    """Raise FoldwiseError where a file is wrong."""
    if result["wrong"]:
        raise FoldwiseError(f"{len(result['wrong'])} files of {result['competition']} are not as foldwise wrote them")


def _prepared(settings: Settings) -> Iterator[tuple[Path, None, None]]:
    """Yield each folder of prepared data; neither it nor its files belong to a run."""
    for path in sorted(settings.prepared_dir.glob("[!.]*/dataset.json")):
        yield path.parent, None, None


def _runs(settings: Settings) -> Iterator[tuple[Path, Run, int | None]]:
    """Yield the folder of each run and of each of its finished fits, with the run and the fit."""
    for path in sorted(settings.runs_dir.glob("[!.]*/recipe.yaml")):
        run = Run(path.parent)
        yield run.path, run, None
        try:
            fits = run.fits
        except Damaged:
            continue  # the run's own folder is reported
        yield from ((run.fold_path(fit), run, fit) for fit in fits if run.fold_path(fit).is_dir())


def _compared(listed: Path, run: Run | None, fit: int | None) -> tuple[list[Wrong], int]:
    """Return what differs from a file of checksums, and how many files it lists."""
    folder = listed.parent
    came_later = listed.name != f"{checksums.NAME}.json"  # then its checksum was written before it was
    try:
        differing = list(checksums.wrong_files(listed, may_be_absent=came_later))
        n_files = len(checksums.stored(listed)["files"])
    except Damaged as error:
        return [(listed, error.what, error.repair)], 0
    found = []
    for path, what in differing:
        if run is None and came_later:
            repair = f"`rm {path}` removes it, and `foldwise folds` with the same settings makes it again"
        elif run is None:
            repair = datasets.repair(folder)
        elif fit is None:
            repair = (
                remake_run(run)
                if path.name == "recipe.yaml"
                else f"`rm {path}`, and `foldwise score` computes it again"
            )
        else:
            repair = remake_fit(run, fit)
        found.append((path, what, repair))
    return found, n_files


def _unreadable(run: Run | None, fit: int | None) -> list[Wrong]:
    """Return what is wrong with a run's recipe and report, or with the owner of a fit, besides its checksums."""
    if run is None:
        return []
    try:
        if fit is not None:
            check_owner(run, fit)
        else:
            run.recipe  # noqa: B018
            if (run.path / "run.json").is_file():
                run.report  # noqa: B018
    except Damaged as error:
        return [(Path(str(error.path)), error.what, error.repair)]
    return []


def _submissions(settings: Settings) -> tuple[list[Wrong], int]:
    """Return the submissions of the competition that differ from what their JSONs say, and how many there are."""
    found, n = [], 0
    for path in sorted(settings.submissions_dir.glob("*.json")):
        about, file = read_about(path), path.with_suffix(".csv")
        if about.get("competition") != settings.competition.name or "sha256" not in about or not file.is_file():
            continue
        n += 1
        if sha256(file) != about["sha256"]:
            found.append((file, "was changed since foldwise wrote it", "`foldwise ensemble` writes it again"))
    return found, n
