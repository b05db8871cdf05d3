"""What is logged of a run, whatever logs it: parameters, learning curves and scores, read from its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from foldwise.runs.listing import changes
from foldwise.runs.report import usual_metric_of
from foldwise.runs.store import Run, fit_name

CURVES = ("loss", "learning_rate", "held_out_loss")  # columns of a history that are drawn, where they are there
SCORES = ("accuracy", "f1", "auc", "mae", "r2")  # of a report, beside its log loss or RMSE


@dataclass(frozen=True)
class Curve:
    """The epochs of one training.

    name: fold_0, refit, or where a fold has several seeds fold_0_seed_1.
    epochs: their numbers, from 1.
    times: when each ended, in seconds since 1970: the file's time, and the seconds of each epoch back from there.
    values: of each column of `CURVES` that the history has, a number for each epoch.
    """

    name: str
    epochs: list[int]
    times: list[float]
    values: dict[str, list[float]]


def parameters(run: Run) -> dict[str, str]:
    """Return the model and the settings of a recipe that are not at their defaults, as text by dotted keys."""
    recipe = run.recipe
    given = {"competition": recipe["competition"].get("name", run.path.parent.name), "model": recipe["model"]["name"]}
    return {key: _text(value) for key, value in (given | changes(recipe)).items()}


def history_path(run: Run, fit: int) -> Path:
    """Return the file of the learning curves of a fit; an imported run has none."""
    return run.fold_path(fit) / "history.csv"


def curves(run: Run, fit: int) -> list[Curve]:
    """Return the learning curves of a finished fit, one for each of its seeds; none where it has no history."""
    path = history_path(run, fit)
    if not path.is_file():
        return []
    table = pd.read_csv(path)
    seconds = table["seconds"] if "seconds" in table else pd.Series(0.0, table.index)
    ends = path.stat().st_mtime - (seconds[::-1].cumsum()[::-1] - seconds)
    seeds = list(dict.fromkeys(table["seed"])) if "seed" in table else [None]
    found = []
    for seed in seeds:
        own = table if seed is None else table[table["seed"] == seed]
        found.append(
            Curve(
                name=fit_name(fit) + (f"_seed_{seed}" if len(seeds) > 1 else ""),
                epochs=own["epoch"].astype(int).tolist(),
                times=ends[own.index].tolist(),
                values={name: own[name].tolist() for name in CURVES if name in own},
            )
        )
    return found


def scores(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the out-of-fold scores of a report by name: log loss or RMSE and the objective with the ends of their
    95 % intervals, and further metrics.

    >>> scores({"log_loss": 0.5, "log_loss_interval": [0.4, 0.6], "accuracy": 0.75, "auc": None})
    {'log_loss': 0.5, 'log_loss_low': 0.4, 'log_loss_high': 0.6, 'accuracy': 0.75}
    """
    usual = usual_metric_of(dict(report))
    found = {usual: report[usual]} | _ends(usual, report[f"{usual}_interval"])
    if "score" in report:
        found |= {report["metric"]: report["score"]} | _ends(report["metric"], report["score_interval"])
    more = {name: report.get(name) for name in SCORES} | dict(report.get("metrics", {}))
    found |= {name: value for name, value in more.items() if name not in found and value is not None}
    return {name: float(value) for name, value in found.items()}


def _ends(name: str, interval: list[float]) -> dict[str, float]:
    return {f"{name}_low": interval[0], f"{name}_high": interval[1]}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
