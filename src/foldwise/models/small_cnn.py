"""A small convolutional network whose usual choices are all options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from foldwise.errors import ConfigError
from foldwise.models import common

if TYPE_CHECKING:
    import keras


RISING = ("relu", "leaky_relu")  # activations that are monotonic to the last bit


def small_cnn(
    input_shape: common.Shape,
    n_outputs: int,
    *,
    filters: tuple[common.Width, ...] = (16, 32, 64, 96),
    convolutions: common.Width = 1,
    kernel_sizes: tuple[common.Width, ...] = (3,),
    padding: Literal["same", "valid"] = "same",
    stride: common.Width = 1,
    pooling: Literal["mean", "max", "none"] = "mean",
    pool_size: common.Width = 2,
    activation: common.Activation = "relu",
    dropout: common.Rate = 0.0,
    batch_norm: bool = True,
    batch_norm_input: bool = True,
    batch_norm_momentum: common.Rate = 0.9,
    global_pooling: common.Pooling = "mean_max",
    dense: tuple[common.Width, ...] = (),
    dense_dropout: common.Rate = 0.2,
    auxiliary: tuple[str, ...] = (),
) -> keras.Model:
    """Build blocks of convolutions, each followed by pooling, then pooled or flattened features and a head.

    filters: channels of each block; one block for each number.
    convolutions: convolutions in each block.
    kernel_sizes: pixels, one for each block, or one for all.
    stride: of the first convolution of each block.
    batch_norm, batch_norm_input: normalise before each activation; normalise the images.
    batch_norm_momentum: of the moving statistics that are used at test time. Keras' own .99 needs some 500
        steps to forget its start, which a short training on few rows does not have.
    dropout: share of values dropped after each block.
    global_pooling: one number a channel at the end (mean_max: two); none flattens instead.
    dense, dense_dropout: widths of fully connected layers before the output, and the dropout before each of
        them and before the output.
    auxiliary: names of auxiliary columns joined after the convolutions.

    Raises ConfigError where the kernel sizes do not fit the blocks, or the image is too small for them.
    """
    import keras
    from keras import layers

    if len(kernel_sizes) not in (1, len(filters)):
        raise ConfigError(
            f"model.options.kernel_sizes={list(kernel_sizes)}: expected one size, or one for each of the "
            f"{len(filters)} blocks"
        )
    inputs, x, values = common.inputs(input_shape, auxiliary)
    if batch_norm_input:
        x = layers.BatchNormalization(momentum=batch_norm_momentum)(x)
    # a monotonic activation gives the same bits after the maximum as before it, from a quarter of the values; with
    # 16-bit floats, whose gradient TensorFlow computes slowly, this saves a sixth of the training step
    pooled_first = pooling == "max" and activation in RISING
    sizes = kernel_sizes if len(kernel_sizes) == len(filters) else kernel_sizes * len(filters)
    for width, size in zip(filters, sizes, strict=True):
        for convolution in range(convolutions):
            _check_fits(x, size if padding == "valid" else 1, input_shape, len(filters))
            step = stride if convolution == 0 else 1
            x = layers.Conv2D(width, size, strides=step, padding=padding, use_bias=not batch_norm)(x)
            if batch_norm:
                x = layers.BatchNormalization(momentum=batch_norm_momentum)(x)
            if not (pooled_first and convolution == convolutions - 1):
                x = layers.Activation(activation)(x)
        if pooling != "none":
            _check_fits(x, pool_size, input_shape, len(filters))
            x = (layers.AveragePooling2D if pooling == "mean" else layers.MaxPooling2D)(pool_size)(x)
        if pooled_first:
            x = layers.Activation(activation)(x)
        if dropout:
            x = layers.Dropout(dropout)(x)
    x = common.flatten_map(x, global_pooling)
    if values is not None:
        x = layers.Concatenate()([x, values])
    for width in dense:
        x = layers.Dropout(dense_dropout)(x)
        x = layers.Dense(width, activation=activation)(x)
    x = layers.Dropout(dense_dropout)(x)
    return keras.Model(inputs, common.logits(x, n_outputs))


def _check_fits(x: keras.KerasTensor, size: int, input_shape: common.Shape, n_blocks: int) -> None:
    if min(x.shape[1:3]) < size:
        raise ConfigError(
            f"model.options.filters: {n_blocks} blocks are too many for images of {input_shape}: "
            f"{tuple(x.shape[1:3])} pixels are left where {size} are needed; give fewer blocks, "
            "padding=same or pooling=none"
        )
