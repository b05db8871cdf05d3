"""What the training of one fold reads, and how the predictions of its models become one result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from foldwise.augment.training_rows import TrainingRows
from foldwise.data.batch import by_image, images_of, structure_of
from foldwise.data.dataset import Dataset
from foldwise.data.structure import Batch, check_mirror
from foldwise.runs.recipe import Recipe
from foldwise.training.features import Features
from foldwise.training.inputs import TargetScale, model_inputs, target_scale, with_class_weights, with_row_weights
from foldwise.training.pseudo import PseudoLabels, with_pseudo_labels
from foldwise.training.source import Source

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


@dataclass
class FoldResult:
    """What the training of a fold gives, averaged over its models.

    held_out: (n_f, k) probabilities or values of the held-out rows, in the order of the data; n_f is 0 for a refit.
    test: (n_test, k) probabilities or values of the test rows.
    history: a row for each seed and epoch, with seed, epoch (from 1), loss, learning_rate and seconds, and with
        held_out_loss where it was asked for.
    models: one for each seed, and with `fit.snapshots` one for each of its cycles: Keras models, or whatever has
        their `save_weights`.
    target_scale: of a regression, by which the outputs of the models become values; None for classes.
    """

    held_out: np.ndarray
    test: np.ndarray
    history: pd.DataFrame
    models: list[Any]
    target_scale: TargetScale | None = None


@dataclass(frozen=True)
class FoldData:
    """What the models of a fold are trained on and predict.

    k: columns of the predictions.
    dataset: whose rows are images.
    source: of batches and of predictions.
    rows: that are trained on.
    held_out: (n,) bool of the images.
    inputs, test_inputs: the other model inputs of all images of both splits.
    scale: of the targets of a regression.
    """

    k: int
    dataset: Dataset
    source: Source
    rows: TrainingRows
    held_out: np.ndarray
    inputs: Batch
    test_inputs: Batch
    scale: TargetScale | None

    def predictions(self, predict: Callable[..., np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return what a model predicts of the held-out and of the test rows; predict: as `Source.predictor` gives."""
        held_out = predict(self.source.train, self.inputs, np.flatnonzero(self.held_out))
        return held_out, predict(self.source.test, self.test_inputs, np.arange(len(self.source.test)))

    def result(
        self, predictions: Sequence[tuple[np.ndarray, np.ndarray]], histories: list[pd.DataFrame], models: list[Any]
    ) -> FoldResult:
        """Return the result of several models, whose predictions are averaged."""
        means = [np.mean([pair[part] for pair in predictions], axis=0) for part in (0, 1)]
        if self.scale is not None:
            means = [self.scale.restored(mean) for mean in means]
        held_out, test = (mean.reshape(-1, self.k) for mean in means)
        return FoldResult(held_out, test, pd.concat(histories, ignore_index=True), models, self.scale)


def fold_data(
    recipe: Recipe,
    dataset: Dataset,
    held_out: np.ndarray,
    features: Features | None = None,
    pseudo_labels: PseudoLabels | None = None,
) -> FoldData:
    """Collect what a fold is trained on: the rows outside `held_out` (n,) bool, and pseudo-labelled test images.

    The targets of a regression are standardised by the training rows.

    Raises FoldwiseError where the fold cuts an image that answers several rows.
    """
    k, held_out = len(dataset.targets), images_of(held_out, dataset.structure.rows_per_image)
    dataset = by_image(dataset)
    auxiliary = recipe.model.options.get("auxiliary", ())
    if recipe.augment.test_views == "mirror" or recipe.augment.options.get("mirror"):
        check_mirror(structure_of(dataset), auxiliary, "mirroring (augment)")
    if features is None:
        source = Source.from_images(recipe, dataset)
    else:
        source = Source.from_features(recipe, dataset, features)
    positions = np.flatnonzero(~held_out)
    inputs, test_inputs = model_inputs(dataset, auxiliary, positions)
    labels = dataset.labels[positions]
    weights = None if dataset.row_weights is None else dataset.row_weights[positions]
    rows = TrainingRows(source.batches, inputs, labels, positions, structure=structure_of(dataset))
    rows = with_row_weights(rows, weights)
    if pseudo_labels is not None:
        rows = with_pseudo_labels(rows, pseudo_labels, dataset.test.images, test_inputs)
    scale = target_scale(dataset, positions)
    if scale is not None:
        rows = replace(rows, labels=scale.standardised(rows.labels))
    if recipe.fit.class_weights:
        rows = with_class_weights(rows, dataset.task)
    return FoldData(k, dataset, source, rows, held_out, inputs, test_inputs, scale)
