"""`ensemble=compare`: every method's nested score, and the simplest that is about as good as the best."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any, Literal

from foldwise.blends.methods import METHODS
from foldwise.blends.nested import blend, nested
from foldwise.errors import ConfigError, choices
from foldwise.plugins import default_options
from foldwise.scoring.compare_runs import cost_difference, gain
from foldwise.scoring.metrics import METRICS, as_text
from foldwise.scoring.objective import Score, cost, cost_in_sample, interval, score_of
from foldwise.scoring.rows import Problem, Rows
from foldwise.settings import EnsembleSettings, Task

log = logging.getLogger(__name__)

SLOW = 5.0  # seconds, after which the lines of the methods count them

# methods and settings that are compared, from simple to elaborate: of those that are about as good the first is taken
CANDIDATES: dict[str, dict[str, Any]] = {
    "single": {"name": "single"},
    "mean": {"name": "mean"},
    "arithmetic mean": {"name": "mean", "average": "arithmetic"},
    "power": {"name": "power"},
    "mean of the best": {"name": "mean", "best": "auto"},
    "rank": {"name": "rank"},
    "calibrated mean": {"name": "mean", "calibrate": "auto"},
    "greedy": {"name": "greedy"},
    "arithmetic greedy": {"name": "greedy", "average": "arithmetic"},
    "convex": {"name": "convex"},
    "arithmetic convex": {"name": "convex", "average": "arithmetic"},
    "by_output": {"name": "by_output"},
    "linear": {"name": "linear"},
    "logistic": {"name": "logistic"},
    "boosted": {"name": "boosted"},
    "tuned logistic": {"name": "logistic", "options": {"strength": "auto"}},
    "tuned boosted": {"name": "boosted", "options": {"rounds": "auto"}},
    "stack": {"name": "stack"},
    "neighbours": {"name": "neighbours", "options": {"base": "auto"}},
    "minmax": {"name": "minmax"},
    "pushout": {"name": "pushout"},
}


def compare(
    problem: Problem, rows: Rows, settings: EnsembleSettings, *, methods: Literal["all"] | list[str] = "all"
) -> tuple[EnsembleSettings, list[dict[str, Any]]]:
    """Score every candidate nested, and choose; return the settings of the chosen one and a report for each.

    The gain is that over the single run that is best on the other folds, with its paired-bootstrap interval. Chosen
    is the first candidate whose score is within one standard error, of the paired difference, of the best.

    Raises ConfigError for a name that is no candidate, or none for the task.
    """
    fitting = candidates(problem.task)
    names = [name for name in fitting if METHODS[CANDIDATES[name]["name"]].applies(problem, rows)]
    names = names if methods == "all" else methods
    unknown = [name for name in names if name not in fitting]
    if unknown:
        raise ConfigError(
            f"ensemble.options.methods={unknown[0]}: no such method of task={problem.task}; "
            f"{choices(unknown[0], fitting)}"
        )
    scores: dict[str, Score] = {}
    reports = {}
    tried = list(dict.fromkeys(["single", *sorted(names, key=list(CANDIDATES).index)]))
    began = time.monotonic()
    for number, name in enumerate(tried, 1):
        candidate = method_settings(name, settings)
        scores[name] = score_of(problem, rows, nested(problem, rows, candidate))
        gained = gain(scores["single"], scores[name])
        reports[name] = {
            "method": name,
            "nested_score": scores[name].value,
            "nested_score_interval": interval(scores[name]),
            "gain": gained["difference"],
            "gain_interval": gained["interval"],
            "in_sample_score": _in_sample_score(problem, rows, candidate),
        }
        seconds = time.monotonic() - began
        done = f" ({number} of {len(tried)} methods, {seconds:.0f} s)" if seconds > SLOW else ""
        log.info("  %s: nested %s %s%s", name, METRICS[problem.metric].label, as_text(scores[name].value), done)
    allowed = [name for name in reports if not METHODS[CANDIDATES[name]["name"]].is_risky]
    best = min(allowed, key=lambda name: cost(problem.metric, scores[name].value))
    gaps = {name: cost_difference(scores[name], scores[best]) for name in allowed}
    near = [name for name, (worse, error) in gaps.items() if worse <= error]
    for name, report in reports.items():
        report["chosen"] = name == near[0]
    return method_settings(near[0], settings), list(reports.values())


def candidates(task: Task) -> list[str]:
    """Return the names of the candidates that fit a task.

    >>> candidates("regression")
    ['single', 'mean', 'mean of the best', 'greedy', 'convex', 'by_output', 'linear']
    """
    values_alone = {"calibrate", "average"} if task == "regression" else set()  # settings that nothing reads then
    return [
        name
        for name, given in CANDIDATES.items()
        if task in METHODS[given["name"]].tasks and not values_alone & given.keys()
    ]


def chosen_settings(
    problem: Problem, rows: Rows, settings: EnsembleSettings
) -> tuple[EnsembleSettings, list[dict[str, Any]]]:
    """Return the settings of the method to blend by, and what `compare` reports where it chooses the method."""
    if settings.name != "compare":
        return settings, []
    chosen, reports = compare(problem, rows, settings, **settings.options)
    log.info("chosen: %s", next(report["method"] for report in reports if report["chosen"]))
    return chosen, reports


def method_settings(name: str, settings: EnsembleSettings) -> EnsembleSettings:
    """Return the settings of a candidate, other options at their defaults; settings give the members."""
    given = CANDIDATES[name]
    options = default_options(METHODS[given["name"]].function) | given.get("options", {})
    return replace(EnsembleSettings(), members=settings.members, **{**given, "options": options})


def table(reports: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the table of methods."""
    lines = [f"  {'method':<18}{'nested':>8}{'gain':>9}  {'95 % interval':<20}{'in-sample':>9}"]
    for report in reports:
        low, high = report["gain_interval"]
        in_sample = report["in_sample_score"]
        lines.append(
            f"{'*' if report['chosen'] else ' '} {report['method']:<18}{as_text(report['nested_score']):>8}"
            f"{as_text(report['gain'], '+'):>9}  {as_text(low, '+') + ' to ' + as_text(high, '+'):<20}"
            f"{'-' if in_sample is None else as_text(in_sample):>9}"
        )
    return lines


def _in_sample_score(problem: Problem, rows: Rows, candidate: EnsembleSettings) -> float | None:
    """Return the score on the very rows that the candidate is fitted to, None where it is not reported."""
    if not METHODS[candidate.name].has_in_sample_score:
        return None
    p = blend(problem, rows, rows.unlabelled(), candidate).probabilities
    return cost(problem.metric, cost_in_sample(problem, rows.y, p))
