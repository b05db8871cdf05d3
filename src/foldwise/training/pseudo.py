"""Pseudo-labels and distillation: test rows join a fold's training rows, labelled by the same fold of earlier runs.

Fold f learns from the test predictions of the models of fold f of those runs, and from nothing else of them: those
models never saw the rows that fold f holds out, so that its held-out predictions stay out of fold. Predictions averaged
over folds, out-of-fold predictions of training rows and learned blend weights would all carry labels of fold f.

Lee 2013, Pseudo-Label; Hinton et al. 2015, Distilling the Knowledge in a Neural Network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from foldwise.augment.training_rows import TrainingRows
from foldwise.data.dataset import Dataset
from foldwise.data.structure import Batch
from foldwise.errors import FoldwiseError
from foldwise.runs import store
from foldwise.runs.members import labelling_runs
from foldwise.runs.recipe import Recipe
from foldwise.runs.store import Run
from foldwise.scoring import decisions
from foldwise.settings import ONE_CLASS, Task

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


@dataclass(frozen=True)
class PseudoLabels:
    """Test images that are trained on.

    positions: (e,) of the images in the test split.
    labels: (e, k), of all rows that an image answers: float32, or float64 in a regression.
    weight: of each image in the loss, where a training image has 1.
    """

    positions: np.ndarray
    labels: np.ndarray
    weight: float


class Concatenation:
    """Two arrays of images, one after the other, of which only the selected rows are copied.

    >>> both = Concatenation(np.array([[1], [2]]), np.array([[3]]))
    >>> both.shape, both[np.array([2, 0])].tolist()
    ((3, 1), [[3], [1]])
    """

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


def find_pseudo_labels(run: Run, recipe: Recipe, fold_number: int, dataset: Dataset) -> PseudoLabels | None:
    """Return the test images that a fold of a run is also trained on; None where the recipe names no runs.

    The predictions of several runs are averaged. Images with a row that the host does not score, which may be
    generated, and those with a row less sure than `confidence` are left out; values of a regression have no such
    confidence. A refit, which holds nothing out, takes the runs' own test predictions.

    Raises FoldwiseError where no image is left.
    """
    settings = recipe.pseudo
    if not settings.runs:
        return None
    teachers = labelling_runs(run.path.parent, settings.runs, recipe.split_key)
    p = np.mean([fold_test_predictions(teacher, fold_number, dataset) for teacher in teachers], axis=0)  # (n, k)
    r, scored = dataset.structure.rows_per_image, np.ones(len(p), bool)
    if "scored" in dataset.test.table:
        scored = dataset.test.table["scored"].to_numpy(bool)
    sure = np.ones(len(p), bool)
    if dataset.task != "regression":  # a value has no confidence
        sure = confidence(p, dataset.task) >= settings.confidence
    positions = np.flatnonzero((sure & scored).reshape(-1, r).all(axis=1))
    if not len(positions):
        raise FoldwiseError(
            f"pseudo.confidence={settings.confidence:g}: no test prediction of {', '.join(settings.runs)} is as sure "
            f"in fold {fold_number}: the surest has {confidence(p, dataset.task)[scored].max(initial=0):.3f}; lower it"
        )
    labels = hard_labels(p, dataset.task) if settings.labels == "hard" else p
    labels = labels.reshape(len(p) // r, -1)[positions].astype(
        np.float64 if dataset.task == "regression" else np.float32
    )
    return PseudoLabels(positions, labels, settings.weight)


def confidence(p: np.ndarray, task: Task) -> np.ndarray:
    """Return how sure probabilities (n, k) are, (n,): that of the likeliest class, or of the least sure output.

    >>> confidence(np.array([[0.25, 0.75]]), "multiclass").tolist()
    [0.75]
    >>> confidence(np.array([[0.125, 0.75]]), "multilabel").tolist()
    [0.75]
    """
    return np.asarray(p.max(axis=1) if task in ONE_CLASS else np.maximum(p, 1 - p).min(axis=1))


def hard_labels(p: np.ndarray, task: Task) -> np.ndarray:
    """Return the likeliest labels (n, k) of probabilities (n, k)."""
    return decisions.decide(p, decisions.untuned("accuracy", p.shape[1], task), task)


def with_pseudo_labels(
    rows: TrainingRows, pseudo_labels: PseudoLabels, test_images: np.ndarray, test_inputs: Batch
) -> TrainingRows:
    """Return the training rows followed by pseudo-labelled test images.

    The images of both splits are put one after the other, and so are the other model inputs.
    """
    n_rows, n_images = len(rows.positions), len(rows.images)
    own = np.ones(n_rows, np.float32) if rows.weights is None else rows.weights
    added = np.full(len(pseudo_labels.positions), pseudo_labels.weight, np.float32)
    return replace(
        rows,
        images=Concatenation(rows.images, test_images),
        inputs={name: np.concatenate([values, test_inputs[name]]) for name, values in rows.inputs.items()},
        labels=np.concatenate([rows.labels, pseudo_labels.labels]),
        positions=np.concatenate([rows.positions, n_images + pseudo_labels.positions]),
        weights=np.concatenate([own, added]),
    )


def fold_test_predictions(run: Run, fold_number: int, dataset: Dataset) -> np.ndarray:
    """Return the test probabilities (n, k) of one fold of a run; for a refit, those of the whole run."""
    folds = None if fold_number == store.REFIT else [fold_number]
    return store.test_predictions(run, dataset.test.table["id"], dataset.targets, folds)
