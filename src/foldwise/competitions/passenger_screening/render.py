"""Draw a simulated body as a millimetre-wave scanner shows it: a view at an angle, or a volume.

A pixel is bright where the surface faces the scanner, mottled by the skin and cloth (fixed to the body, so
that it turns with it) and by speckle (of each view alone), and changed by patches: folds, things, threats.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

from foldwise.competitions.passenger_screening.body import Body, Tube

ROWS, COLUMNS = 660, 512
BACK = -200.0  # the depth of what is not there
MOTTLE, SPECKLE, BANK = 64, 1024, 12345  # cells of the volume, pixels of the sheet, and the seed of both
MOTTLE_SD, SPECKLE_SD, CELL = 0.22, 0.18, 3.0  # in log intensity; pixels a cell
THICK = 2.0  # pixels above the skin from which on something changes the outline
SHADE = 2.2  # how fast a surface darkens as it turns away
AIR = 0.02  # noise, on the scale of a body of about 1


class Patch(NamedTuple):
    """Something on the skin, in the frame of the surface."""

    frame: np.ndarray  # (4, 3): centre, sideways, down, outwards
    half: tuple[float, float]  # pixels sideways and down
    gain: float  # change of log intensity inside
    rim: float  # and on its edge
    height: float  # pixels above the skin
    oval: bool  # or a box with round corners
    soft: float  # share of the half size over which the edge falls


class Band(NamedTuple):
    """A belt, a hem or a sock: rows of the body that are brighter or darker."""

    row: float
    half: float
    gain: float


def draw_view(
    body: Body, patches: list[Patch], bands: list[Band], angle: float, step: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the intensity seen at an angle (degrees), float32 (660 / step, 512 / step), a bright body being 1."""
    t = np.radians(angle)
    depth = depth_map(body, t, step)
    for patch in patches:
        _bulge(patch, depth, t, step)
    there = depth > BACK
    rows = np.flatnonzero(there.any(axis=1))
    columns = np.flatnonzero(there.any(axis=0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    log = _mottled(depth[box], box, t, step)
    y = (np.arange(box[0].start, box[0].stop, dtype=np.float32) + 0.5) * step
    for band in bands:
        log += (band.gain * np.exp(-(((y - band.row) / band.half) ** 4)))[:, None]
    bump = np.zeros_like(depth)
    whole = np.zeros_like(depth)
    whole[box] = log
    for patch in patches:
        _press(patch, depth, whole, bump, t, step)
    depth = depth + bump
    facing = _facing(depth, step)
    top = SPECKLE - depth.shape[0]
    left = SPECKLE - depth.shape[1]
    i, j = int(rng.integers(top)), int(rng.integers(left))
    speckle = _speckle(step)[i : i + depth.shape[0], j : j + depth.shape[1]]
    image = np.exp(whole + SPECKLE_SD * speckle) * (0.10 + 0.90 * facing**SHADE) * there
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.6 / step), np.float32)


def draw_words(
    body: Body,
    patches: list[Patch],
    bands: list[Band],
    angle: float,
    scale: int,
    rng: np.random.Generator,
    white: float,
) -> np.ndarray:
    """Draw a view as the scanner stores it: uint16 (660 / scale, 512 / scale), `white` being 65535.

    At full size the body is drawn with half the resolution, which is finer than the waves are, and enlarged
    before the noise of the receiver is added.
    """
    image = draw_view(body, patches, bands, angle, max(scale, 2), rng)
    shape = (ROWS // scale, COLUMNS // scale)
    if image.shape != shape:
        image = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_LINEAR)
    i, j = (int(rng.integers(SPECKLE - size)) for size in shape)
    noise = _noise()[i : i + shape[0], j : j + shape[1]]
    words = (image * (1 + 2 * noise) + noise) * np.float32(65535 / white)
    return np.asarray(np.minimum(words, 65535), np.uint16)


def depth_map(body: Body, t: float, step: int) -> np.ndarray:
    """Return the depth of the nearest surface at the angle t (radians), BACK where there is none."""
    depth = np.full((ROWS // step, COLUMNS // step), BACK, np.float32)
    for column in body.columns.values():
        _add_column(depth, column, t, step)
    for tube in body.tubes.values():
        _add_tube(depth, tube, t, step)
    return depth


def _add_column(depth: np.ndarray, column: np.ndarray, t: float, step: int) -> None:
    """Where a ray meets an ellipse is a quadratic equation; rows and columns of a part are solved at once."""
    c, s = np.cos(t), np.sin(t)
    first = max(int(np.ceil(column[0, 0] / step - 0.5)), 0)
    last = min(int(column[-1, 0] / step - 0.5), depth.shape[0] - 1)
    at = ((np.arange(first, last + 1) + 0.5) * step - column[0, 0]).round().astype(int)
    _, x, z, a, b = column[np.clip(at, 0, len(column) - 1)].T[:, :, None]
    across, near = 256 + x * c - z * s, x * s + z * c
    p, q = s**2 / a**2 + c**2 / b**2, c * s * (1 / a**2 - 1 / b**2)
    half = a * b * np.sqrt(p)
    low = max(int((across - half).min() / step), 0)
    high = min(int((across + half).max() / step) + 2, depth.shape[1])
    u = (np.arange(low, high) + 0.5) * step - across
    inside = p - (u / (a * b)) ** 2
    there = near + (np.sqrt(np.maximum(inside, 0)) - q * u) / p
    window = depth[first : last + 1, low:high]
    np.copyto(window, there, where=(inside > 0) & (there > window), casting="same_kind")


def _add_tube(depth: np.ndarray, tube: Tube, t: float, step: int) -> None:
    """The nearest of all spheres, at once for all pixels around the limb."""
    c, s = np.cos(t), np.sin(t)
    x, y, z = tube.centres.T
    across, near, r = 256 + x * c - z * s, x * s + z * c, tube.radii
    rows = slice(max(int((y - r).min() / step), 0), min(int((y + r).max() / step) + 2, depth.shape[0]))
    columns = slice(max(int((across - r).min() / step), 0), min(int((across + r).max() / step) + 2, depth.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    i = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) * step
    j = (np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5) * step
    dy = (r**2)[:, None] - (i - y[:, None]) ** 2  # (n, rows)
    dx = (j - across[:, None]) ** 2  # (n, columns)
    up = np.maximum(dy[:, :, None] - dx[:, None, :], 0).astype(np.float32)  # (n, rows, columns)
    there = np.where(up > 0, np.sqrt(up) + near.astype(np.float32)[:, None, None], np.float32(BACK)).max(axis=0)
    window = depth[rows, columns]
    np.maximum(window, there, out=window)


def _mottled(depth: np.ndarray, box: tuple[slice, slice], t: float, step: int) -> np.ndarray:
    """Look the mottle up where the surface is in the body's own space."""
    c, s = np.float32(np.cos(t)), np.float32(np.sin(t))
    y = (np.arange(box[0].start, box[0].stop, dtype=np.float32) + 0.5)[:, None] * (step / CELL)
    x = ((np.arange(box[1].start, box[1].stop, dtype=np.float32) + 0.5) * step - 256) / np.float32(CELL)
    d = depth / np.float32(CELL)
    i = (x * c + d * s).astype(np.int32) & (MOTTLE - 1)
    k = (d * c - x * s).astype(np.int32) & (MOTTLE - 1)
    flat = (y.astype(np.int32) & (MOTTLE - 1)) * (MOTTLE * MOTTLE) + i * MOTTLE + k
    return np.asarray(_mottle()[flat])


def _bulge(patch: Patch, depth: np.ndarray, t: float, step: int) -> None:
    """Make a patch protrude from the outline, as an ellipsoid: again a quadratic equation along each ray."""
    if patch.height < THICK or patch.soft > 0.5:  # relief and folds have no edge to see
        return
    turned = _turned(patch, t)
    box = _window(turned, patch, depth, step)
    if turned[3, 2] < -0.5 or box is None:
        return
    rows, columns, dx, dy = box
    axes = turned[1:].astype(np.float32) / np.array([[patch.half[0]], [patch.half[1]], [patch.height]], np.float32)
    (xx, xy, xz), (_, yy, yz), (_, _, zz) = axes.T @ axes
    half_b = xz * dx + yz * dy
    inside = half_b**2 - zz * (xx * dx**2 + 2 * xy * dx * dy + yy * dy**2 - 1)
    there = np.float32(turned[0, 2]) + (np.sqrt(np.maximum(inside, 0)) - half_b) / zz
    window = depth[rows, columns]
    np.copyto(window, there, where=(inside > 0) & (there > window))


def _turned(patch: Patch, t: float) -> np.ndarray:
    """The patch's frame as the view at t sees it: columns across, down, near."""
    c, s = np.cos(t), np.sin(t)
    return patch.frame @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _window(
    turned: np.ndarray, patch: Patch, depth: np.ndarray, step: int
) -> tuple[slice, slice, np.ndarray, np.ndarray] | None:
    """Rows and columns around a patch, and each one's distance from its centre in pixels; None outside the view."""
    _, right, down, out = np.abs(turned)
    reach = 1.3 * (right[:2] * patch.half[0] + down[:2] * patch.half[1]) + out[:2] * abs(patch.height) + 6
    x, y = 256 + turned[0, 0], turned[0, 1]
    columns = slice(max(int((x - reach[0]) / step), 0), min(int((x + reach[0]) / step) + 1, depth.shape[1]))
    rows = slice(max(int((y - reach[1]) / step), 0), min(int((y + reach[1]) / step) + 1, depth.shape[0]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    dx = (np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5)) * step - np.float32(x)
    dy = ((np.arange(rows.start, rows.stop, dtype=np.float32) + np.float32(0.5)) * step - np.float32(y))[:, None]
    return rows, columns, dx, dy


def _press(patch: Patch, depth: np.ndarray, log: np.ndarray, bump: np.ndarray, t: float, step: int) -> None:
    """Put a patch where its place is in this view, unless something nearer hides it."""
    turned = _turned(patch, t)
    box = _window(turned, patch, depth, step)
    if turned[3, 2] < 0.05 or box is None:
        return
    rows, columns, dx, dy = box
    right, down, out = turned[1:].astype(np.float32)
    dd = depth[rows, columns] - np.float32(turned[0, 2])
    u = np.abs(dx * right[0] + dy * right[1] + dd * right[2]) / np.float32(patch.half[0])
    v = np.abs(dx * down[0] + dy * down[1] + dd * down[2]) / np.float32(patch.half[1])
    w = np.abs(dx * out[0] + dy * out[1] + dd * out[2])
    far = np.sqrt(u * u + v * v) if patch.oval else np.sqrt(np.sqrt(u**4 + v**4))
    inside = np.clip((1 - far) / np.float32(patch.soft) + np.float32(0.5), 0, 1) * (w < 28)
    log[rows, columns] += patch.gain * inside + (4 * patch.rim) * (inside * (1 - inside))
    if patch.height:
        bump[rows, columns] += (patch.height * out[2]) * inside


def _facing(depth: np.ndarray, step: int) -> np.ndarray:
    """Return how much the surface faces the scanner, 0 to 1: the depth of its normal."""
    gx = cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3, scale=1 / (8 * step))
    gy = cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3, scale=1 / (8 * step))
    return np.asarray(1 / np.sqrt(1 + gx * gx + gy * gy))


@cache
def _mottle() -> np.ndarray:
    """A periodic volume of smooth noise, flat, mean 0 and variance MOTTLE_SD ** 2, coarse and fine."""
    rng = np.random.default_rng(BANK)
    noise = np.fft.rfftn(rng.standard_normal((MOTTLE,) * 3))
    f = np.meshgrid(np.fft.fftfreq(MOTTLE), np.fft.fftfreq(MOTTLE), np.fft.rfftfreq(MOTTLE), indexing="ij")
    k2 = sum(axis**2 for axis in f)
    total = np.zeros((MOTTLE,) * 3)
    for cells, share in ((0.8, 0.7), (3.0, 0.7)):
        field = np.fft.irfftn(noise * np.exp(-2 * np.pi**2 * cells**2 * k2), s=(MOTTLE,) * 3, axes=(0, 1, 2))
        total += share * field / field.std()
    return np.asarray(MOTTLE_SD * total / total.std(), np.float32).ravel()


@cache
def _speckle(step: int) -> np.ndarray:
    """A sheet of speckle, mean 0 and about variance 1, finer than a body's mottle."""
    rng = np.random.default_rng([BANK, step])
    sheet = cv2.GaussianBlur(rng.standard_normal((SPECKLE, SPECKLE)).astype(np.float32), (0, 0), max(2.0 / step, 0.5))
    return np.asarray(sheet / sheet.std())


@cache
def _noise() -> np.ndarray:
    """A sheet of the receiver's noise, positive, mean AIR."""
    rng = np.random.default_rng([BANK, 1])
    return np.asarray(rng.rayleigh(AIR / np.sqrt(np.pi / 2), (SPECKLE, SPECKLE)), np.float32)
