"""The residual networks that Keras lacks: ResNeXt-101 in two widths, and the ResNet-152 of Torch."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from foldwise.models.pretrained.assemble import pretrained_builder

if TYPE_CHECKING:
    import keras


def _trunk(
    shape: tuple[int, int, int], *, blocks: tuple[int, ...], groups: int, width: int, bias: bool = False
) -> keras.Model:
    """Build the convolutions; a layer has the name of PyTorch's module: layer3.22.conv2.

    groups, width: of the 3x3 convolutions in the first stage: groups * width channels, doubled by each stage.
    """
    import keras
    from keras import layers

    def unit(x: keras.KerasTensor, name: str, norm: str, filters: int, size: int, stride: int = 1, groups: int = 1):  # type: ignore[no-untyped-def]
        # PyTorch pads both sides equally, unlike "same" with a stride of 2
        x = layers.ZeroPadding2D(size // 2)(x) if size > 1 else x
        x = layers.Conv2D(filters, size, strides=stride, groups=groups, use_bias=bias, name=name)(x)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=norm)(x)

    inputs = keras.Input(shape)
    x = layers.Activation("relu")(unit(inputs, "conv1", "bn1", 64, 7, 2))
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))  # ReLU's outputs are never below the zeros of the padding
    for stage, repeats in enumerate(blocks, start=1):
        inner, outer = groups * width * 2 ** (stage - 1), 256 * 2 ** (stage - 1)
        for block in range(repeats):
            at, stride = f"layer{stage}.{block}.", 2 if stage > 1 and block == 0 else 1
            shortcut = x
            if block == 0:
                shortcut = unit(x, at + "downsample.0", at + "downsample.1", outer, 1, stride)
            x = layers.Activation("relu")(unit(x, at + "conv1", at + "bn1", inner, 1))
            x = layers.Activation("relu")(unit(x, at + "conv2", at + "bn2", inner, 3, stride, groups))
            x = unit(x, at + "conv3", at + "bn3", outer, 1)
            x = layers.Activation("relu")(layers.Add()([x, shortcut]))
    return keras.Model(inputs, x)


def timm_name(tensor: str) -> str:
    """Translate the names of Cadene's ResNeXt, which are places in nested lists; ours are timm's and torchvision's.

    >>> timm_name("features.5.3.0.0.0.3.weight")
    'layer2.3.conv2.weight'
    """
    if not tensor.startswith("features."):
        return tensor
    stem = re.fullmatch(r"features\.([01])\.(\w+)", tensor)
    if stem:
        return f"{('conv1', 'bn1')[int(stem[1])]}.{stem[2]}"
    inside = re.fullmatch(r"features\.([4-7])\.(\d+)\.0\.([\d.]+)\.(\w+)", tensor)
    names = {"0.0.0": "conv1", "0.0.1": "bn1", "0.0.3": "conv2", "0.0.4": "bn2", "0.1": "conv3", "0.2": "bn3"}
    names |= {"1.0": "downsample.0", "1.1": "downsample.1"}
    if inside is None or inside[3] not in names:
        return tensor
    return f"layer{int(inside[1]) - 3}.{inside[2]}.{names[inside[3]]}.{inside[4]}"


resnext101_32x4d = pretrained_builder(
    "resnext101_32x4d",
    partial(_trunk, blocks=(3, 4, 23, 3), groups=32, width=4),
    sides=(224, 32),
    preparation="imagenet",
    rename=timm_name,
    module=__name__,
    doc="Build ResNeXt-101 with 32 groups of 4 channels (Xie et al. 2017): 44,177,704 weights with 1,000 classes.",
)

resnext101_64x4d = pretrained_builder(
    "resnext101_64x4d",
    partial(_trunk, blocks=(3, 4, 23, 3), groups=64, width=4),
    sides=(224, 32),
    preparation="imagenet",
    rename=timm_name,
    module=__name__,
    doc="Build ResNeXt-101 with 64 groups of 4 channels (Xie et al. 2017): 83,455,272 weights with 1,000 classes.",
)

fbresnet152 = pretrained_builder(
    "fbresnet152",
    partial(_trunk, blocks=(3, 8, 36, 3), groups=1, width=64, bias=True),
    sides=(224, 32),
    preparation="imagenet",
    rename=timm_name,
    module=__name__,
    doc="Build the ResNet-152 of Facebook's Torch: biases in all convolutions, 60,268,520 weights with 1,000 classes.",
)
