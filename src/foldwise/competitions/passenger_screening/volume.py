"""Draw a simulated body as a small volume, and as echoes of a volume."""

from __future__ import annotations

import numpy as np

from foldwise.competitions.passenger_screening.body import Body
from foldwise.competitions.passenger_screening.render import BACK, COLUMNS, ROWS, Band, Patch, depth_map, draw_view

STEP = 8  # pixels a voxel
VIEWS = 16


def draw_volume(
    body: Body, patches: list[Patch], bands: list[Band], rng: np.random.Generator, white: float
) -> np.ndarray:
    """Draw the surfaces that 16 views see, uint16 (82 rows, 64 t, 64 x): t is the depth, the front being last."""
    return np.asarray(np.minimum(_surfaces(body, patches, bands, rng) * (65535 / white), 65535), np.uint16)


def draw_echoes(body: Body, patches: list[Patch], bands: list[Band], rng: np.random.Generator) -> np.ndarray:
    """Draw complex echoes by range, complex64 (64 t, 64 x, 82 y): the volume's amplitudes with a random phase."""
    amplitude = np.sqrt(_surfaces(body, patches, bands, rng)).transpose(1, 2, 0)
    phase = rng.uniform(0, 2 * np.pi, amplitude.shape)
    noise = rng.normal(0, 0.02, (2, *amplitude.shape))
    return np.asarray(amplitude * np.exp(1j * phase) + noise[0] + 1j * noise[1], np.complex64)


def _surfaces(body: Body, patches: list[Patch], bands: list[Band], rng: np.random.Generator) -> np.ndarray:
    """Put the pixels of all views where they are in space, the brightest of each voxel, float32 (rows, t, x)."""
    n_rows, n = ROWS // STEP, COLUMNS // STEP
    volume = np.zeros((n_rows, n, n), np.float32)
    for view in range(VIEWS):
        t = 2 * np.pi * view / VIEWS
        depth = depth_map(body, t, STEP // 2)
        image = draw_view(body, patches, bands, np.degrees(t), STEP // 2, rng)
        row, column = np.nonzero(depth > BACK)
        d, x = depth[row, column], (column + 0.5) * (STEP // 2) - COLUMNS / 2
        right, front = x * np.cos(t) + d * np.sin(t), d * np.cos(t) - x * np.sin(t)
        i, j = ((axis + COLUMNS / 2) // STEP for axis in (front, right))
        inside = (i >= 0) & (i < n) & (j >= 0) & (j < n) & (row // 2 < n_rows)
        at = (row[inside] // 2, i[inside].astype(int), j[inside].astype(int))
        np.maximum.at(volume, at, image[row, column][inside])
    return volume
