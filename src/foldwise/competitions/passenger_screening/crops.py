"""Which part of which view shows a zone or a region of the body, and how it is cut out.

Boxes are in pixels of the published images, 512 wide and 660 high; a file of other dimensions is cut in
proportion. Everything is exactly left-right symmetric: cutting a mirrored scan (each view flipped, view v at
the place of view -v) gives the mirrored cuts, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

WIDTH, HEIGHT, VIEWS, ZONES = 512, 660, 16, 17
MIRROR = (3, 4, 1, 2, 5, 7, 6, 10, 9, 8, 12, 11, 14, 13, 16, 15, 17)  # the zone that each zone is mirrored to
MEASURED = Path(__file__).with_name("threat_boxes.csv")  # aggregates of 90,000 hand-drawn boxes
SLOTS = 9  # views of a zone, odd so that a zone that mirrors itself has a middle one
SEEN = 20  # a view that shows a zone, or its partner mirrored, in fewer boxes is left out
MARGIN = 1.25  # standard deviations around the mean box
REGIONS = {"arms": (1, 2, 3, 4), "chest and back": (5, 6, 7, 17), "hips": (8, 9, 10), "legs": (11, 12, 13, 14, 15, 16)}
NAMES = (
    *("right bicep", "right forearm", "left bicep", "left forearm", "upper chest", "right ribs and abdomen"),
    *("left ribs and abdomen", "right hip and upper thigh", "groin", "left hip and upper thigh", "right lower thigh"),
    *("left lower thigh", "right calf", "left calf", "right ankle", "left ankle", "upper back"),
)
REGION_VIEWS = (0, 2, 4, 6, 8, 10, 12, 14)


class Crop(NamedTuple):
    """A box in a view: columns x0 to x1, rows y0 to y1, the last ones excluded."""

    view: int
    x0: int
    y0: int
    x1: int
    y1: int


def mirror_crop(crop: Crop) -> Crop:
    """Return the crop of a mirrored scan that shows what this crop of the scan shows.

    >>> mirror_crop(Crop(view=3, x0=100, y0=200, x1=164, y1=296))
    Crop(view=13, x0=348, y0=200, x1=412, y1=296)
    """
    return Crop(-crop.view % VIEWS, WIDTH - crop.x1, crop.y0, WIDTH - crop.x0, crop.y1)


def zone_table() -> list[list[Crop | None]]:
    """Derive from the measured boxes, for each zone, the crops of its views by angle; None in empty slots.

    The boxes of a zone and of its partner, mirrored, are averaged. A zone gets the SLOTS neighbouring views
    that show it most often, without those that hardly do. Its crops have one size: the largest over its views
    of the mean box and MARGIN standard deviations of its centre on each side.
    """
    boxes = _symmetric_boxes()
    table: list[list[Crop | None]] = [[] for _ in range(ZONES)]
    for zone, partner in enumerate(MIRROR, start=1):
        if partner < zone:
            table[zone - 1] = [crop and mirror_crop(crop) for crop in reversed(table[partner - 1])]
            continue
        own = boxes.loc[zone]
        n = np.array([own["n"].get(view, 0) for view in range(VIEWS)])
        starts = [-(SLOTS // 2), VIEWS // 2 - SLOTS // 2] if partner == zone else range(VIEWS)
        first = max(starts, key=lambda start: n[np.arange(start, start + SLOTS) % VIEWS].sum())
        views = [int(view) for view in np.arange(first, first + SLOTS) % VIEWS]
        shown = own[own.index.isin(views) & (own["n"] >= SEEN)]
        width, height = (
            2 * int(np.ceil((shown[size] / 2 + MARGIN * shown[sd]).max())) for size, sd in (("w", "sdx"), ("h", "sdy"))
        )
        top = round(float(np.average(shown["cy"], weights=shown["n"])) - height / 2)
        top = min(top, HEIGHT - height)
        for view in views:
            if view not in shown.index:
                table[zone - 1].append(None)
                continue
            left = round(float(own["cx"][view]) - width / 2)
            if partner == zone and -view % VIEWS == view:
                left = (WIDTH - width) // 2
            table[zone - 1].append(Crop(view, left, top, left + width, top + height))
        if partner == zone:  # rounding must not break the symmetry
            half = table[zone - 1][: SLOTS // 2 + 1]
            table[zone - 1] = half + [crop and mirror_crop(crop) for crop in reversed(half[:-1])]
    return table


def region_table() -> dict[str, list[Crop]]:
    """Derive the crops of each region: one box, around all crops of its zones, in every second view."""
    zones = zone_table()
    table = {}
    for name, members in REGIONS.items():
        crops = [crop for zone in members for crop in zones[zone - 1] if crop]
        half = max(max(crop.x1 - WIDTH // 2, WIDTH // 2 - crop.x0) for crop in crops)
        top, bottom = min(crop.y0 for crop in crops), max(crop.y1 for crop in crops)
        table[name] = [Crop(view, WIDTH // 2 - half, top, WIDTH // 2 + half, bottom) for view in REGION_VIEWS]
    return table


def _symmetric_boxes() -> pd.DataFrame:
    """Average each zone's boxes with its partner's, mirrored, by (zone, view)."""
    import pandas as pd

    table = pd.read_csv(MEASURED).fillna({"sdx": 0, "sdy": 0})
    other = table.assign(zone=[MIRROR[zone - 1] for zone in table["zone"]], view=-table["view"] % VIEWS)
    other["cx"] = WIDTH - other["cx"]
    both = pd.concat([table, other])
    columns = ["cx", "cy", "w", "h", "sdx", "sdy"]
    weighted = both[columns].mul(both["n"], axis=0).assign(n=both["n"], zone=both["zone"], view=both["view"])
    sums = weighted.groupby(["zone", "view"]).sum()
    return sums[columns].div(sums["n"], axis=0).assign(n=sums["n"])


def mirror_order(crops: Sequence[Crop]) -> list[int]:
    """Return, for each crop, the position in `crops` of its mirror image."""
    return [crops.index(mirror_crop(crop)) for crop in crops]


def cut(view: Callable[[int], np.ndarray], crops: Sequence[Crop | None], size: tuple[int, int]) -> np.ndarray:
    """Cut crops out of the upright views of a scan and average them down to (h, w): float64 (n, h, w), in words.

    view: returns the words of one of 16 views, (rows, columns). Empty slots give zeros.

    Every pixel is a mean over the area that it covers, from whole numbers added in 64 bits: the sums are exact,
    and so mirroring commutes with cutting.
    """
    result = np.zeros((len(crops), *size))
    for image, crop in zip(result, crops, strict=True):
        if crop is not None:
            words = view(crop.view)
            n_rows, n_columns = words.shape
            x0, x1 = crop.x0 * n_columns // WIDTH, n_columns - (WIDTH - crop.x1) * n_columns // WIDTH
            y0, y1 = crop.y0 * n_rows // HEIGHT, -(-crop.y1 * n_rows // HEIGHT)
            part = words[y0:y1, x0:x1]
            image[:] = _sums(_sums(part, size[0]).T, size[1]).T / (part.shape[0] * part.shape[1])
    return result


def _sums(values: np.ndarray, m: int) -> np.ndarray:
    """Add up each of m cells of equal length along the first axis (n, k), where a cell cuts a pixel in proportion.

    Returns (m, k), m times too large: then all is whole numbers.
    """
    n = len(values)
    exact = np.int64 if values.dtype.kind in "iu" else np.float64
    total = np.zeros((n + 1, values.shape[1]), exact)
    np.cumsum(values, axis=0, dtype=exact, out=total[1:])
    at, rest = np.divmod(np.arange(m + 1) * n, m)  # an edge is rest / m pixels after the first `at` pixels
    edges = m * total[at] + rest[:, None] * values[np.minimum(at, n - 1)].astype(exact)
    return np.diff(edges, axis=0)


def as_yaml() -> str:
    """Write both tables as the competition's YAML has them."""
    lines = ["  zones:"]
    for number, row in enumerate(zone_table(), start=1):
        lines.append(f"  - - {_flow(row[0])}   # {number} {NAMES[number - 1]}")
        lines += [f"    - {_flow(crop)}" for crop in row[1:]]
    lines.append("  regions:")
    for name, crops in region_table().items():
        lines.append(f"    {name}:   # zones {', '.join(map(str, REGIONS[name]))}")
        lines += [f"    - {_flow(crop)}" for crop in crops]
    return "\n".join(lines) + "\n"


def _flow(crop: Crop | None) -> str:
    return str(list(crop)) if crop else "null"


if __name__ == "__main__":
    print(as_yaml(), end="")
