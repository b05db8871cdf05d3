"""What the page shows of one run: plain values, small enough that two hundred runs fit on it."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pandas as pd

from foldwise.data.dataset import Dataset
from foldwise.report import curves, recipes
from foldwise.report.distributions import slot_angles
from foldwise.runs.store import Run, fit_name
from foldwise.scoring import breakdown, decisions, metrics
from foldwise.settings import ONE_CLASS

LINES = 12  # of learning curves
EPOCHS = 60  # points of one of them
OUTPUTS = 20  # outputs or classes that have curves of their own
CLASSES = 20  # of a confusion matrix, at most
MANY_PARTS = 100  # values of a column from which on it costs too much to look at each
PARTS = 25  # rows of a table of groups


def run_details(
    run: Run, report: dict[str, Any], dataset: Dataset, labels: np.ndarray, p: np.ndarray, groups: pd.DataFrame
) -> dict[str, Any]:
    """Return the curves, counts and tables of one run, as JSON values.

    dataset: the rows that are held out. labels, p: their labels and out-of-fold predictions, float64 (n, k).
    groups: columns for each of whose values the loss is shown, as `groups_of` gives them.
    """
    task = dataset.task
    found: dict[str, Any] = {
        "history": histories(run),
        "groups": [group_losses(dataset, groups, column, labels, p) for column in groups],
        "recipe": recipes.flat(run.recipe),
        "device": report.get("device"),
        "versions": report.get("versions", {}),
    }
    if task == "regression":
        found["values"] = [
            {"name": name} | curves.scatter(labels[:, c], p[:, c])
            for c, name in list(enumerate(dataset.targets))[:OUTPUTS]
        ]
        return found
    shown = shown_outputs(labels)
    found["outputs"] = [output_curves(dataset.targets[c], labels[:, c], p[:, c]) for c in shown]
    found["outputs_left_out"] = labels.shape[1] - len(shown)
    found["reliability"] = calibration(labels, p, dataset)
    if task in ONE_CLASS and labels.shape[1] <= CLASSES:
        found["matrix"] = class_matrix(labels, p, dataset)
    return found


def shown_outputs(labels: np.ndarray) -> list[int]:
    """Return the outputs that have curves: all of a few, else the 20 with the most rows of label 1."""
    most = np.argsort(-labels.sum(axis=0), kind="stable")[:OUTPUTS]
    return sorted(most.tolist())


def output_curves(name: str, y: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    """Return ROC, precision-recall, histogram and counts above thresholds of one output, (n,); curves need both labels.

    Of one of several classes they are those of the class against all others.
    """
    found: dict[str, Any] = {
        "name": name,
        "n": len(y),
        "n_positive": int(y.sum()),
        "auc": None,
        "histogram": curves.histogram(y, p),
        "counts": curves.counts_above(y, p),
    }
    if 0 < found["n_positive"] < found["n"]:
        found |= curves.ranking(y, p)
    return found


def calibration(labels: np.ndarray, p: np.ndarray, dataset: Dataset) -> dict[str, Any]:
    """Return the reliability diagram: of all outputs together, or of the probability of the likeliest class."""
    if dataset.task in ONE_CLASS:
        likeliest = p.argmax(axis=1)
        right = np.take_along_axis(labels, likeliest[:, None], axis=1)[:, 0]
        return {"about": "likeliest class"} | curves.reliability(right, p.max(axis=1))
    return {"about": "label 1"} | curves.reliability(labels.ravel(), p.ravel())


def class_matrix(labels: np.ndarray, p: np.ndarray, dataset: Dataset) -> dict[str, Any]:
    """Return the confusion of classes for rising thresholds of the probability of the decided class."""
    k = labels.shape[1]
    decided = decisions.decide(p, decisions.untuned("accuracy", k, dataset.task), dataset.task).argmax(axis=1)
    sure = np.take_along_axis(p, decided[:, None], axis=1)[:, 0]
    counts = curves.confusion_at(labels.argmax(axis=1), decided, sure, k)
    return {"classes": dataset.targets, "counts": counts}


def group_losses(
    dataset: Dataset, groups: pd.DataFrame, column: str, labels: np.ndarray, p: np.ndarray
) -> dict[str, Any]:
    """Return the loss for each value of a column; of many values those that lose most, rows times loss."""
    usual = metrics.usual_metric(dataset.task)
    losses = metrics.usual_losses(labels, p, dataset.task)
    *parts, _ = breakdown.breakdown(groups, column, labels, losses, dataset.task)
    n_parts = len(parts)
    if n_parts > PARTS:
        parts = sorted(parts, key=lambda part: -part["n_rows"] * part[usual])[:PARTS]
    names = dataset.category_names.get(column)
    rows = [[value_name(part["value"], names), part["n_rows"], part[usual], part["constant"]] for part in parts]
    return {"column": column, "rows": rows, "n_values": n_parts}


def value_name(value: Any, names: list[str] | None) -> str:
    """Return a value of a column as text: a category by its number and its name.

    >>> value_name(2, ["left arm", "right arm"]), value_name("missing", None)
    ('2 right arm', 'missing')
    """
    if names and isinstance(value, int) and 1 <= value <= len(names):
        return f"{value} {names[value - 1]}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def groups_of(dataset: Dataset, by: str | None) -> pd.DataFrame:
    """Return the columns whose values have a loss each, numbers cut into tenths: once for all runs."""
    table = dataset.train.table
    return pd.DataFrame({name: breakdown.parted(table[name]) for name in group_columns(dataset, by) if name in table})


def group_columns(dataset: Dataset, by: str | None) -> list[str]:
    """Return the columns whose values have a loss each: the one that is set, categories, inputs and a short `group`."""
    table = dataset.train.table
    inputs = [name for name in dataset.auxiliary if name not in slot_angles(dataset)]
    found: list[str] = [] if by is None else [by]
    for column in (*dataset.structure.categories, *inputs, "group"):
        if column not in table or column in found or has_many_parts(table[column]):
            continue
        if not any(other in table and table[column].equals(table[other]) for other in found):  # groups may be an input
            found.append(column)
    return found


def has_many_parts(values: pd.Series) -> bool:
    """Whether a column has too many values for a table of each; numbers are cut into tenths, and never have."""
    return not pd.api.types.is_numeric_dtype(values) and values.nunique() > MANY_PARTS


def histories(run: Run) -> list[dict[str, Any]]:
    """Return the losses by epoch of each fit, and of each of its seeds; of many fits the first 12.

    `held_out` is there where the history has a column held_out_loss. An imported run has none of them.
    """
    lines: list[dict[str, Any]] = []
    for fit in run.fits:
        path = run.fold_path(fit) / "history.csv"
        if not path.is_file() or len(lines) >= LINES:
            continue
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        seeds = list(dict.fromkeys(row.get("seed", "") for row in rows))
        for seed in seeds:
            name = fit_name(fit).replace("_", " ") + (f", seed {seed}" if len(seeds) > 1 else "")
            lines.append({"name": name} | _losses([row for row in rows if row.get("seed", "") == seed]))
    return lines[:LINES]


def _losses(rows: list[dict[str, str]]) -> dict[str, Any]:
    """Return epoch, loss and, where there is one, held-out loss of the rows of a history, thinned to 60 points."""
    kept = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(len(rows), EPOCHS)).astype(int))]
    found = {"epoch": [int(float(row["epoch"])) for row in kept], "loss": _numbers(kept, "loss")}
    if kept and kept[0].get("held_out_loss"):
        found["held_out"] = _numbers(kept, "held_out_loss")
    return found


def _numbers(rows: list[dict[str, str]], column: str) -> list[Any]:
    values = np.array([float(row[column] or "nan") for row in rows])
    return [number if np.isfinite(number) else None for number in curves.rounded(values)]
