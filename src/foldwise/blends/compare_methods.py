"""`ensemble=compare`: every method's nested score, and the simplest that is about as good as the best."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from foldwise.blends.methods import METHODS
from foldwise.blends.nested import blend, nested
from foldwise.errors import ConfigError, choices
from foldwise.plugins import default_options
from foldwise.scoring.compare_runs import cost_difference, gain
from foldwise.scoring.metrics import METRICS, as_text
from foldwise.scoring.objective import Score, cost, cost_in_sample, interval, score_of
from foldwise.scoring.rows import Problem, Rows
from foldwise.settings import EnsembleSettings, Task
from foldwise.time_left import as_clock

log = logging.getLogger(__name__)

SLOW = 5.0  # seconds, after which the lines of the methods say how far the work is
# how long a candidate takes, of 94 members and 1,600 rows, in units of the quick ones
WORK = {
    **{"mean of the best": 3, "calibrated mean": 10, "logistic": 2, "boosted": 9, "tuned logistic": 4},
    **{"tuned boosted": 25, "stack": 40, "neighbours": 40},
}

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
) -> tuple[EnsembleSettings, list[dict[str, Any]], np.ndarray]:
    """Score every candidate nested, and choose; return the settings of the chosen one, a report for each candidate, and
    the nested predictions (n, k) of the chosen one.

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
    predictions: dict[str, np.ndarray] = {}
    reports = {}
    tried = list(dict.fromkeys(["single", *sorted(names, key=list(CANDIDATES).index)]))
    began = time.monotonic()
    for number, name in enumerate(tried, 1):
        candidate = method_settings(name, settings)
        predictions[name] = nested(problem, rows, candidate)
        scores[name] = score_of(problem, rows, predictions[name])
        gained = gain(scores["single"], scores[name])
        reports[name] = {
            "method": name,
            "nested_score": scores[name].value,
            "nested_score_interval": interval(scores[name]),
            "gain": gained["difference"],
            "gain_interval": gained["interval"],
            "in_sample_score": _in_sample_score(problem, rows, candidate),
        }
        score = f"nested {METRICS[problem.metric].label} {as_text(scores[name].value)}"
        log.info("  %s: %s%s", name, score, _how_far(tried, number, time.monotonic() - began))
    allowed = [name for name in reports if not METHODS[CANDIDATES[name]["name"]].is_risky]
    best = min(allowed, key=lambda name: cost(problem.metric, scores[name].value))
    gaps = {name: cost_difference(scores[name], scores[best]) for name in allowed}
    near = [name for name, (worse, error) in gaps.items() if worse <= error]
    for name, report in reports.items():
        report["chosen"] = name == near[0]
    return method_settings(near[0], settings), list(reports.values()), predictions[near[0]]


def _how_far(names: list[str], done: int, seconds: float) -> str:
    """Return how many methods are done and how long the others take, as text; nothing in the first seconds.

    >>> _how_far(["mean", "logistic", "stack"], 1, 6), _how_far(["mean", "logistic", "stack"], 2, 6)
    (' (1 of 3 methods)', ' (2 of 3 methods, about 1:20 left)')
    >>> _how_far(["mean", "logistic", "stack"], 3, 6), _how_far(["mean", "logistic", "stack"], 2, 4)
    (' (3 of 3 methods in 0:06)', '')
    """
    if seconds <= SLOW:
        return ""
    work = [WORK.get(name, 1) for name in names]
    if done == len(names):
        left = f" in {as_clock(seconds)}"
    else:  # the first ones also start libraries, and say little of the others
        left = f", about {as_clock(seconds * sum(work[done:]) / sum(work[:done]))} left" if done > 1 else ""
    return f" ({done} of {len(names)} methods{left})"


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
) -> tuple[EnsembleSettings, list[dict[str, Any]], np.ndarray]:
    """Return the settings of the method to blend by, what `compare` reports where it chooses the method, and the nested
    predictions (n, k) of training rows.
    """
    if settings.name != "compare":
        return settings, [], nested(problem, rows, settings)
    chosen, reports, predictions = compare(problem, rows, settings, **settings.options)
    log.info("chosen: %s", next(report["method"] for report in reports if report["chosen"]))
    return chosen, reports, predictions


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
