"""Call a function for many tasks in several processes, and spread threads over the cores."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Protocol, TypeVar

from foldwise.errors import FoldwiseError

TASKS = Path("/proc/self/task")


def spread_new_threads(start: Callable[[], object], n: int) -> None:
    """Call `start`, which starts a pool of `n` threads, and keep thread i of them to every n-th core from i on.

    Linux has been seen to leave both threads of a busy pool on one core for seconds while the other core was
    idle, which doubled the time of a training step. Each thread keeps a share of the cores, not one core, so that
    the pools of several workers can still be balanced. Where threads cannot be identified or moved (another
    system, a pool of another size), they stay as they are.
    """
    before = _threads()
    start()
    pool = [thread for thread in _threads() if thread not in before][:n]
    allowed = sorted(os.sched_getaffinity(0)) if pool else []
    if 1 < n == len(pool) and n <= len(allowed):
        for i, thread in enumerate(pool):
            os.sched_setaffinity(thread, allowed[i::n])


def _threads() -> list[int]:
    """Return the ids of the threads of this process without a name of their own, oldest first."""
    if not TASKS.is_dir():
        return []
    own = (TASKS.parent / "comm").read_text()
    return sorted(int(task.name) for task in TASKS.iterdir() if (task / "comm").read_text() == own)


T = TypeVar("T")
R = TypeVar("R")
AHEAD = 4  # how many tasks per process may be queued or have results waiting
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def one_thread() -> contextlib.AbstractContextManager[None]:
    """Keep BLAS and OpenMP to one thread in a block.

    Many short parallel regions follow each other there: where cores are shared, their threads wait for each other.
    """
    loaded = frozenset(name for name in ("sklearn", "scipy.linalg") if name in sys.modules)
    limited: contextlib.AbstractContextManager[None] = _thread_pools(loaded).limit(limits=1)
    return limited


@functools.cache
def _thread_pools(loaded: frozenset[str]) -> Any:
    """Find the thread pools of the libraries that are loaded, which takes some milliseconds each time."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class Terminated(KeyboardInterrupt):
    """This process was sent SIGTERM. It ends as by Ctrl-C: what is written half is removed, and workers are ended."""


@contextlib.contextmanager
def as_interrupt() -> Iterator[None]:
    """Raise Terminated where SIGTERM arrives in a block, in the main thread; further ones are ignored.

    A process that ignores SIGTERM, or handles it already, is left as it is.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def no_interrupts() -> Iterator[None]:
    """Let processes that start in the block never get a Ctrl-C, which a terminal sends to all that belong to a command.

    The process that has started them ends them. A Ctrl-C during the block comes after it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # another system
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
            with _environment(), no_interrupts():  # processes start as tasks come
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


class Spread(Protocol):
    """Yield function(task) in the order of the tasks, from several processes, or `here`, in this one."""

    def __call__(self, function: Callable[[T], R], tasks: Sequence[T], here: bool) -> Iterator[R]:
        """Yield the results; those that are ready before their turn are few."""


def spread_here(function: Callable[[T], R], tasks: Sequence[T], here: bool) -> Iterator[R]:
    """Be a Spread over the cores of this machine."""
    return in_processes(function, tasks, 1 if here else cores())


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
