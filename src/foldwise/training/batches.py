"""Training batches: sampled, augmented and mixed on threads while the steps before compute."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from foldwise.augment import mix, pipelines
from foldwise.augment.fused import Fused
from foldwise.augment.training_rows import TrainingRows
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.settings import AugmentSettings

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts

HUNG_SECONDS = 300  # a batch takes milliseconds


class Batches:
    """The batches of the training of one model.

    Everything random depends on the seed, the epoch, and the row or the number of the batch alone, so that a row is
    augmented in the same way whatever the batch size. A short last batch is kept: every row is seen once an epoch.

    names: what the model takes, in its order: `images`, and names of `rows.inputs`.
    stored_views: whether `rows.images` are features (n, v, d) of v views, of which each epoch samples one.
    threads: on which batches are built, each by one of them, and as many ahead. They change no bit. An augmentation
        with a random state of its own has one thread.
    """

    def __init__(
        self,
        rows: TrainingRows,
        batch_size: int,
        settings: AugmentSettings,
        seed: tuple[int, ...],
        names: Sequence[str] = ("images",),
        stored_views: bool = False,
        threads: int = 1,
    ) -> None:
        self.rows, self.batch_size, self.settings, self.seed = rows, batch_size, settings, seed
        self.names, self.stored_views = names, stored_views
        mixed_inputs = sorted({"categories", "angles"} & rows.inputs.keys())
        if mixed_inputs and (settings.mixup or settings.cutmix):
            raise ConfigError(
                f"augment.mixup={settings.mixup}, augment.cutmix={settings.cutmix}: samples differ in their "
                f"{mixed_inputs[0]}, which cannot be mixed as images are; expected 0 for both (passenger screening "
                "mixes with competition.options.layout=region or scan)"
            )
        self.augment = pipelines.build(settings.name, settings.options, rows)
        # a pipeline of albumentations holds one random state
        self.threads = threads if isinstance(self.augment, Fused) else 1
        self._pool = ThreadPoolExecutor(self.threads)

    def __len__(self) -> int:
        return math.ceil(len(self.rows.positions) / self.batch_size)

    def order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the order (m,) of the rows in an epoch, and the seed (m,) of each, which belongs to the row."""
        return order(self.seed, epoch, len(self.rows.positions))

    def between(self, first: int, last: int) -> Iterator[tuple[int, int, tuple[Any, ...]]]:
        """Yield (epoch, number, batch) for the epochs `first` to `last` - 1; batches are built ahead.

        A batch is (inputs, labels) or (inputs, labels, weights); inputs are the images alone, or a tuple of arrays.
        Images are uint8 where they are so after the augmentation, else float32.

        Raises FoldwiseError where a batch is not built in five minutes.
        """
        ahead: deque[tuple[int, int, Future[tuple[Any, ...]]]] = deque()
        for epoch in range(first, last):
            order, seeds = self.order(epoch)
            for number in range(len(self)):
                part = slice(number * self.batch_size, (number + 1) * self.batch_size)
                batch = self._pool.submit(self._build, order[part], seeds[part], (epoch + 1, number))
                ahead.append((epoch, number, batch))
                if len(ahead) > self.threads:
                    yield _built(*ahead.popleft())
        while ahead:
            yield _built(*ahead.popleft())

    def _build(self, chosen: np.ndarray, seeds: np.ndarray, batch_seed: tuple[int, int]) -> tuple[Any, ...]:
        rows, labels = self.rows, self.rows.labels[chosen]
        positions = rows.positions[chosen]
        images = np.asarray(rows.images[positions])
        if self.stored_views:
            images = images[np.arange(len(images)), seeds % images.shape[1]]
        batch = {name: values[positions] for name, values in rows.inputs.items()} | {"images": images}
        batch, labels = self.augment(batch, labels, seeds)
        mixed = self.settings.mixup or self.settings.cutmix
        images = batch["images"]
        if mixed or images.dtype != np.uint8:  # bytes become floats on the device, after a quarter of the transfer
            images = images.astype(np.float32, copy=False)
        if mixed:
            rng = np.random.default_rng((*self.seed, *batch_seed))
            images, labels = mix.mix(images, labels, self.settings.mixup, self.settings.cutmix, rng)
        batch["images"] = images
        inputs = images if len(self.names) == 1 else tuple(batch[name] for name in self.names)
        return (inputs, labels) if rows.weights is None else (inputs, labels, rows.weights[chosen])


def order(seed: tuple[int, ...], epoch: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the order (n_rows,) of the rows in an epoch, and the seed (n_rows,) of each, which belongs to the row."""
    rng = np.random.default_rng((*seed, epoch + 1))
    found = rng.permutation(n_rows)
    return found, rng.integers(2**63, size=n_rows)[found]


def _built(epoch: int, number: int, batch: Future[tuple[Any, ...]]) -> tuple[int, int, tuple[Any, ...]]:
    try:
        return epoch, number, batch.result(HUNG_SECONDS)
    except TimeoutError:
        raise FoldwiseError(
            f"batch {number} of epoch {epoch} was not built in {HUNG_SECONDS} s; is the disk of the "
            "prepared data gone, or the augmentation stuck?"
        ) from None
