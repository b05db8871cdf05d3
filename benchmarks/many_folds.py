"""A command of 300 folds: memory, threads and open files of the process that starts them, and seconds a fold.

The stage, its queue and its worker processes are the real ones; a worker writes the predictions of a fold at random
instead of training, and loads no backend. What is measured is then what foldwise adds to a fold: reading the data,
passing a task and its reports, writing and scoring. The process that starts the folds is looked at after each of them.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import child, table

REPEATS = 30  # of ten folds


def run(quick: bool) -> None:
    """Print what the process holds after a tenth of the folds and at the end, and the seconds of a fold."""
    said = child(__name__, str(3 if quick else REPEATS)).said
    early, late = said["early"], said["late"]
    rows = [[name, f"{early[name]:g}", f"{late[name]:g}"] for name in early]
    print(f"{said['folds']} folds of 2 workers, {said['seconds']:.1f} s: {1000 * said['per_fold']:.0f} ms a fold")
    table(["of the process that starts them", f"after {said['folds'] // 10} folds", "after the last"], rows)
    print(f"temporary files that are left: {said['left']}")


def start(reports: Any, own_gpus: Any, threads: int, name: str) -> None:
    """Start a worker without a backend, in place of `foldwise.execution.local._start`."""
    from foldwise.execution import local
    from foldwise.processes import die_with_parent

    local._reports = reports
    threading.Thread(target=die_with_parent, daemon=True).start()


def write_one(task: Any, report: Any) -> None:
    """Write a fold of random probabilities, with the reports of training."""
    from foldwise.data import dataset
    from foldwise.execution.task import held_out_rows
    from foldwise.runs import store

    data = dataset.read(task.prepared)
    rng, rows = np.random.default_rng(task.fold_number), held_out_rows(task, data)
    report("images", 10)
    report("step", 1, 10, 0.5)

    def guess(n: int) -> np.ndarray:
        p = rng.random((n, len(data.targets)))
        return np.asarray(p / p.sum(axis=1, keepdims=True))

    ids, test = data.train.table["id"][rows], data.test.table["id"]
    held_out = store.held_out_table(ids, guess(len(ids)), data.targets, *divmod(task.fold_number, 10))
    history = pd.DataFrame({"epoch": [1], "loss": [0.5], "learning_rate": [0.1], "seconds": [1.0], "seed": [0]})
    about = {"seconds": 1.0, "images_per_second": 10.0, "device": "CPU", "versions": {}}
    store.write_fold(
        task.run, task.fold_number, held_out, store.test_table(test, guess(len(test)), data.targets), history, [], about
    )
    report("done", 10.0, 1.0)


def held() -> dict[str, float]:
    """Return what this process holds: MB of memory, open files and threads."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory, MB": round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1),
        "open files": len([*Path("/proc/self/fd").iterdir()]),
        "threads": threading.active_count(),
    }


def measure(repeats: int) -> None:
    """Train ten folds so many times, and print what was found as JSON."""
    from foldwise.config.compose import configure
    from foldwise.execution import local, queue
    from foldwise.stages import train
    from foldwise.stages.prepare import prepare

    seen, times = list[dict[str, float]](), list[float]()
    real = queue.train_folds

    def watched(tasks: Any, execution: Any, finished: Any, written: Any) -> None:
        def each(run: Any, fit: int) -> None:
            written(run, fit)
            seen.append(held())
            times.append(time.perf_counter())

        real(tasks, execution, finished, each)

    local._start, queue.train_any, train.train_folds = start, write_one, watched  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        os.environ["TMPDIR"] = folder
        root = Path(folder) / "root"
        words = ["competition=digits_8x8", "model=logistic_regression", "split.n_folds=10", f"split.repeats={repeats}"]
        settings = configure(*words, f"root={root}", "execution.workers=2")
        prepare(settings)
        started = time.perf_counter()
        train.train_all([settings])
        seconds = time.perf_counter() - started
        left = [
            str(path) for path in Path(folder).rglob("*") if ".partial-" in path.name or path.parent == Path(folder)
        ]
    after = len(times) // 10
    found = {
        "folds": len(times),
        "seconds": seconds,
        "per_fold": (times[-1] - times[after - 1]) / (len(times) - after),
        "early": seen[after - 1],
        "late": seen[-1],
        "left": len([one for one in left if Path(one) != root]),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    measure(int(sys.argv[1]))
