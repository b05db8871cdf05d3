"""Worker processes on this machine: how many, with how many threads, and what becomes of their errors."""

from __future__ import annotations

import gc
import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

from foldwise.devices import usable_gpus
from foldwise.errors import FoldwiseError
from foldwise.execution.task import Report
from foldwise.processes import cores, die_with_parent, no_interrupts
from foldwise.settings import Backend, ExecutionSettings
from foldwise.training import backend

REPORT_SECONDS = 0.1  # in which the last report of a finished fold, which has a queue of its own, is waited for
GPU_UNUSED = (
    "the driver shows a GPU, but {} does not use it: `make setup GPU={}` installs its CUDA build; "
    "execution.allow_cpu=true trains on the CPU all the same"
)
NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def parallelism(execution: ExecutionSettings, n_tasks: int) -> tuple[int, int]:
    """Return (workers, threads per fold).

    A fold may use a fifth of the cores, and two at least, even where every core has a fold of its own: a last
    fold that is alone is then not left with one. The threads depend on the machine alone, not on how many folds
    are left to train, because the bits of a prediction depend on them. Each GPU trains one fold at a time.
    """
    gpus = usable_gpus(execution)
    threads = execution.threads_per_fold or max(min(2, cores()), cores() // 5)
    workers = execution.workers or len(gpus) or min(cores(), max(1, 2 * cores() // threads))
    return min(workers, n_tasks), threads


class LocalPool:
    """Worker processes that train or predict, as many as `parallelism` gives; they start when tasks are submitted.

    Where there are several GPUs, each worker sees one of them. Its memory is given back when the worker ends.

    work: what a worker does with a task: `foldwise.execution.task.train_one`, or a function like it.
    name: of the backend that the workers compute with; None: they need none.

    On leaving a `with` block the workers end: at once after an error or where time ran out, else when they have no
    task left.
    """

    def __init__(
        self,
        execution: ExecutionSettings,
        n_tasks: int,
        work: Callable[[Any, Report], Any],
        name: Backend | None = "tensorflow",
    ) -> None:
        self._work = work
        self.workers, self.threads = parallelism(execution, n_tasks)
        gpus = usable_gpus(execution)
        self._needs_gpu = bool(gpus)
        self._tasks: dict[Future[None], Any] = {}
        self._is_late = False
        context = multiprocessing.get_context("spawn")
        self._reports = context.Queue()
        own_gpus = context.Queue()
        for number in range(self.workers):
            own_gpus.put(gpus[number % len(gpus)] if gpus else None)
        os.environ.update(backend.environment(name) if name else {})
        self._pool = ProcessPoolExecutor(
            self.workers,
            context,
            initializer=_start,
            initargs=(self._reports, own_gpus, self.threads, name),
        )

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        stop = error is not None or self._is_late
        if stop:
            for process in list((self._pool._processes or {}).values()):
                process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=stop)

    def submit(self, number: int, task: Any) -> None:
        """Queue a task, whose reports come with its number.

        Raises FoldwiseError when a worker was killed while it started.
        """
        try:
            with no_interrupts():  # a worker starts here
                self._tasks[self._pool.submit(_do, self._work, number, task, self._needs_gpu)] = task
        except BrokenProcessPool:
            raise killed_error(task.name) from None

    def as_completed(
        self, report: Callable[..., None], until: float | None = None
    ) -> Iterator[tuple[Any, FoldwiseError | None]]:
        """Yield the tasks as they end, each with its error or None, until a time on the clock of `time.monotonic`.

        report: is called here with what the workers report meanwhile: ("device", name), and that of
            `foldwise.execution.task.Report` with the number of the task after the first word.

        Raises FoldwiseError, naming a fold, when a worker was killed: the others end with it.
        """
        pending = set(self._tasks)
        while pending:
            done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            until_report = time.monotonic() + (REPORT_SECONDS if done else 0)
            while True:
                try:
                    report(*self._reports.get(timeout=max(0.0, until_report - time.monotonic())))
                except queue.Empty:
                    break
            for future in done:
                task, error = self._tasks[future], future.exception()
                named = None if error is None else named_error(error, task.name)
                if named is not None and isinstance(error, BrokenProcessPool):
                    raise named
                yield task, named
            if pending and until is not None and time.monotonic() >= until:
                self._is_late = True
                return


def named_error(error: BaseException, name: str) -> FoldwiseError:
    """Return the error of a worker as a FoldwiseError that names the fold and gives advice; raise what is none."""
    if isinstance(error, BrokenProcessPool):
        return killed_error(name)
    if isinstance(error, FoldwiseError):
        return type(error)(f"{name}: {error}")
    if not isinstance(error, Exception):
        raise error
    memory = backend.is_out_of_memory(error)
    advice = ": memory ran out; lower fit.batch_size, model.options.side or execution.workers" if memory else ""
    named = FoldwiseError(f"{name}{advice}: {type(error).__name__}: {error}")
    named.__cause__ = error  # whatever the backend raises; its traceback is kept for HYDRA_FULL_ERROR=1
    return named


def killed_error(name: str) -> FoldwiseError:
    """Return the error of a fold whose worker was killed."""
    return FoldwiseError(
        f"{name}: a worker process was killed, most likely for want of memory; lower fit.batch_size or "
        "execution.workers and run the same command again: finished folds are kept"
    )


def check_gpu(name: Backend) -> None:
    """Raise FoldwiseError in a worker whose backend does not use the GPU of its machine."""
    if not backend.has_gpu():
        raise FoldwiseError(GPU_UNUSED.format(NAMES[name], name))


_reports: Any = None  # in a worker process: its queue to the parent, which a task cannot carry


def _start(reports: Any, own_gpus: Any, threads: int, name: Backend | None) -> None:
    """Start a worker process; own_gpus: a queue with a GPU, or None, for each of them."""
    global _reports
    _reports = reports
    if (own_gpu := own_gpus.get()) is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = own_gpu
    threading.Thread(target=die_with_parent, daemon=True).start()
    if name is None:
        return
    backend.start(threads, name)
    gc.collect()
    gc.freeze()  # Keras collects garbage before each fold, and need not look through all that was imported
    reports.put(("device", backend.device_name()))


def _do(work: Callable[[Any, Report], None], number: int, task: Any, needs_gpu: bool) -> None:
    """Do the work of a task in a worker process."""
    if needs_gpu:
        check_gpu(task.recipe.backend)  # not in `_start`: an error there would be hidden
    work(task, partial(_report, number))


def _report(number: int, kind: str, *values: Any) -> None:
    _reports.put((kind, number, *values))
