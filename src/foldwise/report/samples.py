"""The samples that a run finds hardest, as small images in the page."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from foldwise.data.dataset import Dataset
from foldwise.report.curves import rounded
from foldwise.scoring import metrics
from foldwise.settings import ONE_CLASS

TILE = 96  # pixels of the longer side of a tile, at most
VIEWS = 16  # of one sample that are shown
COLUMNS = 4  # tiles side by side
SAMPLED = 50  # images that the range of grey is taken from
UNITS = {"statoil": "dB"}  # of the pixels, by reader


def hardest(labels: np.ndarray, p: np.ndarray, dataset: Dataset, most: int) -> list[int]:
    """Return rows, hardest first: half by their loss, half wrong decisions by the probability of what was decided.

    Of two labels, and of the numbers of a regression, both orders are the same.
    """
    losses = metrics.usual_losses(labels, p, dataset.task)
    by_loss = np.argsort(-losses, kind="stable")[:most].tolist()
    if dataset.task not in ONE_CLASS:
        return by_loss
    decided = p.argmax(axis=1)
    wrong = np.flatnonzero(decided != labels.argmax(axis=1))
    sure = p[wrong, decided[wrong]]
    by_confidence = wrong[np.argsort(-sure, kind="stable")][: most // 2].tolist()
    chosen = list(dict.fromkeys([*by_loss[: most - most // 2], *by_confidence, *by_loss]))[:most]
    return sorted(chosen, key=lambda row: -losses[row])


def sample_views(
    rows: list[int], labels: np.ndarray, p: np.ndarray, scored: Dataset, dataset: Dataset, ranges: list[list[float]]
) -> list[dict[str, Any]]:
    """Return id, text, alt and image (a data URI) of rows of the scored part of the data; see `grey_ranges`."""
    places = {name: at for at, name in enumerate(dataset.train.table["id"])}
    losses = metrics.usual_losses(labels[rows], p[rows], dataset.task)
    found = []
    for row, loss in zip(rows, losses, strict=True):
        name = str(scored.train.table["id"].iloc[row])
        image = dataset.train.images[places[name] // dataset.structure.rows_per_image]
        picture = sheet(image, ranges)
        text = f"{answer_text(labels[row], p[row], dataset)}, {_loss_text(loss, dataset)}"
        about = {"id": name, "text": text, "alt": f"Sample {name}: {text}", "image": data_uri(picture)}
        found.append(about | {"height": picture.shape[0], "width": picture.shape[1]})
    return found


def answer_text(y: np.ndarray, p: np.ndarray, dataset: Dataset) -> str:
    """Return the truth and the prediction of one row in words; of several labels those of the worst one."""
    targets = dataset.targets
    if dataset.task in ONE_CLASS:
        truth, decided = int(y.argmax()), int(p.argmax())
        return f"true {targets[truth]} ({p[truth]:.3f}), predicted {targets[decided]} ({p[decided]:.3f})"
    worst = int(np.abs(y - p).argmax())
    if dataset.task == "regression":
        return f"true {targets[worst]} {rounded(y)[worst]:g}, predicted {rounded(p)[worst]:g}"
    return f"true {targets[worst]} {y[worst]:.0f}, predicted {p[worst]:.3f}"


def _loss_text(loss: float, dataset: Dataset) -> str:
    if dataset.task == "regression":
        return f"root of the squared error {metrics.as_text(metrics.usual_value(loss, dataset.task))}"
    return f"loss {metrics.as_text(loss)}"


def grey_ranges(images: np.ndarray) -> list[list[float]]:
    """Return what is black and what is white in each channel: the 1st and 99th percentile of 50 images; 0 to 255 of
    images in bytes.
    """
    channels = images.shape[-1]
    if images.dtype == np.uint8:
        return [[0.0, 255.0]] * channels
    chosen = images[np.unique(np.linspace(0, len(images) - 1, SAMPLED).astype(int))]
    return [rounded(np.percentile(chosen[..., c], [1, 99])) for c in range(channels)]


def sheet(image: np.ndarray, ranges: list[list[float]]) -> np.ndarray:
    """Return one picture, uint8 (h, w) or (h, w, 3), of an image ([v,] h, w, c): its views or channels side by side.

    Three channels in bytes are a colour photograph; other channels are grey tiles of their own.
    """
    views = image if image.ndim == 4 else image[None]
    views = views[np.unique(np.linspace(0, len(views) - 1, min(len(views), VIEWS)).astype(int))]
    is_colour = views.shape[-1] == 3 and views.dtype == np.uint8
    tiles = [
        view if is_colour else _grey(view[..., c], ranges[c]) for view in views for c in _channels(view, is_colour)
    ]
    tiles = [_shrunk(tile) for tile in tiles]
    columns = min(COLUMNS, len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    lines = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    return np.concatenate(lines, axis=0)


def _channels(view: np.ndarray, is_colour: bool) -> range:
    return range(1 if is_colour else min(view.shape[-1], VIEWS))


def _grey(values: np.ndarray, ends: list[float]) -> np.ndarray:
    low, high = ends
    scaled = (values.astype(np.float64) - low) / max(high - low, 1e-12)
    return (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)


def _shrunk(tile: np.ndarray) -> np.ndarray:
    import cv2

    share = TILE / max(tile.shape[:2])
    if share >= 1:
        return tile
    return np.asarray(cv2.resize(tile, None, fx=share, fy=share, interpolation=cv2.INTER_AREA))


def data_uri(picture: np.ndarray) -> str:
    """Return a picture, uint8 (h, w) or RGB (h, w, 3), as a PNG in a data URI."""
    import cv2

    given = picture if picture.ndim == 2 else picture[..., ::-1]  # OpenCV has blue first
    encoded = cv2.imencode(".png", given)[1].tobytes()
    return "data:image/png;base64," + base64.b64encode(encoded).decode()


def scales(reader: str, images: np.ndarray, ranges: list[list[float]]) -> list[dict[str, Any]]:
    """Return the grey scale of each channel, from black to white; none for images in bytes."""
    if images.dtype == np.uint8:
        return []
    unit = UNITS.get(reader, "")
    names = ["grey"] if len(ranges) == 1 else [f"band {c + 1}" for c in range(len(ranges))]
    return [
        {"name": name, "low": low, "high": high, "unit": unit} for name, (low, high) in zip(names, ranges, strict=True)
    ]
