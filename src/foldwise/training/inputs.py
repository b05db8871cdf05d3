"""The model inputs other than images, the scale of targets, and the weights of the rows in the loss."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from foldwise.augment.training_rows import TrainingRows
from foldwise.data import batch
from foldwise.data.dataset import Dataset
from foldwise.data.structure import Batch
from foldwise.errors import FoldwiseError
from foldwise.settings import ONE_CLASS, Task
from foldwise.training.pseudo import hard_labels

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def model_inputs(dataset: Dataset, names: tuple[str, ...], positions: np.ndarray) -> tuple[Batch, Batch]:
    """Return the model inputs other than images of all training and all test images, by name.

    names: the auxiliary columns that the model takes; positions: (m,) of the training rows.

    Raises FoldwiseError for a column that the data do not have.
    """
    train, test = auxiliary_columns(dataset, names, positions)
    return batch.side_inputs(dataset, dataset.train, train), batch.side_inputs(dataset, dataset.test, test)


def auxiliary_columns(
    dataset: Dataset, names: tuple[str, ...], positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """Return auxiliary columns of all training and all test images, float32 (n, 2 a); (None, None) without names.

    The first a columns are standardised by the mean and the standard deviation of the training rows at `positions`
    (m,), with 0 for a missing value; the others are 1 where a value is missing.

    Raises FoldwiseError for a column that the data do not have.
    """
    absent = [name for name in names if name not in dataset.auxiliary]
    if absent:
        raise FoldwiseError(
            f"model.options.auxiliary={list(names)}: the data has no column {absent[0]!r}; "
            f"it has {', '.join(dataset.auxiliary) or 'none'}"
        )
    if not names:
        return None, None
    train, test = (split.table[list(names)].to_numpy(np.float64) for split in (dataset.train, dataset.test))
    with warnings.catch_warnings():  # a column that is missing in all these rows has no mean, and becomes 0 below
        warnings.simplefilter("ignore", RuntimeWarning)
        mean, sd = np.nanmean(train[positions], axis=0), np.nanstd(train[positions], axis=0)

    def standardised(values: np.ndarray) -> np.ndarray:
        known = np.nan_to_num((values - mean) / np.maximum(sd, 1e-12))
        return np.hstack([known, np.isnan(values)]).astype(np.float32)

    return standardised(train), standardised(test)


@dataclass(frozen=True)
class TargetScale:
    """The mean and the standard deviation (k,) of the targets of a regression, by which they are standardised.

    >>> scale = TargetScale.of(np.array([[10.0], [14.0]]))
    >>> scale.standardised(np.array([[16.0]])).tolist(), scale.restored(np.array([[2.0]])).tolist()
    ([[2.0]], [[16.0]])
    """

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, weights: np.ndarray | None = None) -> TargetScale:
        """Return the scale of labels (m, k), those of the training rows of a fold; a constant target has an sd of 1.

        weights: (m,) of the rows. None: all count the same.
        """
        mean = np.average(labels, axis=0, weights=weights)
        sd = np.sqrt(np.average((labels - mean) ** 2, axis=0, weights=weights))
        return cls(mean, np.where(sd > 0, sd, 1.0))

    def standardised(self, labels: np.ndarray) -> np.ndarray:
        """Return labels (m, k) as the network learns them, float32."""
        return np.asarray((labels - self.mean) / self.sd, np.float32)

    def restored(self, outputs: np.ndarray) -> np.ndarray:
        """Return what a network predicts (m, k) in the units of the targets."""
        return np.asarray(outputs * self.sd + self.mean)


def target_scale(dataset: Dataset, positions: np.ndarray) -> TargetScale | None:
    """Return the scale of the targets of a regression in the training rows at `positions` (m,); None for classes."""
    if dataset.task != "regression":
        return None
    weights = dataset.row_weights
    return TargetScale.of(dataset.labels[positions], None if weights is None else weights[positions])


def with_row_weights(rows: TrainingRows, weights: np.ndarray | None) -> TrainingRows:
    """Return the rows with weights (m,) in the loss, divided by their mean, so that learning rates keep their sense.

    Without weights (None) the rows are returned as they are.
    """
    if weights is None:
        return rows
    return replace(rows, weights=(weights / weights.mean()).astype(np.float32))


def with_class_weights(rows: TrainingRows, task: Task) -> TrainingRows:
    """Return the rows with weights that make all classes weigh the same, times the weights that they have.

    The class of a soft label is its likeliest one.
    """
    balanced = balanced_weights(hard_labels(rows.labels, task), task)
    return replace(rows, weights=balanced if rows.weights is None else rows.weights * balanced)


def balanced_weights(labels: np.ndarray, task: Task) -> np.ndarray:
    """Return a weight for each row (m,), so that all classes weigh the same: scikit-learn's "balanced".

    >>> balanced_weights(np.array([[1.0], [0.0], [0.0], [0.0]]), "binary").tolist()
    [2.0, 0.6666666865348816, 0.6666666865348816, 0.6666666865348816]

    Raises FoldwiseError for a multilabel task and for a regression.
    """
    if task == "regression":
        raise FoldwiseError("fit.class_weights=true: a regression has no classes")
    if task == "multilabel":
        raise FoldwiseError("fit.class_weights=true: classes of a multilabel task overlap and have no single weight")
    classes = labels.argmax(axis=1) if task in ONE_CLASS else labels[:, 0].astype(int)
    counts = np.bincount(classes)
    return (len(classes) / (np.count_nonzero(counts) * counts[classes])).astype(np.float32)
