"""Folds as tasks of Ray: on the cluster at RAY_ADDRESS, or on as many cores of this machine as Ray finds.

Ray starts a fold again whose worker or machine died; one that was finished before is not trained again. A fold that
was killed because a machine's memory ran out is not started again: it would be killed again.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from foldwise.devices import gpus_per_fold
from foldwise.errors import FoldwiseError
from foldwise.execution import shipping
from foldwise.execution.lanes import Queued
from foldwise.execution.local import check_gpu, killed_error, named_error, parallelism
from foldwise.execution.shards import Shard
from foldwise.execution.task import Report
from foldwise.settings import Backend, ExecutionSettings
from foldwise.training import backend

CONNECT_SECONDS = 10.0
POLL_SECONDS = 0.2  # between two looks at what has ended and was reported


class RayPool:
    """Tasks of Ray that train, each with the cores and GPUs of one fold.

    work, name: what a worker does with a task, and with which backend, as `foldwise.execution.local.LocalPool` has it.
    workers: folds that the cluster has room for when it starts; more where it grows.
    threads: of one fold, as they are without Ray, so that the bits of a prediction are the same.

    On leaving a `with` block what still runs is stopped.
    """

    def __init__(
        self,
        execution: ExecutionSettings,
        n_tasks: int,
        work: Callable[[Any, Report], Any],
        name: Backend | None = "tensorflow",
    ) -> None:
        _, self.threads = parallelism(execution, n_tasks)
        self._name, self._work = name, work
        self._gpus = gpus_per_fold(execution)
        self._ships = execution.storage == "driver"
        self._connected = not ray.is_initialized()
        if self._connected:
            _connect(name)
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        room = resources.get("CPU", 0.0) / self.threads
        if self._gpus:
            room = min(room, resources.get("GPU", 0.0) / self._gpus)
        self.workers = max(1, min(int(room), n_tasks))
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._mailbox: Any = ray.remote(_Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
        self._do = ray.remote(_do).options(
            num_cpus=self.threads, num_gpus=self._gpus, max_retries=execution.retries, retry_exceptions=False
        )
        self._tasks: dict[Any, Queued] = {}
        self._data: dict[str, Any] = {}  # what was shipped, by its key

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, *_: object) -> None:
        for reference in self._tasks:
            ray.cancel(reference, force=True)
        if self._connected:
            ray.shutdown()

    def submit(self, number: int, task: Queued) -> None:
        """Queue a task, whose reports come with its number."""
        data = None
        if self._ships:
            key = shipping.data_key(task)
            if key not in self._data:
                self._data[key] = ray.put(shipping.packed_data(task))
            data = self._data[key]
        about = (self.threads, self._name, bool(self._gpus))
        self._tasks[self._do.remote(self._work, number, task, about, self._mailbox, data)] = task

    def as_completed(
        self, report: Callable[..., None], until: float | None = None
    ) -> Iterator[tuple[Queued, FoldwiseError | None]]:
        """Yield the tasks as they end, see `foldwise.execution.local.LocalPool.as_completed`."""
        while self._tasks and (until is None or time.monotonic() < until):
            # all that are done by then: one call for each task would look through all of them each time
            waiting = list(self._tasks)
            done, _ = ray.wait(waiting, num_returns=len(waiting), timeout=POLL_SECONDS, fetch_local=False)
            for words in ray.get(self._mailbox.take.remote()):
                report(*words)
            for reference in done:
                yield self._ended(reference)

    def _ended(self, reference: Any) -> tuple[Queued, FoldwiseError | None]:
        task = self._tasks.pop(reference)
        try:
            found = ray.get(reference)
        except (OutOfMemoryError, WorkerCrashedError):
            return task, killed_error(task.name)
        except RayTaskError as error:
            return task, named_error(error.cause, task.name)
        except RayError as error:  # such as a lost machine that no other one replaces
            return task, FoldwiseError(f"{task.name}: {type(error).__name__}: {error}")
        if isinstance(task, Shard):
            task.results = found
        elif found is not None:
            shipping.unpack_results(task, found)
        return task, None


def _connect(name: Backend | None) -> None:
    """Connect to the cluster at RAY_ADDRESS, or start Ray on this machine."""
    address = os.environ.get("RAY_ADDRESS", "local")
    os.environ.setdefault("RAY_task_oom_retries", "0")  # Ray's default starts such a task again for ever
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    options |= {"runtime_env": {"env_vars": backend.environment(name) if name else {}}}
    try:
        _check_reachable(address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except OSError as error:  # ConnectionError is one
        raise FoldwiseError(
            f"RAY_ADDRESS={address}: no cluster of Ray answers there: {error}; unset it to use this machine alone, or "
            "start one by `ray start --head`"
        ) from None


def _check_reachable(address: str) -> None:
    """Raise OSError where nothing listens at an address; Ray itself tries for minutes."""
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


class _Mailbox:
    """An actor that keeps what workers report until the driver takes it."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Any, ...]] = []

    def put(self, *words: Any) -> None:
        self._waiting.append(words)

    def take(self) -> list[tuple[Any, ...]]:
        waiting, self._waiting = self._waiting, []
        return waiting


_started: set[Backend] = set()  # in a process of a worker: what is imported


def _do(
    work: Callable[[Any, Report], Any],
    number: int,
    task: Queued,
    about: tuple[int, Backend | None, bool],
    mailbox: Any,
    data: Any,
) -> Any:
    """Do the work of a task in a process of Ray; return what the driver writes, or None."""
    threads, name, needs_gpu = about
    if name is not None and name not in _started:
        backend.start(threads, name)
        _started.add(name)
        mailbox.put.remote("device", backend.device_name())
    if name is not None and needs_gpu:
        check_gpu(name)

    def report(kind: str, *values: Any) -> None:
        mailbox.put.remote(kind, number, *values)

    return shipping.trained(task, data, report) if data is not None else work(task, report)
