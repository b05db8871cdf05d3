"""Threads of a pool keep to shares of the cores: in processes of their own, since libraries start threads here too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir() or len(os.sched_getaffinity(0)) < 2, reason="needs Linux and two cores"
)

POOL = """
import json, os, sys, threading
from foldwise.processes import spread_new_threads
n, expected = map(int, sys.argv[1:])
end = threading.Event()
pool = [threading.Thread(target=end.wait) for _ in range(n)]
spread_new_threads(lambda: [thread.start() for thread in pool], expected)
print(json.dumps([sorted(os.sched_getaffinity(thread.native_id)) for thread in pool]))
end.set()
"""
WORKER = """
import json, os
from foldwise.training import backend
os.environ.update(backend.environment())
backend.start(2)
shares = [os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")]
print(json.dumps(sum(share != os.sched_getaffinity(0) for share in shares)))
"""


def output_of(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)


def test_each_thread_has_a_share_of_the_cores():
    every = sorted(os.sched_getaffinity(0))
    assert output_of(POOL, 2, 2) == [every[0::2], every[1::2]]


@pytest.mark.parametrize(("n", "expected"), [(1, 2), (3, 1)])
def test_a_pool_of_another_size_is_left_alone(n, expected):
    assert output_of(POOL, n, expected) == [sorted(os.sched_getaffinity(0))] * n


def test_the_compute_threads_of_a_worker_are_spread():
    assert output_of(WORKER) == 2
