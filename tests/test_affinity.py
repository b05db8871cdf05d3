"""Threads of a pool keep to shares of the cores."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from foldwise.affinity import spread_new_threads

linux_with_two_cores = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir() or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and two cores"
)


class Pool:
    """Threads that wait until they are told to end."""

    def __init__(self, n: int) -> None:
        self.end = threading.Event()
        self.threads = [threading.Thread(target=self.end.wait) for _ in range(n)]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def cores(self) -> list[set[int]]:
        return [os.sched_getaffinity(thread.native_id) for thread in self.threads]


@pytest.fixture
def pool(request):
    made = Pool(request.param)
    yield made
    made.end.set()


@linux_with_two_cores
@pytest.mark.parametrize("pool", [2], indirect=True)
def test_each_thread_has_a_share_of_the_cores(pool):
    spread_new_threads(pool.start, 2)
    every = sorted(os.sched_getaffinity(0))
    assert pool.cores() == [set(every[0::2]), set(every[1::2])]


@linux_with_two_cores
@pytest.mark.parametrize("pool", [1, 3], indirect=True)
def test_a_pool_of_another_size_is_left_alone(pool):
    spread_new_threads(pool.start, 2 if len(pool.threads) == 1 else 1)
    assert pool.cores() == [os.sched_getaffinity(0)] * len(pool.threads)


@linux_with_two_cores
def test_the_compute_threads_of_a_worker_are_spread():
    script = """
import os, queue
from foldwise import workers
os.environ.update(workers._environment())
workers._start(queue.SimpleQueue(), 2, False)
shares = [os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")]
print(sum(share != os.sched_getaffinity(0) for share in shares))
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert said.stdout.split() == ["2"]
