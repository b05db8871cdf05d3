"""What is known of a finished run: its score, its folds, and what pseudo-labels did for it."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd

from foldwise.data import checksums
from foldwise.data.dataset import Dataset
from foldwise.data.folds import first_folds
from foldwise.errors import Damaged
from foldwise.runs import store
from foldwise.runs.members import labelling_runs
from foldwise.runs.store import Run
from foldwise.scoring import breakdown, compare_runs, metrics, objective
from foldwise.scoring.metrics import METRICS, as_text
from foldwise.scoring.objective import Score
from foldwise.scoring.rows import Problem, Rows, make_rows
from foldwise.settings import Metric, Settings, Task
from foldwise.storage import json_text, sha256, written_aside

log = logging.getLogger(__name__)

SAME = 1e-7  # difference of predictions, which float32 stores to about 7 digits


def pseudo_effect(run: Run, dataset: Dataset, folds: pd.DataFrame, ours: Score) -> dict[str, Any]:
    """Return by how much the score of a run differs from that of the mean of the runs that labelled test rows.

    The 95 % interval is a paired bootstrap's; n_images says how many test images each fit took.
    """
    ids, names = dataset.train.table["id"], run.recipe["pseudo"]["runs"]
    labelling = labelling_runs(run.path.parent, names, run.recipe["split_key"])
    p = np.mean([store.out_of_fold(source, folds, ids, dataset.targets) for source in labelling], axis=0)
    theirs = objective.score_answers(ours.metric, _labels(dataset), p, dataset.task, dataset.train.groups)
    return {
        "runs": names,
        "n_images": [about["pseudo_images"] for about in store.fold_reports(run, "pseudo_images")],
        ours.metric: theirs.value,
        **compare_runs.score_difference(ours, theirs),
    }


def effect_line(report: dict[str, Any]) -> str:
    """Return the effect of pseudo-labels that a run.json holds as a line of text."""
    about = report["pseudo"]
    label, (low, high) = METRICS[usual_metric_of(about)].label, about["interval"]
    verdict = "better" if high < 0 else "worse" if low > 0 else "no significant difference"
    return (
        f"{report['model']}-{report['run_key']}: {label} {as_text(about['difference'], '+')} (95 % interval "
        f"{as_text(low, '+')} to {as_text(high, '+')}, {verdict}) against {', '.join(about['runs'])}, which labelled "
        f"{min(about['n_images'])} to {max(about['n_images'])} test images a fold"
    )


def full_report(run: Run, dataset: Dataset, folds: pd.DataFrame, settings: Settings) -> dict[str, Any]:
    """Return the report of a finished run, with further metrics and the scores by a column that settings request."""
    return report_of(run, dataset, folds) | _requested(run, dataset, folds, settings)


def score_of(report: dict[str, Any]) -> float:
    """Return the value of the objective in the report of a run."""
    return float(report["score"] if "score" in report else report[usual_metric_of(report)])


def usual_metric_of(report: dict[str, Any]) -> Metric:
    """Return the metric that every report of runs on the same data has: log_loss, or rmse of a regression."""
    return "log_loss" if "log_loss" in report else "rmse"


def constant_scores(report: dict[str, Any]) -> dict[Metric, float]:
    """Return what the constant prediction of the base rates scores on the rows of a report: log_loss, auc, accuracy.

    Its log loss is the entropy of the labels, the mean over outputs where there are several. The counts come from the
    confusion matrix, whose rows are the true classes; without one, as in a regression, there is nothing to return.
    """
    if not report.get("confusion_matrix"):
        return {}
    counts = np.asarray(report["confusion_matrix"], np.float64).sum(axis=-1)  # (classes,) or (outputs, 2)
    shares = np.atleast_2d(counts / counts.sum(axis=-1, keepdims=True))
    logs = np.log(shares, where=shares > 0, out=np.zeros_like(shares))
    found: dict[Metric, float] = {"log_loss": float(-(shares * logs).sum(axis=-1).mean()), "auc": 0.5}
    return found | {"accuracy": float(shares.max(axis=-1).mean())}


def _requested(run: Run, dataset: Dataset, folds: pd.DataFrame, settings: Settings) -> dict[str, Any]:
    """Return what another objective, further metrics and `by=COLUMN` add to the report of a run."""
    metric, more, column = settings.competition.metric, settings.competition.shown, settings.by
    usual = metrics.usual_metric(dataset.task)
    if metric == usual and not more and column is None:
        return {}
    table, labels = dataset.train.table, dataset.labels
    predicted = store.out_of_fold(run, folds, table["id"], dataset.targets, dataset.task)
    found: dict[str, Any] = {}
    if column is not None:
        losses = metrics.usual_losses(_labels(dataset), predicted, dataset.task)
        found |= {"by": column, f"{usual}_by": breakdown.breakdown(table, column, labels, losses, dataset.task)}
    if metric != usual or more:
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


def write_report(
    run: Run, dataset: Dataset, folds: pd.DataFrame, held_out: pd.DataFrame | None = None
) -> dict[str, Any]:
    """Return the report of a finished run, and write it to `run.json` where that is not there yet, or is damaged.

    held_out: the predictions that were just written, in any order. None: they are read.
    """
    path = run.path / "run.json"
    if path.is_file():
        try:
            return run.report
        except Damaged as error:
            log.warning("%s: it is written again", error)
            path.unlink(missing_ok=True)
    held_out = store.held_out(run, folds) if held_out is None else folds.merge(held_out, on=["id", "repeat", "fold"])
    report = _report_of(run, dataset, folds, held_out)
    _warn_of_constants(run, dataset, held_out)
    with written_aside(path) as aside:
        aside.write_text(json_text(report))
        checksums.write_one(path, sha256(aside))
    return report


def _warn_of_constants(run: Run, dataset: Dataset, held_out: pd.DataFrame) -> None:
    """Log the folds whose model predicts the same for each of several held-out rows."""
    targets = dataset.targets
    constant = [
        f"fold {fold}" if held_out["repeat"].max() == 0 else f"fold {fold} of repeat {repeat}"
        for (repeat, fold), part in held_out.groupby(["repeat", "fold"])[targets]
        if len(part) > 1 and np.ptp(part.to_numpy(), axis=0).max() < SAME
    ]
    if constant:
        log.warning(
            "%s: every held-out row of %s gets the same prediction: nothing was learned from the images there; lower "
            "fit.learning_rate, or train for more fit.epochs",
            run.name,
            ", ".join(constant),
        )


def report_of(run: Run, dataset: Dataset, folds: pd.DataFrame) -> dict[str, Any]:
    """Return the run's `run.json`, or what it would hold where that is not there yet; nothing is written."""
    if (run.path / "run.json").is_file():
        return run.report
    return _report_of(run, dataset, folds, store.held_out(run, folds))


def _report_of(run: Run, dataset: Dataset, folds: pd.DataFrame, held_out: pd.DataFrame) -> dict[str, Any]:
    """Return what `run.json` shall hold; held_out: the run's predictions, as `store.held_out` reads them."""
    ids, targets, task = dataset.train.table["id"], dataset.targets, dataset.task
    predicted = store.out_of_fold(run, folds, ids, targets, task, held_out)
    labels, usual = _labels(dataset), metrics.usual_metric(task)
    score = objective.score_answers(usual, labels, predicted, task, dataset.train.groups)
    reports = list(store.fold_reports(run, "seconds", "versions", "device"))
    report = {
        "competition": run.recipe["competition"]["name"],
        "model": run.recipe["model"]["name"],
        "run_key": run.name.rpartition("-")[2],
        "data_key": run.recipe["data_key"],
        "split_key": run.recipe["split_key"],
        "seconds": sum(fold["seconds"] for fold in reports),
        "n_rows": len(ids),
        usual: score.value,
        f"{usual}_interval": objective.interval(score),
        f"fold_{usual}": _fold_scores(dataset, held_out),
        **objective.for_humans(labels, predicted, task),
        "versions": reports[0]["versions"],
        "device": reports[0]["device"],
    }
    if run.refits:
        report["test_predictions"] = f"refit on all rows, seeds: {run.recipe['fit']['refit_seeds']}"
    if run.recipe.get("pseudo", {}).get("runs"):
        report["pseudo"] = pseudo_effect(run, dataset, folds, score)
    return report


def _fold_scores(dataset: Dataset, predicted: pd.DataFrame) -> list[float]:
    """Return the log loss, or the RMSE of a regression, of each held-out fold, repeat by repeat."""
    labels = dataset.train.table.set_index("id")[dataset.targets].loc[predicted["id"]].to_numpy(np.float64)
    losses = metrics.usual_losses(labels, predicted[dataset.targets].to_numpy(), dataset.task)
    means = pd.Series(losses).groupby([predicted["repeat"], predicted["fold"]]).mean()
    return [metrics.usual_value(mean, dataset.task) for mean in means]


def _labels(dataset: Dataset) -> np.ndarray:
    return np.asarray(dataset.labels, np.float64)
