"""Lanes: several trainings of one architecture as one program, on JAX.

A lane is one (recipe, fold, seed). Lanes share the architecture, the batch size and the number of steps; they may
differ in rows, learning rate and weight decay. What a lane draws depends on its own seed, fold, epoch and rows alone,
and its predictions are those of the lane alone up to rounding. One lane is the plain case of the same code.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import pandas as pd

from foldwise.augment import mix, on_device
from foldwise.augment.pipelines import ranges_of
from foldwise.augment.sampling import Ranges, sample
from foldwise.data.batch import present
from foldwise.errors import FoldwiseError
from foldwise.models import introspect
from foldwise.runs.recipe import Recipe
from foldwise.training import finetune, snapshots
from foldwise.training.backends import lanes_on_jax as program
from foldwise.training.batches import order
from foldwise.training.build import check_values, set_scale
from foldwise.training.fold_data import FoldData
from foldwise.training.losses import loss_of
from foldwise.training.network import StoredWeights, untrained_model
from foldwise.training.optimizer import learning_rate, optimizer

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts

Steps = dict[str, np.ndarray]


@dataclass(frozen=True)
class Lane:
    """One training: a recipe, the data of a fold, and the seed and the number of the fold."""

    recipe: Recipe
    data: FoldData
    seed: tuple[int, int]

    @property
    def n_rows(self) -> int:
        """How many rows an epoch has."""
        return len(self.data.rows.positions)

    @property
    def n_steps(self) -> int:
        """How many steps an epoch has."""
        return -(-self.n_rows // self.recipe.fit.batch_size)


@dataclass(frozen=True)
class Trained:
    """What a lane gives: the models of its snapshots and the last one, what each predicts, and the history."""

    models: list[StoredWeights]
    predictions: list[tuple[np.ndarray, np.ndarray]]
    history: pd.DataFrame


def train_lanes(lanes: Sequence[Lane], report: Callable[[int, float], None] | None = None) -> list[Trained]:
    """Train several lanes together and predict by each.

    report: is called after an epoch with its number and the mean loss over the lanes.

    Raises FoldwiseError, naming fold and seed, where a loss stops being a number; MemoryError, or the error of JAX,
    where the lanes are too many for the memory of the device.
    """
    fit, first = lanes[0].recipe.fit, lanes[0]
    if {(lane.n_steps, lane.recipe.fit.batch_size) for lane in lanes} != {(first.n_steps, fit.batch_size)}:
        raise ValueError("lanes of one program have one number of steps and one batch size")
    decays = [lane.recipe.fit.weight_decay for lane in lanes]
    shared = replace(fit, learning_rate=1.0, weight_decay=max(decays))
    rate = program.LaneRate(learning_rate(shared, first.n_steps))
    states = []
    keras.backend.clear_session()
    for lane in lanes:
        whole = _untrained(lane)
        model = lane.data.source.trained_part(whole)
        common = optimizer(shared, lane.n_steps, model.trainable_variables)
        common.learning_rate = rate
        common.build(model.trainable_variables)
        states.append(program.state_of(model, common))
    # the model and the optimizer of the last lane serve all, whose variables are given to them
    names = introspect.input_names(model)
    loss = loss_of(fit, first.data.dataset.task)
    epoch_of = program.epoch_function(model, common, rate, loss, _prepare(names, first))
    state, images = program.stacked(states), _all_images(first)
    arrays = _lane_arrays(lanes, names)
    compiled, kept, losses, rates = None, list[Any](), list[Any](), list[Any]()
    ends = snapshots.cycle_ends(fit)
    started = time.perf_counter()
    for epoch in range(fit.epochs):
        steps = _stacked_steps([steps_of(lane, epoch) for lane in lanes])
        if compiled is None:
            compiled = program.check_memory(epoch_of, state, images, arrays, steps)
            started = time.perf_counter()
        state, (loss_of_epoch, next_rate) = compiled(state, images, arrays, steps)
        losses.append(loss_of_epoch)
        rates.append(next_rate)
        if epoch:  # one epoch is always queued: the device never waits for what is read here
            _check(lanes, epoch - 1, np.asarray(losses[-2]))
            if report is not None:
                report(epoch - 1, float(np.mean(losses[-2])))
        if epoch + 1 in ends:
            kept.append([program.lane_of(state, number) for number in range(len(lanes))])
    _check(lanes, fit.epochs - 1, np.asarray(losses[-1]))
    seconds = (time.perf_counter() - started) / fit.epochs
    predict = first.data.source.predictor(whole)
    found = []
    for number, lane in enumerate(lanes):
        models, predictions = [], []
        for states_then in kept:
            program.assign_state(model, common, states_then[number])
            common.finalize_variable_values(model.trainable_variables)  # the averages of fit.ema
            models.append(StoredWeights(whole, whole.get_weights()))
            models[-1].loaded()
            predictions.append(lane.data.predictions(predict))
        history = {
            "epoch": np.arange(fit.epochs) + 1,
            "loss": [float(one[number]) for one in losses],
            "learning_rate": [float(one[number]) for one in rates],
            "seconds": seconds,
            "seed": lane.seed[0],
        }
        found.append(Trained(models, predictions, pd.DataFrame(history)))
    return found


def steps_of(lane: Lane, epoch: int) -> Steps:
    """Return what a lane draws for the steps of an epoch: arrays (S, ...), a short last batch filled up.

    chosen (S, B): places among the rows of the lane, in the order of `foldwise.training.batches`, with the first row
        of the lane in what fills up; valid (S, B): 1.0, and 0.0 there; seeds (S, B): of each row.
    share (S,), partner (S, B), box (S, 4): of mixup and CutMix, as `foldwise.augment.mix.sample` gives them.
    What `foldwise.augment.sampling.sample` gives for the seeds, (S, B) each, where images are augmented.
    """
    size, n = lane.recipe.fit.batch_size, lane.n_rows
    shape = (lane.n_steps, size)
    chosen, seeds = order(lane.seed, epoch, n)
    steps: Steps = {
        "chosen": _filled(chosen.astype(np.int32), shape),
        "valid": _filled(np.ones(n, np.float32), shape),
    }
    source = lane.data.source
    if source.stored_views:
        steps["view"] = _filled((seeds % source.batches.shape[1]).astype(np.int32), shape)
    settings = source.augment
    if (ranges := _ranges(lane)) != Ranges():
        # what fills up has a seed too: a scale of 0 would make numbers that are none
        sampled = sample(ranges, _lengthened(seeds, shape[0] * size))
        kinds = {"f": np.float32, "i": np.int32, "b": np.bool_}
        steps |= {name: values.astype(kinds[values.dtype.kind]).reshape(shape) for name, values in sampled.items()}
    if settings.mixup or settings.cutmix:
        steps |= {
            "share": np.ones(shape[0], np.float32),
            "partner": np.tile(np.arange(size, dtype=np.int32), (shape[0], 1)),
            "box": np.full((shape[0], 4), -1, np.int32),
        }
        for number in range(shape[0]):
            rows, rng = min(size, n - number * size), np.random.default_rng((*lane.seed, epoch + 1, number))
            mixed = mix.sample(rows, lane.data.rows.images.shape[-3:-1], settings.mixup, settings.cutmix, rng)
            steps["share"][number], steps["partner"][number, :rows] = mixed.share, mixed.partner
            if mixed.box is not None:
                steps["box"][number] = mixed.box
    return steps


def _untrained(lane: Lane) -> keras.Model:
    recipe = lane.recipe
    model = untrained_model(recipe, lane.data.source, lane.seed)
    (phase,) = finetune.phases(recipe.finetune, recipe.fit, model)
    finetune.unfreeze(model, recipe.finetune, phase)
    images, rows = lane.data.dataset.train.images, lane.data.rows
    own = rows.positions[rows.positions < len(images)]  # without pseudo-labelled images
    set_scale(model, images, own, present(rows.inputs))
    check_values(model, images[own[: lane.recipe.fit.batch_size]])
    return model


def _prepare(names: list[str], lane: Lane) -> Callable[[Any, Any, Any], tuple[list[Any], Any]]:
    """Return the function that makes one batch of one lane on the device."""
    ops, source, ranges = keras.ops, lane.data.source, _ranges(lane)
    mixed = bool(source.augment.mixup or source.augment.cutmix)

    def prepare(images: Any, lane: Any, step: Any) -> tuple[list[Any], Any]:
        rows = lane["positions"][step["chosen"]]
        batch = images[rows, step["view"]] if source.stored_views else images[rows]
        batch, labels = ops.cast(batch, "float32"), lane["labels"][step["chosen"]]
        if ranges != Ranges():
            noise = program.normal(step["noise_seed"], batch.shape[1:]) if ranges.noise else None
            batch = on_device.changed(batch, step, ranges, noise)
        if mixed:
            batch, labels = _mixed(batch, labels, step)
        return [batch if name == "images" else lane[name][rows] for name in names], labels

    return prepare


def _ranges(lane: Lane) -> Ranges:
    """Return what the augmentation of a lane may do to an image."""
    settings = lane.data.source.augment
    ranges = ranges_of(settings.name, settings.options)
    if ranges is None:
        raise ValueError(f"augment={settings.name} has no form for the device")
    return ranges


def _mixed(images: Any, labels: Any, step: Any) -> tuple[Any, Any]:
    """Mix images (B, [v,] h, w, c) and labels as `foldwise.augment.mix` does."""
    ops, (height, width) = keras.ops, images.shape[-3:-1]
    top, left, h, w = (step["box"][i] for i in range(4))
    y, x = ops.arange(height)[:, None, None], ops.arange(width)[None, :, None]
    outside = ops.logical_or(ops.logical_or(y < top, y >= top + h), ops.logical_or(x < left, x >= left + w))
    own = ops.where(top < 0, step["share"], ops.cast(outside, "float32"))
    share, partner = step["share"], step["partner"]
    return own * images + (1 - own) * images[partner], share * labels + (1 - share) * labels[partner]


def _all_images(lane: Lane) -> Any:
    images = lane.data.rows.images
    return keras.ops.convert_to_tensor(np.asarray(images[np.arange(len(images))]))


def _lane_arrays(lanes: Sequence[Lane], names: list[str]) -> dict[str, Any]:
    """Return what belongs to each lane, stacked; rows are filled up to the longest lane, and never chosen there."""
    longest = max(lane.n_rows for lane in lanes)

    def of(lane: Lane) -> dict[str, Any]:
        rows, fit = lane.data.rows, lane.recipe.fit
        weights = np.ones(lane.n_rows, np.float32) if rows.weights is None else rows.weights
        arrays = {"labels": np.asarray(rows.labels, np.float32), "positions": rows.positions, "weights": weights}
        filled = {name: _lengthened(values, longest) for name, values in arrays.items()}
        inputs = {name: rows.inputs[name] for name in names if name != "images"}
        return filled | inputs | {"rate": np.float32(fit.learning_rate), "decay": np.float32(fit.weight_decay)}

    return _stacked_steps([of(lane) for lane in lanes], axis=0)


def _stacked_steps(parts: list[dict[str, Any]], axis: int = 1) -> dict[str, np.ndarray]:
    return {name: np.stack([part[name] for part in parts], axis=axis) for name in parts[0]}


def _filled(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return values (n,) as an array of a shape, with 0 after the last."""
    return _lengthened(values, shape[0] * shape[1]).reshape(shape)


def _lengthened(values: np.ndarray, n: int) -> np.ndarray:
    return np.concatenate([values, np.zeros((n - len(values), *values.shape[1:]), values.dtype)])


def _check(lanes: Sequence[Lane], epoch: int, losses: np.ndarray) -> None:
    """Raise FoldwiseError where the loss (L,) of a lane is no number."""
    for lane, loss in zip(lanes, losses.tolist(), strict=True):
        if not np.isfinite(loss):
            raise FoldwiseError(
                f"the loss of fold {lane.seed[1]}, seed {lane.seed[0]}, became {loss} in epoch {epoch + 1}; lower "
                f"fit.learning_rate={lane.recipe.fit.learning_rate:g}"
            )
