"""Augmentation of many views of one body: what changes a sample changes all of its views alike.

`augment.body` names it. The law of mirroring comes with the data (`samples.mirrored`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foldwise.augment.pipelines import Degrees, Pixels, Share
from foldwise.augment.training_rows import TrainingRows
from foldwise.data.structure import Batch, check_mirror, mirrored, mirrored_outputs
from foldwise.errors import ConfigError

N_TYPICAL = 200  # negative samples of a category whose mean and spread define what is normal there


def body(
    rows: TrainingRows,
    *,
    mirror: bool = True,
    shift: Pixels = 2,
    rotate: Degrees = 4.0,
    zoom: Share = 0.06,
    gain: Share = 0.1,
    offset: Share = 0.03,
    drop_views: Share = 0.0,
    transplant: Share = 0.0,
) -> Body:
    """Change each sample as a body may change: the views of a sample share every change.

    mirror: half of the samples are seen in a mirror: views, categories, labels and angles move together.
    shift, rotate, zoom: at most so many pixels, degrees and shares. Half of the samples are shifted by whole pixels
        alone, which leaves them as sharp as they are at test time; interpolation smooths the others.
    gain, offset: pixels are multiplied by up to 1 +- gain; up to +- offset times the sample's mean is added.
    drop_views: share of the views that are left out (one stays), where the data have the angles of the views.
    transplant: share of the positive samples whose threat is moved into a negative training sample of the same
        category. The number of positives stays as it is, and so does what a probability means.

    Raises ConfigError for an option that the data do not allow.
    """
    return Body(rows, mirror, shift, rotate, zoom, gain, offset, drop_views, transplant)


@dataclass
class Body:
    """The augmentation `body` of the batches of some training rows; for its options see `body`."""

    rows: TrainingRows
    mirror: bool
    shift: int
    rotate: float
    zoom: float
    gain: float
    offset: float
    drop_views: float
    transplant: float

    def __post_init__(self) -> None:
        """Check the options, and find the negative training samples of each category where threats are moved."""
        rows = self.rows
        if self.mirror:
            check_mirror(rows.structure, (), "augment.options.mirror=true")
        if self.transplant and rows.labels.shape[1] > 1:
            raise ConfigError(
                f"augment.options.transplant={self.transplant}: one image answers {rows.labels.shape[1]} questions, "
                "and which of its views and pixels belong to a question is not known; expected data with one label "
                "an image, or augment.options.transplant=0"
            )
        self._negatives: dict[tuple[int, ...], np.ndarray] = {}
        self._typical: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]] = {}
        if self.transplant:
            negative = rows.positions[rows.labels[:, 0] < 0.5]
            keys = _keys(rows.inputs, negative)
            for key in sorted(set(keys)):
                self._negatives[key] = negative[[one == key for one in keys]]

    def __call__(self, batch: Batch, labels: np.ndarray, seeds: np.ndarray) -> tuple[Batch, np.ndarray]:
        """Augment a batch of uint8 or float images (n, [v,] h, w, c) with a seed each; return float32 and labels."""
        rngs = [np.random.default_rng(seed) for seed in seeds.tolist()]
        batch = batch | {"images": batch["images"].astype(np.float32)}
        if self.transplant:
            self._transplant(batch, labels, rngs)
        if self.mirror:
            batch, labels = self._mirror(batch, labels, np.array([rng.random() < 0.5 for rng in rngs]))
        if self.drop_views and "angles" in batch:
            batch["angles"] = np.stack([self._dropped(a, rng) for a, rng in zip(batch["angles"], rngs, strict=True)])
        present = _present(batch)
        for i, rng in enumerate(rngs):
            self._change(batch["images"][i], present[i], rng)
        return batch, labels

    def _mirror(self, batch: Batch, labels: np.ndarray, chosen: np.ndarray) -> tuple[Batch, np.ndarray]:
        other = mirrored({name: values[chosen] for name, values in batch.items()}, self.rows.structure)
        for name, values in other.items():
            batch[name] = batch[name].copy()
            batch[name][chosen] = values
        labels = labels.copy()
        labels[chosen] = labels[chosen][:, mirrored_outputs(self.rows.structure, labels.shape[1])]
        return batch, labels

    def _dropped(self, angles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the angles (v,) with some of them NaN: those slots are empty from here on."""
        random = np.where(np.isnan(angles), -1.0, rng.random(len(angles)))
        kept = (random >= self.drop_views) | (random == random.max())
        return np.where(kept, angles, np.nan).astype(angles.dtype)

    def _change(self, image: np.ndarray, present: np.ndarray, rng: np.random.Generator) -> None:
        """Shift, turn, zoom and brighten the views (v, h, w, c) of one sample in place, all alike."""
        import cv2

        views = _views(image)
        (h, w), draw = views.shape[1:3], rng.uniform(-1, 1, size=7)
        if self.shift or self.rotate or self.zoom:
            centre = ((w - 1) / 2, (h - 1) / 2)
            turned = draw[6] > 0
            matrix = cv2.getRotationMatrix2D(centre, turned * self.rotate * draw[0], 1 + turned * self.zoom * draw[1])
            move = self.shift * draw[2:4]
            matrix[:, 2] = matrix[:, 2] + (move if turned else move.round())
            for view in np.flatnonzero(present):
                moved = cv2.warpAffine(views[view], matrix, (w, h), borderMode=cv2.BORDER_REPLICATE)
                views[view] = moved.reshape(views[view].shape)  # OpenCV drops a single channel
        if self.gain or self.offset:
            mean = float(views[present].mean()) if present.any() else 0.0
            views[present] = views[present] * (1 + self.gain * draw[4]) + self.offset * draw[5] * mean

    def _transplant(self, batch: Batch, labels: np.ndarray, rngs: list[np.random.Generator]) -> None:
        """Move the threats of some positive samples into negative training samples of their category, in place."""
        keys = _keys(batch, np.arange(len(labels)))
        angles = batch.get("angles")
        for i, rng in enumerate(rngs):
            canvases = self._negatives.get(keys[i])
            if labels[i, 0] < 0.5 or canvases is None or rng.random() >= self.transplant:
                continue
            canvas = rng.choice(canvases)
            donor, image = batch["images"][i], self.rows.images[canvas].astype(np.float32)
            shared = np.ones(len(_views(image)), bool)
            if angles is not None:
                shared = angles[i] == self.rows.inputs["angles"][canvas]  # an empty slot's NaN equals nothing
                angles[i] = self.rows.inputs["angles"][canvas]
            mean, spread = self._normal(keys[i])
            views = _views(image)
            views[shared] = blend(
                views[shared], _views(donor)[shared], _views(mean)[shared], _views(spread)[shared], rng
            )[0]
            if "auxiliary" in batch:
                batch["auxiliary"][i] = self.rows.inputs["auxiliary"][canvas]
            batch["images"][i] = image

    def _normal(self, key: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the standard deviation of negative samples of a category, each ([v,] h, w, c)."""
        if key not in self._typical:
            rows = np.sort(self._negatives[key])[:N_TYPICAL]
            images = np.asarray(self.rows.images[rows]).astype(np.float32)
            self._typical[key] = images.mean(axis=0), images.std(axis=0)
        return self._typical[key]


def blend(
    canvas: np.ndarray, donor: np.ndarray, mean: np.ndarray, spread: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paste what is odd in each donor view (v, h, w, c) into the canvas view; return that and the masks (v, h, w).

    The place is where the donor differs most from what is normal there, in standard deviations. The patch is
    an ellipse whose rim is feathered: the canvas has a weight of 1 at its edge and of 0 at its centre.
    """
    import cv2

    v, h, w, _ = canvas.shape
    y, x = np.mgrid[:h, :w]
    radii = np.array([h, w]) * rng.uniform(0.22, 0.36, size=2)
    masks = np.empty((v, h, w), np.float32)
    for view in range(v):
        odd = np.abs(donor[view] - mean[view]).mean(axis=-1) / (spread[view].mean(axis=-1) + spread[view].mean() + 1e-6)
        odd = cv2.GaussianBlur(odd, (0, 0), sigmaX=w / 10, sigmaY=h / 10, borderType=cv2.BORDER_REPLICATE)
        top, left = np.unravel_index(odd.argmax(), odd.shape)
        distance = np.hypot((y - top) / radii[0], (x - left) / radii[1])
        masks[view] = np.clip(2 - 2 * distance, 0, 1)
    return canvas + masks[..., None] * (donor - canvas), masks


def _keys(batch: Batch, rows: np.ndarray) -> list[tuple[int, ...]]:
    """Return the categories of each of the rows (m,), or () where samples have none."""
    if "categories" not in batch:
        return [()] * len(rows)
    return [tuple(values) for values in batch["categories"][rows].tolist()]


def _views(image: np.ndarray) -> np.ndarray:
    return image.reshape(-1, *image.shape[-3:])


def _present(batch: Batch) -> np.ndarray:
    """Return which views hold pixels: bool (n, v)."""
    if "angles" in batch:
        return np.isfinite(batch["angles"])
    shape = batch["images"].shape
    return np.ones((shape[0], shape[1] if len(shape) == 5 else 1), bool)
