"""Stage `ensemble`: blend finished runs, score the blend honestly, and write the submission."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from foldwise.blends import compare_methods
from foldwise.blends.blended import Blended
from foldwise.blends.methods import METHODS
from foldwise.blends.nested import blend, nested
from foldwise.data.dataset import Dataset
from foldwise.data.folds import read_scored, split_key
from foldwise.data.image_statistics import with_image_statistics
from foldwise.errors import ConfigError
from foldwise.runs import submission
from foldwise.runs.members import choose, runs_of, stacked
from foldwise.runs.report import score_of as reported_score
from foldwise.runs.report import usual_metric_of
from foldwise.runs.store import Run, test_table
from foldwise.scoring import breakdown, decisions, metrics, objective
from foldwise.scoring.metrics import METRICS, as_text
from foldwise.scoring.objective import Score
from foldwise.scoring.rows import Problem, Rows
from foldwise.settings import EnsembleSettings, Settings, plain
from foldwise.stages import blend_files
from foldwise.stages.prepare import prepared
from foldwise.stages.score import score
from foldwise.storage import content_key, write_json

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoredBlend:
    """A blend with its honest score."""

    settings: EnsembleSettings  # of the method; of the chosen one where methods were compared
    out_of_fold: np.ndarray  # (n, k) predictions of the training rows, each learned on the other folds
    score: Score  # of those
    test: Blended  # learned from all training rows
    side_results: dict[str, Any]  # by their names in the JSON: compared methods, scores of variants, thresholds


def ensemble(settings: Settings) -> dict[str, Any]:
    """Blend the chosen finished runs of this data and split; write a checked submission with its JSON.

    Returns what the JSON holds (nested_score and its interval, members with weights and scores) and the file.
    """
    method = METHODS.get(settings.ensemble.name)
    if method is not None and not method.is_scored:
        if settings.by is not None:
            raise ConfigError(f"by={settings.by}: ensemble=files blends what has no known score; leave it out")
        return blend_files.ensemble(settings)
    reports = score(settings)
    dataset = with_image_statistics(prepared(settings), settings.ensemble.options.get("columns", []))
    scored, folds = read_scored(dataset, settings.split)
    members = choose(runs_of(settings.runs_dir, reports), settings.ensemble)
    damaged: list[Run] | None = [] if settings.ensemble.members == "all" else None
    with tempfile.TemporaryDirectory() as folder:
        train, test, problem = stacked(members, scored, folds, Path(folder), damaged=damaged)
        members = [run for run in members if run not in (damaged or [])]
        problem = replace(problem, metric=settings.competition.metric)
        blended = scored_blend(problem, train, test, settings.ensemble)
    # values have no other average, whatever the settings are
    how = replace(blended.settings, average="arithmetic") if dataset.task == "regression" else blended.settings
    about = {
        "competition": settings.competition.name,
        "metric": problem.metric,
        "nested_score": blended.score.value,
        "nested_score_interval": objective.interval(blended.score),
        "n_rows": len(train),
        "approximate": any(run.is_approximate for run in members),
        "ensemble": plain(how),
        "members": _describe_members(members, reports, blended.test.weights),
        "learned": blended.test.about,
        **blended.side_results,
        **_breakdown(settings, scored, blended.out_of_fold),
        "split_key": split_key(dataset, settings.split),
        "data_key": dataset.data_key,
        "ids_key": dataset.ids_key,
        "source": settings.source.kind,
    }
    stem = f"{settings.competition.name}_{about['nested_score']:.5f}_{_key(settings, dataset, members)}"
    if not len(dataset.test.table):
        path = settings.submissions_dir / f"{stem}.json"
        write_json(path, about)
        return {"file": str(path), **about}
    predictions = test_table(dataset.test.table["id"], blended.test.probabilities, dataset.targets)
    path = submission.write(settings, dataset, predictions, stem, about)
    return {"file": str(path), **about}


def scored_blend(problem: Problem, train: Rows, test: Rows, settings: EnsembleSettings) -> ScoredBlend:
    """Choose the method where methods are compared, score it nested, and blend the test rows by all training rows."""
    side_results: dict[str, Any] = {}
    settings, compared, out_of_fold = compare_methods.chosen_settings(problem, train, settings)
    if compared:
        side_results["compared"] = compared
    method = METHODS[settings.name]
    if method.is_risky:
        log.warning(
            "%s overstates certainty: what it gains on the public leaderboard it loses on the private", settings.name
        )
    nested_score = objective.score_of(problem, train, out_of_fold)
    blended = blend(replace(problem, test=None), train, test, settings)
    variants = {
        name: objective.score_of(problem, rows, nested(problem, rows, variant))
        for name, (rows, variant) in method.variants(problem, train, settings).items()
    }
    if variants:
        side_results["beside"] = {
            name: {"score": one.value, "score_interval": objective.interval(one)} for name, one in variants.items()
        }
    if METRICS[problem.metric].counts_decisions:  # for the test set: those of all rows, as the weights are
        side_results["thresholds"] = decisions.learn(problem.metric, train.y, out_of_fold, problem.task)
    return ScoredBlend(settings, out_of_fold, nested_score, blended, side_results)


def _describe_members(
    members: list[Run], reports: list[dict[str, Any]], weights: np.ndarray | None
) -> list[dict[str, Any]]:
    """Return run, weight (None where the method weighs no members), log loss (RMSE) and score of each member."""
    by_name = {f"{report['model']}-{report['run_key']}": report for report in reports}
    numbers = [None] * len(members) if weights is None else [float(weight) for weight in weights]
    return [
        {
            "run": run.name,
            "weight": weight,
            usual_metric_of(by_name[run.name]): by_name[run.name][usual_metric_of(by_name[run.name])],
            "score": reported_score(by_name[run.name]),
        }
        for run, weight in zip(members, numbers, strict=True)
    ]


def _breakdown(settings: Settings, dataset: Dataset, predictions: np.ndarray) -> dict[str, Any]:
    """Return the log loss, or the RMSE, by value of the column that is set, if one is."""
    if settings.by is None:
        return {}
    losses = metrics.usual_losses(np.asarray(dataset.labels, np.float64), predictions, dataset.task)
    parts = breakdown.breakdown(dataset.train.table, settings.by, dataset.labels, losses, dataset.task)
    return {"by": settings.by, f"{metrics.usual_metric(dataset.task)}_by": parts}


def _key(settings: Settings, dataset: Dataset, members: list[Run]) -> str:
    """Return what separates this blend's file from others of the same score."""
    given = [sorted(run.name for run in members), plain(settings.ensemble), dataset.data_key]
    metric = settings.competition.metric
    return content_key(given if metric == "log_loss" else [*given, metric])[:8]


def show(result: dict[str, Any], width: int) -> str:
    """Return the members with their weights, the nested score, and the file."""
    if "correlations" in result:
        return blend_files.show(result, width)
    low, high = result["nested_score_interval"]
    method = result["ensemble"]
    lines = [
        f"  {_weight(member['weight'])}  {member['run']} ({as_text(member['score'])})"
        for member in result["members"]
        if member["weight"] != 0
    ]
    absent = len(result["members"]) - len(lines)
    if absent:
        lines.append(f"  and {absent} without weight")
    compared = compare_methods.table(result["compared"]) if "compared" in result else []
    label, parts = METRICS[result["metric"]].label, result.get("log_loss_by") or result.get("rmse_by")
    variants = [f"  {as_text(found['score'])}  {name}" for name, found in result.get("beside", {}).items()]
    return "\n".join(
        [
            *([f"nested {label} of every method; * is the chosen one:", *compared] if compared else []),
            f"blend of {len(result['members'])} runs ({method['name']}, {method['average']} mean), weight and {label}:",
            *lines,
            f"nested {label} {as_text(result['nested_score'])} (95 % interval {as_text(low)} to {as_text(high)})"
            + (", approximate: a member was made on other folds" if result["approximate"] else ""),
            *(["for comparison, nested too:", *variants] if variants else []),
            *([breakdown.show(result["by"], {"nested": parts}, width)] if parts else []),
            f"submission: {result['file']}"
            if result["file"].endswith(".csv")
            else f"no test set: `foldwise predict` answers new data with {result['file']}",
        ]
    )


def _weight(weight: float | None) -> str:
    return "  -  " if weight is None else f"{weight:.3f}"
