"""Inception-v4 (Szegedy et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from foldwise.models.pretrained.assemble import pretrained_builder

if TYPE_CHECKING:
    import keras


def _trunk(shape: tuple[int, int, int]) -> keras.Model:
    """Build the 22 parts; a layer has the name of timm's module: features.14.branch1.2.conv."""
    import keras
    from keras import layers

    def conv(x: keras.KerasTensor, name: str, filters: int, size: int | tuple[int, int], stride: int = 1, same=True):  # type: ignore[no-untyped-def]
        padding = "same" if same else "valid"
        x = layers.Conv2D(filters, size, strides=stride, padding=padding, use_bias=False, name=name + ".conv")(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=name + ".bn")(x)
        return layers.Activation("relu")(x)

    def chain(x: keras.KerasTensor, name: str, *steps: tuple) -> keras.KerasTensor:  # type: ignore[type-arg]
        for number, step in enumerate(steps):
            x = conv(x, f"{name}.{number}", *step)
        return x

    def pooled(x: keras.KerasTensor, name: str, filters: int) -> keras.KerasTensor:
        return conv(layers.AveragePooling2D(3, 1, padding="same")(x), f"{name}.branch3.1", filters, 1)

    def joined(*branches: keras.KerasTensor) -> keras.KerasTensor:
        return layers.Concatenate()(list(branches))

    def block_a(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return joined(
            conv(x, name + ".branch0", 96, 1),
            chain(x, name + ".branch1", (64, 1), (96, 3)),
            chain(x, name + ".branch2", (64, 1), (96, 3), (96, 3)),
            pooled(x, name, 96),
        )

    def block_b(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return joined(
            conv(x, name + ".branch0", 384, 1),
            chain(x, name + ".branch1", (192, 1), (224, (1, 7)), (256, (7, 1))),
            chain(x, name + ".branch2", (192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))),
            pooled(x, name, 128),
        )

    def block_c(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        one = conv(x, name + ".branch1_0", 384, 1)
        two = conv(x, name + ".branch2_0", 384, 1)
        two = conv(conv(two, name + ".branch2_1", 448, (3, 1)), name + ".branch2_2", 512, (1, 3))
        return joined(
            conv(x, name + ".branch0", 256, 1),
            conv(one, name + ".branch1_1a", 256, (1, 3)),
            conv(one, name + ".branch1_1b", 256, (3, 1)),
            conv(two, name + ".branch2_3a", 256, (1, 3)),
            conv(two, name + ".branch2_3b", 256, (3, 1)),
            pooled(x, name, 256),
        )

    def reduction_a(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return joined(
            conv(x, name + ".branch0", 384, 3, 2, False),
            chain(x, name + ".branch1", (192, 1), (224, 3), (256, 3, 2, False)),
            layers.MaxPooling2D(3, 2)(x),
        )

    def reduction_b(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return joined(
            chain(x, name + ".branch0", (192, 1), (192, 3, 2, False)),
            chain(x, name + ".branch1", (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2, False)),
            layers.MaxPooling2D(3, 2)(x),
        )

    inputs = keras.Input(shape)
    x = chain(inputs, "features", (32, 3, 2, False), (32, 3, 1, False), (64, 3))
    x = joined(layers.MaxPooling2D(3, 2)(x), conv(x, "features.3.conv", 96, 3, 2, False))
    x = joined(
        chain(x, "features.4.branch0", (64, 1), (96, 3, 1, False)),
        chain(x, "features.4.branch1", (64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3, 1, False)),
    )
    x = joined(conv(x, "features.5.conv", 192, 3, 2, False), layers.MaxPooling2D(3, 2)(x))
    blocks: list[Callable[[keras.KerasTensor, str], keras.KerasTensor]]
    blocks = [block_a] * 4 + [reduction_a] + [block_b] * 7 + [reduction_b] + [block_c] * 3
    for number, block in enumerate(blocks, start=6):
        x = block(x, f"features.{number}")
    return keras.Model(inputs, x)


inception_v4 = pretrained_builder(
    "inception_v4",
    _trunk,
    sides=(299, 75),
    preparation="symmetric",
    rename=str,
    module=__name__,
    doc="Build Inception-v4: 42,679,816 weights with 1,000 classes.",
)
