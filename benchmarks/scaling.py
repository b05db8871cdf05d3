"""Ray: what it costs a fold, and whether the driver stays flat over ten thousand of them.

Efficiency: eight folds of one core, that compute as training does, by two bare processes and through Ray on two cores.
Growth: folds that sleep and write predictions of a real size (1,604 and 8,424 rows), on 2, 20 and 100 CPUs that are
declared to Ray. The executor is the real one; its workers load no backend.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import child, table

FOLDS, SECONDS = 8, 8.0  # of the folds that compute; seconds of one alone
ROWS = (1604, 8424)  # held out and of the test set, as Statoil has in all


class Task(NamedTuple):
    """A fold that computes for so many multiplications of matrices, or sleeps and writes into a folder."""

    name: str
    products: int
    seconds: float
    folder: str

    @property
    def tasks(self) -> tuple[Task, ...]:
        return (self,)


def run(quick: bool) -> None:
    """Print the efficiency on two cores, and the driver's memory and time a task as tasks and CPUs grow."""
    print(f"{FOLDS} folds of one core each, two at a time")
    products = 20 if quick else _products(SECONDS)
    bare = child(__name__, "bare", str(products)).said["seconds"]
    ray = child(__name__, "ray", "2", str(FOLDS), str(products), "0").said
    rows = [
        ["two bare processes", f"{bare:.1f}", "1.00"],
        ["through Ray, without its start", f"{ray['seconds']:.1f}", f"{bare / ray['seconds']:.2f}"],
        ["through Ray", f"{ray['seconds'] + ray['start']:.1f}", f"{bare / (ray['seconds'] + ray['start']):.2f}"],
    ]
    table(["", "seconds", "throughput"], rows)
    rows = []
    for cpus, n in ((2, 20), (4, 40)) if quick else ((2, 1000), (20, 10_000), (100, 10_000)):
        said = child(__name__, "ray", str(cpus), str(n), "0", str(0.05 * cpus)).said
        ideal = n * 0.05
        early, late = said["memory"]
        overhead = 1000 * (said["seconds"] - ideal) / n
        rows.append([str(cpus), f"{n:,}", f"{said['seconds']:.0f}", f"{overhead:.1f}", f"{early:.0f}", f"{late:.0f}"])
    table(["CPUs", "tasks", "seconds", "ms a task above sleeping", "MB after a tenth", "MB at the end"], rows)


def compute(products: int) -> None:
    """Multiply matrices on one thread, as long as a fold of so many products takes."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        a = np.random.default_rng(0).normal(size=(400, 400)).astype(np.float32)
        b = a
        for _ in range(products):
            b = a @ b
            b /= np.abs(b).max()


def work(task: Task, report: Any) -> None:
    """Do what a fold is told to do, with the reports of training."""
    report("images", 1000)
    report("step", 1, 500, 0.5)
    if task.products:
        compute(task.products)
    else:
        time.sleep(task.seconds)
        rng = np.random.default_rng(0)
        for n in ROWS:
            np.save(Path(task.folder) / f"{task.name}_{n}.npy", rng.random((n, 1)))
    report("done", 100.0, 1.0)


def start(threads: int, name: str) -> None:
    """Start a worker without a backend."""


def _products(seconds: float) -> int:
    """Return how many products take so many seconds here."""
    compute(50)
    started = time.perf_counter()
    compute(500)
    return round(500 * seconds / (time.perf_counter() - started))


def _megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _bare(products: int) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(compute, [1, 1], chunksize=1)  # both have started
        began = time.perf_counter()
        pool.map(compute, [products] * FOLDS, chunksize=1)
        return {"seconds": time.perf_counter() - began}


def _on_ray(cpus: int, n: int, products: int, seconds: float) -> dict[str, Any]:
    import ray

    from foldwise.execution.on_ray import RayPool
    from foldwise.settings import ExecutionSettings

    began = time.perf_counter()
    ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False)
    memory: list[float] = []
    pool = RayPool(ExecutionSettings(threads_per_fold=1), n, work, start=start)
    with tempfile.TemporaryDirectory() as folder, pool:
        for number in range(cpus):
            pool.submit(number, Task(f"first_{number}", 1 if products else 0, 0.0, folder))
        list(pool.as_completed(lambda *_: None))  # every worker has started
        ready = time.perf_counter()
        for number in range(n):
            pool.submit(number, Task(f"fold_{number}", products, seconds, folder))
        for done, (_, error) in enumerate(pool.as_completed(lambda *_: None), start=1):
            if error is not None:
                raise error
            if done in (max(n // 10, 1), n):
                memory.append(_megabytes())
        ended = time.perf_counter()
    ray.shutdown()
    return {"start": ready - began, "seconds": ended - ready, "memory": memory}


if __name__ == "__main__":
    if sys.argv[1] == "bare":
        found = _bare(int(sys.argv[2]))
    else:
        found = _on_ray(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
    print(json.dumps(found))
