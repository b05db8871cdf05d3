"""`ensemble=compare`: every method's nested score, and the simplest that is about as good as the best."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from foldwise.blends.nested import blend, nested
from foldwise.errors import ConfigError, choices
from foldwise.plugins import default_options, function_named
from foldwise.scoring.compare_runs import cost_difference, gain
from foldwise.scoring.metrics import METRICS as ALL_METRICS
from foldwise.scoring.objective import Score, cost, cost_in_sample, interval, score_of
from foldwise.scoring.rows import Problem, Rows
from foldwise.settings import EnsembleSettings

log = logging.getLogger(__name__)

# from simple to elaborate: of methods that are about as good, the first is taken
METHODS: dict[str, dict[str, Any]] = {
    "single": {"name": "single"},
    "mean": {"name": "mean"},
    "arithmetic mean": {"name": "mean", "average": "arithmetic"},
    "power": {"name": "power"},
    "rank": {"name": "rank"},
    "calibrated mean": {"name": "mean", "calibrate": "auto"},
    "greedy": {"name": "greedy"},
    "arithmetic greedy": {"name": "greedy", "average": "arithmetic"},
    "convex": {"name": "convex"},
    "arithmetic convex": {"name": "convex", "average": "arithmetic"},
    "by_output": {"name": "by_output"},
    "logistic": {"name": "logistic"},
    "boosted": {"name": "boosted"},
    "neighbours": {"name": "neighbours"},
    "minmax": {"name": "minmax"},
    "pushout": {"name": "pushout"},
}
RISKY = ("minmax", "pushout")  # never chosen: what they gain by luck they lose on the private leaderboard
RISK = "%s overstates certainty: what it gains on the public leaderboard it loses on the private"


def compare(
    problem: Problem, rows: Rows, settings: EnsembleSettings, *, methods: Literal["all"] | list[str] = "all"
) -> tuple[EnsembleSettings, list[dict[str, Any]]]:
    """Score every method nested, and choose; return the settings of the chosen one and a report for each.

    The gain is that over the single run that is best outside each fold, with its paired-bootstrap interval. Chosen
    is the first method of the list whose score is within one standard error, of the paired difference, of the best.
    """
    names = [name for name in METHODS if _applies(name, problem, rows)] if methods == "all" else list(methods)
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise ConfigError(f"ensemble.options.methods={unknown[0]}: no such method; {choices(unknown[0], METHODS)}")
    metric = problem.metric
    scores: dict[str, Score] = {}
    reports = {}
    for name in dict.fromkeys(["single", *sorted(names, key=list(METHODS).index)]):
        one = method_settings(name, settings)
        scores[name] = score_of(problem, rows, nested(problem, rows, one))
        seen = None if name == "neighbours" else blend(problem, rows, rows.unlabelled(), one).probabilities
        gained = gain(scores["single"], scores[name])
        reports[name] = {
            "method": name,
            "nested_score": scores[name].value,
            "nested_score_interval": interval(scores[name]),
            "gain": gained["difference"],
            "gain_interval": gained["interval"],
            "in_sample_score": None if seen is None else cost(metric, cost_in_sample(problem, rows.y, seen)),
        }
        log.info("  %s: nested %s %.4f", name, ALL_METRICS[metric].label, scores[name].value)
    allowed = [name for name in reports if name not in RISKY]
    best = min(allowed, key=lambda name: cost(metric, scores[name].value))
    gaps = {name: cost_difference(scores[name], scores[best]) for name in allowed}
    near = [name for name, (worse, error) in gaps.items() if worse <= error]
    for name, report in reports.items():
        report["chosen"] = name == near[0]
    return method_settings(near[0], settings), list(reports.values())


def method_settings(name: str, settings: EnsembleSettings) -> EnsembleSettings:
    """Return the settings of a method of the list, all options at their defaults."""
    said = METHODS[name]
    options = default_options(function_named("blends", said["name"], "ensemble.name"))
    return replace(EnsembleSettings(), members=settings.members, options=options, **said)


def table(reports: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the table of methods."""
    lines = [f"  {'method':<18}{'nested':>8}{'gain':>9}  {'95 % interval':<20}{'in-sample':>9}"]
    for report in reports:
        low, high = report["gain_interval"]
        seen = report["in_sample_score"]
        lines.append(
            f"{'*' if report['chosen'] else ' '} {report['method']:<18}{report['nested_score']:>8.4f}"
            f"{report['gain']:>+9.4f}  {f'{low:+.4f} to {high:+.4f}':<20}"
            f"{'-' if seen is None else f'{seen:.4f}':>9}"
        )
    return lines


def _applies(name: str, problem: Problem, rows: Rows) -> bool:
    if name == "neighbours":
        return problem.column is not None and bool(np.isin(problem.column, list(rows.table.columns)))
    return name != "by_output" or rows.k > 1
