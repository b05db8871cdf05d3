"""Predict new samples by the fits of a blend's members: by all, or by those that a budget of time allows."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from foldwise.data.dataset import Dataset, Split
from foldwise.data.folds import held_out_part, read_table
from foldwise.execution.budget import members_in_time
from foldwise.execution.prediction import PredictionTask
from foldwise.execution.queue import predict_fits, time_fits
from foldwise.runs.members import stacked
from foldwise.runs.recipe import Recipe
from foldwise.runs.store import Run
from foldwise.scoring.compare_runs import drop_one
from foldwise.settings import ExecutionSettings, Metric

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NewData:
    """New samples, and the data that members were trained on.

    known: the prepared data of the training, of which only the tables are read.
    folds: the file of the folds.
    folder: of the new samples; the predictions of the members are written to it.
    n_images: images of the new samples.
    """

    known: Dataset
    folds: Path
    folder: Path
    n_images: int


def predict_members(
    recipes: Mapping[Run, Recipe],
    new: NewData,
    execution: ExecutionSettings,
    metric: Metric,
    until: float | None = None,
) -> list[Run]:
    """Predict the new samples by the fits of all members; return the runs, each with the fits that were done.

    until: on the clock of `time.monotonic`. Each member is then timed on its first batches, and those for which no fit
        can be predicted in time are left out, in the order of `members_in_time`. One fit of each other member comes
        first: the nested score is that of one fit a row. Then come the further ones, until time is up. None: no limit.
    """
    n_train = len(new.known.train.images)
    tasks = [
        PredictionTask(run, recipe, fit, n_train, new.known.path, new.folds, new.folder, new.n_images)
        for run, recipe in recipes.items()
        for fit in run.predicting
    ]
    if until is None:
        return _with_fits(recipes, predict_fits(tasks, execution))
    first = [task for task in tasks if task.fold_number == task.run.predicting[0]]
    workers = time_fits(first, execution)
    seconds = {task.run.name: task.seconds / workers for task in first}
    left = max(0.0, until - time.monotonic())
    kept = members_in_time(seconds, _worse_without(list(recipes), new, metric), left)
    for name in [name for name in seconds if name not in kept]:
        log.warning(
            "budget: %s is left out; one fit of it takes %.0f s, and %.0f s are left", name, seconds[name], left
        )
    done = predict_fits([task for task in first if task.run.name in kept], execution)
    further = sorted(
        (task for task in tasks if task.run.name in kept and task not in done),
        key=lambda task: task.run.predicting.index(task.fold_number),
    )
    if further and time.monotonic() < until:
        done += predict_fits(further, execution, until)
    log.info("budget: %d of %d fits, of %d of %d members", len(done), len(tasks), len(kept), len(recipes))
    return _with_fits(recipes, done)


def _with_fits(runs: Iterable[Run], done: list[PredictionTask]) -> list[Run]:
    """Return the runs of which a fit was done, each with those fits, in their order."""
    fits = {run: tuple(task.fold_number for task in done if task.run == run) for run in runs}
    return [replace(run, kept=tuple(fit for fit in run.predicting if fit in fits[run])) for run in runs if fits[run]]


def _worse_without(runs: list[Run], new: NewData, metric: Metric) -> Callable[[list[str]], dict[str, float]]:
    """Return a function of members' names: by how much the mean of their held-out predictions is worse without each."""
    table = read_table(new.folds)
    known = held_out_part(new.known, table)
    no_test = replace(known, test=Split(known.test.images[:0], known.test.table.iloc[:0]))
    train, _, problem = stacked(runs, no_test, table, new.folder, lambda run, ids, targets: np.empty((0, len(targets))))
    problem, places = replace(problem, metric=metric, test=None), {run.name: i for i, run in enumerate(runs)}

    def worse(names: list[str]) -> dict[str, float]:
        rows = train.of_members(np.array([places[name] for name in names]))
        return dict(zip(names, drop_one(rows, problem).tolist(), strict=True))

    return worse
