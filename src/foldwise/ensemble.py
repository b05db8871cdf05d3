"""Stage `ensemble`: blend finished runs, score the blend honestly, and write the submission."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd

from foldwise import metrics, runs, submission
from foldwise.config import EnsembleSettings, Settings, plain
from foldwise.dataset import Task
from foldwise.errors import FoldwiseError, choices
from foldwise.folds import read_folds, split_key
from foldwise.prepare import prepare
from foldwise.runs import Run
from foldwise.score import score
from foldwise.storage import content_key

log = logging.getLogger(__name__)

CLIP = 1e-7  # of probabilities before they become logits


def ensemble(settings: Settings) -> dict[str, Any]:
    """Blend the chosen finished runs of this data and split; write a checked submission with a JSON beside it.

    Returns what the JSON holds (nested_score and its interval, members with weights and scores) and the file.
    """
    reports = score(settings)
    dataset = prepare(settings)
    table = read_folds(dataset, settings.split)
    members = choose([Run(settings.runs_dir / f"{r['model']}-{r['run_key']}") for r in reports], settings.ensemble)
    ids, test_ids, targets, task = (
        dataset.train.table["id"],
        dataset.test.table["id"],
        dataset.targets,
        dataset.task,
    )
    predicted = np.stack([runs.out_of_fold(run, table, ids, targets) for run in members])  # (m, n, k)
    fold_of = table[table["repeat"] == 0].set_index("id")["fold"].loc[ids].to_numpy()
    labels = dataset.labels
    nested = nested_predictions(predicted, labels, fold_of, settings.ensemble, task)
    losses = metrics.row_losses(labels, nested, task)
    weights = fit_weights(predicted, labels, settings.ensemble, task)
    test = blend(
        np.stack([runs.test_predictions(run, test_ids, targets) for run in members]),
        weights,
        settings.ensemble.average,
        task,
    )
    scores = {f"{r['model']}-{r['run_key']}": r["log_loss"] for r in reports}
    about = {
        "competition": settings.competition.name,
        "nested_score": float(losses.mean()),
        "nested_score_interval": metrics.bootstrap_interval(losses, dataset.train.groups),
        "n_rows": len(ids),
        "ensemble": plain(settings.ensemble),
        "members": [
            {"run": run.name, "weight": float(weight), "log_loss": scores[run.name]}
            for run, weight in zip(members, weights, strict=True)
        ],
        "split_key": split_key(dataset, settings.split),
        "data_key": dataset.data_key,
        "ids_key": dataset.ids_key,
        "source": settings.source.kind,
    }
    key = content_key([sorted(run.name for run in members), plain(settings.ensemble), dataset.data_key])[:8]
    stem = f"{settings.competition.name}_{about['nested_score']:.5f}_{key}"
    predictions = pd.DataFrame(test, columns=targets)
    predictions.insert(0, "id", test_ids)
    path = submission.write(settings, dataset, predictions, stem, about)
    return {"file": str(path), **about}


def show(result: dict[str, Any], width: int) -> str:
    """Return the members with their weights, the nested score, and the file."""
    low, high = result["nested_score_interval"]
    how = result["ensemble"]
    lines = [f"  {member['weight']:.3f}  {member['run']} ({member['log_loss']:.4f})" for member in result["members"]]
    return "\n".join(
        [
            f"blend of {len(lines)} runs ({how['kind']}, {how['average']} mean), weight and log loss:",
            *lines,
            f"nested log loss {result['nested_score']:.4f} (95 % interval {low:.4f} to {high:.4f})",
            f"submission: {result['file']}",
        ]
    )


def choose(candidates: list[Run], settings: EnsembleSettings) -> list[Run]:
    """Return the members by name (a run's, or a model's: all its runs), all by default."""
    if settings.members == "all":
        return candidates
    chosen = []
    for name in settings.members:
        matching = [run for run in candidates if name in (run.name, run.recipe["model"]["name"])]
        if not matching:
            raise FoldwiseError(
                f"ensemble.members={name}: no such finished run; {choices(name, [r.name for r in candidates])}"
            )
        chosen += [run for run in matching if run not in chosen]
    return chosen


def fit_weights(predictions: np.ndarray, labels: np.ndarray, settings: EnsembleSettings, task: Task) -> np.ndarray:
    """Learn the weights (m,), which sum to 1, of predictions (m, n, k) for labels (n, k).

    mean: equal weights. greedy: Caruana et al. 2004, selection with replacement: up to `rounds` times the
    member that lowers the log loss of the blend most is added, and the best blend on the way is kept.
    With `best`, only that many members of lowest log loss take part.
    """
    m = len(predictions)
    losses = [metrics.log_loss(labels, p, task) for p in predictions]
    allowed = np.argsort(losses, kind="stable")[: settings.best or m]
    if settings.kind == "mean":
        weights = np.zeros(m)
        weights[allowed] = 1 / len(allowed)
        return weights
    values = _to_scale(predictions, settings.average, task)
    total, counts = np.zeros_like(values[0]), np.zeros(m)
    best_loss, best_counts = np.inf, counts
    for size in range(1, settings.rounds + 1):
        trials = [
            metrics.log_loss(labels, _from_scale((total + values[j]) / size, settings.average, task), task)
            for j in allowed
        ]
        winner = allowed[int(np.argmin(trials))]
        total, counts = total + values[winner], counts + (np.arange(m) == winner)
        if min(trials) < best_loss:
            best_loss, best_counts = min(trials), counts
    return best_counts / best_counts.sum()


def blend(predictions: np.ndarray, weights: np.ndarray, average: str, task: Task) -> np.ndarray:
    """Average predictions (m, n, k) with weights (m,) to probabilities (n, k).

    logit: the mean of the logits, or of the log probabilities of a multiclass task, turned into probabilities.
    """
    values = _to_scale(predictions, average, task)
    return _from_scale(np.tensordot(weights, values, axes=1), average, task)


def nested_predictions(
    predictions: np.ndarray, labels: np.ndarray, fold_of: np.ndarray, settings: EnsembleSettings, task: Task
) -> np.ndarray:
    """Blend each fold's rows with weights learned on the other folds: (m, n, k), (n, k), (n,) -> (n, k)."""
    result = np.empty_like(predictions[0])
    for fold in np.unique(fold_of):
        inside = fold_of == fold
        weights = fit_weights(predictions[:, ~inside], labels[~inside], settings, task)
        result[inside] = blend(predictions[:, inside], weights, settings.average, task)
    return result


def nested_score(
    predictions: np.ndarray, labels: np.ndarray, fold_of: np.ndarray, settings: EnsembleSettings, task: Task
) -> float:
    """Return the pooled log loss of `nested_predictions`: what the blend scores on rows it was not fitted to."""
    return metrics.log_loss(labels, nested_predictions(predictions, labels, fold_of, settings, task), task)


def _to_scale(predictions: np.ndarray, average: str, task: Task) -> np.ndarray:
    if average == "arithmetic":
        return predictions
    p = np.clip(predictions, CLIP, 1 - CLIP)
    return np.log(p) if task == "multiclass" else np.log(p) - np.log1p(-p)


def _from_scale(values: np.ndarray, average: str, task: Task) -> np.ndarray:
    if average == "arithmetic":
        return values
    return metrics.probabilities(values, task)
