"""Train one fold: a recipe, the data and the held-out rows in, predictions out. It writes nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.data.batch import by_image, images_of, present
from foldwise.data.dataset import Dataset
from foldwise.errors import FoldwiseError
from foldwise.models import introspect
from foldwise.models.pretrained.keras_files import check_keras_file
from foldwise.runs.recipe import Recipe
from foldwise.training import finetune, snapshots
from foldwise.training.backend import has_gpu, write_back
from foldwise.training.batches import Batches
from foldwise.training.build import check_values, set_scale
from foldwise.training.features import Features
from foldwise.training.fold_data import FoldData, FoldResult, fold_data
from foldwise.training.held_out_loss import held_out_loss
from foldwise.training.inputs import model_inputs, target_scale
from foldwise.training.network import Network, Part, StoredWeights, network
from foldwise.training.pseudo import PseudoLabels
from foldwise.training.source import Source

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts

READ_SECONDS = 0.5  # on a GPU, which stands still from when the loss of a step is read to the next step
GPU_THREADS = 4  # that build batches for a GPU, which takes them faster than one builds them

Report = Callable[[int, int, float], None]  # epoch, images trained so far, mean loss of the epoch


def train_fold(
    recipe: Recipe,
    dataset: Dataset,
    held_out: np.ndarray,
    fold_number: int,
    report: Report | None = None,
    features: Features | None = None,
    pseudo_labels: PseudoLabels | None = None,
    with_held_out_loss: bool = False,
) -> FoldResult:
    """Train on the rows outside `held_out` (n,) bool and predict those inside it, if any, and the test rows.

    The labels of the held-out rows change nothing; the targets of a regression are standardised by the training
    rows. With `fit.n_seeds` several models are trained, with `fit.snapshots` several are kept of each training, and the
    predictions of all are averaged.

    fold_number: counts on over repeats; a refit has the number after the last. With `recipe.fit.seed` it decides
        every random number.
    features: what a frozen backbone gives for all images; then the head alone is trained.
    pseudo_labels: test images that are trained on together with the rows; not with features.
    with_held_out_loss: record the loss of the held-out rows after each epoch in the history; it changes no bit.

    Raises FoldwiseError where the loss stops being a number, or the fold cuts an image that answers several rows.
    """
    data = fold_data(recipe, dataset, held_out, features, pseudo_labels)
    n_rows = len(data.rows.positions)
    predictions, histories, models = [], [], list[StoredWeights]()
    for number in range(recipe.fit.n_seeds):
        before = number * recipe.fit.epochs * n_rows  # images that were trained on for earlier seeds
        watch = _Watch(n_rows, recipe.fit.batch_size, before, report)
        seed = recipe.fit.seed + number
        own, trained = _train_one_seed(recipe, data, (seed, fold_number), watch, with_held_out_loss)
        for weights in trained:
            weights.loaded()
            predictions.append(data.predictions(own.predictor))
            models.append(weights.sharing(models[0]) if models else weights)
        histories.append(pd.DataFrame(watch.history).assign(seed=seed))
    return data.result(predictions, histories, models)


def predict_fold(
    recipe: Recipe,
    dataset: Dataset,
    held_out: np.ndarray,
    weights: list[Path],
    features: Features | None = None,
    done: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Predict the test rows by trained models, as `train_fold` does: probabilities (n_test, k), averaged over them.

    held_out: (n,) bool, the training rows that the fold held out; auxiliary columns, and the targets of a regression,
        are standardised by the others.
    weights: files of the weights of each model.
    features: what a frozen backbone gives for the test images.
    done: is called after each batch with the number of images in it.
    """
    k, held_out = len(dataset.targets), images_of(held_out, dataset.structure.rows_per_image)
    dataset = by_image(dataset)
    source = (
        Source.from_images(recipe, dataset) if features is None else Source.from_features(recipe, dataset, features)
    )
    positions = np.flatnonzero(~held_out)
    _, inputs = model_inputs(dataset, recipe.model.options.get("auxiliary", ()), positions)
    parts, own = [], network(recipe, dataset, source, (0, 0))
    for path in weights:
        check_keras_file(path)  # those of a bundle may be a stranger's
        own.model.load_weights(path)
        snapshots.with_weights(own.model, own.model.get_weights())
        parts.append(own.predictor(source.test, inputs, np.arange(len(source.test)), done))
    mean = np.asarray(np.mean(parts, axis=0))
    scale = target_scale(dataset, positions)
    return (mean if scale is None else scale.restored(mean)).reshape(-1, k)


def _train_one_seed(
    recipe: Recipe, data: FoldData, seed: tuple[int, int], watch: _Watch, with_held_out_loss: bool
) -> tuple[Network, list[StoredWeights]]:
    """Train one model and return its weights, after those of its snapshots; seed: (seed, number of the fold)."""
    fit, rows, source = recipe.fit, data.rows, data.source
    own = network(recipe, data.dataset, source, seed)
    model = own.model
    names, threads = introspect.input_names(model), GPU_THREADS if has_gpu() else 1
    batches = Batches(rows, fit.batch_size, source.augment, seed, names, source.stored_views, threads)
    images = data.dataset.train.images
    positions = rows.positions[rows.positions < len(images)]  # without pseudo-labelled images
    set_scale(model, images, positions, present(rows.inputs))
    check_values(model, images[positions[: fit.batch_size]])
    kept = snapshots.KeptWeights(model)
    phases = finetune.phases(recipe.finetune, fit, model)
    for phase in phases:
        part = own.part(phase, phase is phases[-1], len(batches))
        kept.epochs = [phase.first + end for end in snapshots.cycle_ends(part.fit)[:-1]]
        for epoch in _epochs(part, batches, phase.first, phase.last, watch):
            kept.after(epoch, part.model)
            if with_held_out_loss and data.held_out.any():  # a refit holds none out
                watch.held_out(held_out_loss(recipe, data, own, part.model))
        part.model.optimizer.finalize_variable_values(part.model.trainable_variables)  # the averages of fit.ema
    return own, [StoredWeights(model, weights) for weights in [*kept.weights, model.get_weights()]]


def _epochs(part: Part, batches: Batches, first: int, last: int, watch: _Watch) -> Iterator[int]:
    """Train the epochs `first` to `last` - 1 by Keras' own step, and yield the number of each when it is done.

    Keras' `fit` takes its batches through a pipeline of TensorFlow. Its threads disturbed those of the step: some
    epochs took a quarter longer, at the same work.
    """
    step, read_at, seconds = None, 0.0, READ_SECONDS if has_gpu() else 0.0
    for epoch, number, batch in batches.between(first, last):
        if step is None:
            step = part.step(batch)
        if number == 0:
            part.model.reset_metrics()
            watch.begin_epoch()
        loss, rate = step(*batch)
        last = number == len(batches) - 1
        if last or time.perf_counter() - read_at >= seconds:
            watch.step(epoch, number, float(loss))
            read_at = time.perf_counter()
        if last:
            write_back(step)
            watch.end_epoch(epoch, float(loss), float(rate))
            yield epoch


class _Watch:
    """Keep the history, report progress, and stop at the first loss that is not a number.

    n_rows, batch_size: of an epoch and of a batch, in images.
    before: images that were trained on before.
    """

    def __init__(self, n_rows: int, batch_size: int, before: int, report: Report | None) -> None:
        self.n_rows, self.batch_size, self.before, self.report = n_rows, batch_size, before, report
        self.history: list[dict[str, float]] = []

    def begin_epoch(self) -> None:
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

    def end_epoch(self, epoch: int, loss: float, rate: float) -> None:
        seconds = time.perf_counter() - self.started
        self.history.append({"epoch": epoch + 1, "loss": loss, "learning_rate": rate, "seconds": seconds})

    def held_out(self, loss: float) -> None:
        """Add the loss of the held-out rows to the epoch that ended last; it is not reported."""
        self.history[-1]["held_out_loss"] = loss
