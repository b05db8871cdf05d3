"""A pool that works in the process of the tests, which pays the start of TensorFlow once for all of them."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from foldwise.errors import FoldwiseError
from foldwise.execution.local import named_error
from foldwise.execution.task import FoldTask
from foldwise.settings import Backend, ExecutionSettings


class PoolHere:
    """In place of `foldwise.execution.local.LocalPool`: the tasks are done one after the other, here."""

    done: ClassVar[list[str]] = []  # names of all tasks, for tests that count them

    def __init__(
        self, execution: ExecutionSettings, n_tasks: int, work: Callable[[Any, Any], None], name: Backend = "tensorflow"
    ) -> None:
        self.workers, self.threads, self._work = 1, 1, work
        self._tasks: list[tuple[int, FoldTask]] = []

    def __enter__(self) -> "PoolHere":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, number: int, task: FoldTask) -> None:
        self._tasks.append((number, task))

    def as_completed(
        self, report: Callable[..., None], until: float | None = None
    ) -> Iterator[tuple[FoldTask, FoldwiseError | None]]:
        for number, task in self._tasks:
            failure = None
            try:
                self._work(task, lambda kind, *values, number=number: report(kind, number, *values))
            except Exception as error:
                failure = named_error(error, task.name)
            self.done.append(task.name)
            yield task, failure
