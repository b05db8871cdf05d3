"""Stage `score`: the pooled out-of-fold score of every run, with its uncertainty."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from foldwise.data.folds import read_scored, split_key
from foldwise.errors import FoldwiseError
from foldwise.runs import store
from foldwise.runs.members import runs_of
from foldwise.runs.report import effect_line, full_report, score_of, usual_metric_of
from foldwise.scoring import breakdown, objective
from foldwise.scoring.metrics import METRICS, as_text
from foldwise.settings import Metric, Settings
from foldwise.stages.prepare import prepared

log = logging.getLogger(__name__)

MOST = 8  # runs that are compared with each other


def score(settings: Settings) -> list[dict[str, Any]]:
    """Return the `run.json` of every finished run on this data and split, best first.

    Where the objective is not log loss (RMSE in a regression), or further metrics are to be shown, `metric`, `score`,
    `score_interval` and `metrics` (values by name) are added.
    With `by=COLUMN` each has `by`, the column, and `log_loss_by` (`rmse_by`), the log loss for each of its values.

    Raises FoldwiseError where there is none.
    """
    dataset = prepared(settings)
    scored, folds = read_scored(dataset, settings.split)
    key = split_key(dataset, settings.split)
    every = store.all_runs(settings.runs_dir)
    mine = [
        run
        for run in every
        if run.recipe["split_key"] == key or (run.is_approximate and run.recipe["ids_key"] == dataset.ids_key)
    ]
    finished = [run for run in mine if run.is_finished()]
    if len(mine) > len(finished):
        log.info(
            "%d unfinished runs are not shown; `foldwise train` with their settings finishes them",
            len(mine) - len(finished),
        )
    if len(every) > len(mine):
        log.info(
            "%d runs on other data or another split are not shown: their scores do not compare",
            len(every) - len(mine),
        )
    if not finished:
        raise FoldwiseError(
            f"no finished run of {settings.competition.name} on this data and split; "
            f"`foldwise train competition={settings.competition.name}` trains one"
        )
    reports = [full_report(run, scored, folds, settings) for run in finished]
    return sorted(reports, key=lambda report: objective.cost(settings.competition.metric, score_of(report)))


def show(reports: list[dict[str, Any]], width: int) -> str:
    """Return the terminal table of scored runs, best first; columns that do not fit the width are left out."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    usual = usual_metric_of(reports[0]) if reports else "log_loss"
    metric: Metric = reports[0].get("metric", usual) if reports else usual
    first = [METRICS[metric].label, "95 % interval"]
    shown_too = [METRICS[name].label for name in reports[0].get("metrics", {})] if reports else []
    spread = ["folds, sd"] if metric == usual else []  # it is that of the usual metric
    more = ["MAE", "R2"] if usual == "rmse" else ["accuracy", "F1", "AUC"]
    columns = list(dict.fromkeys([*first, *shown_too, METRICS[usual].label, *spread, *more, "minutes"]))
    needed = 24 + 10
    kept = [name for name in columns if (needed := needed + len(name) + 4) <= max(width, 60)]
    shown.add_column("run", overflow="fold")
    for name in kept:
        shown.add_column(name, justify="right", no_wrap=True)
    for report in reports:
        low, high = report["score_interval" if "score_interval" in report else f"{usual}_interval"]
        folds = report[f"fold_{usual}"]
        approximate = "~" if report.get("split_key") == store.OTHER else ""
        cells = {
            METRICS[usual].label: approximate + as_text(report[usual]),
            "95 % interval": f"{as_text(low, decimals=3)}-{as_text(high, decimals=3)}",
            "folds, sd": as_text(float(np.std(folds, ddof=1)), decimals=3) if len(folds) > 1 else "-",
            "minutes": f"{report['seconds'] / 60:.1f}",
        }
        for name, label in {"accuracy": "accuracy", "f1": "F1", "auc": "AUC", "mae": "MAE", "r2": "R2"}.items():
            if name in report:
                cells[label] = "-" if report[name] is None else as_text(report[name])
        for name, value in report.get("metrics", {}).items():  # thresholds tuned inside folds replace one half
            cells[METRICS[name].label] = approximate + as_text(value)
        shown.add_row(f"{report['model']}-{report['run_key']}", *(cells.get(name, "-") for name in kept))
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(shown)
    parts = {f"{r['model']}-{r['run_key']}": r[f"{usual}_by"] for r in reports if "by" in r}
    return captured.get() + (breakdown.show(reports[0]["by"], parts, width) if parts else "")


def details(settings: Settings, reports: list[dict[str, Any]]) -> str:
    """Return how the best of the scored runs compare: paired differences, correlations, what each adds to the mean."""
    reports = reports[:MOST]
    if len(reports) < 2:
        return ""
    import tempfile

    from foldwise.runs.members import stacked
    from foldwise.scoring import compare_runs

    scored, folds = read_scored(prepared(settings), settings.split)
    members = runs_of(settings.runs_dir, reports)
    with tempfile.TemporaryDirectory() as folder:
        rows, _, problem = stacked(members, scored, folds, Path(folder))
        problem = replace(problem, metric=settings.competition.metric)
        table = compare_runs.table([run.name for run in members], rows, problem)
    return table + "".join(f"{effect_line(report)}\n" for report in reports if "pseudo" in report)
