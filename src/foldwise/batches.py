"""Training batches: drawn, augmented and mixed on a thread of TensorFlow's while the last step computes."""

import math
from typing import Any

import keras
import numpy as np

from foldwise import augment
from foldwise.config import AugmentSettings


class Batches(keras.utils.PyDataset):
    """The batches of one fit; everything random depends on (seed, fit, epoch, row or batch) alone.

    images: (n, h, w, c), all rows; auxiliary: (n, a) or None; labels: (m, k) and weights: (m,) or None of the
    training rows `rows` (m,). A short last batch is kept: every row is seen once an epoch.
    """

    def __init__(
        self,
        images: np.ndarray,
        auxiliary: np.ndarray | None,
        labels: np.ndarray,
        weights: np.ndarray | None,
        rows: np.ndarray,
        batch_size: int,
        settings: AugmentSettings,
        seed: tuple[int, ...],
    ) -> None:
        # one worker: Keras then builds batches on TensorFlow's prefetching thread; its own pool of several
        # workers has hung at the end of an epoch
        super().__init__(workers=1)
        self.images, self.auxiliary, self.labels, self.weights, self.rows = (
            images,
            auxiliary,
            labels,
            weights,
            rows,
        )
        self.batch_size, self.settings, self.seed = batch_size, settings, seed
        self.pipeline = augment.build(settings.name, settings.options)
        self.epoch = -1
        self.on_epoch_begin()

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    def on_epoch_begin(self) -> None:
        """Draw the order of the rows and the seed of each row for the next epoch."""
        self.epoch += 1
        rng = np.random.default_rng((*self.seed, self.epoch))
        self.order = rng.permutation(len(self.rows))
        self.sample_seeds = rng.integers(2**63, size=len(self.rows))

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        drawn = self.order[number * self.batch_size : (number + 1) * self.batch_size]
        rows = self.rows[drawn]
        images, labels = np.asarray(self.images[rows]), self.labels[drawn]
        if self.pipeline is not None:
            images = augment.augmented(self.pipeline, images, self.sample_seeds[drawn])
        images = images.astype(np.float32, copy=False)
        if self.settings.mixup or self.settings.cutmix:
            rng = np.random.default_rng((*self.seed, self.epoch, number))
            images, labels = augment.mixed(images, labels, self.settings.mixup, self.settings.cutmix, rng)
        inputs = images if self.auxiliary is None else (images, self.auxiliary[rows])
        return (inputs, labels) if self.weights is None else (inputs, labels, self.weights[drawn])
