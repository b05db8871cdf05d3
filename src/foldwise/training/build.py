"""From a recipe to an untrained Keras model that is ready for the data."""

from __future__ import annotations

import inspect
import math

import keras
import numpy as np

from foldwise.data import batch
from foldwise.data.dataset import Dataset
from foldwise.errors import FoldwiseError
from foldwise.models import common, introspect
from foldwise.plugins import function_named
from foldwise.runs.recipe import Recipe
from foldwise.training.backend import half_floats
from foldwise.training.predict import PREDICT_ROWS

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def build_model(recipe: Recipe, dataset: Dataset) -> keras.Model:
    """Build the untrained model of a recipe; it returns logits (n, k) for each image."""
    builder = function_named("models", recipe.model.name, "model.name")
    dataset = batch.by_image(dataset)
    given = {"structure": batch.structure_of(dataset)} if "structure" in inspect.signature(builder).parameters else {}
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(half_floats() if recipe.fit.mixed_precision else "float32")
    try:
        return builder(dataset.train.images.shape[1:], len(dataset.targets), **given, **recipe.model.options)
    finally:
        keras.config.set_dtype_policy(before)


def check_values(model: keras.Model, images: np.ndarray) -> None:
    """Raise FoldwiseError unless images (n, h, w, c) fill the range of values that a pretrained model is set to."""
    layer = next((one for one in model.layers if one.name == common.PIXELS), None)
    if layer is None:
        return
    low = -layer.offset / layer.scale
    high = low + 255 / layer.scale
    share_outside = float(((images < low) | (images > high)).mean())
    least, most = np.percentile(images, [0.5, 99.5])
    if share_outside > 0.05 or 0 < most - least < 0.02 * (high - low):
        raise FoldwiseError(
            f"model.options.values=[{low:g}, {high:g}]: the first batch of images holds values of {images.min():g} to "
            f"{images.max():g}, 99 % of them from {least:g} to {most:g}. Set the values of black and white, "
            f"for example model.options.values=[{math.floor(least)},{math.ceil(most)}]"
        )


def set_scale(model: keras.Model, images: np.ndarray, positions: np.ndarray, present: np.ndarray | None = None) -> None:
    """Set the layers `scale` to the mean and the variance of each channel of the training images.

    images: (n, [v,] h, w, c); positions: (m,) of the training images; present: bool (n, v), the views that hold
        pixels. None: all do.
    """
    if not introspect.layers_named(model, common.SCALE):  # a pretrained network has a range of its own
        return
    total, squares, count = 0.0, 0.0, 0
    step = batch.rows_at_once(images, PREDICT_ROWS)
    for start in range(0, len(positions), step):
        chosen = positions[start : start + step]
        part = images[chosen] if present is None else images[chosen][present[chosen]]
        part = part.astype(np.float64).reshape(-1, part.shape[-1])
        total, squares, count = total + part.sum(axis=0), squares + (part**2).sum(axis=0), count + len(part)
    mean = total / count
    for scale in introspect.layers_named(model, common.SCALE):
        scale.adapt_mean.assign(mean)
        scale.adapt_variance.assign(np.maximum(squares / count - mean**2, 0))
        scale.finalize_state()
