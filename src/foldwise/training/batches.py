"""Training batches: drawn, augmented and mixed on a thread while the step before computes."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from foldwise.augment import mix, pipelines
from foldwise.augment.body import Body
from foldwise.data.structure import Batch, Structure
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.settings import AugmentSettings

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts

HUNG_SECONDS = 300  # a batch takes milliseconds


class Batches:
    """The batches of one fit; everything random depends on (seed, fit, epoch, row or batch) alone.

    images: (n, [v,] h, w, c), all rows; beside: what stands beside them, by name, or None; labels: (m, k) and
    weights: (m,) or None of the training rows `rows` (m,); names: what a model takes, of these and the images.
    A short last batch is kept: every row is seen once an epoch.
    """

    def __init__(
        self,
        images: np.ndarray,
        beside: Batch | None,
        labels: np.ndarray,
        weights: np.ndarray | None,
        rows: np.ndarray,
        batch_size: int,
        settings: AugmentSettings,
        seed: tuple[int, ...],
        names: Sequence[str] = ("images",),
        structure: Structure | None = None,
        stored_views: bool = False,
    ) -> None:
        self._thread = ThreadPoolExecutor(1)  # one, as a pipeline of augmentation demands
        self.images, self.beside, self.labels, self.weights, self.rows = images, beside or {}, labels, weights, rows
        self.batch_size, self.settings, self.seed, self.names = batch_size, settings, seed, names
        self.pipeline = pipelines.build(settings.name, settings.options)
        self.stored_views = stored_views  # images are (n, v, d): features of v views, of which each epoch draws one
        told_apart = sorted({"categories", "angles"} & self.beside.keys())
        if told_apart and (settings.mixup or settings.cutmix):
            raise ConfigError(
                f"augment.mixup={settings.mixup}, augment.cutmix={settings.cutmix}: samples differ in their "
                f"{told_apart[0]}, which cannot be mixed as images are; expected 0 for both (passenger screening mixes "
                "with competition.options.layout=region or scan)"
            )
        if isinstance(self.pipeline, Body):
            self.pipeline.meet(images, self.beside, labels, rows, structure or Structure())

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    def drawn(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw the order (m,) of the rows in an epoch, and the seed (m,) of each, which is a row's wherever it is."""
        rng = np.random.default_rng((*self.seed, epoch + 1))
        order = rng.permutation(len(self.rows))
        return order, rng.integers(2**63, size=len(self.rows))[order]

    def between(self, first: int, last: int) -> Iterator[tuple[int, int, tuple[Any, ...]]]:
        """Yield (epoch, number, batch) for the epochs `first` to `last` - 1; one batch is built ahead.

        Raises FoldwiseError where a batch is not built in five minutes.
        """
        ahead: deque[tuple[int, int, Future[tuple[Any, ...]]]] = deque()
        for epoch in range(first, last):
            order, seeds = self.drawn(epoch)
            for number in range(len(self)):
                part = slice(number * self.batch_size, (number + 1) * self.batch_size)
                batch = self._thread.submit(self._build, order[part], seeds[part], (epoch + 1, number))
                ahead.append((epoch, number, batch))
                if len(ahead) > 1:
                    yield _built(*ahead.popleft())
        if ahead:
            yield _built(*ahead.popleft())

    def _build(self, drawn: np.ndarray, seeds: np.ndarray, place: tuple[int, int]) -> tuple[Any, ...]:
        rows = self.rows[drawn]
        images, labels = np.asarray(self.images[rows]), self.labels[drawn]
        if self.stored_views:
            images = images[np.arange(len(rows)), seeds % images.shape[1]]
        batch = {name: values[rows] for name, values in self.beside.items()}
        if isinstance(self.pipeline, Body):
            batch, labels = self.pipeline(batch | {"images": images}, labels, seeds)
            images = batch["images"]
        elif self.pipeline is not None:
            images = pipelines.augmented(self.pipeline, images, seeds)
        images = images.astype(np.float32, copy=False)
        if self.settings.mixup or self.settings.cutmix:
            rng = np.random.default_rng((*self.seed, *place))
            images, labels = mix.mixed(images, labels, self.settings.mixup, self.settings.cutmix, rng)
        batch["images"] = images
        inputs = images if len(self.names) == 1 else tuple(batch[name] for name in self.names)
        return (inputs, labels) if self.weights is None else (inputs, labels, self.weights[drawn])


def _built(epoch: int, number: int, batch: Future[tuple[Any, ...]]) -> tuple[int, int, tuple[Any, ...]]:
    try:
        return epoch, number, batch.result(HUNG_SECONDS)
    except TimeoutError:
        raise FoldwiseError(
            f"batch {number} of epoch {epoch} was not built in {HUNG_SECONDS} s; is the disk of the "
            "prepared data gone, or the augmentation stuck?"
        ) from None
