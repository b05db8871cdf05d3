"""The optimizer and its learning rate schedule."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import keras

from foldwise.errors import FoldwiseError
from foldwise.settings import FitSettings
from foldwise.training import finetune, snapshots

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def learning_rate(fit: FitSettings, steps_per_epoch: float) -> Any:
    """Return Keras' schedule: constant or cosine decay to 0, after a linear warm-up from 0.

    With `fit.snapshots` the decay starts again at every cycle, and the warm-up is part of the first. With
    `fit.accumulate` the rate changes with the steps of the optimizer, as it does where its batches are one.
    """
    if fit.accumulate > 1:
        schedule = learning_rate(replace(fit, accumulate=1), steps_per_epoch / fit.accumulate)
        return OncePerUpdate(schedule, fit.accumulate) if callable(schedule) else schedule
    if fit.snapshots > 1:
        return snapshots.Cycles(fit.learning_rate, snapshots.cycle_ends(fit), steps_per_epoch, fit.warmup_epochs)
    steps, warmup = fit.epochs * steps_per_epoch, round(fit.warmup_epochs * steps_per_epoch)
    if fit.schedule == "cosine":
        start = 0.0 if warmup else fit.learning_rate
        return keras.optimizers.schedules.CosineDecay(
            start,
            max(steps - warmup, 1),
            warmup_target=fit.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    if warmup:
        return keras.optimizers.schedules.PolynomialDecay(0.0, warmup, fit.learning_rate)
    return fit.learning_rate


class OncePerUpdate(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule over the steps of an optimizer that takes one for every `accumulate` batches; Keras counts batches."""

    def __init__(self, schedule: Any, accumulate: int) -> None:
        self.schedule, self.accumulate = schedule, accumulate

    def __call__(self, step: Any) -> Any:
        return self.schedule(keras.ops.floor_divide(step, self.accumulate))

    def get_config(self) -> dict[str, Any]:
        return {"schedule": self.schedule, "accumulate": self.accumulate}


def optimizer(
    fit: FitSettings,
    steps_per_epoch: int,
    variables: list[Any] | None = None,
    shares: dict[int, float] | None = None,
) -> keras.optimizers.Optimizer:
    """Return Keras' optimizer of that name, with schedule, decoupled weight decay and EMA of the weights.

    variables: that are trained; needed where weight decay leaves some of them out, or for shares.
    shares: of the learning rate, by id of the `variables` that have one of their own.

    Raises FoldwiseError where the training has fewer batches than `fit.accumulate`, and so no step.
    """
    if fit.epochs * steps_per_epoch < fit.accumulate:
        raise FoldwiseError(
            f"fit.accumulate={fit.accumulate}: expected at most the {fit.epochs * steps_per_epoch} batches of the "
            "training, or there would be no step; lower it or fit.batch_size"
        )
    kinds: dict[str, Any] = {
        kind.__name__.lower(): kind for kind in vars(keras.optimizers).values() if inspect.isclass(kind)
    }
    options: dict[str, Any] = {"weight_decay": fit.weight_decay} if fit.weight_decay else {}
    if fit.ema:
        # Keras averages after each batch; with this momentum the batches of a step count as one
        options |= {"use_ema": True, "ema_momentum": fit.ema ** (1 / fit.accumulate)}
    if fit.accumulate > 1:
        options["gradient_accumulation_steps"] = fit.accumulate
    if fit.optimizer == "adamw":
        options.setdefault("weight_decay", 0.0)  # Keras' own default would be .004
    kind = finetune.with_learning_rates(kinds[fit.optimizer], variables or [], shares or {})
    made = kind(learning_rate(fit, steps_per_epoch), **options)
    if fit.decayed == "matrices":
        if variables is None:
            raise ValueError("fit.decayed=matrices: weight decay leaves out some of the variables, so they are needed")
        made.exclude_from_weight_decay(var_list=[one for one in variables if len(one.shape) < 2])
    return made
