"""Test-time augmentation: the views of an image whose predictions are averaged."""

from __future__ import annotations

import numpy as np

from foldwise.data.structure import Batch, Structure, mirrored, mirrored_outputs

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def batch_views(
    name: str, batch: Batch, structure: Structure, n_outputs: int
) -> list[tuple[Batch, np.ndarray | slice]]:
    """Return the views of a batch whose predictions are averaged, each with the order that its outputs must take.

    mirror: the batch and its mirror image, whose outputs answer for their partners. The rest as in `views`.
    """
    every = slice(None)
    if name == "mirror":
        return [(batch, every), (mirrored(batch, structure), mirrored_outputs(structure, n_outputs))]
    return [(batch | {"images": images}, every) for images in views(name, batch["images"])]


def views(name: str, images: np.ndarray) -> list[np.ndarray]:
    """Return the views of the images (n, [v,] h, w, c) whose predictions are averaged at test time.

    identity: the images alone. flips: the four flips. dihedral: with quarter turns as well, eight.
    shifts: the images and four shifts by one pixel, edges repeated.
    """
    if name == "identity":
        return [images]
    if name == "shifts":
        return [images, *(_shifted(images, axis, step) for axis in (-3, -2) for step in (-1, 1))]
    four = [images, images[..., :, ::-1, :], images[..., ::-1, :, :], images[..., ::-1, ::-1, :]]
    return four if name == "flips" else four + [np.swapaxes(view, -3, -2) for view in four]


def _shifted(images: np.ndarray, axis: int, step: int) -> np.ndarray:
    n = images.shape[axis]
    return np.take(images, np.clip(np.arange(n) + step, 0, n - 1), axis=axis)
