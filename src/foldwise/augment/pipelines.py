"""Augmentations of single images by albumentations, and how an augmentation is built from its name.

A function imports albumentations in its body: its signature is read to check a configuration.
"""

from __future__ import annotations

import inspect
import os
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from foldwise.augment.training_rows import TrainingRows
from foldwise.data.structure import Batch
from foldwise.plugins import function_named

if TYPE_CHECKING:
    import albumentations


Pixels = Annotated[int, Field(ge=0)]
Degrees = Annotated[float, Field(ge=0, le=180)]
Share = Annotated[float, Field(ge=0, lt=1)]

# (batch, labels (n, k), seeds (n,)) -> (batch, labels). A batch is a dict of arrays, with `images` (n, [v,] h, w, c) of
# any type among them. Random numbers of a sample depend on its seed alone, so that its batch and its place in it
# change nothing. The arguments are left as they are, but for arrays of the batch that are copies of the data.
Augment = Callable[[Batch, np.ndarray, np.ndarray], tuple[Batch, np.ndarray]]


def none() -> Augment:
    """Leave the images as they are."""
    return lambda batch, labels, seeds: (batch, labels)


def flips() -> Augment:
    """Flip left to right and top to bottom, each with probability one half."""
    import albumentations as A

    return of_images(A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)]))


def radar(
    *,
    shift: Pixels = 4,
    rotate: Degrees = 0.0,
    zoom: Share = 0.0,
    quarter_turns: bool = False,
) -> Augment:
    """Flip both ways, shift by up to `shift` pixels, rotate by up to `rotate` degrees, zoom by up to a share.

    quarter_turns: choose among all eight symmetries of the square instead of the four flips.
    """
    import albumentations as A

    turns = [A.SquareSymmetry(p=1)] if quarter_turns else [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)]
    return of_images(A.Compose([*turns, *_affine(shift, rotate, zoom, reflect=True)]))


def digits(*, shift: Pixels = 2, rotate: Degrees = 10.0, zoom: Share = 0.1) -> Augment:
    """Shift by up to `shift` pixels, rotate by up to `rotate` degrees and zoom by up to a share; never flip."""
    import albumentations as A

    return of_images(A.Compose(_affine(shift, rotate, zoom, reflect=False)))


def build(name: str, options: dict[str, object], rows: TrainingRows | None = None) -> Augment:
    """Build the augmentation `name`.

    rows: the rows that it is built for; only an augmentation that `needs_rows` looks at them.

    Raises ConfigError for an unknown name, and for an option that the rows do not allow.
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it looks for a newer release on the network when imported
    function: Callable[..., Augment] = function_named("augment", name, "augment.name")
    return function(rows, **options) if needs_rows(name) else function(**options)


def needs_rows(name: str) -> bool:
    """Return whether the augmentation `name` depends on the rows that are trained on.

    >>> needs_rows("body"), needs_rows("flips")
    (True, False)
    """
    return "rows" in inspect.signature(function_named("augment", name, "augment.name")).parameters


def of_images(compose: albumentations.Compose) -> Augment:
    """Return the augmentation of each image by a pipeline of albumentations, all views of a sample alike.

    Compose's own seeding starts every transform from the same state, so that two flips always agree; a
    random state for each sample does not, and makes the result independent of order and of threads.
    """

    def augment(batch: Batch, labels: np.ndarray, seeds: np.ndarray) -> tuple[Batch, np.ndarray]:
        return batch | {"images": _changed(compose, batch["images"], seeds)}, labels

    return augment


def _changed(compose: albumentations.Compose, images: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    if images.ndim == 5:  # views as channels, which a pipeline treats alike
        n, v, h, w, c = images.shape
        as_channels = np.ascontiguousarray(np.moveaxis(images, 1, 3)).reshape(n, h, w, v * c)
        return np.moveaxis(_changed(compose, as_channels, seeds).reshape(n, h, w, v, c), 3, 1)
    result = np.empty_like(images)
    for i, seed in enumerate(seeds.tolist()):
        compose.set_random_state(np.random.Generator(np.random.PCG64(seed)), random.Random(seed))
        result[i] = compose(image=images[i])["image"]
    return result


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
