"""300 runs x 1,000,000 rows: the mean, greedy selection and convex weights, nested and for the test rows, in 4 GB.

The predictions lie in float32 files (1.2 GB for the training rows), as `ensemble` keeps them where they are large.
Each method runs in a fresh process: five nested folds, then the blend of all rows for 100,000 test rows. The memory
is the most that the process has had resident, which counts the pages of the mapped files that happen to be in memory,
too, though the system can take those back at any time: what the process needs is less. "of its own" is what it
allocated, as a thread saw that looked every 50 ms.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import child, peak_memory, table

METHODS = ("mean", "greedy", "convex")
LIMIT = 4e9


def run(quick: bool) -> None:
    """Print the seconds and the memory of each method."""
    m, n = (20, 20_000) if quick else (300, 1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), m, n, n // 10)
        rows, most = [], 0.0
        for name in METHODS:
            said = child(__name__, folder, name).said
            most = max(most, said["peak"])
            memory = [f"{said[which] / 1e9:.2f}" for which in ("peak", "own")]
            rows.append([name, f"{said['seconds']:.0f}", *memory, f"{said['log_loss']:.5f}"])
    table([f"{m} runs, {n} rows", "seconds", "GB resident", "GB of its own", "nested log loss"], rows)
    print(f"  within {LIMIT / 1e9:.0f} GB: {'yes' if most <= LIMIT else 'NO'}")


def write(folder: Path, m: int, n: int, n_test: int) -> None:
    """Write train.npy (m, n, 1), test.npy and labels.npy: models that see a hidden logit through noise."""
    rng = np.random.default_rng(0)
    for name, size in (("train", n), ("test", n_test)):
        z = rng.normal(0, 1.5, size).astype(np.float32)
        stack = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (m, size, 1))
        for j in range(m):
            noise = rng.standard_normal(size, np.float32) * np.float32(rng.uniform(0.5, 1.5))
            stack[j, :, 0] = 1 / (1 + np.exp(-(z + noise)))
        stack.flush()
        if name == "train":
            np.save(folder / "labels.npy", (rng.random(size) < 1 / (1 + np.exp(-z))).astype(np.float64)[:, None])


def blended(folder: Path, name: str) -> dict[str, float]:
    """Score a method nested and blend the test rows; return its seconds, bytes and log loss."""
    import pandas as pd

    from foldwise.blends.compare_methods import CANDIDATES, method_settings
    from foldwise.blends.nested import blend, nested
    from foldwise.scoring.metrics import log_loss
    from foldwise.scoring.rows import Problem, make_rows
    from foldwise.settings import EnsembleSettings

    assert name in CANDIDATES
    labels = np.load(folder / "labels.npy")
    stacks = [np.load(folder / f"{part}.npy", mmap_mode="r") for part in ("train", "test")]
    tables = [pd.DataFrame({"id": np.arange(stack.shape[1])}) for stack in stacks]
    train = make_rows(stacks[0], tables[0], labels, np.arange(len(labels)) % 5)
    how, problem = method_settings(name, EnsembleSettings()), Problem("binary")
    owned = [0.0]
    threading.Thread(target=watch, args=(owned,), daemon=True).start()
    started = time.perf_counter()
    score = log_loss(labels, nested(problem, train, how))
    blend(problem, train, make_rows(stacks[1], tables[1]), how)
    return {"seconds": time.perf_counter() - started, "peak": peak_memory(), "own": owned[0], "log_loss": score}


def watch(most: list[float]) -> None:
    """Keep the most anonymous memory, in bytes, that this process has had."""
    while True:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found is not None
        most[0] = max(most[0], int(found[1]) * 1024.0)
        time.sleep(0.05)


if __name__ == "__main__":
    print(json.dumps(blended(Path(sys.argv[1]), sys.argv[2])))
