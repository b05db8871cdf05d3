"""A pretrained backbone between the images of a competition and its head: what all such builders share.

images -> pixels (to 0..255) -> resize -> bands (to what the backbone takes) -> prepare (its own range)
-> backbone -> features -> dropout -> logits. All of it is inside the model: no other code needs to know the range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from foldwise.errors import ConfigError
from foldwise.models import common
from foldwise.models.pretrained.load import Rename, loader

if TYPE_CHECKING:
    import keras


Bands = Literal["repeat", "difference", "ratio", "learned", "resummed"]
Values = tuple[float, float]
Side = Annotated[int, Field(ge=1)] | None
Preparation = Literal["none", "symmetric", "imagenet", "caffe", "lite"]
Build = Callable[[tuple[int, int, int]], "keras.Model"]  # (h, w, c) -> feature maps (n, h', w', d) or features (n, d)

IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB, of values in 0..1
CAFFE_MEAN = (103.939, 116.779, 123.68)  # BGR, of values in 0..255
OPTIONS = """
weights: imagenet, null for random ones, or a file (.pth, .safetensors, .weights.h5, .keras).
side, values, bands, dropout, auxiliary: see `application`.
"""


def pretrained_builder(
    name: str,
    trunk: Build,
    *,
    sides: tuple[int, int],
    preparation: Preparation,
    rename: Rename,
    module: str,
    doc: str,
) -> Callable[..., keras.Model]:
    """Make the builder of a network whose published checkpoint is converted: an entry of the zoo in one call.

    name: of the builder, of its published weights and of its line in zoo.csv.
    trunk: makes the network without its classifier for an input shape (h, w, 3).
    sides, preparation: see `assemble`.
    rename: translates the name of a checkpoint's tensor to that of our layer.
    module: `__name__` of the module that defines the trunk; its code enters the run key.
    doc: first line of the builder's docstring.
    """

    def build(
        input_shape: common.Shape,
        n_outputs: int,
        *,
        weights: str | None = "imagenet",
        side: Side = None,
        values: Values = (0.0, 255.0),
        bands: Bands = "repeat",
        dropout: common.Rate = 0.2,
        auxiliary: tuple[str, ...] = (),
    ) -> keras.Model:
        return assemble(
            input_shape,
            n_outputs,
            trunk,
            sides=sides,
            preparation=preparation,
            load=loader(name, weights, rename),
            side=side,
            values=values,
            bands=bands,
            dropout=dropout,
            auxiliary=auxiliary,
        )

    build.__name__ = build.__qualname__ = name
    build.__module__, build.__doc__ = module, f"{doc}\n{OPTIONS}"
    return build


def assemble(
    input_shape: common.Shape,
    n_outputs: int,
    build: Build,
    *,
    sides: tuple[int, int],
    preparation: Preparation,
    load: Callable[[keras.Model], None] | None,
    side: int | None,
    values: Values,
    bands: Bands,
    dropout: float,
    auxiliary: tuple[str, ...],
) -> keras.Model:
    """Put a backbone between images (n, *input_shape) and n_outputs logits.

    build: makes the backbone for an input shape (h, w, c).
    sides: the side in pixels that its published weights were trained at, and the smallest possible one.
    preparation: how values of 0..255 become the range that the backbone was trained on.
    load: fills the backbone's weights; None leaves them random.
    side, values, bands, dropout, auxiliary: the options of the same names of every pretrained model.

    Raises ConfigError where the side is too small, the values are not a range, or the bands do not fit.
    """
    import keras
    from keras import layers

    side = side or sides[0]
    if side < sides[1]:
        raise ConfigError(f"model.options.side={side}: the network takes {sides[1]} pixels at least")
    if not values[0] < values[1]:
        raise ConfigError(f"model.options.values={list(values)}: expected [low, high], the lower one first")
    if len(input_shape) != 3:
        raise ConfigError(f"expected images of (height, width, channels), received {len(input_shape)} axes")
    images, auxiliaries = keras.Input(input_shape, name="images"), None
    low, high = values
    # float32 under mixed precision too: 16-bit floats cannot resolve 255 grey levels
    x = layers.Rescaling(255 / (high - low), -255 * low / (high - low), dtype="float32", name=common.PIXELS)(images)
    x = layers.ReLU(255.0, dtype="float32", name="clip")(x)
    if (side, side) != tuple(input_shape[:2]):
        x = layers.Resizing(side, side, interpolation="bilinear", antialias=True, dtype="float32", name="resize")(x)
    x = _to_bands(x, bands)
    backbone = build((side, side, 3))
    if load is not None:
        load(backbone)
    backbone.name = common.BACKBONE
    if bands == "resummed" and input_shape[2] != 3:
        backbone = rebuild_for_channels(backbone, input_shape[2])
        backbone.name = common.BACKBONE
    x = backbone(_prepare(x, preparation))
    pool = layers.GlobalAveragePooling2D if len(x.shape) == 4 else layers.Identity
    x = pool(name=common.FEATURES)(x)
    if auxiliary:
        auxiliaries = keras.Input((2 * len(auxiliary),), name="auxiliary")
        x = layers.Concatenate(name=common.JOINED)([x, auxiliaries])
    if dropout:
        x = layers.Dropout(dropout, name=common.DROPOUT)(x)
    return keras.Model(images if auxiliaries is None else [images, auxiliaries], common.logits(x, n_outputs))


def _to_bands(x: keras.KerasTensor, bands: Bands) -> keras.KerasTensor:
    """Turn the channels of x (n, h, w, c), in 0..255, into three; `resummed` leaves them to the first kernel."""
    from keras import layers, ops

    channels = x.shape[-1]
    if bands == "resummed":
        return x
    if bands == "learned":
        # starts as `repeat` does for up to three channels, and as a mean beyond
        start = np.zeros((1, 1, channels, 3), np.float32)
        for band in range(3):
            start[0, 0, [c for c in range(channels) if c % 3 == band or band % channels == c], band] = 1
        start /= start.sum(axis=2, keepdims=True)
        return layers.Conv2D(3, 1, kernel_initializer=lambda shape, dtype=None: start, dtype="float32", name="adapter")(
            x
        )
    if bands in ("difference", "ratio"):
        if channels != 2:
            raise ConfigError(f"model.options.bands={bands}: expected images of 2 channels, received {channels}")
        one, other = x[..., :1], x[..., 1:]
        third = (one - other) / 2 + 127.5 if bands == "difference" else 255 * one / ops.maximum(one + other, 1e-3)
        return ops.concatenate([one, other, third], axis=-1)
    if channels > 3:
        raise ConfigError(
            f"model.options.bands=repeat: expected images of up to 3 channels, received {channels}; "
            "choose learned or resummed"
        )
    return x if channels == 3 else ops.concatenate([x[..., c % channels : c % channels + 1] for c in range(3)], axis=-1)


def _prepare(x: keras.KerasTensor, preparation: Preparation) -> keras.KerasTensor:
    """Turn values of 0..255 into the backbone's range; with any other number than 3 channels by mean statistics."""
    from keras import layers

    channels = x.shape[-1]

    def per_channel(numbers: tuple[float, ...]) -> list[float]:
        return list(numbers) if channels == 3 else [float(np.mean(numbers))] * channels

    if preparation == "none":
        return x
    scale, offset = [1 / 127.5], [-1.0]  # symmetric: -1..1
    if preparation == "lite":  # of EfficientNet-Lite: (x - 127) / 128
        scale, offset = [1 / 128], [-127 / 128]
    if preparation == "imagenet":
        mean, sd = per_channel(IMAGENET_MEAN), per_channel(IMAGENET_SD)
        scale, offset = [1 / (255 * s) for s in sd], [-m / s for m, s in zip(mean, sd, strict=True)]
    if preparation == "caffe":  # BGR, centred, not scaled
        scale, offset = [1.0], [-m for m in per_channel(CAFFE_MEAN)]
        x = x[..., ::-1]
    return layers.Rescaling(scale, offset, dtype="float32", name="prepare")(x)


def rebuild_for_channels(backbone: keras.Model, channels: int) -> keras.Model:
    """Rebuild a backbone of three channels for any number of them, keeping its weights.

    The first kernel's three planes are repeated over the channels in turn and scaled by 3 / channels. That keeps the
    sum over channels, and with it the statistics of all later layers. One channel gets the sum of the planes.
    """
    import keras

    from foldwise.models.introspect import leaves

    def per_channel(numbers: Any) -> Any:
        three = np.ravel(numbers).size == 3
        return [float(np.mean(numbers))] * channels if three else numbers

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, keras.layers.Rescaling):  # inside some applications, with a number for each channel
            config["scale"], config["offset"] = per_channel(config["scale"]), per_channel(config["offset"])
        if isinstance(layer, keras.layers.Normalization):
            config["mean"], config["variance"] = per_channel(layer.mean), per_channel(layer.variance)
        return layer.__class__.from_config(config)

    inputs = keras.Input((*backbone.input_shape[1:3], channels))
    rebuilt = keras.models.clone_model(backbone, input_tensors=inputs, clone_function=clone, recursive=True)
    for old, new in zip(leaves(backbone), leaves(rebuilt), strict=True):
        if isinstance(new, keras.layers.Normalization):
            continue
        values = [np.asarray(value) for value in old.weights]
        for value, variable in zip(values, new.weights, strict=True):
            variable.assign(value if value.shape == tuple(variable.shape) else _repeat_planes(value, channels))
    return rebuilt


def _repeat_planes(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Repeat the three planes of a kernel (h, w, 3, out) over the channels, keeping their sum."""
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    return kernel[:, :, [c % 3 for c in range(channels)]] * (3 / channels)
