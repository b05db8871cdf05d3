"""One fold to train, and the function that trains it, in whatever process it is called."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from foldwise.data.dataset import Dataset, read
from foldwise.data.folds import read_table
from foldwise.errors import FoldwiseError
from foldwise.runs import store
from foldwise.runs.recipe import Recipe, stores_features, versions
from foldwise.runs.store import REFIT, Run
from foldwise.training import backend

REPORT_SECONDS = 0.5  # least time between two reports of one fold's steps

# ("images", images that the fold trains on in all), ("step", epoch, images so far, loss) or ("done", images/s, seconds)
Report = Callable[..., None]


@dataclass(frozen=True)
class FoldTask:
    """One fold to train: the unit of work, of resuming and of distribution. It can be pickled.

    fold_number: counts on over repeats; REFIT for the fit on all rows.
    n_train: images of the data, of which the fold trains on all but those that it holds out.
    prepared, folds: where the prepared data and the table of the folds are.
    held_out_loss: record the loss of the held-out rows after each epoch; folds that train in lanes do not.
    """

    run: Run
    recipe: Recipe
    fold_number: int
    n_train: int
    prepared: Path
    folds: Path
    held_out_loss: bool = field(default=False, kw_only=True)  # a task of another kind has more fields

    @property
    def name(self) -> str:
        """The name of the run and the number of the fold, for messages."""
        return f"{self.run.name} {'refit' if self.is_refit else f'fold {self.fold_number}'}"

    @property
    def tasks(self) -> tuple[FoldTask, ...]:
        """Itself, as a group of folds that train together has several."""
        return (self,)

    @property
    def is_refit(self) -> bool:
        """Whether it trains on all rows and holds none out."""
        return self.fold_number == REFIT

    @property
    def number(self) -> int:
        """The number that its random numbers depend on; a refit has the number after the last fold."""
        return self.recipe.n_fits if self.is_refit else self.fold_number

    @property
    def n_seeds(self) -> int:
        """How many models it trains."""
        return self.recipe.fit.refit_seeds if self.is_refit else self.recipe.fit.n_seeds

    @property
    def n_images(self) -> int:
        """About how many images the fold trains on, over all epochs and seeds."""
        share = 1 if self.is_refit else 1 - 1 / self.recipe.split.n_folds
        return round(self.n_train * share * self.recipe.fit.epochs * self.n_seeds)


def train_one(task: FoldTask, report: Report) -> None:
    """Train a fold and write its folder; what it needs is read from the disk.

    report: is called with what the fold does, see `Report`.

    Raises FoldwiseError where the recipe, the data and the runs that it names do not go together.
    """
    from foldwise.training.fit import train_fold

    started = time.perf_counter()
    read_in = read_task(task)
    report("images", read_in.n_images)
    result = train_fold(
        read_in.recipe,
        read_in.dataset,
        read_in.held_out,
        task.number,
        seldom(report),
        read_in.features,
        read_in.pseudo_labels,
        task.held_out_loss,
    )
    seconds = time.perf_counter() - started
    rate = read_in.n_images / result.history["seconds"].sum()
    write_result(task, read_in, result, seconds, rate)
    report("done", rate, seconds)


@dataclass(frozen=True)
class ReadTask:
    """What a fold needs from the disk.

    recipe: with as many seeds as the task trains.
    held_out: bool (n,) of the rows.
    features, pseudo_labels: as `foldwise.training.fit.train_fold` takes them.
    n_images: that the fold trains on, over all epochs and seeds.
    """

    recipe: Recipe
    dataset: Dataset
    held_out: np.ndarray
    features: Any
    pseudo_labels: Any
    n_images: int


def read_task(task: FoldTask) -> ReadTask:
    """Read what a fold needs from the disk, computing features where they are stored and missing."""
    # Keras is loaded by the processes that train, not by the one that starts them
    from foldwise.training.features import features
    from foldwise.training.pseudo import find_pseudo_labels

    dataset = read(task.prepared)
    held_out = held_out_rows(task, dataset)
    recipe = replace(task.recipe, fit=replace(task.recipe.fit, n_seeds=task.n_seeds))
    pseudo_labels = find_pseudo_labels(task.run, recipe, task.fold_number, dataset)
    n_pseudo = 0 if pseudo_labels is None else len(pseudo_labels.positions)
    n_images = int((~held_out).sum()) // dataset.structure.rows_per_image + n_pseudo
    stored = features(recipe, dataset) if stores_features(recipe) else None
    return ReadTask(recipe, dataset, held_out, stored, pseudo_labels, n_images * recipe.fit.epochs * task.n_seeds)


def write_result(task: FoldTask, read_in: ReadTask, result: Any, seconds: float, rate: float) -> None:
    """Write the folder of a fold that was trained in so many seconds, at a rate in images/s; result: a FoldResult."""
    dataset = read_in.dataset
    _check_finite(task, result)
    repeat, fold = divmod(task.number, task.recipe.split.n_folds)
    about = {
        "seconds": seconds,
        "images_per_second": rate,
        "device": backend.device_name(),
        "versions": versions(task.recipe.backend),
    }
    if read_in.pseudo_labels is not None:
        about["pseudo_images"] = len(read_in.pseudo_labels.positions)
    if result.target_scale is not None:  # the stored models predict standardised values
        scale = result.target_scale
        about["target_scale"] = {"mean": scale.mean.tolist(), "sd": scale.sd.tolist()}
    ids, targets = dataset.train.table["id"][read_in.held_out], dataset.targets
    store.write_fold(
        task.run,
        task.fold_number,
        None if task.is_refit else store.held_out_table(ids, result.held_out, targets, repeat, fold),
        store.test_table(dataset.test.table["id"], result.test, targets),
        result.history,
        result.models,
        about,
    )


def _check_finite(task: FoldTask, result: Any) -> None:
    """Raise FoldwiseError where a model predicts NaN or infinity: its last step may spoil what the loss still shows."""
    for what, predictions in (("held-out", result.held_out), ("test", result.test)):
        wrong = int((~np.isfinite(predictions)).any(axis=1).sum())
        if wrong:
            raise FoldwiseError(
                f"after epoch {task.recipe.fit.epochs} the predictions of {wrong} of {len(predictions)} {what} rows "
                "are no numbers; lower fit.learning_rate or switch fit.mixed_precision off"
            )


def held_out_rows(task: FoldTask, dataset: Dataset) -> np.ndarray:
    """Return which training rows the fold holds out: bool (n,); none in a repeat after the last, as a refit has."""
    repeat, fold = divmod(task.number, task.recipe.split.n_folds)
    folds = read_table(task.folds)
    ids = folds["id"][(folds["repeat"] == repeat) & (folds["fold"] == fold)]
    return np.asarray(dataset.train.table["id"].isin(ids))


def seldom(report: Report) -> Callable[[int, int, float], None]:
    """Return a function that reports the step of (epoch, images, loss), twice a second at most."""
    last = time.perf_counter()

    def report_step(epoch: int, images: int, loss: float) -> None:
        nonlocal last
        if (now := time.perf_counter()) - last >= REPORT_SECONDS:
            last = now
            report("step", epoch, images, loss)

    return report_step
