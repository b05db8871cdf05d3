"""Draw one Sentinel-1 IW GRDH chip (HH and HV) of a ship, an iceberg or a machine-generated mixture.

A pixel in decibels is sea level + texture + speckle + the object's lift over the sea, then rounded to an
integer digital number (DN), as the product stores it: dB = 20*log10(DN) - K(angle).
Numbers marked [M] were measured on the 1,604 real training rows; the others were chosen so that the
statistics of the images, and the scores of models that see nothing else, match those of the real rows.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from foldwise.competitions.statoil.objects import LINE, SIDE, draw_frame, iceberg_body, ship_body, ship_sea

DN_OFFSET_35, DN_OFFSET_SLOPE = 55.95, -0.095  # K in dB at 35 degrees, its change per degree; both bands [M]
DN_MAX = 32767  # about 35 dB, the brightest real pixel [M]
SEA_SLOPE = np.array([-0.464, -0.278])  # dB per degree of incidence angle, HH and HV [M]
ANGLE_MEAN = 39.27  # degrees [M]
LOOKS, LOOKS_RANGE = 4.5, (4.2, 4.8)  # equivalent number of looks of the gamma speckle [M]
TAPS_X, TAPS_Y = 0.36, 0.315  # side taps of 3-tap filters: lag-1 autocorrelation .55 along x, .5 along y [M]
SCENE_SHARE = 0.5  # share of the sea level's variance that rows of one scene have in common
LOWEST_PEAK = np.array([8.0, 2.0])  # dB over the sea: something is there in HH
GENERATED_SEA, GENERATED_PEAK = (-24.7, 2.3), (23.0, 8.8)  # dB; mean and sd
GENERATED_LOG_AREA, GENERATED_HV_EXTENT, GENERATED_TEXTURE = (5.4, 0.7), (0.0, 0.2), (1.15, 1.15)


class Kind(NamedTuple):
    """One class's distributions over images; pairs are (HH, HV) in dB unless a comment says mean and sd."""

    sea: tuple[float, float]  # sea level at ANGLE_MEAN
    sea_sd: tuple[float, float]  # residual sd around the line over the angle
    sea_correlation: float
    sea_humps: float  # how two-humped the sea level's distribution is (calm and windy waters): see two_humps
    texture: tuple[float, float]  # sd of slow changes of the sea inside a chip
    peak: tuple[float, float]  # brightest point of the object over the sea
    peak_sd: tuple[float, float]
    peak_correlation: float
    peak_humps: float  # the same for the peak (small craft and large vessels)
    edge: tuple[float, float]  # lift of the object's rim over the sea
    log_area: tuple[float, float]  # mean and sd of ln(object area in pixels)
    area_peak_correlation: float
    aspect: tuple[float, float]  # mean and sd of ln(width / length)
    hv_extent: tuple[float, float]  # mean and sd of ln(extent in HV / in HH)
    atypical: float  # share of objects shaped like those of the other class


SHIP = Kind(
    sea=(-20.6, -26.5),
    sea_sd=(4.3, 1.7),
    sea_correlation=0.74,
    sea_humps=4.0,
    texture=(0.7, 0.35),
    peak=(22.0, 17.0),
    peak_sd=(8.4, 9.2),
    peak_correlation=0.9,
    peak_humps=4.0,
    edge=(6.0, 3.0),
    log_area=(3.9, 1.1),
    area_peak_correlation=0.89,
    aspect=(-1.2, 0.33),
    hv_extent=(-0.1, 0.25),
    atypical=0.025,
)
ICEBERG = Kind(
    sea=(-21.6, -26.6),
    sea_sd=(2.8, 1.4),
    sea_correlation=0.53,
    sea_humps=0.0,
    texture=(0.6, 0.25),
    peak=(16.5, 9.0),
    peak_sd=(4.9, 4.6),
    peak_correlation=0.85,
    peak_humps=0.0,
    edge=(4.5, 1.5),
    log_area=(4.37, 0.92),
    area_peak_correlation=0.89,
    aspect=(-0.85, 0.33),
    hv_extent=(-0.18, 0.3),
    atypical=0.025,
)
KINDS = (SHIP, ICEBERG)  # by label

_NORMAL = np.linspace(-5, 5, 201)


@cache
def _gamma_db() -> np.ndarray:
    """Return the gamma law's quantiles in dB at those of the normal law, (201,)."""
    from scipy import special  # slow to import, and a configuration is checked without it

    quantiles: np.ndarray = 10 * np.log10(special.gammaincinv(LOOKS, special.ndtr(_NORMAL)) / LOOKS)
    return quantiles


@cache
def speckle_mean() -> float:
    """Return the mean of speckle in dB, about -.5."""
    return float(np.average(_gamma_db(), weights=np.exp(-(_NORMAL**2) / 2)))


def offset(angle: float) -> float:
    """Return K in dB at an incidence angle in degrees."""
    return DN_OFFSET_35 + DN_OFFSET_SLOPE * (angle - 35.0)


def speckle(rng: np.random.Generator, looks: float) -> np.ndarray:
    """Draw gamma speckle of mean power 1 in dB, independent in the two bands, (2, 75, 75).

    A correlated normal field is carried to the gamma law by its quantiles at LOOKS, stretched to `looks`.
    """
    z = rng.standard_normal((2, SIDE + 2, SIDE + 2), dtype=np.float32)
    z = z[:, 1:-1] + TAPS_Y * (z[:, :-2] + z[:, 2:])
    z = z[:, :, 1:-1] + TAPS_X * (z[:, :, :-2] + z[:, :, 2:])
    z /= np.sqrt((1 + 2 * TAPS_X**2) * (1 + 2 * TAPS_Y**2))
    noise: np.ndarray = np.interp(z, _NORMAL, _gamma_db()) * np.sqrt(LOOKS / looks)
    return noise


def slow_field(rng: np.random.Generator) -> np.ndarray:
    """Draw a smooth field of unit spread from five long waves, (75, 75)."""
    waves = rng.normal(0, 0.06, (5, 2))
    phases = rng.uniform(0, 2 * np.pi, 5)
    rows = np.exp(1j * (LINE[:, None] * waves[:, 0] + phases))  # (75, 5)
    columns = np.exp(1j * LINE[:, None] * waves[:, 1])
    field: np.ndarray = (rows @ columns.T).real * np.sqrt(2 / 5)
    return field


def two_humps(z: np.ndarray, humps: float) -> np.ndarray:
    """Push standard normals away from 0 (humps = 0: not at all) and bring them back to unit variance."""
    push = np.tanh(3 * z)  # E[z * push] = .765, E[push**2] = .745
    return np.asarray((z + humps * push) / np.sqrt(1 + 2 * 0.765 * humps + 0.745 * humps**2))


def pair(z: np.ndarray, r: float) -> np.ndarray:
    """Turn two independent unit normals into two with correlation r, the first kept."""
    return np.array([z[0], r * z[0] + np.sqrt(1 - r * r) * z[1]])


def draw_object(
    rng: np.random.Generator, kind: Kind, shape: Kind, peak: np.ndarray, log_area: float
) -> tuple[np.ndarray, np.ndarray]:
    """Draw an object of `kind` in the outline of `shape`.

    Returns its power over the sea's, (2, 75, 75), and the changes of the sea around it in dB, (75, 75).
    """
    aspect = np.exp(np.clip(rng.normal(*shape.aspect), -1.8, -0.02))
    at = draw_frame(rng, np.exp(np.clip(log_area, 2.0, 6.6)), aspect, np.exp(rng.normal(*kind.hv_extent)))
    edge = np.minimum(np.array(kind.edge), peak - 2)
    if shape is SHIP:
        return ship_body(rng, at, peak, edge), ship_sea(rng, at, peak)
    return iceberg_body(rng, at, peak, edge), np.zeros((SIDE, SIDE), np.float32)


def to_dn(
    rng: np.random.Generator,
    texture: tuple[float, float],
    level: np.ndarray,
    body: np.ndarray,
    sea: np.ndarray,
    angle: float,
) -> np.ndarray:
    """Put texture and speckle over sea level and object, and round to DN, (2, 75, 75) integers from 1."""
    slow = slow_field(rng) * np.array(texture)[:, None, None]
    noise = speckle(rng, rng.uniform(*LOOKS_RANGE)) - speckle_mean()
    db = level[:, None, None] + slow + sea + noise + 10 * np.log10(1 + body)
    dn = np.rint(np.exp((db + offset(angle)) * (np.log(10) / 20)))
    return np.asarray(np.clip(dn, 1, DN_MAX), np.int32)


def draw_chip(rng: np.random.Generator, label: int, angle: float, scene: np.ndarray) -> np.ndarray:
    """Draw the DN of one real-looking chip, (2, 75, 75) integers from 1.

    label is 0 for a ship and 1 for an iceberg, angle in degrees; scene is two standard normals: the part of
    the sea level (HH, HV) that all rows of the scene share.
    """
    kind = KINDS[label]
    sea = np.sqrt(SCENE_SHARE) * scene + np.sqrt(1 - SCENE_SHARE) * rng.standard_normal(2)
    sea[0] = two_humps(sea[0], kind.sea_humps)
    level = np.array(kind.sea) + SEA_SLOPE * (angle - ANGLE_MEAN)
    level += np.array(kind.sea_sd) * pair(sea, kind.sea_correlation)
    z = rng.standard_normal(2)
    z[0] = two_humps(z[0], kind.peak_humps)
    peak = np.maximum(np.array(kind.peak) + np.array(kind.peak_sd) * pair(z, kind.peak_correlation), LOWEST_PEAK)
    size = pair(np.array([z[0], rng.standard_normal()]), kind.area_peak_correlation)[1]
    shape = KINDS[1 - label] if rng.random() < kind.atypical else kind
    body, around = draw_object(rng, kind, shape, peak, kind.log_area[0] + kind.log_area[1] * size)
    return to_dn(rng, kind.texture, level, body, around, angle)


def draw_generated(rng: np.random.Generator, angle: float) -> np.ndarray:
    """Draw the DN of one machine-generated chip, whose two bands have the same statistics, (2, 75, 75)."""
    kind = KINDS[rng.integers(2)]
    (mean, sd), (top, top_sd), (size, size_sd) = GENERATED_SEA, GENERATED_PEAK, GENERATED_LOG_AREA
    level = mean + sd * pair(rng.standard_normal(2), 0.8)
    common = pair(rng.standard_normal(2), 0.85)
    peak = np.maximum(top + top_sd * common, LOWEST_PEAK[0])
    drawn = kind._replace(hv_extent=GENERATED_HV_EXTENT)
    body, around = draw_object(rng, drawn, kind, peak, rng.normal(size, size_sd))
    return to_dn(rng, GENERATED_TEXTURE, level, body, around, angle)
