"""The loss of the held-out rows after each epoch, for the eye alone: nothing stops or is chosen by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np

from foldwise.runs.recipe import Recipe
from foldwise.scoring.scale import EPSILON
from foldwise.settings import ONE_CLASS, Task
from foldwise.training.fold_data import FoldData
from foldwise.training.losses import loss_of
from foldwise.training.network import Network


def held_out_loss(recipe: Recipe, data: FoldData, own: Network, trained: keras.Model) -> float:
    """Return the mean loss of the held-out rows by the weights as they now are, or by the averages of fit.ema.

    It is the loss of the recipe, as training computes it, but without weights of rows and classes, and of predictions
    that are averaged over the test-time views. The network is left as it was, to the bit.

    trained: the model that the optimizer trains, or the part of it that is trained.
    """
    rows = np.flatnonzero(data.held_out)
    with _averaged(recipe, own.model, trained):
        p = own.predictor(data.source.train, data.inputs, rows)
    labels = data.dataset.labels[rows]
    if data.scale is not None:
        labels = data.scale.standardised(labels)
    task = data.dataset.task
    losses = loss_of(recipe.fit, task)(np.asarray(labels, np.float32), logits(p, task).astype(np.float32))
    return float(keras.ops.mean(losses))


def logits(p: np.ndarray, task: Task) -> np.ndarray:
    """Return what the sigmoid or the softmax turns into these probabilities (n, k); values of a regression stay.

    >>> logits(np.array([[0.5]]), "binary")
    array([[0.]])
    """
    if task == "regression":
        return p
    p = np.clip(p, EPSILON, 1 - EPSILON)
    return np.asarray(np.log(p) if task in ONE_CLASS else np.log(p) - np.log1p(-p))


@contextmanager
def _averaged(recipe: Recipe, whole: keras.Model, trained: keras.Model) -> Iterator[None]:
    """In a `with` block, give a model the moving averages of its weights where the recipe keeps them."""
    if not recipe.fit.ema:
        yield
        return
    reached = whole.get_weights()
    trained.optimizer.finalize_variable_values(trained.trainable_variables)
    yield
    whole.set_weights(reached)
