"""Flips, turns, one affine transform, gain and noise, done to an image in one go on the CPU.

Flips, turns and shifts by whole pixels keep the values of pixels to the last bit. Scales, rotation, shear and shift are
one matrix, by which OpenCV interpolates once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foldwise.augment.sampling import Ranges, sample
from foldwise.data.structure import Batch
from foldwise.errors import ConfigError

Sampled = dict[str, np.ndarray]
INTERPOLATED = ("uint8", "uint16", "int16", "float32", "float64")  # by OpenCV; other types as float32
CHANNELS = 4  # that OpenCV interpolates at once
BYTES = 128  # of a pixel that OpenCV moves at once; it has no more channels


@dataclass(frozen=True)
class Fused:
    """The augmentation of each image by what is sampled from the ranges; the views of a sample are changed alike.

    Another form of it, on a device, does the same to an image by `ranges` and `foldwise.augment.sampling.sample`; only
    its noise is of another generator.
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
        return batch | {"images": changed(batch["images"], sample(self.ranges, seeds), self.ranges)}, labels


def changed(images: np.ndarray, sampled: Sampled, ranges: Ranges) -> np.ndarray:
    """Return the images (n, [v,] h, w, c), changed as was sampled for each; the ranges tell what may have been sampled.

    Raises ConfigError for quarter turns of images that are no squares.
    """
    height, width = images.shape[-3:-1]
    if ranges.quarter_turns and height != width:
        raise ConfigError(
            f"augment.options.quarter_turns=true: the images have {height} x {width} pixels, and a quarter turn "
            "needs squares; set augment.options.quarter_turns=false, or prepare square images"
        )
    if ranges.interpolates:
        known = images if images.dtype.name in INTERPOLATED else images.astype(np.float32)
        images = _moved(known, sampled, ranges, CHANNELS)
    elif ranges.moves:
        size = images.itemsize
        as_bytes = np.ascontiguousarray(images).view(np.uint8)  # pixels of any type, which keep their bits
        images = _moved(as_bytes, sampled, ranges, max(BYTES // size, 1) * size).view(images.dtype)
    if ranges.gain or ranges.noise:
        images = _brightened(images, sampled, ranges)
    return images


def _moved(images: np.ndarray, sampled: Sampled, ranges: Ranges, n_channels: int) -> np.ndarray:
    """Return the images (n, [v,] h, w, c) with their pixels elsewhere; OpenCV gets so many channels at once."""
    import cv2

    height, width, channels = images.shape[-3:]
    border = cv2.BORDER_REFLECT_101 if ranges.border == "reflect" else cv2.BORDER_CONSTANT
    turn = sampled["turn"]
    # flips and a turn after them come to the same as a transposition, and flips after that
    transposed = turn % 2 == 1
    flip_x = np.where(transposed, sampled["flip_y"], sampled["flip_x"]) ^ (turn >= 2)
    flip_y = np.where(transposed, sampled["flip_x"], sampled["flip_y"]) ^ ((turn == 1) | (turn == 2))
    symmetries = zip(transposed.tolist(), flip_x.tolist(), flip_y.tolist(), strict=True)
    shifts = zip(sampled["dx"].tolist(), sampled["dy"].tolist(), strict=True)
    matrices = _matrices(sampled, height, width) if ranges.interpolates else []
    result = np.empty(images.shape, images.dtype)
    parts = [slice(first, first + n_channels) for first in range(0, channels, n_channels)]
    for i, ((transpose, x, y), (dx, dy)) in enumerate(zip(symmetries, shifts, strict=True)):
        views, targets = (array[i].reshape(-1, height, width, channels) for array in (images, result))
        for view, target in zip(views, targets, strict=True):
            for part in parts:
                image = view[..., part]
                if transpose:
                    image = image.swapaxes(0, 1)
                image = np.ascontiguousarray(image)
                if x or y:
                    image = cv2.flip(image, int(x) if x != y else -1)
                if ranges.interpolates:
                    image = cv2.warpAffine(image, matrices[i], (width, height), borderMode=border)
                elif dx or dy:
                    padding = max(dy, 0), max(-dy, 0), max(dx, 0), max(-dx, 0)
                    top, left = max(-dy, 0), max(-dx, 0)
                    image = cv2.copyMakeBorder(image, *padding, border)[top : top + height, left : left + width]
                target[..., part] = image.reshape(height, width, -1)  # OpenCV drops a single channel
    return result


def _matrices(sampled: Sampled, height: int, width: int) -> list[np.ndarray]:
    """Return what moves each pixel (x, y, 1) of an image to its new place: (2, 3) of each.

    First come the scales, then rotation and shear, all about the centre, then the shift.
    """
    angle, centre = np.deg2rad(sampled["angle"]), np.array([(width - 1) / 2, (height - 1) / 2])
    cos, sin = np.cos(angle), np.sin(angle)
    scale = np.stack([sampled["scale_x"], sampled["scale_y"]], axis=1)
    linear = np.array([[cos, sin], [-sin, cos]]).transpose(2, 0, 1) * scale[:, None]
    linear[:, 0] += np.tan(np.deg2rad(sampled["shear"]))[:, None] * linear[:, 1]
    shift = np.stack([sampled["dx"], sampled["dy"]], axis=1)
    return list(np.concatenate([linear, (centre + shift - linear @ centre)[:, :, None]], axis=2))


def _brightened(images: np.ndarray, sampled: Sampled, ranges: Ranges) -> np.ndarray:
    """Return the images as float32 with the gain of each, and noise."""
    gain = sampled["gain"].astype(np.float32).reshape(-1, *[1] * (images.ndim - 1))
    result: np.ndarray = images.astype(np.float32) + gain
    if ranges.noise:
        for image, seed in zip(result, sampled["noise_seed"].tolist(), strict=True):
            noise = np.random.Generator(np.random.SFC64(seed)).standard_normal(image.shape, np.float32)
            image += np.float32(ranges.noise) * noise
    return result
