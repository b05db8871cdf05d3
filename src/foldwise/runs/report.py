"""What is known of a finished run: its score, its folds, and what pseudo-labels did for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from foldwise.data.dataset import Dataset
from foldwise.data.folds import first_folds
from foldwise.runs import store
from foldwise.runs.members import labelling_runs
from foldwise.runs.store import Run
from foldwise.scoring import breakdown, compare_runs, metrics, objective
from foldwise.scoring.rows import Problem, Rows, make_rows
from foldwise.settings import Metric, Settings, Task
from foldwise.storage import write_json


def pseudo_effect(run: Run, dataset: Dataset, folds: pd.DataFrame, losses: np.ndarray) -> dict[str, Any]:
    """Return by how much the losses (n,) of a run differ from those of the mean of the runs that labelled test rows.

    The 95 % interval is a paired bootstrap's; n_images says how many test images each fit took.
    """
    ids, names = dataset.train.table["id"], run.recipe["pseudo"]["runs"]
    labelling = labelling_runs(run.path.parent, names, run.recipe["split_key"])
    p = np.mean([store.out_of_fold(source, folds, ids, dataset.targets) for source in labelling], axis=0)
    theirs = metrics.row_losses(dataset.labels, p, dataset.task)
    return {
        "runs": names,
        "n_images": [about["pseudo_images"] for about in store.fold_reports(run)],
        "log_loss": float(theirs.mean()),
        **compare_runs.difference(losses, theirs, dataset.train.groups),
    }


def effect_line(report: dict[str, Any]) -> str:
    """Return the effect of pseudo-labels that a run.json holds as a line of text."""
    about = report["pseudo"]
    low, high = about["interval"]
    verdict = "better" if high < 0 else "worse" if low > 0 else "no significant difference"
    return (
        f"{report['model']}-{report['run_key']}: log loss {about['difference']:+.4f} (95 % interval {low:+.4f} to "
        f"{high:+.4f}, {verdict}) against {', '.join(about['runs'])}, which labelled "
        f"{min(about['n_images'])} to {max(about['n_images'])} test images a fold"
    )


def full_report(run: Run, dataset: Dataset, folds: pd.DataFrame, settings: Settings) -> dict[str, Any]:
    """Return the report of a finished run, with further metrics and the scores by a column that settings request."""
    return report_of(run, dataset, folds) | _requested(run, dataset, folds, settings)


def score_of(report: dict[str, Any]) -> float:
    """Return the value of the objective in the report of a run."""
    return float(report.get("score", report["log_loss"]))


def _requested(run: Run, dataset: Dataset, folds: pd.DataFrame, settings: Settings) -> dict[str, Any]:
    """Return what another objective, further metrics and `by=COLUMN` add to the report of a run."""
    metric, more, column = settings.competition.metric, settings.competition.shown, settings.by
    if metric == "log_loss" and not more and column is None:
        return {}
    table, labels = dataset.train.table, dataset.labels
    predicted = store.out_of_fold(run, folds, table["id"], dataset.targets)
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
        name: objective.score_of(Problem(task, metric=name), rows, predicted) for name in dict.fromkeys([metric, *more])
    }
    return {
        "metric": metric,
        "score": found[metric].value,
        "score_interval": objective.interval(found[metric]),
        "metrics": {name: one.value for name, one in found.items()},
    }


def write_report(run: Run, dataset: Dataset, folds: pd.DataFrame) -> dict[str, Any]:
    """Return the report of a finished run, and write it to `run.json` where that is not there yet."""
    report = report_of(run, dataset, folds)
    if not (run.path / "run.json").is_file():
        write_json(run.path / "run.json", report)
    return report


def report_of(run: Run, dataset: Dataset, folds: pd.DataFrame) -> dict[str, Any]:
    """Return the run's `run.json`, or what it would hold where that is not there yet; nothing is written."""
    if (run.path / "run.json").is_file():
        return run.report
    ids, targets, task = dataset.train.table["id"], dataset.targets, dataset.task
    predicted = store.out_of_fold(run, folds, ids, targets)
    labels = dataset.labels
    losses = metrics.row_losses(labels, predicted, task)
    interval = metrics.bootstrap_interval(losses, dataset.train.groups)
    reports = list(store.fold_reports(run))
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
        **objective.for_humans(labels, predicted, task),
        "versions": reports[0]["versions"],
        "device": reports[0]["device"],
    }
    if run.refits:
        report["test_predictions"] = f"refit on all rows, seeds: {run.recipe['fit']['refit_seeds']}"
    if run.recipe.get("pseudo", {}).get("runs"):
        report["pseudo"] = pseudo_effect(run, dataset, folds, losses)
    return report


def fold_losses(run: Run, dataset: Dataset, folds: pd.DataFrame) -> list[float]:
    """Return the log loss of each held-out fold, repeat by repeat."""
    predicted = store.held_out(run, folds)
    labels = dataset.train.table.set_index("id")[dataset.targets].loc[predicted["id"]].to_numpy(np.float64)
    losses = metrics.row_losses(labels, predicted[dataset.targets].to_numpy(), dataset.task)
    return [float(loss) for loss in pd.Series(losses).groupby([predicted["repeat"], predicted["fold"]]).mean()]
