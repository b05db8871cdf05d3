"""Stage `preview`: a contact sheet of training images as they are and as an augmentation changes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from foldwise.augment import mix, pipelines
from foldwise.augment.training_rows import TrainingRows
from foldwise.data.batch import by_image, side_inputs, structure_of
from foldwise.data.dataset import Dataset
from foldwise.report import samples
from foldwise.settings import AugmentSettings, PreviewSettings, Settings
from foldwise.stages.prepare import prepared
from foldwise.storage import written_aside

GAP, WIDE = 4, 12  # pixels between cells, and after the originals
SMALLEST = 64  # pixels of the longer side of a cell, at least


def preview(settings: Settings) -> dict[str, Any]:
    """Write `reports/<competition>/preview_<augmentation>.png`; return its file, the augmentation and its size.

    Each row is a training image, itself first, then as so many epochs would see it.
    """
    import cv2

    dataset, given = by_image(prepared(settings)), settings.preview
    picture = contact_sheet(dataset, augmented(dataset, settings.augment, given))
    path = settings.reports_dir / f"preview_{settings.augment.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.write_bytes(cv2.imencode(".png", picture[..., ::-1] if picture.ndim == 3 else picture)[1].tobytes())
    return {"file": str(path), "augment": settings.augment.name, "height": len(picture), "width": picture.shape[1]}


def show(result: dict[str, Any], width: int) -> str:
    """Return the path of the sheet, and what is on it."""
    return f"{result['augment']}: originals in the first column, then the augmented views: {result['file']}"


def augmented(dataset: Dataset, settings: AugmentSettings, given: PreviewSettings) -> np.ndarray:
    """Return images, evenly spaced in the training data, as they are and augmented: (n, 1 + views, [v,] h, w, c)."""
    images = dataset.train.images
    at = np.unique(np.linspace(0, len(images) - 1, min(given.images, len(images))).astype(int))
    inputs = side_inputs(dataset, dataset.train, None)
    labels, everything = dataset.labels.astype(np.float32), np.arange(len(images))
    rows = TrainingRows(images, inputs, labels, everything, structure=structure_of(dataset))
    augment = pipelines.build(settings.name, settings.options, rows)
    batch = {"images": np.asarray(images[at])} | {name: values[at] for name, values in inputs.items()}
    shown = [batch["images"]]
    for view in range(given.views):
        rng = np.random.default_rng((given.seed, view))
        copied = {name: values.copy() for name, values in batch.items()}
        changed, answers = augment(copied, labels[at], rng.integers(2**63, size=len(at)))
        result = changed["images"]
        if settings.mixup or settings.cutmix:
            result, _ = mix.mix(result, answers, settings.mixup, settings.cutmix, rng)
        if images.dtype == np.uint8:
            result = np.clip(np.rint(result), 0, 255)
        shown.append(result.astype(images.dtype))
    return np.stack(shown, axis=1)


def contact_sheet(dataset: Dataset, shown: np.ndarray) -> np.ndarray:
    """Return one picture, uint8 (h, w) or RGB (h, w, 3), of images (n, m, [v,] h, w, c): n lines of m cells."""
    ranges = samples.grey_ranges(dataset.train.images)
    cells = [[samples.sheet(image, ranges) for image in line] for line in shown]
    factor = -(-SMALLEST // max(cells[0][0].shape[:2]))
    lines = [_joined([cell.repeat(factor, 0).repeat(factor, 1) for cell in line]) for line in cells]
    gap = np.full((GAP, *lines[0].shape[1:]), 128, np.uint8)
    return np.concatenate([part for line in lines for part in (line, gap)][:-1], axis=0)


def _joined(cells: list[np.ndarray]) -> np.ndarray:
    parts = []
    for place, cell in enumerate(cells):
        gap = WIDE if place == 0 else GAP
        parts += [cell, np.full((len(cell), gap, *cell.shape[2:]), 128, np.uint8)]
    return np.concatenate(parts[:-1], axis=1)
