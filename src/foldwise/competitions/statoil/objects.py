"""Draw the object in a Statoil chip: a ship (hull, points, side lobes, wake) or an iceberg (soft blob).

Shapes are fields of power over the sea's, one per band, on the grid of 75 x 75 pixels of 10 m. The numbers
were chosen so that object statistics and a small network's score match those of the 1,604 real training rows.
"""

from typing import NamedTuple

import numpy as np

SIDE = 75
CENTRE, CENTRE_SD = 38.0, 4.8  # pixels
POINT_WIDTH, FACET_WIDTH = (0.8, 1.1), (1.1, 1.8)  # sigma of ship scatterers and iceberg facets, pixels
SHIP_LOBE, ICEBERG_LOBE = (-21.0, 2.5), -30.0  # first side lobe over the main lobe, dB
WAKES = 0.3  # share of ships with a wake
STREAKS, STREAK_PEAK = (
    0.25,
    25.0,
)  # share with an azimuth-ambiguity streak, of ships brighter than this in HH (dB)

LINE = np.arange(SIDE, dtype=np.float32)
_Y, _X = np.mgrid[:SIDE, :SIDE].astype(np.float32)


def power(db: np.ndarray) -> np.ndarray:
    """Return power from dB."""
    return np.asarray(np.exp(db * np.float32(np.log(10) / 10)))


def points(y: np.ndarray, x: np.ndarray, strength: np.ndarray, width: float, lobe_db: float) -> np.ndarray:
    """Draw k point scatterers with the cross of side lobes of the radar's response, (75, 75) in power.

    strength is (k,) in power, width the sigma of the main lobe in pixels, lobe_db the level of the first side
    lobe along y (azimuth); along x (range) it is half as strong.
    """
    dy, dx = LINE - y[:, None], LINE - x[:, None]  # (k, 75)
    main_y, main_x = np.exp(-0.5 * (dy / width) ** 2), np.exp(-0.5 * (dx / width) ** 2)
    level = 10 ** (lobe_db / 10)
    lobes_y = 9 * level * (0.35 + np.cos(np.pi * dy / 2.4) ** 2) / (dy * dy + 9)
    lobes_x = 9 * level * 0.5 * (0.35 + np.cos(np.pi * dx / 2.4) ** 2) / (dx * dx + 9)
    lit = main_y * strength[:, None]
    field: np.ndarray = (lit + lobes_y * strength[:, None]).T @ main_x + lit.T @ lobes_x
    return field


class Frame(NamedTuple):
    """Where an object lies: centre and half axes in pixels, heading in radians, and its own coordinates."""

    y: float
    x: float
    heading: float
    major: float
    minor: float
    along: np.ndarray  # (2, 75, 75): 1 at the end of the major axis, per band
    across: np.ndarray


def draw_frame(rng: np.random.Generator, area: float, aspect: float, hv_extent: float) -> Frame:
    """Place an ellipse of that area (pixels) and aspect (width / length) near the chip's centre."""
    heading = rng.uniform(0, np.pi)
    y, x = rng.normal(CENTRE, CENTRE_SD, 2)
    major = np.sqrt(area / np.pi / aspect)
    minor = major * aspect
    extent = np.array([1.0, hv_extent], np.float32)[:, None, None]
    along = ((_X - x) * np.cos(heading) + (_Y - y) * np.sin(heading)) / major / extent
    across = ((_Y - y) * np.cos(heading) - (_X - x) * np.sin(heading)) / minor / extent
    return Frame(y, x, heading, major, minor, along, across)


def hill(top: np.ndarray, edge: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """Return the power of a hill that falls in dB from `top` (2,) at rho = 0 to `edge` (2,) at rho = 1."""
    top, drop = top[:, None, None], np.maximum(top - edge, 1.5)[:, None, None]
    return power(np.maximum(top - drop * rho, -30))  # (2, 75, 75)


def ship_body(rng: np.random.Generator, at: Frame, peak: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Draw a hull with sharp sides and bright points along it, in power over the sea, (2, 75, 75)."""
    k = 2 + min(int(rng.poisson(at.major / 3)), 7)
    along, across = rng.uniform(-0.9, 0.9, k) * at.major, rng.uniform(-0.5, 0.5, k) * at.minor
    y = at.y + along * np.sin(at.heading) + across * np.cos(at.heading)
    x = at.x + along * np.cos(at.heading) - across * np.sin(at.heading)
    drop = rng.exponential(4.0, k)
    drop -= drop.min()
    hull = hill(peak - rng.uniform(5, 9), edge, at.along**4 + np.abs(at.across) ** 3)
    width, lobe = rng.uniform(*POINT_WIDTH), rng.normal(*SHIP_LOBE)
    other_band = np.abs(rng.normal(0, 2.0, k))  # scatterers differ in strength between HH and HV
    hh = points(y, x, power(peak[0] - drop), width, lobe)
    hv = points(y, x, power(peak[1] - drop - other_band), width, lobe)
    return np.asarray(hull + np.stack([hh, hv]))


def ship_sea(rng: np.random.Generator, at: Frame, peak: np.ndarray) -> np.ndarray:
    """Draw what a ship does to the sea in dB, (75, 75): a wake astern, an azimuth-ambiguity streak."""
    sea = np.zeros((SIDE, SIDE), np.float32)
    if rng.random() < WAKES:
        astern = np.maximum(at.along[0] * rng.choice((-1, 1)) - 0.8, 0) * at.major
        width = 1.0 + 0.03 * astern
        line = np.exp(-0.5 * (at.across[0] * at.minor / width) ** 2 - astern / 30) * (astern > 0)
        sea += rng.normal(0, 2.5) * line
    if peak[0] > STREAK_PEAK and rng.random() < STREAKS:
        sea += rng.uniform(1, 3) * np.exp(-0.5 * ((LINE - at.x) / 1.3) ** 2)
    return np.asarray(sea)


def iceberg_body(rng: np.random.Generator, at: Frame, peak: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Draw a ragged soft blob with one or more broad facets, in power over the sea, (2, 75, 75)."""
    bearing = np.arctan2(at.across[0], at.along[0])
    ragged = 1 + sum(rng.normal(0, 0.18 / n) * np.cos(n * bearing + rng.uniform(0, 2 * np.pi)) for n in (2, 3, 4, 5))
    rho = (at.along**2 + at.across**2) / np.maximum(ragged, 0.4) ** 2
    k = 1 + rng.poisson(1.0)
    y, x = at.y + rng.normal(0, 0.3, k) * at.minor, at.x + rng.normal(0, 0.3, k) * at.minor
    width, drop = rng.uniform(*FACET_WIDTH), rng.exponential(3.0, k)
    facets = np.stack([points(y, x, power(top - 1 - drop), width, ICEBERG_LOBE) for top in peak])
    return np.asarray(hill(peak - 1.5, edge, rho) + facets)
