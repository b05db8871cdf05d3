"""What is sampled for an image before it is changed: numbers that depend on its seed alone.

One function of the seeds gives all rows their numbers at once, so that whatever changes the images, on a CPU or on a
GPU, changes an image in the same way from the same seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

# of splitmix64; see `_uniform`
STEP = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
# each has a place of its own, so that a range that is added to a preset leaves what is sampled for the others as it is
UNIFORMS = ("flip_x", "flip_y", "turn", "dx", "dy", "angle", "scale_x", "scale_y", "shear", "radius", "phase", "noise")


@dataclass(frozen=True)
class Ranges:
    """What may be done to an image, in this order; all views of a sample are changed alike.

    flip_x, flip_y: left to right and top to bottom, each with probability one half.
    quarter_turns: by 0, 90, 180 or 270 degrees.
    zoom: each axis alone is enlarged by a factor of 1 - zoom to 1 + zoom, about the centre of the image.
    rotate: by up to so many degrees, each way, about the centre.
    shear: along the rows by up to so many degrees, each way.
    shift: by whole pixels, up to so many, each way and along each axis.
    gain: standard deviation of one normal draw an image, which is added to all of its pixels, in their units.
    noise: standard deviation of a normal draw for each value of each pixel.
    border: what comes into the image from outside: its reflection about the outermost pixels, or zeros.
    """

    flip_x: bool = False
    flip_y: bool = False
    quarter_turns: bool = False
    shift: int = 0
    rotate: float = 0.0
    zoom: float = 0.0
    shear: float = 0.0
    gain: float = 0.0
    noise: float = 0.0
    border: Literal["reflect", "zero"] = "reflect"

    @property
    def interpolates(self) -> bool:
        """Whether values between pixels are needed; else pixels only change their places."""
        return bool(self.rotate or self.zoom or self.shear)

    @property
    def moves(self) -> bool:
        """Whether pixels change their places."""
        return self.flip_x or self.flip_y or self.quarter_turns or self.shift > 0 or self.interpolates


def sample(ranges: Ranges, seeds: np.ndarray) -> dict[str, np.ndarray]:
    """Sample what is done to each image from its seed (n,), an integer: arrays (n,) by name.

    flip_x, flip_y: bool. turn: 0 to 3 quarter turns against the clock. dx, dy: int, pixels to the right and down.
    angle: degrees against the clock. scale_x, scale_y: factors. shear: degrees. gain: what is added to each pixel.
    noise_seed: int below 2**31, of the generator of the noise.

    What `ranges` does not allow is sampled as nothing: False, 0, or a factor of 1.
    """
    u = dict(zip(UNIFORMS, _uniform(np.asarray(seeds), len(UNIFORMS)), strict=True))
    normal = np.sqrt(-2 * np.log1p(-u["radius"])) * np.cos(2 * np.pi * u["phase"])  # Box and Muller, 1958
    return {
        "flip_x": (u["flip_x"] < 0.5) & ranges.flip_x,
        "flip_y": (u["flip_y"] < 0.5) & ranges.flip_y,
        "turn": (4 * u["turn"]).astype(np.int64) * ranges.quarter_turns,
        "dx": _whole(u["dx"], ranges.shift),
        "dy": _whole(u["dy"], ranges.shift),
        "angle": ranges.rotate * (2 * u["angle"] - 1),
        "scale_x": 1 + ranges.zoom * (2 * u["scale_x"] - 1),
        "scale_y": 1 + ranges.zoom * (2 * u["scale_y"] - 1),
        "shear": ranges.shear * (2 * u["shear"] - 1),
        "gain": ranges.gain * normal,
        "noise_seed": (u["noise"] * 2**31).astype(np.int64),
    }


def _whole(u: np.ndarray, most: int) -> np.ndarray:
    """Return a whole number of -most to most for each of the numbers of [0, 1)."""
    return (u * (2 * most + 1)).astype(np.int64) - most


def _uniform(seeds: np.ndarray, n_draws: int) -> np.ndarray:
    """Return numbers of [0, 1) for each seed, independent of each other: (n_draws, n).

    It is the generator splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014),
    whose k-th number is a function of the seed and k. Seeds are mixed first, so that neighbours have nothing in common.
    """
    start = _mixed(seeds.astype(np.uint64) + STEP)
    places = np.arange(1, n_draws + 1, dtype=np.uint64) * STEP
    return (_mixed(start + places[:, None]) >> np.uint64(11)) * 2.0**-53


def _mixed(z: np.ndarray) -> np.ndarray:
    """Return each of the integers as another one, which depends on all of its bits."""
    z = (z ^ (z >> np.uint64(30))) * FIRST
    z = (z ^ (z >> np.uint64(27))) * SECOND
    return z ^ (z >> np.uint64(31))
