"""Train one fold: a recipe, the data and the held-out rows in, predictions out. Pure: it touches no disk."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import pandas as pd

from foldwise.data.batch import by_image, images_of, present, side_inputs, structure_of
from foldwise.data.dataset import Dataset
from foldwise.data.structure import Batch, check_mirror
from foldwise.errors import FoldwiseError
from foldwise.models import introspect
from foldwise.runs.recipe import Recipe
from foldwise.settings import Task
from foldwise.training import finetune, snapshots
from foldwise.training.backend import traced_step
from foldwise.training.batches import Batches
from foldwise.training.build import build_model, check_values, set_scale
from foldwise.training.features import Features, built_once, head, head_recipe, with_new_head
from foldwise.training.optimizer import optimizer
from foldwise.training.predict import PREDICT_ROWS, Predictor
from foldwise.training.pseudo import Extra, hard, joined

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts

Report = Callable[[int, int, float], None]  # epoch, images trained so far, mean loss of the epoch


@dataclass
class FoldResult:
    held_out: np.ndarray  # (n_f, k) probabilities of the held-out rows, in the order of the data
    test: np.ndarray  # (n_test, k) probabilities
    history: pd.DataFrame  # seed, epoch, loss, learning_rate, seconds
    models: list[keras.Model]  # one for each seed, and with fit.snapshots one for each of its cycles


def train_fold(
    recipe: Recipe,
    dataset: Dataset,
    held_out: np.ndarray,
    fit: int,
    report: Report | None = None,
    features: Features | None = None,
    extra: Extra | None = None,
) -> FoldResult:
    """Train on the rows outside `held_out` (n,) bool and predict those inside it, if any, and the test rows.

    fit: the number of the fold, counted on over repeats, or the one after them of a refit; with `recipe.fit.seed`
    it decides every random draw.
    The labels of the held-out rows are never looked at. With `fit.n_seeds` several models are trained, with
    `fit.snapshots` several are kept of each training, and the probabilities of all are averaged.
    features: what the frozen backbone said of all images; then the head alone is trained.
    extra: test images that train beside the rows, without features.

    Raises FoldwiseError where the loss stops being a number, or the fold cuts an image that answers several rows.
    """
    k, held_out = len(dataset.targets), images_of(held_out, dataset.structure.rows_per_image)
    dataset = by_image(dataset)
    rows = np.flatnonzero(~held_out)
    if recipe.augment.test_views == "mirror" or recipe.augment.options.get("mirror"):
        names = recipe.model.options.get("auxiliary", ())
        check_mirror(structure_of(dataset), names, "mirroring (augment)")
    auxiliary = _Auxiliary(dataset, recipe.model.options.get("auxiliary", ()), rows)
    beside_train = side_inputs(dataset, dataset.train, auxiliary.train)
    beside_test = side_inputs(dataset, dataset.test, auxiliary.test)
    inside, models, histories = [], [], []
    outside = []
    drawn = _drawn(recipe, dataset, rows, beside_train, beside_test, features, extra)
    n_images = len(drawn[-1])
    for number in range(recipe.fit.n_seeds):
        before = number * recipe.fit.epochs * n_images  # images that the seeds before trained on
        seed = (recipe.fit.seed + number, fit)
        kept, history = _train_one(recipe, dataset, rows, beside_train, drawn, seed, before, report, features)
        for model in kept:
            batch = PREDICT_ROWS if finetune.backbone(model) is None else recipe.fit.batch_size
            images = (dataset.train.images, dataset.test.images)
            predict = Predictor(model, dataset.task, recipe.augment.test_views, structure_of(dataset), batch)
            if features is not None:
                images, predict = (features.train, features.test), Predictor(head(model), dataset.task, "stored")
            inside.append(predict(images[0], beside_train, np.flatnonzero(held_out)))
            outside.append(predict(images[1], beside_test, np.arange(len(images[1]))))
        models += kept
        histories.append(history.assign(seed=recipe.fit.seed + number))
    return FoldResult(
        np.mean(inside, axis=0).reshape(-1, k),
        np.mean(outside, axis=0).reshape(-1, k),
        pd.concat(histories, ignore_index=True),
        models,
    )


def _drawn(
    recipe: Recipe,
    dataset: Dataset,
    rows: np.ndarray,
    beside: Batch,
    beside_test: Batch,
    features: Features | None,
    extra: Extra | None,
) -> tuple[Any, Batch, np.ndarray, np.ndarray | None, np.ndarray]:
    """Return what batches are drawn from: images, what stands beside them, labels, weights, and positions (m,)."""
    weighted = recipe.fit.class_weights
    if extra is None:
        labels = dataset.labels[rows]
        images = dataset.train.images if features is None else features.drawn
        return images, beside, labels, _balanced(labels, dataset.task) if weighted else None, rows
    both, beside, labels, weights, rows = joined(extra, dataset, rows, beside, beside_test)
    if weighted:
        weights = weights * _balanced(hard(labels, dataset.task), dataset.task)
    return both, beside, labels, weights, rows


def _train_one(
    recipe: Recipe,
    dataset: Dataset,
    rows: np.ndarray,
    beside: Batch,
    drawn: tuple[Any, Batch, np.ndarray, np.ndarray | None, np.ndarray],
    seed: tuple[int, int],
    before: int,
    report: Report | None,
    features: Features | None,
) -> tuple[list[keras.Model], pd.DataFrame]:
    fit = recipe.fit
    keras.backend.clear_session()
    one_number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    keras.utils.set_random_seed(one_number)
    settings = recipe.augment if features is None else head_recipe(recipe).augment
    model = build_model(recipe, dataset) if features is None else built_once(recipe, dataset)
    if recipe.finetune.mode == "head":
        # the head is drawn by the seed alone, whether or not a backbone was drawn before it
        keras.utils.set_random_seed(one_number)
        model = with_new_head(model)
    names, structure, stored = introspect.input_names(model), structure_of(dataset), features is not None
    batches = Batches(*drawn, fit.batch_size, settings, seed, names, structure, stored)
    set_scale(model, dataset.train.images, rows, present(beside))
    check_values(model, dataset.train.images[rows[: fit.batch_size]])
    loss = keras.losses.CategoricalCrossentropy if dataset.task == "multiclass" else keras.losses.BinaryCrossentropy
    watch, kept = _Watch(batches, before, report), snapshots.Kept(model)
    phases = finetune.phases(recipe.finetune, fit, model)
    for phase in phases:
        finetune.unfreeze(model, recipe.finetune, phase)
        trained = model if features is None else head(model)
        variables, shares = trained.trainable_variables, finetune.rates(model, recipe.finetune)
        of_phase = finetune.fit_of_phase(fit, recipe.finetune, phase)
        of_phase = replace(of_phase, snapshots=fit.snapshots if phase is phases[-1] else 1)
        kept.epochs = [phase.first + end for end in snapshots.ends(of_phase)[:-1]]
        trained.compile(optimizer(of_phase, len(batches), variables, shares), loss(from_logits=True))
        # else TensorFlow traces the training step twice: a first time to create the optimizer's variables
        trained.optimizer.build(variables)
        for epoch in _epochs(trained, batches, phase.first, phase.last, watch):
            kept.after(epoch, trained)
        trained.optimizer.finalize_variable_values(variables)  # the averages of fit.ema
    models = [snapshots.with_weights(build_model(recipe, dataset), weights) for weights in kept.weights]
    return [*models, model], pd.DataFrame(watch.history)


def _epochs(model: keras.Model, batches: Batches, first: int, last: int, watch: _Watch) -> Iterator[int]:
    """Train the epochs `first` to `last` - 1 by Keras' own step, and yield the number of each when it is done.

    Keras' `fit` takes its batches through a pipeline of TensorFlow. Its threads disturbed those of the step: some
    epochs took a quarter longer, at the same work.
    """
    step = None
    for epoch, number, batch in batches.between(first, last):
        if step is None:
            step = traced_step(model, batch)
        if number == 0:
            model.reset_metrics()
            watch.begin()
        loss, rate = step(*batch)
        watch.step(epoch, number, float(loss))
        if number == len(batches) - 1:
            watch.end(epoch, float(loss), float(rate))
            yield epoch


def _balanced(labels: np.ndarray, task: Task) -> np.ndarray:
    """Weight each row (m,) so that all classes weigh the same: scikit-learn's "balanced"."""
    if task == "multilabel":
        raise FoldwiseError("fit.class_weights=true: classes of a multilabel task overlap and have no single weight")
    classes = labels.argmax(axis=1) if task == "multiclass" else labels[:, 0].astype(int)
    counts = np.bincount(classes)
    return (len(classes) / (np.count_nonzero(counts) * counts[classes])).astype(np.float32)


class _Auxiliary:
    """The auxiliary columns as models take them: standardised by the training rows, and 1 where missing."""

    def __init__(self, dataset: Dataset, names: tuple[str, ...], rows: np.ndarray) -> None:
        self.train = self.test = None
        absent = [name for name in names if name not in dataset.auxiliary]
        if absent:
            raise FoldwiseError(
                f"model.options.auxiliary={list(names)}: the data has no column {absent[0]!r}; "
                f"it has {', '.join(dataset.auxiliary) or 'none'}"
            )
        if names:
            values = [split.table[list(names)].to_numpy(np.float64) for split in (dataset.train, dataset.test)]
            mean, sd = np.nanmean(values[0][rows], axis=0), np.nanstd(values[0][rows], axis=0)
            self.train, self.test = (
                np.hstack([np.nan_to_num((v - mean) / np.maximum(sd, 1e-12)), np.isnan(v)]).astype(np.float32)
                for v in values
            )


class _Watch:
    """Keep the history, report progress, and stop at the first loss that is no number.

    before: images that were trained on before.
    """

    def __init__(self, batches: Batches, before: int, report: Report | None) -> None:
        self.n_rows, self.batch_size = len(batches.rows), batches.batch_size
        self.before, self.report = before, report
        self.history: list[dict[str, float]] = []

    def begin(self) -> None:
        self.started = time.perf_counter()

    def step(self, epoch: int, number: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise FoldwiseError(
                f"the loss became {loss} in epoch {epoch + 1}, step {number + 1}; lower fit.learning_rate"
                " or switch fit.mixed_precision off"
            )
        if self.report is not None:
            seen = min((number + 1) * self.batch_size, self.n_rows)
            self.report(epoch, self.before + epoch * self.n_rows + seen, loss)

    def end(self, epoch: int, loss: float, rate: float) -> None:
        seconds = time.perf_counter() - self.started
        self.history.append({"epoch": epoch + 1, "loss": loss, "learning_rate": rate, "seconds": seconds})
