"""Logistic regression on the flattened pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foldwise.models import common

if TYPE_CHECKING:
    import keras


def logistic_regression(
    input_shape: common.Shape,
    n_outputs: int,
    *,
    l2: common.NonNegative = 0.0,
    auxiliary: tuple[str, ...] = (),
) -> keras.Model:
    """Build one linear layer: a 32 x 32 grey image and one output give the talk's 1,024 + 1 weights.

    l2: weight of the squared coefficients in the loss.
    auxiliary: names of auxiliary columns joined to the pixels.
    """
    import keras

    inputs, x, values = common.inputs(input_shape, auxiliary)
    x = keras.layers.Flatten()(x)
    if values is not None:
        x = keras.layers.Concatenate()([x, values])
    return keras.Model(inputs, common.logits(x, n_outputs, l2))
