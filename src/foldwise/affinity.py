"""Keep the threads of a worker on cores of their own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

TASKS = Path("/proc/self/task")


def spread_new_threads(start: Callable[[], object], n: int) -> None:
    """Call `start`, which starts a pool of `n` threads, and keep thread i of them to every n-th core from i on.

    Linux has been seen to leave both threads of a busy pool on one core for seconds while the other core was
    idle, which doubled the time of a training step. Each thread keeps a share of the cores, not one core, so that
    the pools of several workers can still be balanced. Where threads cannot be told apart or moved (another
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
    """The threads of this process without a name of their own, oldest first."""
    if not TASKS.is_dir():
        return []
    own = (TASKS.parent / "comm").read_text()
    return sorted(int(task.name) for task in TASKS.iterdir() if (task / "comm").read_text() == own)
