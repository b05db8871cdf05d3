"""Augmentation of the presets, which change an image in one go, against the same pipelines of albumentations.

Both take batches of 32 images with a seed each, in one Python thread, as the training step's batches are built. The
distributions are the same (a test compares them), and so are the bits for the same numbers. Batches of both take
turns; what is shown is the median over batches, in microseconds an image, and the median of the ratios of neighbours.
The ratio is smallest where interpolation, which both leave to OpenCV, is most of the work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measure import table

BATCH = 32
FLIPS: list[Any] = ["HorizontalFlip", "VerticalFlip"]
CASES: list[tuple[str, str, dict[str, Any], list[Any], tuple[int, ...], str]] = [
    # name, preset, its options, what albumentations does first, shape of an image, type
    ("flips", "flips", {}, FLIPS, (75, 75, 2), "float32"),
    ("radar", "radar", {}, FLIPS, (75, 75, 2), "float32"),
    ("radar, turned and zoomed", "radar", {"rotate": 10.0, "zoom": 0.1}, FLIPS, (75, 75, 2), "float32"),
    ("digits", "digits", {}, [], (28, 28, 1), "uint8"),
    ("photographs, turned", "radar", {"shift": 10, "rotate": 10.0}, FLIPS, (224, 224, 3), "uint8"),
]


def run(quick: bool) -> None:
    """Print microseconds an image of both, and the ratios."""
    rows = []
    for name, preset, options, first, shape, dtype in CASES:
        images = np.random.default_rng(0).uniform(0, 250, size=(BATCH, *shape)).astype(dtype)
        ours, theirs = _built(preset, options, first)
        seconds = np.array(
            [[_seconds(one, images, turn) for one in (ours, theirs)] for turn in range(2 if quick else 60)]
        )
        each = np.median(seconds, axis=0) / BATCH * 1e6
        size = " x ".join(map(str, shape))
        ratio = np.median(seconds[:, 1] / seconds[:, 0])
        rows.append([name, f"{size} {dtype}", *(f"{one:.0f}" for one in each), f"{ratio:.1f}"])
    table(["", "image", "foldwise us", "albumentations us", "times as fast"], rows)


def _built(preset: str, options: dict[str, Any], first: list[Any]) -> list[Any]:
    """Return the augmentation of a preset, and that of albumentations with the same distribution."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    from foldwise.augment import pipelines

    ours = pipelines.build(preset, options)
    ranges = pipelines.ranges_of(preset, options)
    assert ranges is not None
    shift, rotate, zoom = ranges.shift, ranges.rotate, ranges.zoom
    affine = {
        "translate_px": {"x": [-shift, shift], "y": [-shift, shift]},
        "rotate": [-rotate, rotate],
        "scale": [1 - zoom, 1 + zoom],
        "border_mode": "BORDER_REFLECT_101" if ranges.border == "reflect" else "BORDER_CONSTANT",
        "p": 1,
    }
    named = [*first, {"Affine": affine}] if shift or ranges.interpolates else first
    return [ours, pipelines.build("transforms", {"transforms": named})]


def _seconds(augment: Callable[..., Any], images: np.ndarray, seed: int) -> float:
    seeds = np.random.default_rng(seed).integers(2**63, size=len(images))
    started = time.perf_counter()
    augment({"images": images}, np.zeros((len(images), 1)), seeds)
    return time.perf_counter() - started
