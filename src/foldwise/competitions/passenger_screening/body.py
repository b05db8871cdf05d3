"""The body of a simulated person: columns of ellipses (trunk, head, legs) and tubes (arms, feet).

Lengths are pixels of the published images (512 x 660). X points to the person's left, Y down, Z to the
front; the scanner turns around X = Z = 0, which is column 256. A view at the angle t sees the point (X, Y, Z)
in column 256 + X cos t - Z sin t at the depth X sin t + Z cos t, larger being nearer. The outlines are chosen
so that the zones lie where the published threat boxes have them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FLOOR = 640.0
# Knots of a person of mean build: Y, centre X, centre Z, half width, half depth.
TRUNK = np.array(
    [
        [222, 0, -38, 28, 28],
        [232, 0, -40, 60, 40],
        [246, 0, -41, 80, 53],
        [275, 0, -41, 79, 58],
        [310, 0, -37, 73, 56],
        [350, 0, -34, 69, 53],
        [373, 0, -33, 70, 52],
        [405, 0, -33, 84, 54],
        [430, 0, -33, 86, 53],
        [446, 0, -33, 79, 47],
        [456, 0, -33, 70, 38],
    ],
    float,
)
HEAD = np.array(  # and neck
    [
        [118, 0, -33, 4, 5],
        [124, 0, -33, 20, 25],
        [135, 0, -33, 32, 38],
        [150, 0, -33, 39, 47],
        [170, 0, -33, 42, 50],
        [190, 0, -32, 39, 48],
        [206, 0, -32, 33, 43],
        [217, 0, -36, 27, 32],
        [240, 0, -40, 30, 30],
    ],
    float,
)
LEG = np.array(  # the left one
    [
        [428, 42, -33, 40, 45],
        [450, 43, -33, 40, 43],
        [490, 57, -33, 34, 37],
        [520, 63, -42, 29, 31],
        [557, 77, -51, 29, 32],
        [590, 76, -51, 24, 26],
        [614, 74, -53.5, 19, 22],
        [638, 74, -54.5, 18, 22],
    ],
    float,
)
SHOULDER, ELBOW, WRIST, HAND = (78.0, 240.0, -42.0), (151.0, 173.0, -42.0), (91.0, 92.0, 53.0), (78.0, 60.0, 62.0)
HEEL, TOE = (76.0, 632.0, -66.0), (84.0, 636.0, -12.0)


class Build(NamedTuple):
    """How a person differs from the mean: factors, and X, Y, Z of the joints in pixels."""

    height: float
    width: float
    depth: float
    belly: float
    limbs: float
    elbow: np.ndarray  # (2, 3) added to the joint, right then left, X outwards
    wrist: np.ndarray
    feet: np.ndarray  # (2,) apart, pixels outwards


class Tube(NamedTuple):
    """Spheres along a limb, close enough to look like one surface."""

    centres: np.ndarray  # (n, 3)
    radii: np.ndarray  # (n,)


class Body(NamedTuple):
    """The surface that views are rendered from; columns (rows, 5) are Y, centre X, centre Z, half width, half depth."""

    columns: dict[str, np.ndarray]
    tubes: dict[str, Tube]
    height: float  # of the Build

    def row(self, y: float) -> float:
        """The row where a person of mean height has y."""
        return FLOOR - (FLOOR - y) * self.height


def draw_build(rng: np.random.Generator) -> Build:
    """Draw a person."""
    bulk = rng.normal(0, 1)  # wide people are deep ones
    return Build(
        height=float(np.clip(rng.normal(1, 0.035), 0.9, 1.08)),
        width=float(np.exp(0.07 * bulk + rng.normal(0, 0.04))),
        depth=float(np.exp(0.10 * bulk + rng.normal(0, 0.05))),
        belly=float(max(0.0, 8 * bulk + rng.normal(0, 6))),
        limbs=float(np.exp(0.07 * bulk + rng.normal(0, 0.06))),
        elbow=rng.normal(0, (9, 13, 9), (2, 3)) + rng.normal(0, (7, 11, 7)),
        wrist=rng.normal(0, (8, 11, 9), (2, 3)) + rng.normal(0, (8, 11, 9)),
        feet=rng.normal(0, 6, 2) + rng.normal(0, 9),
    )


def posed(rng: np.random.Generator, build: Build) -> Body:
    """Return a person in another pose: a step to the side, a small turn, arms moved a little."""
    build = build._replace(
        elbow=build.elbow + rng.normal(0, (4, 5, 4), (2, 3)),
        wrist=build.wrist + rng.normal(0, (4, 5, 4), (2, 3)),
        feet=build.feet + rng.normal(0, 3, 2),
    )
    turn, step = np.radians(rng.normal(0, 2.5)), np.array([rng.normal(-4, 3.5), 0, rng.normal(0, 3.5)])
    return _placed(_standing(build), float(turn), step)


def _standing(build: Build) -> Body:
    """The body in the middle of the scanner."""

    def column(knots: np.ndarray, width: float, depth: float) -> np.ndarray:
        scaled = knots * (1, 1, 1, width, depth)
        scaled[:, 0] = FLOOR - (FLOOR - scaled[:, 0]) * build.height
        rows = np.arange(np.ceil(scaled[0, 0]), scaled[-1, 0])
        return np.column_stack([rows, *(np.interp(rows, scaled[:, 0], scaled[:, k]) for k in range(1, 5))])

    trunk = column(TRUNK, build.width, build.depth)
    y = FLOOR - (FLOOR - 345) * build.height
    belly = build.belly * np.exp(-(((trunk[:, 0] - y) / 38) ** 2))
    trunk[:, 4] += belly / 2  # to the front alone
    trunk[:, 2] += belly / 2
    columns = {"trunk": trunk, "head": column(HEAD, 0.5 + 0.5 * build.width, 1.0)}
    tubes = {}
    for side, name in ((-1, "right"), (1, "left")):
        k = (side + 1) // 2
        leg = column(LEG, build.limbs, build.limbs)
        down = np.clip((leg[:, 0] - leg[0, 0]) / 150, 0, 1)
        leg[:, 1] = side * (leg[:, 1] * (1 + (build.width - 1) * (1 - down)) + build.feet[k] * down)
        columns[f"{name} leg"] = leg
        out = np.array([side, 1.0, 1.0])
        shoulder, elbow, wrist, hand = (_raised(joint, build) for joint in (SHOULDER, ELBOW, WRIST, HAND))
        shoulder[0] *= build.width
        elbow, move = elbow + build.elbow[k], build.wrist[k]
        tubes[f"{name} arm"] = _tube([shoulder * out, elbow * out], np.array([33, 27, 26, 21]) * build.limbs, 18)
        forearm = [elbow * out, (wrist + move) * out, (hand + move) * out]
        tubes[f"{name} forearm"] = _tube(forearm, np.array([21, 22, 18, 13, 15, 9]) * build.limbs, 24)
        feet = np.array([build.feet[k], 0, 0])
        tubes[f"{name} foot"] = _tube([(HEEL + feet) * out, (TOE + feet) * out], np.array([13, 12, 9]), 8)
    return Body(columns, tubes, build.height)


def _raised(joint: tuple[float, float, float], build: Build) -> np.ndarray:
    """Move a joint with the height of the shoulders."""
    up = (FLOOR - SHOULDER[1]) * (build.height - 1)
    return np.array(joint) - (0.0, up, 0.0)


def _tube(joints: list[np.ndarray], radii: np.ndarray, n: int) -> Tube:
    """Put n spheres along the way from joint to joint."""
    points = np.array(joints)
    at = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    along = np.linspace(0, at[-1], n)
    centres = np.column_stack([np.interp(along, at, points[:, k]) for k in range(3)])
    return Tube(centres, np.interp(along, np.linspace(0, at[-1], len(radii)), radii))


def _placed(body: Body, turn: float, step: np.ndarray) -> Body:
    """Turn the body by a small angle and move it."""
    c, s = np.cos(turn), np.sin(turn)

    def moved(x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return x * c + z * s + step[0], z * c - x * s + step[2]

    columns = {}
    for name, column in body.columns.items():
        x, z = moved(column[:, 1], column[:, 2])  # the ellipses keep their axes: the turn is small
        columns[name] = np.column_stack([column[:, 0], x, z, column[:, 3:]])
    tubes = {}
    for name, tube in body.tubes.items():
        x, z = moved(tube.centres[:, 0], tube.centres[:, 2])
        tubes[name] = Tube(np.column_stack([x, tube.centres[:, 1], z]), tube.radii)
    return Body(columns, tubes, body.height)


def surface(body: Body, part: str, at: float, angle: float, tilt: float = 0.0) -> np.ndarray:
    """Return a point of the surface and its frame, (4, 3): point, sideways, downwards or along the limb, outwards.

    at: the row Y of a column, or the share 0 to 1 of a tube's way. angle: of the outward direction, degrees (0
    front, 90 the person's left). tilt: of the outward direction of a tube, up (negative) or down.
    """
    a = np.radians(angle)
    if part in body.columns:
        column = body.columns[part]
        x, z, width, depth = (np.interp(at, column[:, 0], column[:, k]) for k in range(1, 5))
        size = np.hypot(width * np.sin(a), depth * np.cos(a))
        point = np.array([x + width**2 * np.sin(a) / size, at, z + depth**2 * np.cos(a) / size])
        return np.array([point, (np.cos(a), 0, -np.sin(a)), (0, 1, 0), (np.sin(a), 0, np.cos(a))])
    centres, radii = body.tubes[part]
    k = at * (len(radii) - 1)
    centre = np.array([np.interp(k, range(len(radii)), centres[:, j]) for j in range(3)])
    axis = centres[min(int(k) + 1, len(radii) - 1)] - centres[max(int(k) - 1, 0)]
    axis /= np.linalg.norm(axis)
    out = np.array([np.sin(a), tilt, np.cos(a)])
    out -= (out @ axis) * axis
    out /= np.linalg.norm(out)
    return np.array([centre + np.interp(k, range(len(radii)), radii) * out, np.cross(axis, out), axis, out])
