"""How many folds are trained at once, with how many threads, and what an error of one becomes."""

import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool

import pytest
from helpers import killed

from foldwise import devices
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.execution import local
from foldwise.settings import ExecutionSettings


@pytest.mark.parametrize(
    ("n_cores", "given", "n_tasks", "expected"),
    [
        (1, {}, 5, (1, 1)),
        (2, {}, 5, (2, 2)),
        (2, {}, 1, (1, 2)),  # a single fold that is left has the threads that it had among five
        (16, {}, 5, (5, 3)),
        (16, {}, 2, (2, 3)),
        (16, {}, 20, (10, 3)),
        (2, {"workers": 1}, 5, (1, 2)),
        (2, {"threads_per_fold": 1}, 5, (2, 1)),
        (8, {"workers": 3, "threads_per_fold": 4}, 5, (3, 4)),
    ],
)
def test_workers_and_threads(monkeypatch, n_cores, given, n_tasks, expected):
    monkeypatch.setattr(local, "cores", lambda: n_cores)
    monkeypatch.setattr(devices, "visible_gpus", lambda: ())
    assert local.parallelism(ExecutionSettings(**given), n_tasks) == expected


def test_each_gpu_trains_one_fold_at_a_time_unless_settings_differ(monkeypatch):
    monkeypatch.setattr(local, "cores", lambda: 16)
    for gpus in (1, 3):
        monkeypatch.setattr(devices, "visible_gpus", lambda gpus=gpus: tuple(map(str, range(gpus))))
        assert local.parallelism(ExecutionSettings(), 5)[0] == gpus
        assert local.parallelism(ExecutionSettings(workers=2), 5)[0] == 2
        assert local.parallelism(ExecutionSettings(allow_cpu=True), 5)[0] == 5


def test_each_worker_sees_a_gpu_of_its_own(monkeypatch):
    """In place of processes: what each of them would do first."""
    started = []

    class Pool:
        def __init__(self, workers, context, initializer, initargs):
            own_gpus = initargs[1]
            started.extend(own_gpus.get() for _ in range(workers))

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(local, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(devices, "visible_gpus", lambda: ("GPU-a", "GPU-b"))
    local.LocalPool(ExecutionSettings(), 5, None)
    local.LocalPool(ExecutionSettings(workers=3), 5, None)
    local.LocalPool(ExecutionSettings(workers=2, allow_cpu=True), 5, None)
    assert started == ["GPU-a", "GPU-b", "GPU-a", "GPU-b", "GPU-a", None, None]


ADVICE = "memory ran out; lower fit.batch_size, model.options.side or execution.workers"


class ResourceExhaustedError(Exception):
    """As TensorFlow calls its own."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ResourceExhaustedError("OOM when allocating"),
            f"mlp-1 fold 0: {ADVICE}: ResourceExhaustedError: OOM when allocating",
        ),
        (
            MemoryError(),
            f"mlp-1 fold 0: {ADVICE}: MemoryError: ",
        ),
        (ValueError("bad shape"), "mlp-1 fold 0: ValueError: bad shape"),
        (ConfigError("fit.epochs=0: too few"), "mlp-1 fold 0: fit.epochs=0: too few"),
        (
            BrokenProcessPool("a child process terminated abruptly"),
            "mlp-1 fold 0: a worker process was killed, most likely for want of memory; lower fit.batch_size or "
            "execution.workers and run the same command again: finished folds are kept",
        ),
    ],
)
def test_an_error_of_a_worker_names_the_fold_and_what_to_do(error, message):
    named = local.named_error(error, "mlp-1 fold 0")
    assert str(named) == message
    assert type(named) is (ConfigError if isinstance(error, ConfigError) else FoldwiseError)


def the_line():
    """A task without a fault, and the error that names it."""
    return pytest.raises(FoldwiseError, match=r"^mlp-1 fold \d: a worker process was killed.*finished folds are kept$")


@pytest.fixture
def pool(monkeypatch):
    """A pool of one worker that loads no backend."""
    monkeypatch.setattr(local, "_start", killed.start)
    return lambda: local.LocalPool(ExecutionSettings(workers=1), 3, killed.work)


@pytest.mark.parametrize("moment", ["before the first report", "between reports", "in the last report"])
def test_a_worker_killed_in_a_task_is_one_line(pool, moment):
    with the_line(), pool() as workers:
        for number in range(3):
            workers.submit(number, killed.Task(f"mlp-1 fold {number}", moment if number == 1 else ""))
        list(workers.as_completed(lambda *_: None))


@pytest.mark.parametrize("start", [killed.start_and_die, killed.start])
def test_a_worker_killed_while_tasks_are_submitted_is_one_line(monkeypatch, pool, start):
    monkeypatch.setattr(local, "_start", start)
    with the_line(), pool() as workers:
        workers.submit(0, killed.Task("mlp-1 fold 0", "before the first report"))
        wait_until_broken(workers)
        workers.submit(1, killed.Task("mlp-1 fold 1"))


def test_an_idle_worker_killed_between_tasks_is_one_line(pool):
    with the_line(), pool() as workers:
        workers.submit(0, killed.Task("mlp-1 fold 0"))
        assert len(list(workers.as_completed(lambda *_: None))) == 1
        (process,) = workers._pool._processes.values()
        os.kill(process.pid, signal.SIGKILL)
        wait_until_broken(workers)
        workers.submit(1, killed.Task("mlp-1 fold 1"))


def wait_until_broken(workers):
    """Wait until the pool has seen that its worker is gone."""
    end = time.monotonic() + 30
    while not workers._pool._broken:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_ctrl_c_of_the_terminal_reaches_no_worker(pool):
    """It is sent to all processes of a command; a worker would print a traceback."""
    with pool() as workers:
        workers.submit(0, killed.Task("mlp-1 fold 0"))
        (process,) = workers._pool._processes.values()
        os.kill(process.pid, signal.SIGINT)
        assert len(list(workers.as_completed(lambda *_: None))) == 1
    assert process.exitcode == 0
