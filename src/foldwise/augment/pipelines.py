"""Augmentations of single images, and how an augmentation is built from its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated

import numpy as np
from pydantic import Field

from foldwise.augment.fused import Fused
from foldwise.augment.sampling import Ranges
from foldwise.augment.training_rows import TrainingRows
from foldwise.data.structure import Batch
from foldwise.plugins import function_named

Pixels = Annotated[int, Field(ge=0)]
Degrees = Annotated[float, Field(ge=0, le=180)]
Share = Annotated[float, Field(ge=0, lt=1)]
Shear = Annotated[float, Field(ge=0, lt=90)]
Spread = Annotated[float, Field(ge=0)]

# (batch, labels (n, k), seeds (n,)) -> (batch, labels). A batch is a dict of arrays, with `images` (n, [v,] h, w, c) of
# any type among them. Random numbers of a sample depend on its seed alone, so that its batch and its place in it
# change nothing. The arguments are left as they are, but for arrays of the batch that are copies of the data.
Augment = Callable[[Batch, np.ndarray, np.ndarray], tuple[Batch, np.ndarray]]


def none() -> Augment:
    """Leave the images as they are."""
    return Fused(Ranges())


def flips() -> Augment:
    """Flip left to right and top to bottom, each with probability one half."""
    return Fused(Ranges(flip_x=True, flip_y=True))


def radar(
    *,
    shift: Pixels = 4,
    rotate: Degrees = 0.0,
    zoom: Share = 0.0,
    shear: Shear = 0.0,
    quarter_turns: bool = False,
    gain: Spread = 0.0,
    noise: Spread = 0.0,
) -> Augment:
    """Flip both ways, then move what is in the image; what comes in from outside is the image reflected.

    shift: by whole pixels, at most so many, each way.
    rotate, shear: by up to so many degrees, each way.
    zoom: each axis alone by a factor of up to 1 +- so much.
    quarter_turns: choose among all eight symmetries of the square instead of the four flips.
    gain: standard deviation of one normal draw an image, added to all pixels of all bands, in their units (decibels).
    noise: standard deviation of a normal draw for each value of each pixel.
    """
    return Fused(Ranges(True, True, quarter_turns, shift, rotate, zoom, shear, gain, noise))


def digits(*, shift: Pixels = 2, rotate: Degrees = 10.0, zoom: Share = 0.1, shear: Shear = 0.0) -> Augment:
    """Shift, rotate, zoom and shear as `radar` does, with zeros from outside; never flip."""
    return Fused(Ranges(shift=shift, rotate=rotate, zoom=zoom, shear=shear, border="zero"))


def build(name: str, options: dict[str, object], rows: TrainingRows | None = None) -> Augment:
    """Build the augmentation `name`.

    rows: the rows that it is built for; only an augmentation that `needs_rows` looks at them.

    Raises ConfigError for an unknown name, and for an option that the rows do not allow.
    """
    function: Callable[..., Augment] = function_named("augment", name, "augment.name")
    return function(rows, **options) if needs_rows(name) else function(**options)


def needs_rows(name: str) -> bool:
    """Return whether the augmentation `name` depends on the rows that are trained on.

    >>> needs_rows("body"), needs_rows("flips")
    (True, False)
    """
    return "rows" in inspect.signature(function_named("augment", name, "augment.name")).parameters


def ranges_of(name: str, options: dict[str, object]) -> Ranges | None:
    """Return what the augmentation `name` may do to an image, or None for one that has no form but its own code.

    >>> ranges_of("digits", {"shift": 1}).shift, ranges_of("body", {}), ranges_of("transforms", {})
    (1, None, None)
    """
    augment = None if needs_rows(name) else build(name, options)
    return augment.ranges if isinstance(augment, Fused) else None
