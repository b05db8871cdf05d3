"""Stages `runs` and `show`: what was trained so far, one run in full, and how two recipes differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from foldwise.errors import ConfigError, FoldwiseError
from foldwise.runs.listing import changes, difference, matches, row_of, run_named
from foldwise.runs.store import Run, all_runs, each_undamaged, fit_name, remake_fit
from foldwise.scoring.metrics import METRICS, as_text
from foldwise.scoring.objective import cost
from foldwise.settings import Metric, Settings
from foldwise.stages.score import printed
from foldwise.storage import read_json


def runs(settings: Settings) -> dict[str, Any]:
    """Return the rows of all runs of the competition, finished or not; see `foldwise.runs.listing.row_of`.

    With runs.filter those that meet all of its conditions, by runs.sort, the best, the shortest or the newest first.
    With runs.diff the names of two runs, and the keys in which their recipes differ, with both values.

    Raises FoldwiseError where there is no run, or none of a name.
    """
    wanted, there = settings.runs, all_runs(settings.runs_dir)
    if not there:
        raise FoldwiseError(
            f"{settings.runs_dir} holds no run of {settings.competition.name}; `foldwise train "
            f"competition={settings.competition.name}` makes one"
        )
    if wanted.diff is not None:
        if len(wanted.diff) != 2:
            raise ConfigError(f"runs.diff={wanted.diff}: expected two runs, such as diff=[mlp-1234,small_cnn-5678]")
        first, second = (run_named(name, there) for name in wanted.diff)
        rows = [{"key": key, "first": one, "second": two} for key, one, two in difference(first, second)]
        return {"first": first.name, "second": second.name, "differences": rows}
    conditions = (wanted.filter or "").split()
    pairs = each_undamaged(there, row_of)
    chosen = [row for run, row in pairs if all(matches(row, run.recipe, one) for one in conditions)]
    metric = _metric(settings, chosen)
    orders = {
        "score": lambda row: (metric not in row, cost(metric, row[metric]) if metric in row else 0, row["run"]),
        "name": lambda row: row["run"],
        "minutes": lambda row: (row["minutes"] is None, row["minutes"] or 0),
        "date": lambda row: [-ord(letter) for letter in row["date"]],
    }
    return {"metric": metric, "n_runs": len(there), "runs": sorted(chosen, key=orders[wanted.sort])}


def show_runs(result: dict[str, Any], width: int) -> str:
    """Return the table of runs, or of the differences of two recipes."""
    if "differences" in result:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("key", result["first"], result["second"]):
            table.add_column(name, overflow="fold")
        for row in result["differences"]:
            table.add_row(row["key"], _text(row["first"]), _text(row["second"]))
        return printed(table, width)
    rows, metric = result["runs"], result["metric"]
    if not rows:
        return f"none of {result['n_runs']} runs meets the filter"
    has_accuracy = metric != "accuracy" and "accuracy" in rows[0] and width >= 60
    names = ["run", METRICS[metric].label, *(["accuracy"] if has_accuracy else [])]
    names += ["folds", "minutes", "date"] if width >= 100 else ["folds"]
    shared = set.intersection(*({(key, _text(value)) for key, value in row["changes"].items()} for row in rows))
    shared = shared if len(rows) > 1 else set()
    lines = [names]
    for row in rows:
        by_name = {
            "run": row["run"],
            METRICS[metric].label: as_text(row[metric]) if metric in row else "-",
            "accuracy": as_text(row["accuracy"]) if "accuracy" in row else "-",
            "folds": f"{row['fits']}/{row['all_fits']}",
            "minutes": "-" if row["minutes"] is None else f"{row['minutes']:.1f}",
            "date": row["date"][:16].replace("T", " "),
        }
        lines.append([by_name[name] for name in names])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    room = width - sum(widths) - 2 * len(widths)
    rest = ["not at its default"]
    for row in rows:
        own = [(key, _text(value)) for key, value in row["changes"].items()]
        rest.append(" ".join(f"{key.rpartition('.')[2]}={text}" for key, text in own if (key, text) not in shared))
    shown = []
    for line, text in zip(lines, rest, strict=True):
        first, *others = zip(line, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(cell.rjust(size) for cell, size in others)]
        cut = text if len(text) <= room else f"{text[: room - 1]}…"
        shown.append("  ".join([*cells, *([cut] if room >= 18 else [])]).rstrip())
    common = " ".join(f"{key}={text}" for key, text in sorted(shared))
    return "\n".join([*shown, *([f"all of them: {common}"] if common else [])])


def show_run(settings: Settings) -> dict[str, Any]:
    """Return the row of a run, its folder, and score, seconds and training loss of each of its fits.

    A run is found in the competition first, and then in all others of the root.

    Raises FoldwiseError where there is none, and ConfigError where none is named.
    """
    if settings.runs.run is None:
        raise ConfigError("show: expected a run, as in `foldwise show small_cnn-0123`; `foldwise runs` lists them")
    others = sorted(path for path in settings.runs_dir.parent.glob("*") if path != settings.runs_dir)
    run = _found(settings.runs.run, [settings.runs_dir, *others])
    row = row_of(run)
    fits = [fit for fit in run.fits if run.fold_path(fit).is_dir()]
    scores = dict(zip(range(run.n_fits), row.get("fold_scores", []), strict=False))
    return row | {
        "path": str(run.path),
        "about_fits": [_fit(run, fit) | ({"score": scores[fit]} if fit in scores else {}) for fit in fits],
        "recipe": {"model": run.recipe["model"]["name"]} | changes(run.recipe),
    }


def show_one(result: dict[str, Any], width: int) -> str:
    """Return all that is known of a run as text."""
    metric: Metric = next((name for name in ("log_loss", "rmse") if name in result), "log_loss")
    lines = [f"{result['run']} of {result['competition']}: {result['fits']} of {result['all_fits']} folds"]
    if metric in result:
        low, high = result["interval"]
        lines.append(
            f"  {METRICS[metric].label} {as_text(result[metric])} (95 % interval {as_text(low)} to {as_text(high)})"
        )
        names: tuple[Metric, ...] = ("accuracy", "f1", "auc", "mae", "r2")
        more = [name for name in names if result.get(name) is not None]
        lines.append("  " + ", ".join(f"{METRICS[name].label} {as_text(result[name])}" for name in more))
        lines.append(
            f"  {result['minutes']:.1f} minutes on {result['device']}, {result['date'][:16].replace('T', ' ')}"
        )
    if result["about_fits"]:
        lines += [
            "",
            f"{'fit':<10}{METRICS[metric].label:>9}  {'training loss: first, last epoch':>32}  {'seconds':>8}",
        ]
    for fit in result["about_fits"]:
        score = as_text(fit["score"]) if "score" in fit else "-"
        losses = f"{fit['losses'][0]:.4f}, {fit['losses'][-1]:.4f}" if fit["losses"] else "-"
        seconds = "-" if fit["seconds"] is None else f"{fit['seconds']:.0f}"
        lines.append(f"{fit['fit']:<10}{score:>9}  {losses:>32}  {seconds:>8}")
    lines += ["", "recipe: the model, and what is not at its default"]
    lines += [f"  {key}={_text(value)}" for key, value in sorted(result["recipe"].items())]
    return "\n".join([*lines, "", f"all of it: {result['path']}/recipe.yaml"])


def _found(name: str, folders: list[Path]) -> Run:
    """Return the run of a name in the first of the folders that has it."""
    for folder in folders:
        try:
            return run_named(name, all_runs(folder))
        except FoldwiseError as error:
            if "runs begin so" in str(error):
                raise
    return run_named(name, [run for folder in folders for run in all_runs(folder)])


def _fit(run: Run, fit: int) -> dict[str, Any]:
    """Return the name of a fit, its seconds and the training loss of each epoch of its first seed."""
    folder = run.fold_path(fit)
    path = folder / "fold.json"
    about = read_json(path, remake_fit(run, fit)) if path.is_file() else {}
    losses: list[float] = []
    if (folder / "history.csv").is_file():
        history = pd.read_csv(folder / "history.csv")
        history = history[history["seed"] == history["seed"].iloc[0]] if "seed" in history and len(history) else history
        losses = history["loss"].tolist() if "loss" in history else []
    return {"fit": fit_name(fit), "seconds": about.get("seconds"), "losses": losses}


def _metric(settings: Settings, rows: list[dict[str, Any]]) -> Metric:
    """Return the objective where the rows have it, or else their log loss or RMSE."""
    wanted: list[Metric] = [settings.competition.metric, "log_loss", "rmse"]
    return next((name for name in wanted if any(name in row for row in rows)), "log_loss")


def _text(value: Any) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value).replace(" ", "")
