"""What lies on a simulated body: anatomy, folds of cloth, innocent things, and threats in their zones.

Where threats lie, how large they are and from how many views they are seen follows the published boxes
(`threat_boxes.csv`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from foldwise.competitions.passenger_screening.body import Body, surface
from foldwise.competitions.passenger_screening.render import Band, Patch


class Thing(NamedTuple):
    """A patch before a body is posed: it stays at its place on the person."""

    part: str
    at: float  # Y of a person of mean height, or the share of a tube's way
    angle: float  # degrees
    tilt: float  # of the outward direction of a tube
    turn: float  # degrees in the plane of the skin
    move: tuple[float, float]  # pixels in that plane, after the turn
    half: tuple[float, float]
    gain: float
    rim: float = 0.0
    height: float = 0.0
    oval: bool = False
    soft: float = 0.3


class Zone(NamedTuple):
    """Where a zone lies: Y or share of the way (mean, sd, least, most), and half sizes of its threats in pixels."""

    part: str
    at: tuple[float, float, float, float]
    half: tuple[float, float]
    angles: tuple[int, ...]  # weights of the directions 0, 22.5, ... degrees, or (mean, sd, percent at the back)


# The weights solve: each direction is seen by the views within about 65 degrees, and all together are seen as
# often as the boxes of `threat_boxes.csv` were drawn in each view.
ZONES = {
    1: Zone("right arm", (0.62, 0.17, 0.2, 0.95), (27, 34), (22, 9, 0, 0, 0, 0, 0, 0, 1, 19, 1, 30, 1, 9, 0, 9)),
    2: Zone("right forearm", (0.38, 0.12, 0.1, 0.7), (22, 30), (0, 0, 0, 0, 0, 12, 0, 0, 3, 22, 18, 3, 9, 4, 5, 26)),
    3: Zone("left arm", (0.62, 0.17, 0.2, 0.95), (27, 34), (6, 7, 0, 5, 16, 26, 3, 16, 2, 0, 0, 0, 0, 0, 3, 16)),
    4: Zone("left forearm", (0.38, 0.12, 0.1, 0.7), (22, 30), (22, 19, 8, 0, 0, 0, 2, 32, 16, 0, 0, 0, 0, 0, 0, 0)),
    5: Zone("trunk", (243, 20, 232, 290), (46, 23), (0, 9, 0)),
    6: Zone("trunk", (303, 26, 255, 365), (34, 28), (5, 0, 0, 0, 0, 0, 0, 0, 6, 13, 12, 10, 6, 16, 15, 17)),
    7: Zone("trunk", (303, 26, 255, 365), (34, 28), (4, 9, 14, 14, 13, 15, 13, 13, 6, 0, 0, 0, 0, 0, 0, 0)),
    8: Zone("trunk", (404, 15, 375, 450), (33, 31), (0, 0, 0, 0, 0, 0, 0, 0, 2, 10, 17, 27, 30, 12, 2, 0)),
    9: Zone("trunk", (438, 18, 385, 452), (30, 28), (0, 10, 12)),
    10: Zone("trunk", (404, 15, 375, 450), (33, 31), (0, 0, 3, 23, 18, 24, 18, 14, 0, 0, 0, 0, 0, 0, 0, 0)),
    11: Zone("right leg", (488, 13, 455, 525), (31, 31), (0, 0, 0, 0, 0, 0, 0, 0, 5, 4, 6, 17, 36, 12, 10, 10)),
    12: Zone("left leg", (488, 13, 455, 525), (31, 31), (0, 0, 8, 27, 16, 30, 19, 0, 0, 0, 0, 0, 0, 0, 0, 2)),
    13: Zone("right leg", (557, 12, 530, 590), (27, 29), (2, 0, 0, 0, 0, 0, 4, 15, 16, 2, 0, 1, 0, 24, 31, 5)),
    14: Zone("left leg", (557, 12, 530, 590), (27, 29), (17, 12, 0, 4, 1, 9, 17, 16, 10, 0, 0, 0, 0, 0, 1, 14)),
    15: Zone("right leg", (616, 5, 600, 628), (24, 28), (10, 5, 0, 0, 0, 0, 3, 8, 11, 16, 6, 22, 4, 0, 4, 11)),
    16: Zone("left leg", (616, 5, 600, 628), (24, 28), (12, 11, 3, 0, 10, 24, 5, 14, 13, 0, 0, 9, 0, 0, 0, 0)),
    17: Zone("trunk", (238, 22, 230, 290), (46, 24), (180, 9, 0)),
}
ANATOMY = (  # on both sides: part, Y, degrees from the front, half sizes, gain, height
    ("trunk", 278, 24, (27, 20), 0.10, 7.0),  # chest
    ("trunk", 330, 16, (16, 26), -0.06, 2.0),  # abdomen
    ("trunk", 424, 154, (30, 26), 0.12, 9.0),  # buttocks
    ("trunk", 300, 163, (16, 50), 0.08, 4.0),  # next to the spine
    ("leg", 512, 0, (15, 14), 0.10, 4.0),  # knees
    ("leg", 552, 180, (19, 24), 0.08, 5.0),  # calves
    ("head", 168, 22, (9, 6), -0.35, -3.0),  # eyes
)
ZONE_STRENGTH = {5: 0.8, 6: 2.7, 7: 1.25}  # tuned until the zones are as hard as the real ones
HEIGHT = (6.0, 16.0)  # pixels of 3 mm
THINGS = 10  # folds and things on a person, and half as many more of each scan
MARGIN = 3  # pixels that a hand-drawn box leaves around a threat
FACING = 0.35  # a threat that faces a view less than this was not marked in it


def draw_threat(rng: np.random.Generator, zone: int, strength: float) -> list[Thing]:
    """Draw what a threat in a zone consists of; `strength` scales how visible it is."""
    about = ZONES[zone]
    mean, sd, low, high = about.at
    at = float(np.clip(rng.normal(mean, sd), low, high))
    if len(about.angles) == 3:
        middle, spread, back = about.angles
        angle = rng.normal(middle + 180 * (rng.random() < back / 100), spread)
    else:
        weights = np.array(about.angles) / sum(about.angles)
        angle = 22.5 * rng.choice(16, p=weights) + rng.uniform(-11, 11)
    tilt = rng.normal(0, 0.3)
    part = about.part
    if part == "trunk" and zone in (8, 10) and at > 440:
        part = "right leg" if zone == 8 else "left leg"
    size = np.exp(rng.normal(0, 0.13, 2)) * about.half
    turn = rng.normal(0, 8)
    sign = 1 if rng.random() < 0.35 else -1  # metal is bright, most else swallows the waves
    contrast = strength * ZONE_STRENGTH.get(zone, 1.0) * np.exp(rng.normal(0, 0.45))
    gain, rim, height = sign * 0.75 * contrast, 0.45 * contrast, rng.uniform(*HEIGHT) * np.sqrt(contrast)
    if rng.random() < 0.3:
        rim = -rim

    def piece(move: tuple[float, float], half: tuple[float, float], oval: bool = False) -> Thing:
        pixels = (move[0] * size[0], move[1] * size[1])
        whole = (half[0] * size[0], half[1] * size[1])
        return Thing(part, at, angle, tilt, turn, pixels, whole, gain, rim, height, oval, 0.28)

    kind = rng.choice(["slab", "bar", "gun", "bundle", "lump"])
    if kind == "slab":
        return [piece((0, 0), (0.85, 0.85))]
    if kind == "bar":
        return [piece((0, rng.uniform(-0.3, 0.3)), (1.0, 0.45))]
    if kind == "gun":
        return [piece((0, -0.45), (0.95, 0.35)), piece((0.5 * rng.choice((-1, 1)), 0.35), (0.33, 0.65))]
    if kind == "bundle":
        return [piece((k, 0), (0.24, 0.9)) for k in (-0.62, 0.0, 0.62)]
    return [piece((0, 0), (0.9, 0.9), True)]


def draw_anatomy(rng: np.random.Generator) -> list[Thing]:
    """Draw the relief of a person, the same on both sides but for a little."""
    things = []
    for part, at, angle, half, gain, height in ANATOMY:
        shape, relief = np.exp(rng.normal(0, 0.15, 2)), float(rng.uniform(0.4, 1.5))
        for side in (-1, 1):
            name = part if part != "leg" else "right leg" if side < 0 else "left leg"
            pixels = (half[0] * shape[0], half[1] * shape[1])
            place = Thing(name, at + rng.normal(0, 2), side * angle, 0, 0, (0, 0), pixels, gain * relief)
            things.append(place._replace(height=height * relief, oval=True, soft=1.0))
    return things


def draw_clutter(rng: np.random.Generator, n: int, strength: float) -> list[Thing]:
    """Draw n folds of cloth, lumps and innocent things (a buckle, a tissue, a seam) anywhere on the body."""
    things = []
    for _ in range(n):
        zone = ZONES[int(rng.integers(1, 18))]
        low, high = zone.at[2:]
        at, angle = rng.uniform(low, high), rng.uniform(0, 360)
        kind = rng.choice(["fold", "lump", "thing"], p=(0.5, 0.3, 0.2))
        contrast = strength * np.exp(rng.normal(0, 0.4))
        sign = rng.choice((-1, 1))
        turn = float(rng.normal(0, 50))
        if kind == "fold":
            half = (float(rng.uniform(2, 5)), float(rng.uniform(10, 34)))
            shape = (sign * 0.45 * contrast, 0.0, sign * rng.uniform(0, 3), True, 0.9)
        elif kind == "lump":
            half = (float(rng.uniform(8, 26)), float(rng.uniform(8, 26)))
            shape = (sign * 0.40 * contrast, 0.0, rng.uniform(0, 5), True, 1.0)
        else:
            half = (float(rng.uniform(6, 18)), float(rng.uniform(6, 18)))
            shape = (sign * 0.60 * contrast, rng.choice((-1, 1)) * 0.3 * contrast, rng.uniform(0, 5), False, 0.4)
        things.append(Thing(zone.part, at, angle, rng.normal(0, 0.3), turn, (0, 0), half, *shape))
    return things


def draw_bands(rng: np.random.Generator) -> list[Band]:
    """Draw the belt, hems and socks of a person."""
    levels = ((388, 8, 0.9), (466, 9, 0.5), (598, 7, 0.6), (268, 6, 0.3))
    return [
        Band(float(rng.normal(y, 7)), float(rng.uniform(2, 6)), float(np.clip(rng.normal(0, 0.25), -0.4, 0.4)))
        for y, _, often in levels
        if rng.random() < often
    ]


def placed(body: Body, things: list[Thing]) -> list[Patch]:
    """Put things where they lie on a posed body."""
    patches = []
    for thing in things:
        at = body.row(thing.at) if thing.part in body.columns else thing.at
        frame = surface(body, thing.part, at, thing.angle, thing.tilt)
        turn = np.radians(thing.turn)
        right = np.cos(turn) * frame[1] + np.sin(turn) * frame[2]
        down = np.cos(turn) * frame[2] - np.sin(turn) * frame[1]
        centre = frame[0] + thing.move[0] * right + thing.move[1] * down
        frame = np.array([centre, right, down, frame[3]])
        patches.append(Patch(frame, thing.half, thing.gain, thing.rim, thing.height, thing.oval, thing.soft))
    return patches


def seen(body: Body, patches: list[Patch], angle: float, depth: np.ndarray, step: int) -> np.ndarray | None:
    """Return the box (centre x, centre y, width, height) in which a view shows patches, None where it hides them.

    depth: of that view, from `render.depth_map`. A threat is seen where its middle faces the view and no nearer
    part of the body covers it.
    """
    t = np.radians(angle)
    c, s = np.cos(t), np.sin(t)
    corners = []
    for patch in patches:
        across, down, near = (patch.frame @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])).T
        row, column = int(down[0] / step), int((256 + across[0]) / step)
        inside = 0 <= row < depth.shape[0] and 0 <= column < depth.shape[1]
        if near[3] < FACING or (inside and depth[row, column] > near[0] + 15):
            continue
        half_w = np.hypot(across[1] * patch.half[0], across[2] * patch.half[1]) + abs(across[3]) * patch.height
        half_h = np.hypot(down[1] * patch.half[0], down[2] * patch.half[1]) + abs(down[3]) * patch.height
        corners.append((across[0] - half_w, down[0] - half_h, across[0] + half_w, down[0] + half_h))
    if not corners:
        return None
    low, high = np.min(corners, axis=0)[:2] - MARGIN, np.max(corners, axis=0)[2:] + MARGIN
    return np.array([256 + (low[0] + high[0]) / 2, (low[1] + high[1]) / 2, *(high - low)])
