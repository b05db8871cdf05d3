"""Train a queue of folds, and show their progress."""

from __future__ import annotations

from collections.abc import Callable

from foldwise.execution.local import LocalPool
from foldwise.execution.task import FoldTask
from foldwise.progress import Progress
from foldwise.runs.store import Run
from foldwise.settings import ExecutionSettings


def train_folds(tasks: list[FoldTask], execution: ExecutionSettings, finished: Callable[[Run], None]) -> None:
    """Train the tasks, several at once; call `finished` for every run as soon as its last fold is written.

    Another executor is a class like LocalPool, with `workers`, `threads`, `submit`, `as_completed`, and an exit that
    stops what still runs after an error. Its workers call `foldwise.execution.task.train_one`.

    Raises FoldwiseError, naming the fold, when one fails; folds that were finished by then are kept.
    """
    pool = LocalPool(execution, len(tasks))
    images = {number: task.n_images for number, task in enumerate(tasks)}
    with Progress(images, [task.name for task in tasks], pool.workers, pool.threads) as progress, pool:
        for number, task in enumerate(tasks):
            pool.submit(number, task)
        for task in pool.as_completed(progress.update):
            if task.run.is_finished():
                finished(task.run)
