"""Stage `report`: runs, blends and curves on one page that opens in any browser, without network."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from foldwise.data.dataset import Dataset
from foldwise.data.folds import first_folds, read_scored, split_key
from foldwise.errors import FoldwiseError
from foldwise.report import details, distributions, looks, overview, page, recipes, samples
from foldwise.runs import store, studies
from foldwise.runs.members import inputs_of, runs_of
from foldwise.runs.store import Run
from foldwise.scoring.metrics import METRICS
from foldwise.scoring.rows import Problem, make_rows
from foldwise.settings import Settings
from foldwise.stages.predict import recipe_of
from foldwise.stages.prepare import prepared
from foldwise.stages.score import score
from foldwise.storage import written_aside


def report(settings: Settings) -> dict[str, Any]:
    """Write `reports/<competition>/index.html`; return its file, size in bytes, number of runs and seconds.

    Raises FoldwiseError where there is no finished run on this data and split.
    """
    started = time.perf_counter()
    reports = score(settings)
    text = page.render(collect(settings, prepared(settings), reports))
    path = settings.reports_dir / "index.html"
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "n_runs": len(reports),
        "seconds": time.perf_counter() - started,
    }


def collect(settings: Settings, dataset: Dataset, reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Return all that the page shows, as plain values.

    reports: those of the runs, best first; those of runs whose predictions are damaged are taken out of it.
    """
    scored, folds = read_scored(dataset, settings.split)
    runs = runs_of(settings.runs_dir, reports)
    given, metric, name = settings.report, settings.competition.metric, settings.competition.name
    labels = np.asarray(scored.labels, np.float64)
    table = inputs_of(scored.train, dataset.targets)
    groups = details.groups_of(scored, settings.by)
    n_shown = len(runs[: given.best])
    n_together = together(len(runs), labels)
    ranges = samples.grey_ranges(dataset.train.images)
    kept: list[np.ndarray] = []  # predictions of the best runs, for their correlations
    shown: list[dict[str, Any]] = []
    illustrated: list[tuple[Run, np.ndarray, list[int]]] = []  # predictions, and rows that are shown as images
    place = 0
    while place < min(len(runs), max(n_shown, n_together)):
        read = store.each_undamaged(
            [run := runs[place]],
            lambda run: store.out_of_fold(run, folds, table["id"], dataset.targets, dataset.task),
        )
        if not read:
            del runs[place], reports[place]
            continue
        p = read[0][1]
        if place < n_together:
            kept.append(p)
        if place < n_shown:
            shown.append(details.run_details(run, reports[place], scored, labels, p, groups))
        if place < min(n_shown, given.illustrated) and given.images:
            illustrated.append((run, p, samples.hardest(labels, p, scored, given.images)))
        place += 1
    if not kept:
        raise FoldwiseError("no run is left whose predictions can be shown; `foldwise verify` lists what is damaged")
    fold_of = first_folds(folds, table["id"])
    seen_by_run = looked(settings, illustrated, labels, fold_of, scored, dataset)
    for about, (_, p, hardest), seen in zip(shown, illustrated, seen_by_run, strict=False):
        about["samples"] = samples.sample_views(hardest, labels, p, scored, dataset, ranges, seen)
    rows = make_rows(np.stack(kept), table, labels, fold_of)
    problem = Problem(dataset.task, metric=metric)
    log_file, slug = settings.submissions_dir / "log.csv", settings.competition.slug or name
    return {
        "competition": name,
        "facts": facts(settings, dataset, scored),
        "task": dataset.task,
        "metric": {"label": METRICS[metric].label, "lower_is_better": METRICS[metric].lower_is_better},
        "leaderboard": overview.leaderboard(reports, metric) | {"constant": overview.constant_score(rows, problem)},
        "correlation": overview.correlation([run.name for run in runs[: len(kept)]], rows, problem),
        "blends": overview.blends(settings.submissions_dir, name, dataset),
        "submitted": overview.submitted(log_file, slug, name),
        "searches": studies.searches(settings.runs_dir, {run.name for run in runs}, metric),
        "recipes": [recipes.flat(run.recipe) for run in runs],
        "scales": samples.scales(settings.competition.reader, dataset.train.images, ranges),
        "distributions": distributions.distributions(dataset),
        "runs": shown,
    }


def looked(
    settings: Settings,
    illustrated: list[tuple[Run, np.ndarray, list[int]]],
    labels: np.ndarray,
    fold_of: np.ndarray,
    scored: Dataset,
    dataset: Dataset,
) -> list[dict[int, looks.Looks]]:
    """Return the maps and neighbours of the rows of each run, where any are wanted."""
    if not looks.is_wanted(settings.report):
        return [{} for _ in illustrated]
    positions = samples.positions(scored, dataset)
    shown = [
        looks.Shown(
            run,
            None if "imported" in run.recipe else recipe_of(run),
            rows,
            positions[rows],
            fold_of[rows],
            *looks.evidence(labels[rows], p[rows], dataset.task),
        )
        for run, p, rows in illustrated
    ]
    folds = dataset.path / f"folds_{split_key(dataset, settings.split)}.parquet"
    return looks.explain(shown, dataset, folds, settings.report, settings.execution)


def show(result: dict[str, Any], width: int) -> str:
    """Return the path of the page in one line, and how to look at it in another."""
    megabytes = f"{result['bytes'] / 1e6:.1f} MB"
    return (
        f"report of {result['n_runs']} runs, {megabytes}: {result['file']}\nopen it in a browser; it needs no network"
    )


def together(n_runs: int, labels: np.ndarray) -> int:
    """Return how many of the best runs are correlated: at most 30, and what fits into 1 GB."""
    return min(n_runs, overview.CORRELATED, max(1, int(1e9 // max(labels.nbytes, 1))))


def facts(settings: Settings, dataset: Dataset, scored: Dataset) -> list[tuple[str, str]]:
    """Return what the page is about, as pairs of a name and a value."""
    split = settings.split
    shape = " × ".join(map(str, dataset.train.images.shape[1:]))
    found = [
        ("task", dataset.task),
        ("objective", METRICS[settings.competition.metric].label),
        ("training rows", f"{len(dataset.train.table):,}"),
        ("test rows", f"{len(dataset.test.table):,}"),
        ("images", f"{shape} {dataset.train.images.dtype}"),
        ("outputs", f"{len(dataset.targets)}" if len(dataset.targets) > 3 else ", ".join(dataset.targets)),
        ("split", f"{split.kind}, {split.n_folds} folds" + (f" × {split.repeats}" if split.repeats > 1 else "")),
        ("source", settings.source.kind),
    ]
    if len(scored.train.table) < len(dataset.train.table):
        found.insert(3, ("held-out rows", f"{len(scored.train.table):,}"))
    return found
