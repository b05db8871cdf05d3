"""Snapshots: several models of one training, each at the end of a cycle of the learning rate.

Huang et al. 2017, Snapshot Ensembles: Train 1, Get M for Free.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from foldwise.models import common, introspect
from foldwise.settings import FitSettings

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def cycle_ends(fit: FitSettings) -> list[int]:
    """Return after how many epochs each of the `fit.snapshots` cycles ends; they differ by one epoch at most."""
    return [fit.epochs * (cycle + 1) // fit.snapshots for cycle in range(fit.snapshots)]


class Cycles(keras.optimizers.schedules.LearningRateSchedule):
    """A cosine decay from `rate` to 0 in every cycle; the first begins with a linear warm-up from 0.

    ends: of the cycles, in epochs.
    """

    def __init__(self, rate: float, ends: list[int], steps_per_epoch: float, warmup_epochs: float = 0.0) -> None:
        self.rate, self.ends, self.steps, self.warmup_epochs = rate, ends, steps_per_epoch, warmup_epochs
        self.warmup = round(warmup_epochs * steps_per_epoch)

    def __call__(self, step: Any) -> Any:
        ops, step = keras.ops, keras.ops.cast(step, "float32")
        ends = np.array(self.ends, np.float32) * self.steps
        last = ops.convert_to_tensor(ends)
        first = ops.convert_to_tensor(np.concatenate([[self.warmup], ends[:-1]]).astype(np.float32))
        cycle = ops.sum(ops.cast(step >= last[:-1], "int32"))
        begin, end = ops.take(first, cycle), ops.take(last, cycle)
        done = ops.clip((step - begin) / (end - begin), 0.0, 1.0)
        rate = self.rate * 0.5 * (1 + ops.cos(np.pi * done))
        return ops.where(step < self.warmup, self.rate * step / max(self.warmup, 1), rate)

    def get_config(self) -> dict[str, Any]:
        return {
            "rate": self.rate,
            "ends": self.ends,
            "steps_per_epoch": self.steps,
            "warmup_epochs": self.warmup_epochs,
        }


class KeptWeights:
    """Keep the weights of the whole `model` after some epochs: those of the moving average, where there is one.

    Training goes on from the weights that were reached, as it does without snapshots.
    """

    def __init__(self, model: keras.Model) -> None:
        self.whole, self.epochs = model, list[int]()
        self.weights: list[list[np.ndarray]] = []

    def after(self, epoch: int, trained: keras.Model) -> None:
        """Keep the weights if the epoch ends a cycle; trained: the model, or the part of it that trains."""
        if epoch + 1 not in self.epochs:
            return
        reached = self.whole.get_weights()
        trained.optimizer.finalize_variable_values(trained.trainable_variables)  # the averages of fit.ema
        self.weights.append(self.whole.get_weights())
        self.whole.set_weights(reached)


def with_weights(model: keras.Model, weights: list[np.ndarray]) -> keras.Model:
    """Give a model of the same builder the weights."""
    model.set_weights(weights)
    for scale in introspect.layers_named(model, common.SCALE):
        scale.finalize_state()
    return model
