"""Flips, turns, one affine transform, gain and noise, done to an image in one go on the CPU.

Where pixels only change their places they are gathered by their indices, and keep their values to the last bit. Else
everything that moves them is one matrix, and OpenCV interpolates once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foldwise.augment.draws import Ranges, draw
from foldwise.data.structure import Batch
from foldwise.errors import ConfigError

Drawn = dict[str, np.ndarray]
CHANNELS = 4  # of one call of OpenCV
INTERPOLATED = ("uint8", "uint16", "int16", "float32", "float64")  # by OpenCV; other types as float32


@dataclass(frozen=True)
class Fused:
    """The augmentation of each image by what is drawn from the ranges; the views of a sample are changed alike.

    Another form of it, on a device, does the same to an image by `ranges` and `foldwise.augment.draws.draw`; only its
    noise is of another generator.
    """

    ranges: Ranges

    def __call__(self, batch: Batch, labels: np.ndarray, seeds: np.ndarray) -> tuple[Batch, np.ndarray]:
        """Augment a batch of images (n, [v,] h, w, c) with a seed each.

        The type of the images stays, unless they get gain or noise, or are interpolated and OpenCV has no such type:
        then it is float32.

        Raises ConfigError for quarter turns of images that are no squares.
        """
        if self.ranges == Ranges():
            return batch, labels
        return batch | {"images": changed(batch["images"], draw(self.ranges, seeds), self.ranges)}, labels


def changed(images: np.ndarray, drawn: Drawn, ranges: Ranges) -> np.ndarray:
    """Return the images (n, [v,] h, w, c), changed as was drawn for each; the ranges tell what may have been drawn.

    Raises ConfigError for quarter turns of images that are no squares.
    """
    height, width = images.shape[-3:-1]
    if ranges.quarter_turns and height != width:
        raise ConfigError(
            f"augment.options.quarter_turns=true: the images have {height} x {width} pixels, and a quarter turn "
            "needs squares; set augment.options.quarter_turns=false, or prepare square images"
        )
    if ranges.interpolates:
        still = drawn | {"dx": np.zeros_like(drawn["dx"]), "dy": np.zeros_like(drawn["dy"])}
        images = _gathered(images, still, ranges) if ranges.has_symmetries else images
        images = _warped(images, _matrices(drawn, height, width), ranges)
    elif ranges.moves:
        images = _gathered(images, drawn, ranges)
    if ranges.gain or ranges.noise:
        images = _brightened(images, drawn, ranges)
    return images


def _gathered(images: np.ndarray, drawn: Drawn, ranges: Ranges) -> np.ndarray:
    """Return the images with each pixel taken from another place."""
    height, width, channels = images.shape[-3:]
    turn = drawn["turn"]
    # flips and a turn after them come to the same as a transposition, and flips after that
    transposed = turn % 2 == 1
    flip_x = np.where(transposed, drawn["flip_y"], drawn["flip_x"]) ^ (turn >= 2)
    flip_y = np.where(transposed, drawn["flip_x"], drawn["flip_y"]) ^ ((turn == 1) | (turn == 2))
    rows, no_rows = _sources(height, flip_y, drawn["dy"])
    columns, no_columns = _sources(width, flip_x, drawn["dx"])
    result = np.empty(images.shape, images.dtype)
    # a pixel as one item, whatever its channels: copying is then twice as fast
    pixel = np.dtype((np.void, channels * images.itemsize))
    source, target = np.ascontiguousarray(images).view(pixel)[..., 0], result.view(pixel)[..., 0]
    for i in range(len(images)):
        image = source[i].swapaxes(-1, -2) if transposed[i] else source[i]
        target[i] = image.take(rows[i], axis=-2).take(columns[i], axis=-1)
    if ranges.border == "zero" and ranges.shift:
        for i in range(len(images)):
            result[i][..., no_rows[i], :, :] = 0
            result[i][..., no_columns[i], :] = 0
    return result


def _sources(n: int, flip: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each of n pixels of an axis comes from, reflected at the border, and which are outside: (m, n)."""
    place = np.arange(n) - shift[:, None]
    outside = (place < 0) | (place >= n)
    place = np.abs((place + n - 1) % max(2 * (n - 1), 1) - (n - 1))  # a reflection repeats itself
    return np.where(flip[:, None], n - 1 - place, place), outside


def _matrices(drawn: Drawn, height: int, width: int) -> np.ndarray:
    """Return what moves each pixel (x, y, 1) of an image to its new place: (n, 2, 3).

    First come the scales, then rotation and shear, all about the centre, then the shift.
    """
    angle, centre = np.deg2rad(drawn["angle"]), np.array([(width - 1) / 2, (height - 1) / 2])
    cos, sin = np.cos(angle), np.sin(angle)
    scale = np.stack([drawn["scale_x"], drawn["scale_y"]], axis=1)
    linear = np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1) * scale[:, None]
    linear[:, 0] += np.tan(np.deg2rad(drawn["shear"]))[:, None] * linear[:, 1]
    shift = np.stack([drawn["dx"], drawn["dy"]], axis=1)
    return np.concatenate([linear, (centre + shift - linear @ centre)[:, :, None]], axis=2)


def _warped(images: np.ndarray, matrices: np.ndarray, ranges: Ranges) -> np.ndarray:
    import cv2

    if images.dtype.name not in INTERPOLATED:
        images = images.astype(np.float32)
    height, width, channels = images.shape[-3:]
    border = cv2.BORDER_REFLECT_101 if ranges.border == "reflect" else cv2.BORDER_CONSTANT
    result = np.empty(images.shape, images.dtype)
    parts = [slice(first, first + CHANNELS) for first in range(0, channels, CHANNELS)]
    for i, matrix in enumerate(matrices):
        views = images[i].reshape(-1, height, width, channels)
        for view, target in zip(views, result[i].reshape(views.shape), strict=True):
            for part in parts:
                moved = cv2.warpAffine(view[..., part], matrix, (width, height), borderMode=border)
                target[..., part] = moved.reshape(height, width, -1)  # OpenCV drops a single channel
    return result


def _brightened(images: np.ndarray, drawn: Drawn, ranges: Ranges) -> np.ndarray:
    """Return the images as float32 with the gain of each, and noise."""
    gain = drawn["gain"].astype(np.float32).reshape(-1, *[1] * (images.ndim - 1))
    result: np.ndarray = images.astype(np.float32) + gain
    if ranges.noise:
        for image, seed in zip(result, drawn["noise_seed"].tolist(), strict=True):
            noise = np.random.Generator(np.random.SFC64(seed)).standard_normal(image.shape, np.float32)
            image += np.float32(ranges.noise) * noise
    return result
