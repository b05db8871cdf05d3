"""Augmentations, named by `augment.name`, and the views that are averaged at test time.

A pipeline function imports albumentations in its body: its signature is read to check a configuration.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from foldwise.augment_body import Body, body
from foldwise.samples import Batch, Structure, mirrored, mirrored_outputs

if TYPE_CHECKING:
    import albumentations

__all__ = ["body", "digits", "flips", "none", "radar"]

Pixels = Annotated[int, Field(ge=0)]
Degrees = Annotated[float, Field(ge=0, le=180)]
Share = Annotated[float, Field(ge=0, lt=1)]


def none() -> None:
    """Leave the images as they are."""


def flips() -> albumentations.Compose:
    """Flip left to right and top to bottom, each with probability one half."""
    import albumentations as A

    return A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)])


def radar(
    *,
    shift: Pixels = 4,
    rotate: Degrees = 0.0,
    zoom: Share = 0.0,
    quarter_turns: bool = False,
) -> albumentations.Compose:
    """Flip both ways, shift by up to `shift` pixels, rotate by up to `rotate` degrees, zoom by up to a share.

    quarter_turns: draw from all eight symmetries of the square instead of the four flips.
    """
    import albumentations as A

    turns = [A.SquareSymmetry(p=1)] if quarter_turns else [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)]
    return A.Compose([*turns, *_affine(shift, rotate, zoom, reflect=True)])


def digits(*, shift: Pixels = 2, rotate: Degrees = 10.0, zoom: Share = 0.1) -> albumentations.Compose:
    """Shift by up to `shift` pixels, rotate by up to `rotate` degrees and zoom by up to a share; never flip."""
    import albumentations as A

    return A.Compose(_affine(shift, rotate, zoom, reflect=False))


def _affine(shift: int, rotate: float, zoom: float, reflect: bool) -> list[albumentations.BasicTransform]:
    import albumentations as A
    import cv2

    if not (shift or rotate or zoom):
        return []
    transform = A.Affine(
        translate_px={"x": (-shift, shift), "y": (-shift, shift)},
        rotate=(-rotate, rotate),
        scale=(1 - zoom, 1 + zoom),
        border_mode=cv2.BORDER_REFLECT_101 if reflect else cv2.BORDER_CONSTANT,
        p=1,
    )
    return [transform]


def build(name: str, options: dict[str, object]) -> albumentations.Compose | Body | None:
    """Build the pipeline `name`; None where it does nothing."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it looks for a newer release on the network when imported
    function: Callable[..., albumentations.Compose | Body | None] = globals()[name]
    return function(**options)


def augmented(pipeline: albumentations.Compose, images: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Augment each of the images (n, [v,] h, w, c) with random numbers of its own seed (n,), its views alike.

    Compose's own seeding starts every transform from the same state, so that two flips always agree; a
    random state for each sample does not, and makes the result independent of order and of threads.
    """
    if images.ndim == 5:  # views as channels, which a pipeline treats alike
        n, v, h, w, c = images.shape
        side_by_side = np.ascontiguousarray(np.moveaxis(images, 1, 3)).reshape(n, h, w, v * c)
        return np.moveaxis(augmented(pipeline, side_by_side, seeds).reshape(n, h, w, v, c), 3, 1)
    result = np.empty_like(images)
    for i, seed in enumerate(seeds.tolist()):
        pipeline.set_random_state(np.random.Generator(np.random.PCG64(seed)), random.Random(seed))
        result[i] = pipeline(image=images[i])["image"]
    return result


def mixed(
    images: np.ndarray, labels: np.ndarray, mixup: float, cutmix: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mix each image (n, h, w, c) and label (n, k) with another of the batch.

    mixup, cutmix: parameter of the Beta distribution of the share, 0 for off (Zhang et al. 2018, Yun et al.
    2019). With both, each batch draws one of them.
    """
    use_cutmix = cutmix > 0 and (mixup == 0 or rng.random() < 0.5)
    alpha = cutmix if use_cutmix else mixup
    share = rng.beta(alpha, alpha)
    partner = rng.permutation(len(images))
    if not use_cutmix:
        mixed_images = share * images + (1 - share) * images[partner]
    else:
        height, width = images.shape[-3:-1]
        side = np.sqrt(1 - share)
        h, w = round(height * side), round(width * side)
        top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
        mixed_images = images.copy()
        mixed_images[..., top : top + h, left : left + w, :] = images[partner, ..., top : top + h, left : left + w, :]
        share = 1 - h * w / (height * width)
    return mixed_images.astype(np.float32), (share * labels + (1 - share) * labels[partner]).astype(np.float32)


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
