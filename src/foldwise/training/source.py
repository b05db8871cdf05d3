"""What a fold is trained on: the images, or stored features of a frozen backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras

from foldwise.data.batch import structure_of
from foldwise.data.dataset import Dataset
from foldwise.runs.recipe import Recipe
from foldwise.settings import AugmentSettings
from foldwise.training import finetune
from foldwise.training.build import build_model
from foldwise.training.features import Features, head, model_with_features
from foldwise.training.predict import PREDICT_ROWS, Predictor

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


@dataclass(frozen=True)
class Source:
    """Where batches come from, and which part of a model takes them.

    batches: what training batches are sampled from: images (n, [v,] h, w, c), or features (n, v, d) of v views, of
        which each epoch samples one.
    train, test: what predictions are made from: the images, or features (n, V, d) of V test-time views.
    augment: how batches are augmented.
    stored_views: whether the arrays are features.
    build: return the whole model, untrained.
    trained_part: return the part of a model that takes what is in the batches, as a model that shares its layers.
    predictor: return what predicts rows of `train` and `test` by a model.
    """

    batches: Any
    train: Any
    test: Any
    augment: AugmentSettings
    stored_views: bool
    build: Callable[[], keras.Model]
    trained_part: Callable[[keras.Model], keras.Model]
    predictor: Callable[[keras.Model], Predictor]

    @classmethod
    def from_images(cls, recipe: Recipe, dataset: Dataset) -> Source:
        """Train the whole model on the images."""

        def predictor(model: keras.Model) -> Predictor:
            rows = PREDICT_ROWS if finetune.backbone(model) is None else recipe.fit.batch_size
            return Predictor(model, dataset.task, recipe.augment.test_views, structure_of(dataset), rows)

        return cls(
            batches=dataset.train.images,
            train=dataset.train.images,
            test=dataset.test.images,
            augment=recipe.augment,
            stored_views=False,
            build=lambda: build_model(recipe, dataset),
            trained_part=_again,
            predictor=predictor,
        )

    @classmethod
    def from_features(cls, recipe: Recipe, dataset: Dataset, features: Features) -> Source:
        """Train the head alone, on features that were augmented before they were stored."""
        return cls(
            batches=features.training_views,
            train=features.train,
            test=features.test,
            augment=replace(recipe.augment, name="none", options={}, test_views="identity"),
            stored_views=True,
            build=lambda: model_with_features(recipe, dataset),
            trained_part=head,
            predictor=lambda model: Predictor(head(model), dataset.task, "stored"),
        )


def _again(model: keras.Model) -> keras.Model:
    """Return a model of the same layers, which can be compiled in another way."""
    return keras.Model(model.inputs if len(model.inputs) > 1 else model.inputs[0], model.outputs[0])
