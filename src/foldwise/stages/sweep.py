"""The recipes of one command against each other: paired differences, and by how much the best is flattered."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from foldwise.blends.nested import nested
from foldwise.data.folds import read_scored
from foldwise.runs.members import runs_of, stacked
from foldwise.runs.store import Run
from foldwise.scoring.compare_runs import score_difference
from foldwise.scoring.metrics import METRICS, as_text
from foldwise.scoring.objective import cost, score_of
from foldwise.settings import EnsembleSettings, Settings
from foldwise.stages.prepare import prepared
from foldwise.storage import content_key, read_json, write_json


def compared(settings: Settings, runs: list[Run]) -> dict[str, Any] | None:
    """Compare finished runs, the best first; None where fewer than two were scored on the same rows as the best.

    Returns `runs`, each with its `score`, its paired `difference` to the best and the `interval` of that; and `nested`,
    the score of the run that is chosen on the other folds for each fold: what choosing the best of so many gives.
    """
    members = [run for run in runs if run.recipe["split_key"] == runs[0].recipe["split_key"]]
    if len(members) < 2:
        return None
    scored, folds = read_scored(prepared(settings), settings.split)
    with tempfile.TemporaryDirectory() as folder:
        rows, _, problem = stacked(members, scored, folds, Path(folder))
        problem = replace(problem, metric=settings.competition.metric)
        scores = [score_of(problem, rows, rows.member(j)) for j in range(rows.m)]
        chosen = nested(problem, rows, EnsembleSettings("single"))
        found = [
            {"run": run.name, "score": score.value, **score_difference(score, scores[0])}
            for run, score in zip(members, scores, strict=True)
        ]
        return {
            "metric": problem.metric,
            "runs": [{k: one[k] for k in ("run", "score", "difference", "interval")} for one in found],
            "nested": score_of(problem, rows, chosen).value,
        }


def write(settings: Settings, reports: list[dict[str, Any]]) -> None:
    """Write what `compared` finds next to the runs, where there is something to compare."""
    found = compared(settings, runs_of(settings.runs_dir, reports))
    if found is not None:
        write_json(_path(settings, reports), found)


def details(settings: Settings, reports: list[dict[str, Any]]) -> str:
    """Return the comparison that was written of the runs of a sweep as text; nothing for a single run."""
    path = _path(settings, reports)
    if len(reports) < 2 or not path.is_file():
        return ""
    found = read_json(path, "give the same command again")
    label, best = METRICS[found["metric"]].label, found["runs"][0]
    width = max(len(one["run"]) for one in found["runs"])
    lines = [f"{label} minus that of the best, on the same rows, with a 95 % interval:"]
    for one in found["runs"][1:]:
        low, high = (as_text(bound, "+") for bound in one["interval"])
        lines.append(f"  {one['run']:<{width}}  {as_text(one['difference'], '+')}  {low} to {high}")
    flattered = cost(found["metric"], found["nested"]) - cost(found["metric"], best["score"])
    lines.append(
        f"the best of {len(found['runs'])} has {as_text(best['score'])}; where the folds choose it for each other, "
        f"{as_text(found['nested'])}: the choice flatters by {as_text(flattered)}"
    )
    return "\n".join([*lines, f"written to {path}", ""])


def _path(settings: Settings, reports: list[dict[str, Any]]) -> Path:
    """Return the file of the comparison of some runs; equal sets of runs have the same."""
    key = content_key(sorted(f"{report['model']}-{report['run_key']}" for report in reports))
    return settings.runs_dir / f"sweep_{key}.json"
