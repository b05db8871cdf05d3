"""What `foldwise.augment.fused` does to images on the CPU, in operations of Keras: for images that lie on a device.

It is a pure function of arrays, which can be compiled, and mapped over further axes.
"""

from __future__ import annotations

from typing import Any

from foldwise.augment.sampling import Ranges

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def changed(images: Any, sampled: dict[str, Any], ranges: Ranges, noise: Any = None) -> Any:
    """Return the images (n, [v,] h, w, c) as float32, changed as was sampled for each; all views of a sample alike.

    sampled: arrays (n,) as `foldwise.augment.sampling.sample` gives them; the ranges tell what may have been sampled.
    noise: standard normal numbers of the shape of the images, needed where `ranges.noise` is not 0.

    Pixels that only change their places keep their values; others are interpolated to the precision of float32, where
    OpenCV rounds places to 1/32 of a pixel for some numbers of channels. Quarter turns need square images.
    """
    from keras import ops

    images = ops.cast(images, "float32")
    if ranges.interpolates:
        images = _interpolated(images, sampled, ranges)
    elif ranges.moves:
        height, width = images.shape[-3:-1]
        y = ops.arange(height)[None, :, None] - _each(sampled["dy"], "int32")
        x = ops.arange(width)[None, None, :] - _each(sampled["dx"], "int32")
        images = _taken(images, y, x, sampled, ranges)
    if ranges.gain:
        images = images + ops.reshape(ops.cast(sampled["gain"], "float32"), (-1, *[1] * (len(images.shape) - 1)))
    if ranges.noise:
        images = images + ranges.noise * noise
    return images


def _interpolated(images: Any, sampled: dict[str, Any], ranges: Ranges) -> Any:
    """Return the images with what lies, before scales, rotation, shear and shift, where each pixel is after them."""
    from keras import ops

    height, width = images.shape[-3:-1]
    degree = 3.141592653589793 / 180
    angle, shear = _each(sampled["angle"] * degree, "float32"), ops.tan(_each(sampled["shear"] * degree, "float32"))
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    x = ops.cast(ops.arange(width), "float32")[None, None, :] - centre_x - _each(sampled["dx"], "float32")
    y = ops.cast(ops.arange(height), "float32")[None, :, None] - centre_y - _each(sampled["dy"], "float32")
    x = x - shear * y
    x, y = ops.cos(angle) * x - ops.sin(angle) * y, ops.sin(angle) * x + ops.cos(angle) * y
    x = x / _each(sampled["scale_x"], "float32") + centre_x
    y = y / _each(sampled["scale_y"], "float32") + centre_y
    left, top = ops.floor(x), ops.floor(y)
    result: Any = 0.0
    for row, of_row in ((top, top + 1 - y), (top + 1, y - top)):
        for column, of_column in ((left, left + 1 - x), (left + 1, x - left)):
            share = ops.expand_dims(of_row * of_column, -1)
            share = ops.expand_dims(share, 1) if len(images.shape) == 5 else share
            result = result + share * _taken(images, ops.cast(row, "int32"), ops.cast(column, "int32"), sampled, ranges)
    return result


def _taken(images: Any, y: Any, x: Any, sampled: dict[str, Any], ranges: Ranges) -> Any:
    """Return the pixels of rows y and columns x, whole numbers (n, h, w) together, of the flipped and turned images."""
    from keras import ops

    height, width, channels = images.shape[-3:]
    inside = ops.logical_and(ops.logical_and(y >= 0, y < height), ops.logical_and(x >= 0, x < width))
    y, x = _reflected(y, height), _reflected(x, width)
    turn = _each(sampled["turn"], "int32")
    flips = [_each(sampled[name], "int32") == 1 for name in ("flip_x", "flip_y")]
    # as on the CPU: flips and a turn after them come to the same as a transposition, and flips after that
    transposed = turn % 2 == 1
    flip_x = ops.logical_xor(ops.where(transposed, flips[1], flips[0]), turn >= 2)
    flip_y = ops.logical_xor(ops.where(transposed, flips[0], flips[1]), ops.logical_or(turn == 1, turn == 2))
    y, x = ops.where(flip_y, height - 1 - y, y), ops.where(flip_x, width - 1 - x, x)
    place = ops.where(transposed, x * width + y, y * width + x)
    shape = images.shape
    if len(shape) == 5:
        place, inside = ops.expand_dims(place, 1), ops.expand_dims(inside, 1)
    flat = ops.reshape(images, (*shape[:-3], height * width, channels))
    lead = place.shape[:-2]
    taken = ops.take_along_axis(flat, ops.reshape(place, (*lead, height * width, 1)), axis=-2)
    taken = ops.reshape(taken, shape)
    return taken if ranges.border == "reflect" else ops.where(ops.expand_dims(inside, -1), taken, 0.0)


def _reflected(place: Any, n: int) -> Any:
    """Return places on an axis of n pixels, reflected about the outermost of them as often as need be."""
    from keras import ops

    return ops.abs((place + n - 1) % max(2 * (n - 1), 1) - (n - 1))


def _each(values: Any, dtype: str) -> Any:
    """Return what was sampled for each image, (n,), as (n, 1, 1)."""
    from keras import ops

    return ops.reshape(ops.cast(values, dtype), (-1, 1, 1))
