"""Searches of `foldwise tune`: files of Optuna next to the runs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

from foldwise.runs.recipe import installed_version
from foldwise.scoring.objective import cost
from foldwise.settings import Metric

log = logging.getLogger(__name__)

NAME = "foldwise"  # of the study in each file
ENOUGH = 10  # scored recipes, from which on it is told what matters: the best tenth is compared to all


def open_study(path: Path) -> Any:
    """Open the study in a file of SQLite, or make it."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(storage=f"sqlite:///{path}", study_name=NAME, direction="minimize", load_if_exists=True)


def importance(study: Any) -> dict[str, float]:
    """Return the share of each key in what sets the best recipes apart, the largest first; empty for few recipes.

    Optuna's PED-ANOVA (Watanabe, Bansal and Hutter 2023), which needs no further package. The shares sum to 1.
    """
    import optuna
    from optuna.trial import TrialState

    if len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])) < ENOUGH:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = optuna.importance.get_param_importances(study)
        except (ValueError, RuntimeError):  # all scores are the same
            return {}
    return {key: float(value) for key, value in found.items()}


def searches(runs_dir: Path, runs: Collection[str], metric: Metric) -> list[dict[str, Any]]:
    """Return the searches next to the runs that scored some of these runs; none where Optuna is not installed.

    Each has its `file`, the numbers of `scored`, `stopped` and `failed` recipes, `trials` in their order (`number`,
    `run`, `score`, the `best` score so far, and `values` as texts), and `importance` (see above). Files are read only.
    """
    if installed_version("optuna") is None:
        return []
    found = [_read(path, metric) for path in sorted(runs_dir.glob("*_*.db"))]
    return [one for one in found if one and any(trial["run"] in runs for trial in one["trials"])]


def _read(path: Path, metric: Metric) -> dict[str, Any] | None:
    """Return what is shown of a search; None, with a warning, where a file cannot be read."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    try:
        study = optuna.load_study(study_name=NAME, storage=f"sqlite:///file:{path.resolve()}?mode=ro&uri=true")
        every = study.get_trials(deepcopy=False)
    except (SQLAlchemyError, KeyError, RuntimeError) as error:
        log.warning("%s: not shown, as it cannot be read: %s", path, str(error).splitlines()[0])
        return None
    trials: list[dict[str, Any]] = []
    lowest = float("inf")
    for one in every:
        if one.value is not None and one.state.name == "COMPLETE":
            lowest = min(lowest, one.value)
            values = {
                key: f"{value:.4g}" if isinstance(value, float) else str(value) for key, value in one.params.items()
            }
            scores = {"score": cost(metric, one.value), "best": cost(metric, lowest)}  # a cost of a cost is the score
            trials.append({"number": one.number, "run": one.user_attrs.get("run"), "values": values, **scores})
    return {
        "file": path.name,
        "scored": len(trials),
        "stopped": sum(one.state.name == "PRUNED" for one in every),
        "failed": sum("failed" in one.user_attrs for one in every),
        "trials": trials,
        "importance": importance(study),
    }
