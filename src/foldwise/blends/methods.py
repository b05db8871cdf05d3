"""The blending methods with what a caller must know of each besides its function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foldwise.blends.averages import mean, minmax, power, pushout, rank, single
from foldwise.blends.blended import Blended
from foldwise.blends.convex import by_output, convex
from foldwise.blends.fast_selection import greedy
from foldwise.blends.files import files
from foldwise.blends.neighbours import has_column, neighbours, variants_without_leak
from foldwise.blends.over_bases import stack
from foldwise.blends.stacking import boosted, linear, logistic
from foldwise.errors import ConfigError
from foldwise.scoring.metrics import CLASS_TASKS
from foldwise.settings import EnsembleSettings, Task

if TYPE_CHECKING:
    from foldwise.scoring.rows import Problem, Rows


ALL_TASKS: tuple[Task, ...] = (*CLASS_TASKS, "regression")
VALUE_WAYS = ("mean", "median", "rank")  # of `files`, to blend the values of a regression
Variants = dict[str, tuple["Rows", "EnsembleSettings"]]  # what to score nested, by what it shows


@dataclass(frozen=True)
class Method:
    """A method and its traits.

    function: (problem, train, other, **options) -> Blended.
    is_risky: it overstates certainty: what it gains by luck on the public leaderboard it loses on the private, so
        `compare` never chooses it.
    is_scored: it has a nested score; not so for test predictions that have no out-of-fold ones.
    has_in_sample_score: `compare` reports the score on the rows that it was fitted to.
    applies: whether it makes sense for a problem and its rows, by what `compare` leaves it out.
    tasks: those that it blends the predictions of: it makes sense for probabilities, for values, or for both.
    variants: (problem, rows, settings) -> rows and settings whose nested scores are reported with its own.
    """

    function: Callable[..., Blended]
    is_risky: bool = False
    is_scored: bool = True
    has_in_sample_score: bool = True
    applies: Callable[[Problem, Rows], bool] = lambda problem, rows: True
    tasks: tuple[Task, ...] = CLASS_TASKS
    variants: Callable[[Problem, Rows, EnsembleSettings], Variants] = lambda problem, rows, settings: {}


METHODS: dict[str, Method] = {
    "single": Method(single, tasks=ALL_TASKS),
    "mean": Method(mean, tasks=ALL_TASKS),
    "power": Method(power),
    "rank": Method(rank),
    "greedy": Method(greedy, tasks=ALL_TASKS),
    "convex": Method(convex, tasks=ALL_TASKS),
    "by_output": Method(by_output, tasks=ALL_TASKS, applies=lambda problem, rows: rows.k > 1),
    "linear": Method(linear, tasks=("regression",)),
    "logistic": Method(logistic),
    "boosted": Method(boosted),
    "stack": Method(stack, has_in_sample_score=False),
    "neighbours": Method(neighbours, has_in_sample_score=False, applies=has_column, variants=variants_without_leak),
    "minmax": Method(minmax, is_risky=True),
    "pushout": Method(pushout, is_risky=True),
    "files": Method(files, tasks=ALL_TASKS, is_scored=False),
}


def check_task(settings: EnsembleSettings, task: Task) -> None:
    """Raise ConfigError, naming the valid choices, where a method or what is done to its result does not fit the task.

    >>> check_task(EnsembleSettings("power"), "regression")
    Traceback (most recent call last):
        ...
    foldwise.errors.ConfigError: ensemble=power: it does not blend the values of a regression; choose one of \
single, mean, greedy, convex, by_output, linear, files, compare
    """
    fitting = [name for name, method in METHODS.items() if task in method.tasks] + ["compare"]
    if settings.name not in fitting:
        what = "the values of a regression" if task == "regression" else "probabilities of classes"
        raise ConfigError(f"ensemble={settings.name}: it does not blend {what}; choose one of {', '.join(fitting)}")
    if task != "regression":
        return
    how = settings.options.get("how")
    if settings.name == "files" and how not in (*VALUE_WAYS, None):
        raise ConfigError(
            f"ensemble.options.how={how}: it blends probabilities, not the values of a regression; choose one of "
            f"{', '.join(VALUE_WAYS)}"
        )
    probabilities_alone = {"calibrate": "none", "calibrate_by": None, "cap_by": None, "clip": None}
    for name, off in probabilities_alone.items():
        if getattr(settings, name) != off:
            raise ConfigError(
                f"ensemble.{name}={getattr(settings, name)}: it changes probabilities, not the values of a regression; "
                f"set ensemble.{name}={'null' if off is None else off}"
            )
