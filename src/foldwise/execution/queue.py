"""Train or predict a queue of folds, and show the progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from foldwise.execution.explanation import ExplanationTask, explain_one
from foldwise.execution.local import LocalPool, parallelism
from foldwise.execution.prediction import PredictionTask, predict_one, time_one
from foldwise.execution.task import FoldTask, Report, train_one
from foldwise.progress import Progress
from foldwise.runs.store import Run
from foldwise.settings import ExecutionSettings


def train_folds(tasks: list[FoldTask], execution: ExecutionSettings, finished: Callable[[Run], None]) -> None:
    """Train the tasks, several at once; call `finished` for every run as soon as its last fold is written.

    Raises FoldwiseError, naming the fold, when one fails; folds that were finished by then are kept.
    """
    for task in _done(tasks, execution, train_one, "training"):
        if task.run.is_finished():
            finished(task.run)


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
    tasks: Sequence[FoldTask],
    execution: ExecutionSettings,
    work: Callable[[Any, Report], None],
    doing: str,
    until: float | None = None,
) -> Iterator[FoldTask]:
    """Do the work of all tasks and yield each when it is done; stop at `until`, on the clock of `time.monotonic`.

    Another executor is a class like LocalPool, with `workers`, `threads`, `submit`, `as_completed`, and an exit that
    stops what still runs. Its workers call `work` with a task.
    """
    pool = LocalPool(execution, len(tasks), work)
    images = {number: task.n_images for number, task in enumerate(tasks)}
    with Progress(images, [task.name for task in tasks], pool.workers, pool.threads, doing) as progress, pool:
        for number, task in enumerate(tasks):
            pool.submit(number, task)
        yield from pool.as_completed(progress.update, until)
