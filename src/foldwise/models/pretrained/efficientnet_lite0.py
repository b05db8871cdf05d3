"""EfficientNet-Lite0: no squeeze-and-excitation, ReLU6, a fixed stem and head; made for small machines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from foldwise.models.pretrained.assemble import pretrained_builder

if TYPE_CHECKING:
    import keras


# of each stage: kernel, stride, expansion, filters, repeats (as EfficientNet-B0 has them)
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


def _trunk(shape: tuple[int, int, int]) -> keras.Model:
    """Build the convolutions; a layer has the name of timm's module in tf_efficientnet_lite0: blocks.2.1.conv_dw."""
    import keras
    from keras import layers

    def norm(x: keras.KerasTensor, name: str, active: bool = True) -> keras.KerasTensor:
        x = layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=name)(x)
        return layers.ReLU(6.0)(x) if active else x

    def conv(x: keras.KerasTensor, name: str, filters: int, size: int = 1, stride: int = 1) -> keras.KerasTensor:
        return layers.Conv2D(filters, size, strides=stride, padding="same", use_bias=False, name=name)(x)

    def depthwise(x: keras.KerasTensor, name: str, size: int, stride: int) -> keras.KerasTensor:
        return layers.DepthwiseConv2D(size, strides=stride, padding="same", use_bias=False, name=name)(x)

    inputs = keras.Input(shape)
    x = norm(conv(inputs, "conv_stem", 32, 3, 2), "bn1")
    for stage, (size, stride, expansion, filters, repeats) in enumerate(STAGES):
        for block in range(repeats):
            at, start, step = f"blocks.{stage}.{block}.", x, stride if block == 0 else 1
            norms = iter(("bn1", "bn2", "bn3"))
            if expansion > 1:
                x = norm(conv(x, at + "conv_pw", expansion * x.shape[-1]), at + next(norms))
            x = norm(depthwise(x, at + "conv_dw", size, step), at + next(norms))
            last = at + ("conv_pwl" if expansion > 1 else "conv_pw")
            x = norm(conv(x, last, filters), at + next(norms), active=False)
            if step == 1 and start.shape[-1] == filters:
                x = layers.Add()([x, start])
    return keras.Model(inputs, norm(conv(x, "conv_head", 1280), "bn2"))


def timm_name(tensor: str) -> str:
    """Translate the names of efficientnet_pytorch, which numbers all blocks in one sequence; ours are timm's.

    >>> timm_name("_blocks.15._project_conv.weight")
    'blocks.6.0.conv_pwl.weight'
    """
    inside = re.fullmatch(r"_blocks\.(\d+)\._(\w+)\.(\w+)", tensor)
    if inside is None:
        top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
        layer, _, rest = tensor.partition(".")
        return f"{top.get(layer, layer)}.{rest}"
    number, stage = int(inside[1]), 0
    while number >= STAGES[stage][4]:
        number -= STAGES[stage][4]
        stage += 1
    names = {"expand_conv": "conv_pw", "bn0": "bn1", "depthwise_conv": "conv_dw", "bn1": "bn2"}
    names |= {"project_conv": "conv_pwl", "bn2": "bn3"}
    if stage == 0:  # its blocks expand nothing
        names = {"depthwise_conv": "conv_dw", "bn1": "bn1", "project_conv": "conv_pw", "bn2": "bn2"}
    return f"blocks.{stage}.{number}.{names.get(inside[2], inside[2])}.{inside[3]}"


efficientnet_lite0 = pretrained_builder(
    "efficientnet_lite0",
    _trunk,
    sides=(224, 32),
    preparation="lite",
    rename=timm_name,
    module=__name__,
    doc="Build EfficientNet-Lite0: 4,652,008 weights with 1,000 classes; trained at 224 x 224 by TensorFlow's authors.",
)
