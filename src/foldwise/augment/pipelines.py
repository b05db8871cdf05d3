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

from foldwise.augment.body import Body
from foldwise.plugins import function_named

if TYPE_CHECKING:
    import albumentations


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
    function: Callable[..., albumentations.Compose | Body | None] = function_named("augment", name, "augment.name")
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
