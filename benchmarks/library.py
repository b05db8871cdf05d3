"""Blends of a made-up library like a real one of Statoil: 94 networks and feature models, and the angle of each row.

1,604 training rows of 878 or so distinct angles, 133 of them without one (all ships), and 8,424 test rows, of which
5,000 are generated and not scored. Rows of one angle are of one scene, and 97 % of the scenes have one label; large
scenes are mostly icebergs, single rows mostly ships. Members come in families that share their errors; each is made
just so noisy that its log loss is what it shall be, .176 to .464, and is a little too sure or too unsure. Some rows are
hard for all members: where they disagree, the mean logit says too much.

For each of ten libraries: the nested log loss of blends with and without the column, and the log loss of the scored
test rows, whose labels no blend gets. Differences are paired over the libraries.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measure import table

if TYPE_CHECKING:
    from foldwise.scoring.rows import Problem, Rows

FAMILIES = (  # members, lowest and highest log loss, share of the noise that a family shares
    (24, 0.176, 0.235, 0.55),
    (18, 0.185, 0.260, 0.60),
    (14, 0.195, 0.300, 0.55),
    (12, 0.210, 0.320, 0.65),
    (8, 0.230, 0.340, 0.70),
    (8, 0.260, 0.380, 0.70),
    (6, 0.300, 0.420, 0.75),
    (4, 0.330, 0.464, 0.80),
)
ICEBERG = (0.15, 0.17, 0.22, 0.30, 0.42, 0.87)  # of scenes of 1, 2, ... and of 6 and more rows
MISSING = 133 / 1604  # of the training rows have no angle; all are ships
TRAIN = 0.30  # of the rows of scenes
IMPURE = 0.05  # of the scenes of several rows have a row of the other label

WAYS = {  # what is compared, and what it is compared with
    "boosted": {"name": "boosted"},
    "tuned logistic": {"name": "logistic", "options": {"strength": "auto"}},
    "tuned boosted": {"name": "boosted", "options": {"rounds": "auto"}},
    "stack": {"name": "stack"},
    "neighbours of the mean": {"name": "neighbours", "options": {"base": "mean"}},
    "neighbours of several blends": {"name": "neighbours", "options": {"base": "auto"}},
}
AGAINST = {"neighbours of several blends": "neighbours of the mean"}  # others: boosted


@dataclass(frozen=True)
class Library:
    """Labelled training rows, test rows, and the labels of those test rows that are scored."""

    train: Rows
    test: Rows
    problem: Problem
    test_labels: np.ndarray  # (n_test, 1)


def run(quick: bool) -> None:
    """Print the scores of all ways, and the differences with their intervals over the libraries."""
    made = (2, {"n": 200, "share": 0.1, "generated": 100}) if quick else (10, {})
    nested_scores, test_scores, seconds = measure(range(made[0]), made[1])
    rows = []
    for name in WAYS:
        against = AGAINST.get(name, "boosted")
        cells = [name]
        for scores in (nested_scores, test_scores):
            cells.append(f"{scores[name].mean():.4f}")
            cells.append("" if name == against else _paired(scores[name], scores[against]))
        rows.append([*cells, f"{seconds[name].mean():.1f}"])
    header = ["", "nested", "against boosted, or the mean's neighbours", "test rows", "the same", "CPU s"]
    table(header, rows)


def measure(
    seeds: range, made: dict[str, Any], ways: dict[str, dict[str, Any]] = WAYS
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the nested log loss, that of the scored test rows, and the CPU seconds, of each way by seed."""
    from foldwise.blends.methods import METHODS
    from foldwise.blends.nested import blend, nested
    from foldwise.plugins import default_options
    from foldwise.scoring.metrics import log_loss
    from foldwise.settings import EnsembleSettings

    found = [{name: np.empty(len(seeds)) for name in ways} for _ in range(3)]
    for i, seed in enumerate(seeds):
        library = make_library(seed, **made)
        train, test, scored = library.train, library.test, library.test.is_scored
        for name, given in ways.items():
            options = default_options(METHODS[given["name"]].function) | given.get("options", {})
            how, began = EnsembleSettings(given["name"], options), time.process_time()
            found[0][name][i] = log_loss(train.y, nested(library.problem, train, how))
            p = blend(replace(library.problem, test=None), train, test, how).probabilities
            found[2][name][i] = time.process_time() - began
            found[1][name][i] = log_loss(library.test_labels[scored], p[scored])
        print(f"  library {seed}: " + ", ".join(f"{name} {found[0][name][i]:.4f}" for name in ways), flush=True)
    return found[0], found[1], found[2]


def _paired(scores: np.ndarray, others: np.ndarray) -> str:
    """Return the relative difference of two ways and its 95 % interval over the libraries, by Student's t."""
    from scipy import stats

    ratios = scores / others - 1
    half = stats.t.ppf(0.975, len(ratios) - 1) * ratios.std(ddof=1) / np.sqrt(len(ratios))
    return f"{ratios.mean():+.1%} ({ratios.mean() - half:+.1%} to {ratios.mean() + half:+.1%})"


def make_library(seed: int, *, n: int = 1604, share: float = 1.0, tells: bool = True, generated: int = 5000) -> Library:
    """Make a library of n training rows.

    share: of the members of each family, at least one.
    tells: False: labels are drawn for each row, and scenes say nothing of them.
    generated: test rows with angles of their own that are not scored.
    """
    import pandas as pd

    from foldwise.scoring.rows import Problem, make_rows

    rng = np.random.default_rng(seed)
    n_missing = round(n * MISSING)
    n_real = round((n - n_missing) / TRAIN)
    scene, label = _scenes(rng, n_real, tells)
    in_train = np.zeros(n_real, bool)
    in_train[rng.permutation(n_real)[: n - n_missing]] = True
    angles = np.round(rng.permutation(scene.max() + 1) / (scene.max() + 1) * 21 + 24.7, 4)[scene]
    order = np.concatenate([np.flatnonzero(in_train), np.flatnonzero(~in_train)])
    n_test = n_real - (n - n_missing)
    # rows: training with an angle, training without, real test, generated test
    y = np.concatenate([label[order[: n - n_missing]], np.zeros(n_missing), label[order[n - n_missing :]]])
    y = np.concatenate([y, (rng.random(generated) < 0.5).astype(float)])
    missing, own = np.full(n_missing, np.nan), 24.7 + 21 * rng.random(generated)
    angle = np.concatenate([angles[order[: n - n_missing]], missing, angles[order[n - n_missing :]], own])
    alone = pd.Series(angle).map(pd.Series(angle).value_counts()).fillna(1).to_numpy() == 1
    stack = _members(rng, y, alone, n, share)
    mixed = rng.permutation(n)
    at_train, at_test = mixed, n + np.arange(n_test + generated)
    tables = [
        pd.DataFrame({"id": [f"{kind}{i}" for i in range(len(at))], "inc_angle": angle[at]})
        for kind, at in (("r", at_train), ("t", at_test))
    ]
    tables[1]["scored"] = np.arange(n_test + generated) < n_test
    labels = y[:, None]
    fold = _stratified(rng, y[at_train])
    train = make_rows(stack[:, at_train], tables[0], labels[at_train], fold)
    test = make_rows(stack[:, at_test], tables[1])
    return Library(train, test, Problem("binary", test=test.scored_rows(), column="inc_angle"), labels[at_test])


def _scenes(rng: np.random.Generator, n: int, tells: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the scene and the label of n rows; a quarter of the rows are alone, other scenes have 5 on average."""
    sizes: list[int] = []
    while sum(sizes) < n:
        sizes.append(1 if rng.random() < 0.67 else int(1 + rng.geometric(1 / 5)))
    scene = np.repeat(np.arange(len(sizes)), sizes)[:n]
    likely = np.array(ICEBERG)[np.minimum(np.array(sizes), len(ICEBERG)) - 1]
    of_scene = rng.random(len(sizes)) < likely
    label = of_scene[scene].astype(float) if tells else (rng.random(n) < 0.5).astype(float)
    if tells:
        impure = rng.random(len(sizes)) < IMPURE
        first = np.r_[True, scene[1:] != scene[:-1]] & impure[scene] & (np.array(sizes)[scene] > 1)
        label = np.where(first, 1 - label, label)
    return scene, label


def _members(rng: np.random.Generator, y: np.ndarray, alone: np.ndarray, n: int, share: float) -> np.ndarray:
    """Return probabilities (m, N, 1) of all rows; the log loss of the first n rows is what the family says."""
    sign = 2 * y - 1
    hard = np.exp(rng.normal(0, 0.2, len(y)) - 0.15 + 0.4 * alone)  # how noisy a row is for all members
    common = sign + 0.53 * hard * rng.standard_normal(len(y))
    found = []
    for count, low, high, shared in FAMILIES:
        m = max(1, round(count * share))
        family = hard * rng.standard_normal(len(y))
        for loss in np.linspace(low, high, m):
            noise = np.sqrt(shared) * family + np.sqrt(1 - shared) * hard * rng.standard_normal(len(y))
            sure = np.exp(rng.normal(0.0, 0.2))
            found.append(_of_loss(common, noise, y, n, loss, sure))
    return np.stack(found)[:, :, None]


def _of_loss(common: np.ndarray, noise: np.ndarray, y: np.ndarray, n: int, loss: float, sure: float) -> np.ndarray:
    """Return the probabilities (N,) of a member with as much noise as makes its log loss on the first n rows."""
    low, high = 0.0, 3.0
    for _ in range(20):
        size = (low + high) / 2
        p, found = _sure(common + size * noise, y, n, sure)
        low, high = (size, high) if found < loss else (low, size)
    return p


def _sure(x: np.ndarray, y: np.ndarray, n: int, sure: float) -> tuple[np.ndarray, float]:
    """Return sigmoid(sure a x) with the a of lowest log loss on the first n rows, and its log loss there."""
    a, part, truth = 3.0, x[:n], 2 * y[:n] - 1
    for _ in range(12):  # Newton's method in one number
        p = 1 / (1 + np.exp(-a * part * truth))
        a -= float((-(1 - p) * part * truth).sum() / ((p * (1 - p)) * part**2).sum())
        a = min(max(a, 0.2), 20.0)
    z = np.clip(sure * a * x, -15, 15)
    return 1 / (1 + np.exp(-z)), float(np.log1p(np.exp(-z[:n] * truth)).mean())


def _stratified(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    """Return five folds of about as many rows of each label."""
    fold = np.empty(len(y), int)
    for value in (0.0, 1.0):
        at = rng.permutation(np.flatnonzero(y == value))
        fold[at] = np.arange(len(at)) % 5
    return fold
