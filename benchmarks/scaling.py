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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import child, table

FOLDS, SECONDS, REPEATS = 8, 4.0, 3  # of the folds that compute; seconds of one alone
TASKS, EVERY = 10_000, 0.006  # of the folds that sleep; seconds from the end of one to the end of the next, at best
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
    products, repeats = (20, 1) if quick else (_products(SECONDS), REPEATS)
    print(f"{FOLDS} folds of one core each, two at a time; the median of {repeats} runs, in turn, and their range")
    ways: dict[str, list[float]] = {"two bare processes": [], "through Ray": [], "through Ray, with its start": []}
    for _ in range(repeats):
        bare = child(__name__, "bare", str(products)).said["seconds"]
        ray = child(__name__, "ray", "2", str(FOLDS), str(products), "0").said
        for way, seconds in zip(ways, (bare, ray["seconds"], ray["seconds"] + ray["start"]), strict=True):
            ways[way].append(seconds)
    ratios = {way: np.divide(ways["two bare processes"], seconds) for way, seconds in ways.items()}
    table(["", "seconds", "throughput"], [[way, _range(ways[way], 1), _range(ratios[way], 2)] for way in ways])
    rows = []
    for cpus, n in ((2, 20), (4, 40)) if quick else ((2, TASKS), (20, TASKS), (100, TASKS)):
        said = child(__name__, "ray", str(cpus), str(n), "0", str(EVERY * cpus)).said
        parts = [f"{1000 * seconds / n:.1f}" for seconds in (said["seconds"], said["cpu"])]
        rows.append([str(cpus), f"{n:,}", f"{said['seconds']:.0f}", *parts, *(f"{mb:.0f}" for mb in said["memory"])])
    print(f"\nfolds that sleep, one to end each {1000 * EVERY:g} ms")
    head = ["CPUs", "tasks", "seconds", "ms a task", "ms of the driver's CPU", "MB after a tenth", "MB at the end"]
    table(head, rows)


def _range(values: Sequence[float], digits: int) -> str:
    return f"{np.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


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
    pool = RayPool(ExecutionSettings(threads_per_fold=1), n, work, None)
    with tempfile.TemporaryDirectory() as folder, pool:
        for number in range(cpus):
            pool.submit(number, Task(f"first_{number}", 1 if products else 0, 0.0, folder))
        list(pool.as_completed(lambda *_: None))  # every worker has started
        ready, cpu = time.perf_counter(), time.process_time()
        for number in range(n):
            pool.submit(number, Task(f"fold_{number}", products, seconds, folder))
        for done, (_, error) in enumerate(pool.as_completed(lambda *_: None), start=1):
            if error is not None:
                raise error
            if done in (max(n // 10, 1), n):
                memory.append(_megabytes())
        ended = time.perf_counter()
    ray.shutdown()
    return {"start": ready - began, "seconds": ended - ready, "cpu": time.process_time() - cpu, "memory": memory}


if __name__ == "__main__":
    if sys.argv[1] == "bare":
        found = _bare(int(sys.argv[2]))
    else:
        found = _on_ray(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
    print(json.dumps(found))
