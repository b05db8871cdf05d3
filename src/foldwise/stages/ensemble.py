"""Stage `ensemble`: blend finished runs, score the blend honestly, and write the submission."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from foldwise.blends import compare_methods, nested
from foldwise.blends.neighbours import group_folds
from foldwise.data.dataset import Dataset
from foldwise.data.folds import read_folds, split_key
from foldwise.errors import ConfigError
from foldwise.runs import submission
from foldwise.runs.members import choose, runs_of, stacked
from foldwise.runs.report import score_of
from foldwise.runs.store import Run
from foldwise.scoring import breakdown, decisions, metrics, objective
from foldwise.scoring.rows import Problem, Rows
from foldwise.settings import EnsembleSettings, Settings, plain
from foldwise.stages import blend_files
from foldwise.stages.prepare import prepared
from foldwise.stages.score import score
from foldwise.storage import content_key

log = logging.getLogger(__name__)


def ensemble(settings: Settings) -> dict[str, Any]:
    """Blend the chosen finished runs of this data and split; write a checked submission with a JSON beside it.

    Returns what the JSON holds (nested_score and its interval, members with weights and scores) and the file.
    """
    if settings.ensemble.name == "files":
        if settings.by is not None:
            raise ConfigError(f"by={settings.by}: ensemble=files blends what has no known score; leave it out")
        return blend_files.ensemble(settings)
    reports = score(settings)
    dataset = prepared(settings)
    folds = read_folds(dataset, settings.split)
    members = choose(runs_of(settings.runs_dir, reports), settings.ensemble)
    with tempfile.TemporaryDirectory() as folder:
        train, test, problem = stacked(members, dataset, folds, Path(folder))
        problem = replace(problem, metric=settings.competition.metric)
        return _ensemble(settings, dataset, members, reports, train, test, problem)


def _ensemble(
    settings: Settings,
    dataset: Dataset,
    members: list[Run],
    reports: list[dict[str, Any]],
    train: Rows,
    test: Rows,
    problem: Problem,
) -> dict[str, Any]:
    how = settings.ensemble
    beside_it: dict[str, Any] = {}
    if how.name == "compare":
        how, beside_it["compared"] = compare_methods.compare(problem, train, how, **how.options)
        log.info("chosen: %s", next(r["method"] for r in beside_it["compared"] if r["chosen"]))
    predicted = nested.nested(problem, train, how)
    scored = objective.scored(problem, train, predicted)
    blended = nested.blend(replace(problem, test=None), train, test, how)
    if how.name == "neighbours":
        beside_it["beside"] = beside(problem, train, how)
    if problem.metric in decisions.COUNTED:  # for the test set: those of all rows, as the weights are
        beside_it["thresholds"] = decisions.learn(problem.metric, train.y, predicted, problem.task)
    if how.name in compare_methods.RISKY:
        log.warning(compare_methods.RISK, how.name)
    scores = {f"{r['model']}-{r['run_key']}": {"log_loss": r["log_loss"], "score": score_of(r)} for r in reports}
    weights = [None] * len(members) if blended.weights is None else [float(weight) for weight in blended.weights]
    if settings.by is not None:
        losses = metrics.row_losses(dataset.labels, predicted, dataset.task)
        parts = breakdown.breakdown(dataset.train.table, settings.by, dataset.labels, losses, dataset.task)
        beside_it |= {"by": settings.by, "log_loss_by": parts}
    about: dict[str, Any] = {
        "competition": settings.competition.name,
        "metric": problem.metric,
        "nested_score": scored.value,
        "nested_score_interval": objective.interval(scored),
        "n_rows": len(train),
        "approximate": any(run.is_approximate for run in members),
        "ensemble": plain(how),
        "members": [
            {"run": run.name, "weight": weight, **scores[run.name]}
            for run, weight in zip(members, weights, strict=True)
        ],
        "learned": blended.about,
        **beside_it,
        "split_key": split_key(dataset, settings.split),
        "data_key": dataset.data_key,
        "ids_key": dataset.ids_key,
        "source": settings.source.kind,
    }
    chosen = [sorted(run.name for run in members), plain(settings.ensemble), dataset.data_key]
    key = content_key(chosen if problem.metric == "log_loss" else [*chosen, problem.metric])[:8]
    stem = f"{settings.competition.name}_{about['nested_score']:.5f}_{key}"
    predictions = pd.DataFrame(blended.probabilities, columns=dataset.targets)
    predictions.insert(0, "id", dataset.test.table["id"])
    path = submission.write(settings, dataset, predictions, stem, about)
    return {"file": str(path), **about}


def show(result: dict[str, Any], width: int) -> str:
    """Return the members with their weights, the nested score, and the file."""
    if "correlations" in result:
        return blend_files.show(result, width)
    low, high = result["nested_score_interval"]
    how = result["ensemble"]
    lines = [
        f"  {_weight(member['weight'])}  {member['run']} ({member['score']:.4f})"
        for member in result["members"]
        if member["weight"] != 0
    ]
    absent = len(result["members"]) - len(lines)
    if absent:
        lines.append(f"  and {absent} without weight")
    compared = compare_methods.table(result["compared"]) if "compared" in result else []
    label = objective.LABELS[result["metric"]]
    beside = [f"  {score['score']:.4f}  {name}" for name, score in result.get("beside", {}).items()]
    return "\n".join(
        [
            *([f"nested {label} of every method; * is the chosen one:", *compared] if compared else []),
            f"blend of {len(result['members'])} runs ({how['name']}, {how['average']} mean), weight and {label}:",
            *lines,
            f"nested {label} {result['nested_score']:.4f} (95 % interval {low:.4f} to {high:.4f})"
            + (", approximate: a member was made on other folds" if result["approximate"] else ""),
            *(["beside it, nested too:", *beside] if beside else []),
            *([breakdown.show(result["by"], {"nested": result["log_loss_by"]}, width)] if "by" in result else []),
            f"submission: {result['file']}",
        ]
    )


def _weight(weight: float | None) -> str:
    return "  -  " if weight is None else f"{weight:.3f}"


def beside(problem: Problem, rows: Rows, settings: EnsembleSettings) -> dict[str, Any]:
    """Score the second level without its column, and with all rows of equal value in one fold: skill and leak."""
    column = settings.options["column"] or problem.column
    assert column is not None  # or the second level would have refused
    named = column if isinstance(column, str) else " and ".join(column)
    predicted = {
        "without the column (logit mean)": nested.nested(problem, rows, replace(settings, name="mean", options={})),
        f"on group folds ({named})": nested.nested(problem, replace(rows, fold=group_folds(rows, column)), settings),
    }
    scores = {name: objective.scored(problem, rows, p) for name, p in predicted.items()}
    return {name: {"score": one.value, "score_interval": objective.interval(one)} for name, one in scores.items()}
