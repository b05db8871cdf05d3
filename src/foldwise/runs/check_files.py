"""Check what the files of a run hold: they may be damaged, or changed by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import yaml

from foldwise.settings import ONE_CLASS, Task

MOST = 100_000  # folds, or repeats: a stored number beyond is none that foldwise wrote
SUM_TOLERANCE = 1e-3  # of the sum of the probabilities of a row, in 32 bits


def parse_recipe(text: str) -> dict[str, Any]:
    """Return the recipe that a text in YAML holds, as plain values.

    Raises ValueError, or an error of the parser, unless it has what every stored recipe has. Aliases are refused: a
    few of them can stand for more values than fit into memory, or for a value inside itself.
    """
    safe_loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
    if "*" in text and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, safe_loader)):
        raise ValueError("expected no aliases")
    loaded = yaml.load(text, safe_loader)
    try:
        n_folds, repeats = (loaded["split"][name] for name in ("n_folds", "repeats"))
        name, key = loaded["model"]["name"], loaded.get("split_key", "")
    except (TypeError, KeyError, AttributeError):
        raise ValueError("expected split.n_folds, split.repeats and model.name") from None
    if not all(isinstance(number, int) and 1 <= number <= MOST for number in (n_folds, repeats)):
        raise ValueError(f"expected numbers of folds and repeats from 1 to {MOST}, found {n_folds} and {repeats}")
    if not isinstance(name, str) or not isinstance(key, str):
        raise ValueError("expected texts as model.name and split_key")
    return dict(loaded)


def wrong_report(report: dict[str, Any], name: str) -> str:
    """Return what is wrong with the `run.json` of the run of a name; an empty string where nothing is."""
    owner = f"{report.get('model')}-{report.get('run_key')}"
    if {"model", "run_key"} & report.keys() and owner != name:
        return f"is that of another run: {owner}"
    usual = "log_loss" if "log_loss" in report else "rmse"
    for key in (usual, f"{usual}_interval", f"fold_{usual}", "seconds"):
        values = report[key] if isinstance(report.get(key), list) else [report.get(key)]
        if not all(isinstance(one, int | float) and math.isfinite(one) for one in values):
            return f"has no finite number as {key!r}"
    if not isinstance(report[f"{usual}_interval"], list) or len(report[f"{usual}_interval"]) != 2:
        return f"has no two ends as '{usual}_interval'"
    return "" if isinstance(report[f"fold_{usual}"], list) else f"has no list as 'fold_{usual}'"


def wrong_predictions(table: pd.DataFrame, targets: list[str], task: Task | None) -> str:
    """Return what is wrong with a table of predictions: a column of a target is missing, or a value is impossible.

    An empty string where nothing is. task: of the data; None: values are not looked at.
    """
    if absent := [target for target in targets if target not in table]:
        return f"has no column {absent[0]!r}"
    if task is None or not len(table):
        return ""
    are_numbers = all(table[target].dtype.kind in "fiu" for target in targets)
    p = table[targets].to_numpy() if are_numbers else np.full((1, 1), np.nan)
    low, high = float(p.min()), float(p.max())  # NaN where a value is
    if task == "regression":
        return "" if np.isfinite([low, high]).all() else f"goes from {low:g} to {high:g}, expected finite numbers"
    if not (low >= 0 and high <= 1):
        return f"goes from {low:g} to {high:g}, expected probabilities in [0, 1]"
    if task in ONE_CLASS and (error := float(abs(p.sum(axis=1) - 1).max())) > SUM_TOLERANCE:
        return f"has rows whose probabilities do not sum to 1, but to {error:g} more or less"
    return ""
