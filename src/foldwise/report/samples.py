"""The samples that a run finds hardest, as small images in the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from foldwise.data.dataset import Dataset
from foldwise.report.curves import rounded
from foldwise.report.looks import Looks
from foldwise.scoring import metrics
from foldwise.settings import ONE_CLASS

TILE = 96  # pixels of the longer side of a tile, at most
VIEWS = 16  # of one sample that are shown
COLUMNS = 4  # tiles side by side
MAPS = {"heat": "Grad-CAM", "occlusion": "Occlusion"}
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
    rows: list[int],
    labels: np.ndarray,
    p: np.ndarray,
    scored: Dataset,
    dataset: Dataset,
    ranges: list[list[float]],
    looks: Mapping[int, Looks],
) -> list[dict[str, Any]]:
    """Return id, text, alt and pictures of rows of the scored part of the data; see `grey_ranges`.

    looks: maps and neighbours by row, as far as there are any. A picture is a data URI with its height and width.
    """
    places = positions(scored, dataset)
    losses = metrics.usual_losses(labels[rows], p[rows], dataset.task)
    found = []
    for row, loss in zip(rows, losses, strict=True):
        name = str(scored.train.table["id"].iloc[row])
        image = dataset.train.images[places[row] // dataset.structure.rows_per_image]
        text = f"{answer_text(labels[row], p[row], dataset)}, {_loss_text(loss, dataset)}"
        about = {"id": name, "text": text} | picture(sheet(image, ranges), f"Sample {name}: {text}")
        seen = looks.get(row, {})
        about["maps"] = [
            picture(sheet(image, ranges, seen[kind]), f"{label} of sample {name}") | {"name": label}
            for kind, label in MAPS.items()
            if kind in seen
        ]
        about["neighbours"] = [
            _neighbour(int(near), int(places[row]), dataset, ranges) for near in seen.get("neighbours", [])
        ]
        found.append(about)
    return found


def positions(scored: Dataset, dataset: Dataset) -> np.ndarray:
    """Return where the rows that are scored are among all training rows: int (n,)."""
    places = {name: at for at, name in enumerate(dataset.train.table["id"])}
    return np.array([places[name] for name in scored.train.table["id"]])


def _neighbour(image: int, row: int, dataset: Dataset, ranges: list[list[float]]) -> dict[str, Any]:
    """Return the picture and the label of a training image; of several rows, that of the sample's own place in it."""
    per_image = dataset.structure.rows_per_image
    at = image * per_image + row % per_image
    name, text = str(dataset.train.table["id"].iloc[at]), truth_text(dataset.labels[at], dataset)
    shown = picture(sheet(dataset.train.images[image], ranges), f"Training sample {name}: {text}")
    return {"id": name, "text": text} | shown


def truth_text(y: np.ndarray, dataset: Dataset) -> str:
    """Return the label of one row in words; of several labels those that it has."""
    targets = dataset.targets
    if dataset.task in ONE_CLASS:
        return targets[int(y.argmax())]
    if dataset.task == "regression" or len(targets) == 1:
        return ", ".join(f"{name} {value:g}" for name, value in zip(targets, rounded(y), strict=True))
    return ", ".join(name for name, value in zip(targets, y, strict=True) if value == 1) or "none"


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


def sheet(image: np.ndarray, ranges: list[list[float]], heat: np.ndarray | None = None) -> np.ndarray:
    """Return one picture, uint8 (h, w) or (h, w, 3), of an image ([v,] h, w, c): its views or channels side by side.

    Three channels in bytes are a colour photograph; other channels are grey tiles of their own.
    heat: a map ([v,] h', w') from 0 to 1 that is laid over each tile of its view, in colours.
    """
    views = image if image.ndim == 4 else image[None]
    kept = np.unique(np.linspace(0, len(views) - 1, min(len(views), VIEWS)).astype(int))
    views = views[kept]
    is_colour = views.shape[-1] == 3 and views.dtype == np.uint8
    tiles = [
        view if is_colour else _grey(view[..., c], ranges[c]) for view in views for c in _channels(view, is_colour)
    ]
    tiles = [_shrunk(tile) for tile in tiles]
    if heat is not None:
        maps = (heat if heat.ndim == 3 else heat[None])[kept]
        each = len(tiles) // len(views)
        tiles = [_heated(tile, maps[i // each]) for i, tile in enumerate(tiles)]
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


def _heated(tile: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay a map (h', w') over a tile: the warmer, the more of its colour; RGB."""
    import cv2

    h, w = tile.shape[:2]
    scaled = np.clip(cv2.resize(heat.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC), 0, 1)
    colours = cv2.applyColorMap((scaled * 255).round().astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    base = tile if tile.ndim == 3 else np.repeat(tile[..., None], 3, axis=2)
    share = 0.25 + 0.45 * scaled[..., None]
    return np.asarray((base * (1 - share) + colours * share).round().astype(np.uint8))


def picture(image: np.ndarray, alt: str) -> dict[str, Any]:
    """Return a picture, uint8 (h, w) or RGB (h, w, 3), as the page takes it."""
    return {"image": data_uri(image), "alt": alt, "height": image.shape[0], "width": image.shape[1]}


def data_uri(picture: np.ndarray) -> str:
    """Return a picture as a data URI: grey, uint8 (h, w), as PNG, and RGB (h, w, 3) as JPEG, a fifth of the size."""
    import cv2

    if picture.ndim == 2:
        kind, encoded = "png", cv2.imencode(".png", picture)[1]
    else:  # OpenCV has blue first
        kind, encoded = "jpeg", cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"


def scales(reader: str, images: np.ndarray, ranges: list[list[float]]) -> list[dict[str, Any]]:
    """Return the grey scale of each channel, from black to white; none for images in bytes."""
    if images.dtype == np.uint8:
        return []
    unit = UNITS.get(reader, "")
    names = ["grey"] if len(ranges) == 1 else [f"band {c + 1}" for c in range(len(ranges))]
    return [
        {"name": name, "low": low, "high": high, "unit": unit} for name, (low, high) in zip(names, ranges, strict=True)
    ]
