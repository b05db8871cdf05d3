"""Mean and variance of the images, for functions that are compiled once and serve several folds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from foldwise.models import common, introspect

if TYPE_CHECKING:
    import keras

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


@contextlib.contextmanager
def scaled_by(model: keras.Model, non_trainable: Any = None) -> Iterator[None]:
    """In a `with` block, let the layers `scale` of a model take mean and variance from their variables.

    Keras keeps both as constants too, which a compiled function would hold for ever.

    non_trainable: a value for each of the model's non-trainable variables. None: those that the variables have.
    """
    import keras

    layers = introspect.layers_named(model, common.SCALE)
    places = {id(variable): place for place, variable in enumerate(model.non_trainable_variables)}
    before = [(layer.mean, layer.variance) for layer in layers]
    for layer in layers:
        variables = (layer.adapt_mean, layer.adapt_variance)
        values = [one.value if non_trainable is None else non_trainable[places[id(one)]] for one in variables]
        layer.mean, layer.variance = (keras.ops.reshape(value, layer._broadcast_shape) for value in values)
    try:
        yield
    finally:
        for layer, (mean, variance) in zip(layers, before, strict=True):
            layer.mean, layer.variance = mean, variance
