"""Pseudo-labels and distillation: test rows join a fold's training rows, labelled by the same fold of earlier runs.

Fold f learns from what the models of fold f of those runs said of the test rows, and from nothing else of them: they
never saw the rows that fold f holds out, so that its held-out predictions stay out of fold. Predictions averaged over
folds, out-of-fold predictions of training rows and learned blend weights would all carry labels of fold f.

Lee 2013, Pseudo-Label; Hinton et al. 2015, Distilling the Knowledge in a Neural Network.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise import decisions, metrics, runs
from foldwise.dataset import Dataset, Task
from foldwise.errors import FoldwiseError, choices
from foldwise.runs import Recipe, Run
from foldwise.samples import Batch


@dataclass(frozen=True)
class Extra:
    """Test images that train."""

    at: np.ndarray  # (e,) positions in the test split
    labels: np.ndarray  # (e, k) float32, of all rows that an image answers
    weight: float  # of each beside a training image's 1


class Joined:
    """Two arrays of images, one after the other, of which rows are copied when asked for."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self.parts, self.shape = (first, second), (len(first) + len(second), *first.shape[1:])
        self.ndim, self.dtype = first.ndim, first.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        at = np.arange(len(self))[key]
        n, one_row = len(self.parts[0]), at.ndim == 0
        at = np.atleast_1d(at)
        result = np.empty((len(at), *self.shape[1:]), self.dtype)
        result[at < n], result[at >= n] = self.parts[0][at[at < n]], self.parts[1][at[at >= n] - n]
        return result[0] if one_row else result


def sources(runs_dir: Path, names: Iterable[str], split_key: str) -> list[Run]:
    """Return the runs of those names, whose models label test rows for a run of that split.

    Raises FoldwiseError unless each is finished, was trained here, and shares the split.
    """
    found = [Run(runs_dir / name) for name in names]
    for source in found:
        if not (source.path / "recipe.yaml").is_file():
            valid = [one.name for one in runs.finished_runs(runs_dir, split_key) if "imported" not in one.recipe]
            raise FoldwiseError(f"pseudo.runs={source.name}: no such run; {choices(source.name, valid)}")
        if "imported" in source.recipe:
            raise FoldwiseError(
                f"pseudo.runs={source.name}: it was imported, and its test predictions may come from models that saw "
                "the held-out rows; name a run that was trained here"
            )
        if source.recipe["split_key"] != split_key:
            raise FoldwiseError(
                f"pseudo.runs={source.name}: its split is {source.recipe['split_key']}, expected {split_key}: on "
                "other folds its models saw rows that are held out here"
            )
        if not source.is_finished():
            raise FoldwiseError(
                f"pseudo.runs={source.name}: it is not finished: {len(source.missing())} folds are missing; "
                "`foldwise train` with its settings finishes it"
            )
    return found


def extra(run: Run, recipe: Recipe, fit: int, dataset: Dataset) -> Extra | None:
    """Return the test images that fold `fit` of a run trains on too; None where the recipe names no runs.

    Several runs are averaged. Images with a row that the host does not score, which may be generated, and those with
    a row less sure than `confidence` are left out. A refit, which holds nothing out, takes the runs' own test
    predictions.

    Raises FoldwiseError where no image is left.
    """
    settings = recipe.pseudo
    if not settings.runs:
        return None
    teachers = sources(run.path.parent, settings.runs, recipe.split_key)
    p = np.mean([_said(source, fit, dataset) for source in teachers], axis=0)  # (n, k)
    r, scored = dataset.rows_per_image, np.ones(len(p), bool)
    if "scored" in dataset.test.table:
        scored = dataset.test.table["scored"].to_numpy(bool)
    sure = confidence(p, dataset.task) >= settings.confidence
    at = np.flatnonzero((sure & scored).reshape(-1, r).all(axis=1))
    if not len(at):
        raise FoldwiseError(
            f"pseudo.confidence={settings.confidence:g}: no test prediction of {', '.join(settings.runs)} is as sure "
            f"in fold {fit}: the surest has {confidence(p, dataset.task)[scored].max(initial=0):.3f}; lower it"
        )
    labels = hard(p, dataset.task) if settings.labels == "hard" else p
    return Extra(at, labels.reshape(len(p) // r, -1)[at].astype(np.float32), settings.weight)


def confidence(p: np.ndarray, task: Task) -> np.ndarray:
    """Return how sure probabilities (n, k) are, (n,): that of the likeliest class, or of the least sure output."""
    return np.asarray(p.max(axis=1) if task == "multiclass" else np.maximum(p, 1 - p).min(axis=1))


def hard(p: np.ndarray, task: Task) -> np.ndarray:
    """Return the likeliest labels (n, k) of probabilities (n, k)."""
    return decisions.decide(p, decisions.untuned("accuracy", p.shape[1], task), task)


def joined(
    extra: Extra, dataset: Dataset, rows: np.ndarray, train: Batch, test: Batch
) -> tuple[Joined, Batch, np.ndarray, np.ndarray, np.ndarray]:
    """Return images, what stands beside them, and labels, weights and positions of training rows and extra ones.

    rows: (m,) the training rows; train, test: what stands beside the images of both splits.
    """
    images = Joined(dataset.train.images, dataset.test.images)
    beside = {name: np.concatenate([train[name], test[name]]) for name in train}
    labels = np.concatenate([dataset.labels[rows], extra.labels])
    weights = np.repeat(np.array([1, extra.weight], np.float32), [len(rows), len(extra.at)])
    return images, beside, labels, weights, np.concatenate([rows, len(dataset.train.images) + extra.at])


def effect(run: Run, dataset: Dataset, folds: pd.DataFrame, losses: np.ndarray) -> dict[str, Any]:
    """Return by how much the losses (n,) of a run differ from those of the runs, averaged, that labelled for it.

    The 95 % interval is a paired bootstrap's; n_images says how many test images each fit took.
    """
    from foldwise import paired

    ids, names = dataset.train.table["id"], run.recipe["pseudo"]["runs"]
    teachers = sources(run.path.parent, names, run.recipe["split_key"])
    p = np.mean([runs.out_of_fold(source, folds, ids, dataset.targets) for source in teachers], axis=0)
    theirs = metrics.row_losses(dataset.labels, p, dataset.task)
    return {
        "runs": names,
        "n_images": [about["pseudo_images"] for about in runs.fold_reports(run)],
        "log_loss": float(theirs.mean()),
        **paired.difference(losses, theirs, dataset.train.groups),
    }


def told(report: dict[str, Any]) -> str:
    """Say the effect that a run.json holds as a line."""
    about = report["pseudo"]
    low, high = about["interval"]
    verdict = "better" if high < 0 else "worse" if low > 0 else "no significant difference"
    return (
        f"{report['model']}-{report['run_key']}: log loss {about['difference']:+.4f} (95 % interval {low:+.4f} to "
        f"{high:+.4f}, {verdict}) against {', '.join(about['runs'])}, which labelled "
        f"{min(about['n_images'])} to {max(about['n_images'])} test images a fold"
    )


def _said(source: Run, fit: int, dataset: Dataset) -> np.ndarray:
    """Return the test probabilities (n, k) of one fold of a run, or of the whole run for a refit."""
    fits = None if fit == runs.REFIT else [fit]
    return runs.test_predictions(source, dataset.test.table["id"], dataset.targets, fits)
