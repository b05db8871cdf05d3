"""Cut the images of all samples of a scan out of its file, on this machine or in a remote store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from foldwise.competitions.passenger_screening import scan_format
from foldwise.competitions.passenger_screening.crops import VIEWS, Crop, cut
from foldwise.data import remote
from foldwise.errors import FoldwiseError
from foldwise.storage import written_aside

WHITE_SHARE = 0.999  # of the words are darker than white
WHITE_ROWS = 8  # only every eighth row is read for that

Images = Literal["uint8", "float16"]


class Plan(NamedTuple):
    """What is cut out of every scan."""

    crops: tuple[Crop | None, ...]  # image by image, slot by slot
    shape: tuple[int, int, int]  # of the images: their number, slots, and below rows and columns of a slot
    columns: int
    dtype: Images
    gamma: float

    @property
    def views(self) -> list[int]:
        """The views that are read."""
        return sorted({crop.view for crop in self.crops if crop})


class Scan(NamedTuple):
    """A scan, where its file is, and where its images are kept until all scans are cut."""

    name: str
    location: str  # a path, or a URL
    part: Path

    def keep(self, images: np.ndarray) -> None:
        """Write the images."""
        with written_aside(self.part) as aside, aside.open("wb") as file:
            np.save(file, images)


def read_scan(plan: Plan, location: str) -> np.ndarray | FoldwiseError:
    """Return the images of a scan, as `cut_scan` does, or what is wrong with it."""
    try:
        return cut_scan(plan, location)
    except FileNotFoundError:
        return NoSuchScan(f"{location}: there is no such file")
    except FoldwiseError as error:
        return error
    except OSError as error:
        return FoldwiseError(str(error))


class NoSuchScan(FoldwiseError):
    """There is no file of a scan where it is read."""


def cut_scan(plan: Plan, location: str) -> np.ndarray:
    """Return the images of a scan, (images, slots, rows, columns, 1).

    A value is (word / white) ** gamma, where white is the word below which WHITE_SHARE of the scan's words lie;
    uint8 is 255 times that, at most 255, and empty slots are 0.
    """
    view = _views(location, plan.views)
    rows, columns = plan.shape[2], plan.columns
    means = cut(view, plan.crops, (rows, columns))
    sample = np.concatenate([view(k)[::WHITE_ROWS].ravel() for k in plan.views])
    at = int(WHITE_SHARE * (len(sample) - 1))
    white = max(float(np.partition(sample, at)[at]), 1e-30)
    means /= white
    values = np.sqrt(means, out=means) if plan.gamma == 0.5 else np.power(means, plan.gamma)
    if not np.isfinite(values).all():
        raise FoldwiseError(f"{location}: it has words that are negative or no numbers")
    if plan.dtype == "uint8":
        np.rint(np.minimum(values, 1, out=values) * 255, out=values)
    return np.asarray(values.astype(plan.dtype).reshape(plan.shape[0], plan.shape[1], rows, columns, 1))


def upright_views(location: str, views: Sequence[int]) -> list[np.ndarray]:
    """Return views (rows, columns) of a scan, numbered by sixteenths of a turn; nothing else of it is read."""
    view = _views(location, views)
    return [view(number) for number in views]


def _views(location: str, views: Sequence[int]) -> Callable[[int], np.ndarray]:
    return _remote_views(location, views) if "://" in location else _local_views(Path(location))


def _local_views(path: Path) -> Callable[[int], np.ndarray]:
    turn = _turn(scan_format.local_layout(path))
    return cache(lambda view: scan_format.read_view(path, turn * view))


def _remote_views(url: str, views: Sequence[int]) -> Callable[[int], np.ndarray]:
    """Read the header, and then only the views that are needed."""
    found, path = remote.filesystem(url)
    with remote.clear_errors(url):
        size = found.size(path)
    if size is None:
        raise FoldwiseError(f"{url}: the store does not report the size of the file")
    head = remote.ranges(url, [(0, min(size, scan_format.HEADER.itemsize))])[0]
    layout = scan_format.layout(url, head, size)
    turn = _turn(layout)
    parts = remote.ranges(url, [layout.byte_range(turn * view) for view in views])
    words = {
        view: np.frombuffer(part, layout.dtype).reshape(layout.shape[1:])[::-1]
        for view, part in zip(views, parts, strict=True)
    }
    return words.__getitem__


def _turn(layout: scan_format.Layout) -> int:
    """Return how many views the file has for each of 16; raise FoldwiseError unless that is a whole number."""
    n_views = layout.shape[0]
    if layout.suffix not in (".aps", ".a3daps") or n_views % VIEWS:
        raise FoldwiseError(f"{layout.name}: it has {n_views} views, expected {VIEWS} or a multiple of that")
    return n_views // VIEWS
