"""A deep network of fully connected layers on the flattened pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foldwise.models import common

if TYPE_CHECKING:
    import keras


def mlp(
    input_shape: common.Shape,
    n_outputs: int,
    *,
    hidden: tuple[common.Width, ...] = (256, 128),
    activation: common.Activation = "relu",
    dropout: common.Rate = 0.3,
    batch_norm: bool = False,
    auxiliary: tuple[str, ...] = (),
) -> keras.Model:
    """Build hidden layers of the given widths.

    batch_norm: normalise before each activation.
    dropout: share of units dropped after each hidden layer.
    auxiliary: names of auxiliary columns joined to the pixels.
    """
    import keras
    from keras import layers

    inputs, x, values = common.inputs(input_shape, auxiliary)
    x = layers.Flatten()(x)
    if values is not None:
        x = layers.Concatenate()([x, values])
    for width in hidden:
        x = layers.Dense(width, use_bias=not batch_norm)(x)
        if batch_norm:
            x = layers.BatchNormalization(momentum=0.9)(x)  # see small_cnn
        x = layers.Activation(activation)(x)
        if dropout:
            x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, common.logits(x, n_outputs))
