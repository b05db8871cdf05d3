"""Do the same for many things in several processes, results in order, a few at a time."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from foldwise.errors import FoldwiseError

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 4  # tasks a process that wait or whose results do
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def die_with_parent() -> None:
    """End this process when its parent is gone, however it died."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def in_processes(function: Callable[[T], R], tasks: Iterable[T], processes: int) -> Iterator[R]:
    """Yield function(task) in the order of the tasks, from processes of one thread each.

    Tasks are taken and results are held a few at a time, so that memory stays flat. With one process
    everything happens here. Raises what the function raises, and FoldwiseError where a process is killed.
    """
    if processes < 2:
        yield from map(function, tasks)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads of whatever is loaded
    pool = ProcessPoolExecutor(processes, context, initializer=_start)
    pending: deque[Future[R]] = deque()
    try:
        for task in tasks:
            with _environment():  # processes start as tasks come
                pending.append(pool.submit(function, task))
            if len(pending) >= AHEAD * processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool:
        raise FoldwiseError(
            "a worker process was killed, most likely for want of memory; run the same command again with fewer "
            "processes"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start() -> None:
    threading.Thread(target=die_with_parent, daemon=True).start()


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
