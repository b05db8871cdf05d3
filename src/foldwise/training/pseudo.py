"""Pseudo-labels and distillation: test rows join a fold's training rows, labelled by the same fold of earlier runs.

Fold f learns from what the models of fold f of those runs said of the test rows, and from nothing else of them: they
never saw the rows that fold f holds out, so that its held-out predictions stay out of fold. Predictions averaged over
folds, out-of-fold predictions of training rows and learned blend weights would all carry labels of fold f.

Lee 2013, Pseudo-Label; Hinton et al. 2015, Distilling the Knowledge in a Neural Network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from foldwise.data.dataset import Dataset
from foldwise.data.structure import Batch
from foldwise.errors import FoldwiseError
from foldwise.runs import store
from foldwise.runs.members import labelling_runs
from foldwise.runs.recipe import Recipe
from foldwise.runs.store import Run
from foldwise.scoring import decisions
from foldwise.settings import Task

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


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
    labelling = labelling_runs(run.path.parent, settings.runs, recipe.split_key)
    p = np.mean([_said(source, fit, dataset) for source in labelling], axis=0)  # (n, k)
    r, scored = dataset.structure.rows_per_image, np.ones(len(p), bool)
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


def _said(source: Run, fit: int, dataset: Dataset) -> np.ndarray:
    """Return the test probabilities (n, k) of one fold of a run, or of the whole run for a refit."""
    fits = None if fit == store.REFIT else [fit]
    return store.test_predictions(source, dataset.test.table["id"], dataset.targets, fits)
