"""DenseNet-161, the wide one with growth 48 (Huang et al. 2017), as in torchvision."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from foldwise.models.pretrained.assemble import pretrained_builder

if TYPE_CHECKING:
    import keras


BLOCKS, GROWTH, START = (6, 12, 36, 24), 48, 96


def _trunk(shape: tuple[int, int, int]) -> keras.Model:
    """Build the convolutions; a layer has the name of torchvision's module: features.denseblock3.denselayer36.conv2."""
    import keras
    from keras import layers

    def norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="features." + name)(x)
        return layers.Activation("relu")(x)

    def conv(x: keras.KerasTensor, name: str, filters: int, size: int) -> keras.KerasTensor:
        return layers.Conv2D(filters, size, padding="same", use_bias=False, name="features." + name)(x)

    inputs = keras.Input(shape)
    x = layers.ZeroPadding2D(3)(inputs)
    x = layers.Conv2D(START, 7, strides=2, use_bias=False, name="features.conv0")(x)
    x = layers.ZeroPadding2D(1)(norm(x, "norm0"))
    x = layers.MaxPooling2D(3, 2)(x)  # ReLU's outputs are never below the zeros of the padding
    for block, repeats in enumerate(BLOCKS, start=1):
        for layer in range(1, repeats + 1):
            at = f"denseblock{block}.denselayer{layer}."
            y = conv(norm(x, at + "norm1"), at + "conv1", 4 * GROWTH, 1)
            y = conv(norm(y, at + "norm2"), at + "conv2", GROWTH, 3)
            x = layers.Concatenate()([x, y])
        if block < len(BLOCKS):
            x = conv(norm(x, f"transition{block}.norm"), f"transition{block}.conv", x.shape[-1] // 2, 1)
            x = layers.AveragePooling2D(2)(x)
    return keras.Model(inputs, norm(x, "norm5"))


def torchvision_name(tensor: str) -> str:
    """Translate the names of old checkpoints, which write norm.1 instead of norm1.

    >>> torchvision_name("features.denseblock1.denselayer2.norm.1.weight")
    'features.denseblock1.denselayer2.norm1.weight'
    """
    return re.sub(r"\b(norm|conv)\.([12])\b", r"\1\2", tensor)


densenet161 = pretrained_builder(
    "densenet161",
    _trunk,
    sides=(224, 32),
    preparation="imagenet",
    rename=torchvision_name,
    module=__name__,
    doc="Build DenseNet-161: 28,681,000 weights with 1,000 classes.",
)
