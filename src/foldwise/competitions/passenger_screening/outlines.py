"""Find the scans of one person where no table names the persons: cluster scans by the outline of the body.

The same person is scanned many times, and a net that has seen a person knows his or her harmless things. With a
person in two folds the score measures what the net remembers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from foldwise.competitions.passenger_screening.scans import upright_views
from foldwise.errors import FoldwiseError
from foldwise.progress import track

log = logging.getLogger(__name__)

ROWS, COLUMNS = 165, 128  # of the outline: a quarter of the scanner's pixels
SIDES = (0, 4, 8, 12)  # the views from the front, the person's left, the back and the right
ACROSS = 24  # scans in a row of the contact sheet


def people(
    locations: dict[str, str], sheet: Path, spread: Callable[[Callable[..., Any], list[str]], Iterable[Any]] = map
) -> dict[str, str]:
    """Return the person of each scan (path or URL) by its name; write a contact sheet of them.

    spread: calls a function for each location, perhaps in other processes.

    A scan that cannot be read is a person of its own: it is reported when it is cut.
    """
    looks = spread(_look, list(locations.values()))
    found = dict(zip(locations, track(looks, "clustering people", len(locations)), strict=True))
    seen = {scan: look for scan, look in found.items() if look is not None}
    numbers = clusters(np.array([widths for widths, _ in seen.values()]))
    write_sheet(sheet, np.array([thumb for _, thumb in seen.values()]), numbers)
    log.info("groups=auto: %d scans show %d people by their outlines", len(seen), len(np.unique(numbers)))
    return {scan: scan for scan in locations} | {
        scan: f"cluster_{number:04d}" for scan, number in zip(seen, numbers, strict=True)
    }


def outline(views: np.ndarray) -> np.ndarray:
    """Return the widths of the body, float32 (330,): at each of 165 heights from the front and from the side.

    views: the upright views from the front, the person's left, the back and the right, (4, rows, columns) of
    any size. Widths are in pixels of 128 a view, the mean of the two sides that see the same width.
    """
    small = [cv2.resize(np.asarray(view, np.float32), (COLUMNS, ROWS), interpolation=cv2.INTER_AREA) for view in views]
    widths = np.array([_silhouette(view).sum(axis=1) for view in small], np.float32)
    return np.concatenate([widths[[0, 2]].mean(axis=0), widths[[1, 3]].mean(axis=0)])


def clusters(outlines: np.ndarray) -> np.ndarray:
    """Number the person of each scan: outlines (n, f) -> int (n,), by Ward's agglomerative clustering.

    There are as many people as make the mean silhouette coefficient (Rousseeuw 1987) largest. Two people who are
    taken for one cost a little data in the folds; one who is taken for two would flatter the score.

    Raises FoldwiseError for fewer than 4 scans.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist, squareform
    from sklearn.metrics import silhouette_score

    n = len(outlines)
    if n < 4:
        raise FoldwiseError(f"competition.options.groups=auto: {n} scans are too few to cluster; 4 are needed")
    distances = squareform(pdist(outlines))
    tree = linkage(outlines, "ward")
    best, people = -1.0, np.zeros(n, int)
    for k in range(2, n):
        labels = fcluster(tree, k, "maxclust") - 1
        if 1 < len(np.unique(labels)) < n:
            score = silhouette_score(distances, labels, metric="precomputed")
            best, people = max((best, people), (score, labels), key=lambda pair: pair[0])
    return people


def write_sheet(path: Path, thumbs: np.ndarray, people: np.ndarray) -> None:
    """Write a contact sheet as a PNG: a block of rows for each person, with his or her scans from left to right.

    thumbs: a small front view of each scan, uint8 (n, h, w); people: (n,).
    """
    height, width = thumbs.shape[1:]
    strips = []
    for person in np.unique(people):
        scans = thumbs[people == person]
        for start in range(0, len(scans), ACROSS):
            strip = np.zeros((height + 1, ACROSS * width), np.uint8)
            for i, thumb in enumerate(scans[start : start + ACROSS]):
                strip[:height, i * width : (i + 1) * width] = thumb
            strips.append(strip)
        strips[-1][-1] = 255  # a line below each person
    across = min(ACROSS, int(np.bincount(people).max())) * width
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), np.vstack(strips)[:, :across]):
        raise FoldwiseError(f"{path}: the contact sheet could not be written")


def thumbnail(view: np.ndarray) -> np.ndarray:
    """Return a small picture of an upright view, uint8 (82, 64); the brightest hundredth is white."""
    small = cv2.resize(np.asarray(view, np.float32), (COLUMNS // 2, ROWS // 2), interpolation=cv2.INTER_AREA)
    return np.clip(small * (255 / max(np.percentile(small, 99), 1e-6)), 0, 255).astype(np.uint8)


def _look(location: str) -> tuple[np.ndarray, np.ndarray] | None:
    try:
        views = upright_views(location, SIDES)
        return outline(np.array(views)), thumbnail(views[0])
    except (FoldwiseError, OSError):
        return None


def _silhouette(view: np.ndarray) -> np.ndarray:
    """Return the mask of the body: log intensity above the mean of its 5th and 95th percentile."""
    log = np.log1p(cv2.GaussianBlur(view, (0, 0), 1.5))
    low, high = np.percentile(log, [5, 95])
    return np.asarray(log > (low + high) / 2)
