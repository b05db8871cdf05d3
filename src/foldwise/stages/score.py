"""Stage `score`: the pooled out-of-fold score of every run, with its uncertainty."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.data.dataset import Dataset
from foldwise.data.folds import read_scored, split_key
from foldwise.errors import FoldwiseError
from foldwise.runs import store
from foldwise.runs.members import runs_of
from foldwise.runs.report import constant_scores, effect_line, full_report, score_of, usual_metric_of
from foldwise.scoring import breakdown, objective
from foldwise.scoring.metrics import METRICS, as_text
from foldwise.settings import Metric, Settings
from foldwise.stages.prepare import prepared

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

log = logging.getLogger(__name__)

MOST = 8  # runs that are compared with each other
CONSTANT = "(constant: base rates)"


def score(settings: Settings) -> list[dict[str, Any]]:
    """Return the `run.json` of every finished run on this data and split, best first.

    Where the objective is not log loss (RMSE in a regression), or further metrics are to be shown, `metric`, `score`,
    `score_interval` and `metrics` (values by name) are added.
    With `by=COLUMN` each has `by`, the column, and `log_loss_by` (`rmse_by`), the log loss for each of its values.

    Raises FoldwiseError where there is none.
    """
    dataset = prepared(settings)
    scored, folds = _scored(dataset, settings)
    key = None if settings.split.kind == "other" else split_key(dataset, settings.split)
    every = store.all_runs(settings.runs_dir)
    mine = [
        run
        for run in every
        if (key is not None and run.recipe.get("split_key") == key)
        or (run.is_approximate and run.recipe.get("ids_key") == dataset.ids_key)
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
    found = store.each_undamaged(finished, lambda run: _report(run, scored, folds, settings))
    if not found:
        raise FoldwiseError(
            f"each of the {len(finished)} finished runs of {settings.competition.name} is damaged, see above; "
            "`foldwise verify` lists all that is"
        )
    reports = [report for _, report in found]
    return sorted(reports, key=lambda report: objective.cost(settings.competition.metric, score_of(report)))


def _scored(dataset: Dataset, settings: Settings) -> tuple[Dataset, pd.DataFrame]:
    """Return the data that is scored, and its folds; with split=other those of imported runs: one fold of all rows."""
    if settings.split.kind != "other":
        return read_scored(dataset, settings.split)
    ids = dataset.train.table[["id"]]
    return dataset, ids.assign(repeat=0, fold=0).astype({"repeat": "int8", "fold": "int8"})


def _report(run: store.Run, scored: Dataset, folds: pd.DataFrame, settings: Settings) -> dict[str, Any]:
    """Return the report of a run; raise Damaged where it, a fold or its recipe was damaged or changed."""
    for fit in run.fits:
        store.check_owner(run, fit)
    return full_report(run, scored, folds, settings)


def show(reports: list[dict[str, Any]], width: int) -> str:
    """Return the terminal table of scored runs, best first, and among them what a constant prediction scores.

    Columns that do not fit the width are left out, the spread over folds and the least usual metrics first.
    """
    from rich.table import Table

    usual = usual_metric_of(reports[0]) if reports else "log_loss"
    metric: Metric = reports[0].get("metric", usual) if reports else usual
    shown_too = [METRICS[name].label for name in reports[0].get("metrics", {})] if reports else []
    first = [METRICS[metric].label, "95 % interval", *shown_too, METRICS[usual].label]
    spread = ["folds, sd"] if metric == usual else []  # it is that of the usual metric
    main, *others = ["MAE", "R2"] if usual == "rmse" else ["accuracy", "F1", "AUC"]
    rows = _rows(reports, metric, usual)
    left = width - max((len(name) for name, _ in rows), default=0)
    kept: set[str] = set()
    for name in dict.fromkeys([*first, main, *spread, *others, "minutes"]):  # the first that are wanted
        left -= 2 + max(len(cells.get(name, "")) for cells in ({name: name}, *(cells for _, cells in rows)))
        if left < 0 and kept:  # the score is always there: a long name is folded
            break
        kept.add(name)
    columns = [name for name in dict.fromkeys([*first, *spread, main, *others, "minutes"]) if name in kept]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("run", overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for run, cells in rows:
        table.add_row(run, *(cells.get(name, "-") for name in columns))
    parts = {f"{r['model']}-{r['run_key']}": r[f"{usual}_by"] for r in reports if "by" in r}
    return printed(table, width) + (breakdown.show(reports[0]["by"], parts, width) if parts else "")


def printed(table: Table, width: int) -> str:
    """Return a table as it is printed without colours, in lines without trailing blanks."""
    from rich.console import Console

    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _rows(reports: list[dict[str, Any]], metric: Metric, usual: Metric) -> list[tuple[str, dict[str, str]]]:
    """Return the name and the cells of each run, and of the constant prediction before those that it beats."""
    rows = [(f"{report['model']}-{report['run_key']}", _cells(report, usual)) for report in reports]
    constant = next(filter(None, map(constant_scores, reports)), {})
    if constant:
        beaten = [
            metric in constant and objective.cost(metric, score_of(report)) > objective.cost(metric, constant[metric])
            for report in reports
        ]
        place = beaten.index(True) if True in beaten else len(rows)
        rows.insert(place, (CONSTANT, {METRICS[name].label: as_text(value) for name, value in constant.items()}))
    return rows


def _cells(report: dict[str, Any], usual: Metric) -> dict[str, str]:
    """Return the cells of a run by the names of their columns."""
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
    return cells


def details(settings: Settings, reports: list[dict[str, Any]]) -> str:
    """Return, with details=true, how the best of the scored runs compare, and what pseudo-labels did for them.

    The comparison has paired differences, correlations, and what each run adds to the mean.
    """
    reports = reports[:MOST]
    if len(reports) < 2:
        return ""
    effects = "".join(f"{effect_line(report)}\n" for report in reports if "pseudo" in report)
    if not settings.details:
        return f"{effects}details=true compares the runs in pairs\n"
    import tempfile

    from foldwise.runs.members import stacked
    from foldwise.scoring import compare_runs

    scored, folds = _scored(prepared(settings), settings)
    members = runs_of(settings.runs_dir, reports)
    with tempfile.TemporaryDirectory() as folder:
        damaged: list[store.Run] = []
        rows, _, problem = stacked(members, scored, folds, Path(folder), damaged=damaged)
        members = [run for run in members if run not in damaged]
        problem = replace(problem, metric=settings.competition.metric)
        table = compare_runs.table([run.name for run in members], rows, problem)
    return table + effects
