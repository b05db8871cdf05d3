"""Greedy selection: foldwise against AutoGluon's EnsembleSelection (1.6.3).

500 models, 20,000 rows, one output, 100 rounds, the arithmetic mean, twice: models of five kinds of scikit-learn,
trained on random rows and columns with random settings, as a search leaves them; and models drawn so that all are
equally good and err independently, the worst case, where a bound on their losses tells least.

Where AUTOGLUON names the Python of an environment that has autogluon.core (it does not install beside foldwise), the
real class is timed; else it is restated: for each round and model a blend, its log loss by numpy, the argmin, with
nothing done around them.

AutoGluon rounds scores to 6 decimals after the first round, prefers used models among equals, and then draws one at
random. So two selections are compared: with its rounding (the losses of both blends are shown), and with a metric
of a million times the log loss, of which 6 decimals are 1e-12: that one must be foldwise's.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import clocks, elapsed, table

AUTOGLUON = """
import json, sys, time
import numpy as np
from autogluon.core.metrics import log_loss, make_scorer
from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection
p, y = np.load(sys.argv[1] + "/p.npy"), np.load(sys.argv[1] + "/y.npy").astype(int)
million = lambda y, q: 1e6 * log_loss.error(y, q)
fine = make_scorer("fine", million, optimum=0, greater_is_better=False, needs_proba=True)
found = []
for metric in (log_loss, fine):
    selection = EnsembleSelection(int(sys.argv[2]), "binary", metric, random_state=np.random.RandomState(0))
    started, cpu = time.perf_counter(), time.process_time()
    selection.fit(list(p), y)
    seconds = time.perf_counter() - started, time.process_time() - cpu
    found.append([*seconds, selection.weights_.tolist()])
print(json.dumps(found))
"""


def run(quick: bool) -> None:
    """Print the seconds of both, their ratio, and whether they select the same."""
    m, n, rounds = (50, 2000, 20) if quick else (500, 20_000, 100)
    for name, problem in (("trained models", trained), ("models drawn alike", alike)):
        versus(name, *problem(m, n), rounds)


def versus(problem: str, p: np.ndarray, y: np.ndarray, rounds: int) -> None:
    """Compare both on predictions (m, n, 1) of labels (n, 1)."""
    import pandas as pd

    from foldwise.blends.convex_loss import values_of
    from foldwise.blends.fast_selection import select
    from foldwise.scoring.rows import make_rows

    m, n, _ = p.shape
    rows = make_rows(p, pd.DataFrame({"row": np.arange(n)}), y)
    taken = []
    for _ in range(5):  # the first one also starts threads
        started = clocks()
        ours = select(values_of(rows, "arithmetic", "binary"), rounds)
        taken.append(elapsed(started))
    seconds, cpu = np.median(taken, axis=0)
    weights = ours / ours.sum()
    python = os.environ.get("AUTOGLUON")
    theirs = autogluon(python, p[:, :, 0], y[:, 0], rounds) if python else restated(p[:, :, 0], y[:, 0], rounds)
    name = "AutoGluon" if python else "AutoGluon, restated (AUTOGLUON is not set)"
    losses = [f"{log_loss(w @ p[:, :, 0], y[:, 0]):.8f}" for w in (weights, *(other for _, _, other in theirs))]
    lines = [["foldwise, median of 5", f"{seconds:.3f}", f"{cpu:.3f}", losses[0]]]
    for note, (wall, busy, _), loss in zip(("", ", scores not rounded"), theirs, losses[1:], strict=False):
        lines.append([name + note, f"{wall:.2f}", f"{busy:.2f}", loss])
    table([f"{m} {problem}, {n} rows, {rounds} rounds", "seconds", "CPU seconds", "log loss"], lines)
    print(f"  ratio to {name}: {theirs[0][0] / seconds:.1f} in seconds, {theirs[0][1] / cpu:.1f} in CPU seconds")
    print(f"  same selection: {'yes' if np.allclose(weights, theirs[-1][2]) else 'NO'}")


def trained(m: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Train models on 2,500 of 4,000 rows and some of 40 columns each; return predictions (m, n, 1), labels (n, 1)."""
    import warnings

    from sklearn.datasets import make_classification
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(0)

    def drawn(kind: int) -> Any:
        depth, leaf = int(rng.integers(3, 12)), int(rng.integers(3, 60))
        size, rate = int(rng.integers(10, 50)), 10 ** rng.uniform(-1.3, -0.5)
        return (
            LogisticRegression(C=10 ** rng.uniform(-3, 1)),
            DecisionTreeClassifier(max_depth=depth, min_samples_leaf=leaf, random_state=0),
            ExtraTreesClassifier(size, max_depth=depth, min_samples_leaf=leaf, random_state=0),
            GaussianNB(var_smoothing=10 ** rng.uniform(-3, 0)),
            HistGradientBoostingClassifier(max_iter=size, learning_rate=rate, max_leaf_nodes=depth + 1, random_state=0),
        )[kind]

    made = {"n_features": 40, "n_informative": 20, "n_redundant": 5, "n_clusters_per_class": 6, "class_sep": 0.7}
    x, y = make_classification(n + 4000, **made, flip_y=0.1, random_state=0)
    p = np.empty((m, n, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a logistic regression that has not converged is a model, too
        for j in range(m):
            rows = rng.choice(4000, 2500, replace=False)
            columns = rng.choice(40, rng.integers(8, 41), replace=False)
            model = drawn(j % 5).fit(x[rows][:, columns], y[rows])
            p[j, :, 0] = model.predict_proba(x[4000:, columns])[:, 1]
    return p, y[4000:, None].astype(float)


def alike(m: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw models of ten families whose errors are alike, (m, n, 1), and labels (n, 1)."""
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1.5, (n, 1))
    y = (rng.random((n, 1)) < 1 / (1 + np.exp(-z))).astype(float)
    family = rng.normal(0, 1, (10, n, 1))
    noise = rng.uniform(0.6, 1.6, (m, 1, 1)) * 0.7 * (family[rng.integers(0, 10, m)] + rng.normal(0, 1, (m, n, 1)))
    return 1 / (1 + np.exp(-(z + noise) * rng.uniform(0.6, 1.3, (m, 1, 1)))), y


def log_loss(p: np.ndarray, y: np.ndarray) -> float:
    """As AutoGluon computes it."""
    p = np.clip(p, 1e-15, 1 - 1e-15)
    return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean())


def autogluon(python: str, p: np.ndarray, y: np.ndarray, rounds: int) -> list[tuple[float, float, np.ndarray]]:
    """Return (seconds, CPU seconds, weights (m,)) with AutoGluon's rounding, and without, of p (m, n) and y (n,)."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "p.npy", p)
        np.save(Path(folder) / "y.npy", y)
        command = [python, "-c", AUTOGLUON, folder, str(rounds)]
        said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [(seconds, cpu, np.array(weights)) for seconds, cpu, weights in json.loads(said.splitlines()[-1])]


def restated(p: np.ndarray, y: np.ndarray, rounds: int) -> list[tuple[float, float, np.ndarray]]:
    """Select with every candidate computed, of equals the first; return [(seconds, CPU seconds, weights (m,))]."""
    started = clocks()
    counts, total, best = np.zeros(len(p)), np.zeros(len(y)), (np.inf, np.zeros(len(p)))
    for size in range(1, rounds + 1):
        losses = [log_loss((total + one) / size, y) for one in p]
        winner = int(np.argmin(losses))
        counts[winner] += 1
        total = total + p[winner]
        if losses[winner] < best[0]:
            best = losses[winner], counts.copy()
    return [(*elapsed(started), best[1] / best[1].sum())]
