"""Train or predict a queue of folds, and show the progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from foldwise.errors import FoldwiseError
from foldwise.execution.executors import start_pool
from foldwise.execution.explanation import ExplanationTask, explain_one
from foldwise.execution.lanes import Queued, grouped, train_any
from foldwise.execution.local import NAMES, parallelism
from foldwise.execution.prediction import PredictionTask, predict_one, time_one
from foldwise.execution.task import FoldTask, Report
from foldwise.progress import Progress
from foldwise.runs.store import Run
from foldwise.settings import ExecutionSettings

log = logging.getLogger(__name__)


def train_folds(
    tasks: list[FoldTask],
    execution: ExecutionSettings,
    finished: Callable[[Run], None],
    written: Callable[[Run, int], None] = lambda run, fit: None,
) -> None:
    """Train the tasks, several at once; call `finished` for every run as soon as its last fold is written.

    written: is called with the run and the number of each fit that is written, before `finished`.

    A fold that fails is shown at once, and the others go on. Raises FoldwiseError at the end, naming the first, where
    one failed.
    """
    known: set[Run] = set()  # its last two folds may be done at once
    for task in _done(grouped(tasks, execution), execution, train_any, "training", go_on=True):
        for one in task.tasks:
            written(one.run, one.fold_number)
        for run in dict.fromkeys(one.run for one in task.tasks):
            if run not in known and run.is_finished():
                known.add(run)
                finished(run)


def predict_fits(
    tasks: list[PredictionTask], execution: ExecutionSettings, until: float | None = None
) -> list[PredictionTask]:
    """Predict by several trained fits at once, in their order; return those that were done by `until`.

    Their predictions are in `task.result`.

    until: seconds on the clock of `time.monotonic`; what is not done by then is stopped. None: no limit.

    Raises FoldwiseError, naming the fold, when one fails.
    """
    done = list(_done(tasks, execution, predict_one, "predicting with", until))
    return [task for task in tasks if task in done]


def time_fits(tasks: list[PredictionTask], execution: ExecutionSettings) -> int:
    """Measure how long each fit takes, see `PredictionTask.seconds`; return how many are predicted at once."""
    list(_done(tasks, execution, time_one, "timing"))
    return parallelism(execution, len(tasks))[0]


def explain_fits(tasks: list[ExplanationTask], execution: ExecutionSettings) -> None:
    """Explain rows by several trained fits at once; maps and neighbours are in `task.result`.

    Raises FoldwiseError, naming the fold, when one fails.
    """
    list(_done(tasks, execution, explain_one, "explaining with"))


def _done(
    tasks: Sequence[Queued],
    execution: ExecutionSettings,
    work: Callable[[Any, Report], None],
    doing: str,
    until: float | None = None,
    go_on: bool = False,
) -> Iterator[Queued]:
    """Do the work of all tasks and yield each when it is done; stop at `until`, on the clock of `time.monotonic`.

    go_on: do the work of the others where one fails.

    Raises FoldwiseError, naming a task that failed: at once, or at the end where the others go on.
    """
    failed: list[FoldwiseError] = []
    if work is not train_any:
        execution = replace(execution, executor="local")  # predictions are made on this machine
    for backend in dict.fromkeys(task.recipe.backend for task in tasks):  # members of a blend may differ in it
        own = [task for task in tasks if task.recipe.backend == backend]
        pool = start_pool(execution, len(own), work, backend)
        images = {number: task.n_images for number, task in enumerate(own)}
        epochs = [task.recipe.fit.epochs if work is train_any else None for task in own]
        names, engine = [task.name for task in own], NAMES[backend]
        with Progress(images, names, pool.workers, pool.threads, doing, epochs, engine) as progress, pool:
            for number, task in enumerate(own):
                pool.submit(number, task)
            for task, error in pool.as_completed(progress.update, until):
                if error is None:
                    yield task
                    continue
                failed.append(error)
                if not go_on or len(failed) == len(tasks) == 1:
                    raise error
                log.error("error: %s", error)
    if failed:
        raise FoldwiseError(
            f"{len(failed)} of {len(tasks)} folds failed, the first with: {failed[0]}. The same command trains them "
            "again, and no finished one"
        ) from failed[0].__cause__
