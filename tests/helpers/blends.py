"""Members with known skill, and the settings of a way to blend them."""

import numpy as np
import pandas as pd

from foldwise.config.check import checked_options
from foldwise.plugins import function_named
from foldwise.scoring.rows import make_rows
from foldwise.settings import EnsembleSettings

SIGMOID = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731


def rows_of(predictions, labels=None, fold=None, **columns):
    n = predictions.shape[1]
    return make_rows(predictions, pd.DataFrame({"id": [f"r{i}" for i in range(n)], **columns}), labels, fold)


def how(name, **said):
    given = said.pop("options", {})
    return EnsembleSettings(
        name, checked_options(function_named("blends", name, "ensemble.name"), given, "ensemble.options"), **said
    )


def drawn(n=90, m=4, k=1, seed=0, skill=1.0, columns=True):
    """Members that see a hidden logit through noise of their own; a column `angle` of 30 values and a `zone`."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, (n, k))
    y = (rng.random((n, k)) < SIGMOID(z)).astype(float)
    p = SIGMOID(skill * z + rng.normal(0, 1, (m, n, k)))
    extra = {"angle": rng.integers(0, 30, n) / 10, "zone": rng.integers(1, 4, n), "scan": np.arange(n) // 3}
    return rows_of(p, y, np.arange(n) % 5, **(extra if columns else {}))


def drawn_for(task, n, m, seed):
    """`drawn` with weaker members; for multiclass three classes, whose labels the members do not see."""
    rows = drawn(n=n, m=m, k=3 if task == "multiclass" else 1, seed=seed, skill=0.7)
    if task != "multiclass":
        return rows
    p = rows.stack / rows.stack.sum(axis=2, keepdims=True)
    return rows_of(p, np.eye(3)[np.random.default_rng(seed).integers(0, 3, n)])
