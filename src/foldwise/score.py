"""Stage `score`: the pooled out-of-fold score of every run, with its uncertainty."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise import breakdown, metrics, objective, pseudo, runs
from foldwise.blends.rows import Problem, Rows, make_rows
from foldwise.config import Metric, Settings
from foldwise.dataset import Dataset, Task
from foldwise.errors import FoldwiseError
from foldwise.folds import first_folds, read_folds, split_key
from foldwise.prepare import prepare
from foldwise.runs import Run
from foldwise.storage import write_json

log = logging.getLogger(__name__)

MOST = 8  # runs that are compared with each other


def score(settings: Settings) -> list[dict[str, Any]]:
    """Return the `run.json` of every finished run on this data and split, best first.

    Where the objective is not log loss, or further metrics are to be shown, `metric`, `score`, `score_interval` and
    `metrics` (values by name) stand beside it.
    With `by=COLUMN` each has `by`, the column, and `log_loss_by`, what `breakdown` tells of it.

    Raises FoldwiseError where there is none.
    """
    dataset = prepare(settings)
    folds = read_folds(dataset, settings.split)
    key = split_key(dataset, settings.split)
    every = runs.all_runs(settings.runs_dir)
    mine = [
        run
        for run in every
        if run.recipe["split_key"] == key or (run.is_approximate and run.recipe["ids_key"] == dataset.ids_key)
    ]
    finished = [run for run in mine if run.is_finished()]
    if len(mine) > len(finished):
        log.info(
            "%d unfinished runs are not shown; `foldwise train` with their settings finishes them",
            len(mine) - len(finished),
        )
    if len(every) > len(mine):
        log.info(
            "%d runs on other data or another split are not shown: their scores do not compare",
            len(every) - len(mine),
        )
    if not finished:
        raise FoldwiseError(
            f"no finished run of {settings.competition.name} on this data and split; "
            f"`foldwise train competition={settings.competition.name}` trains one"
        )
    reports = [reported(run, dataset, folds, settings) for run in finished]
    return sorted(reports, key=lambda report: objective.cost(settings.competition.metric, of(report)))


def reported(run: Run, dataset: Dataset, folds: pd.DataFrame, settings: Settings) -> dict[str, Any]:
    """Return the `run.json` of a finished run, and beside it what `score` tells where the settings ask for more."""
    return score_run(run, dataset, folds) | _asked(run, dataset, folds, settings)


def of(report: dict[str, Any]) -> float:
    """Return the value of the objective in the report of a run."""
    return float(report.get("score", report["log_loss"]))


def _asked(run: Run, dataset: Dataset, folds: pd.DataFrame, settings: Settings) -> dict[str, Any]:
    """Return what another objective, further metrics and `by=COLUMN` add to the report of a run."""
    metric, more, column = settings.competition.metric, settings.competition.shown, settings.by
    if metric == "log_loss" and not more and column is None:
        return {}
    table, labels = dataset.train.table, dataset.labels
    predicted = runs.out_of_fold(run, folds, table["id"], dataset.targets)
    found: dict[str, Any] = {}
    if column is not None:
        losses = metrics.row_losses(labels, predicted, dataset.task)
        found |= {"by": column, "log_loss_by": breakdown.breakdown(table, column, labels, losses, dataset.task)}
    if metric != "log_loss" or more:
        rows = make_rows(predicted[None], table, labels, first_folds(folds, table["id"]))
        found |= _measured(rows, dataset.task, metric, more)
    return found


def _measured(rows: Rows, task: Task, metric: Metric, more: list[Metric]) -> dict[str, Any]:
    """Return the objective of the only member of rows with its interval, and the values of all metrics that are shown.

    Thresholds are learned on the other folds, for each fold.
    """
    predicted = rows.member(0)
    found = {
        name: objective.scored(Problem(task, metric=name), rows, predicted) for name in dict.fromkeys([metric, *more])
    }
    return {
        "metric": metric,
        "score": found[metric].value,
        "score_interval": objective.interval(found[metric]),
        "metrics": {name: one.value for name, one in found.items()},
    }


def score_run(run: Run, dataset: Dataset, folds: pd.DataFrame) -> dict[str, Any]:
    """Return the run's `run.json`, scoring it and writing that file where it is not there yet."""
    path = run.path / "run.json"
    if path.is_file():
        return run.report
    ids, targets, task = dataset.train.table["id"], dataset.targets, dataset.task
    predicted = runs.out_of_fold(run, folds, ids, targets)
    labels = dataset.labels
    losses = metrics.row_losses(labels, predicted, task)
    interval = metrics.bootstrap_interval(losses, dataset.train.groups)
    reports = list(runs.fold_reports(run))
    report = {
        "competition": run.recipe["competition"]["name"],
        "model": run.recipe["model"]["name"],
        "run_key": run.name.rpartition("-")[2],
        "data_key": run.recipe["data_key"],
        "split_key": run.recipe["split_key"],
        "seconds": sum(fold["seconds"] for fold in reports),
        "n_rows": len(ids),
        "log_loss": float(losses.mean()),
        "log_loss_interval": interval,
        "fold_log_loss": fold_losses(run, dataset, folds),
        **metrics.for_humans(labels, predicted, task),
        "versions": reports[0]["versions"],
        "device": reports[0]["device"],
    }
    if run.refits:
        report["test_predictions"] = f"refit on all rows, seeds: {run.recipe['fit']['refit_seeds']}"
    if run.recipe.get("pseudo", {}).get("runs"):
        report["pseudo"] = pseudo.effect(run, dataset, folds, losses)
    write_json(path, report)
    return report


def fold_losses(run: Run, dataset: Dataset, folds: pd.DataFrame) -> list[float]:
    """Return the log loss of each held-out fold, repeat by repeat."""
    predicted = runs.held_out(run, folds)
    labels = dataset.train.table.set_index("id")[dataset.targets].loc[predicted["id"]].to_numpy(np.float64)
    losses = metrics.row_losses(labels, predicted[dataset.targets].to_numpy(), dataset.task)
    return [float(loss) for loss in pd.Series(losses).groupby([predicted["repeat"], predicted["fold"]]).mean()]


def show(reports: list[dict[str, Any]], width: int) -> str:
    """Return the terminal table of scored runs, best first; columns that do not fit the width are left out."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    metric: Metric = reports[0].get("metric", "log_loss") if reports else "log_loss"
    first = [objective.LABELS[metric], "95 % interval"]
    shown_too = [objective.LABELS[name] for name in reports[0].get("metrics", {})] if reports else []
    spread = ["folds, sd"] if metric == "log_loss" else []  # it is that of log loss
    columns = list(dict.fromkeys([*first, *shown_too, "log loss", *spread, "accuracy", "F1", "AUC", "minutes"]))
    needed = 24 + 10
    kept = [name for name in columns if (needed := needed + len(name) + 4) <= max(width, 60)]
    shown.add_column("run", overflow="fold")
    for name in kept:
        shown.add_column(name, justify="right", no_wrap=True)
    for report in reports:
        low, high = report.get("score_interval", report["log_loss_interval"])
        approximate = "~" if report.get("split_key") == runs.OTHER else ""
        cells = {
            "log loss": f"{approximate}{report['log_loss']:.4f}",
            "95 % interval": f"{low:.3f}-{high:.3f}",
            "folds, sd": f"{np.std(report['fold_log_loss'], ddof=1):.3f}" if len(report["fold_log_loss"]) > 1 else "-",
            "accuracy": f"{report['accuracy']:.4f}",
            "F1": f"{report['f1']:.4f}",
            "AUC": "-" if report["auc"] is None else f"{report['auc']:.4f}",
            "minutes": f"{report['seconds'] / 60:.1f}",
        }
        for name, value in report.get("metrics", {}).items():  # thresholds tuned inside folds replace one half
            cells[objective.LABELS[name]] = f"{approximate}{value:.4f}"
        shown.add_row(f"{report['model']}-{report['run_key']}", *(cells.get(name, "-") for name in kept))
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(shown)
    parts = {f"{r['model']}-{r['run_key']}": r["log_loss_by"] for r in reports if "by" in r}
    return captured.get() + (breakdown.show(reports[0]["by"], parts, width) if parts else "")


def details(settings: Settings, reports: list[dict[str, Any]]) -> str:
    """Return how the best of the scored runs compare: paired differences, correlations, what each adds to the mean."""
    reports = reports[:MOST]
    if len(reports) < 2:
        return ""
    import tempfile

    from foldwise import paired
    from foldwise.ensemble import stacked

    dataset = prepare(settings)
    members = runs.reported(settings.runs_dir, reports)
    with tempfile.TemporaryDirectory() as folder:
        rows, _, problem = stacked(members, dataset, read_folds(dataset, settings.split), Path(folder))
        problem = replace(problem, metric=settings.competition.metric)
        table = paired.table([run.name for run in members], rows, problem)
    return table + "".join(f"{pseudo.told(report)}\n" for report in reports if "pseudo" in report)
