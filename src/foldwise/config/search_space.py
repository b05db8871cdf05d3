"""A search space: a command whose keys have several values, or an interval of them, in Hydra's own words.

`key=a,b,c` and `key=choice(a,b,c)` are a choice, `key=range(1,9)` whole numbers, `key=interval(0.1,0.9)` numbers, and
`key=tag(log,interval(1e-4,1e-1))` numbers whose logarithm is sampled evenly; `int(interval(2,64))` whole ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldwise.config import compose
from foldwise.config.compose import Scope
from foldwise.errors import ConfigError
from foldwise.settings import Settings

EXAMPLES = "such as fit.learning_rate='tag(log,interval(1e-4,1e-2))' or model=mlp,small_cnn"


@dataclass(frozen=True)
class Choice:
    """One of several values, as they are written on a command line."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class Interval:
    """A number from `low` to `high`; log: whose logarithm is sampled evenly; whole: a whole number."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class SearchSpace:
    """The words of a command: those that are fixed, and what each other key may be.

    keys: the dimensions, in the order of the command.
    """

    fixed: tuple[str, ...]
    keys: dict[str, Choice | Interval]
    config_dir: Path | None
    scope: Scope

    def settings(self, values: Mapping[str, Any]) -> Settings:
        """Compose the settings of a point, a value for each key.

        Raises ConfigError where the values do not go together.
        """
        return next(compose.compose_all(self.words(values), self.config_dir, self.scope))

    def words(self, values: Mapping[str, Any]) -> list[str]:
        """Return the words of the command of a point."""
        return [*self.fixed, *(f"{key}={value}" for key, value in values.items())]

    def first(self) -> dict[str, Any]:
        """Return a point: the first value of each choice, the lower end of each interval."""

        return {
            key: one.values[0] if isinstance(one, Choice) else number(one.low, one) for key, one in self.keys.items()
        }


def number(value: float, interval: Interval) -> float | int:
    """Return a value of an interval as it is written: whole, or with six digits, which a run key then holds."""
    return round(value) if interval.whole else float(f"{value:.6g}")


def search_space(words: list[str], config_dir: Path | None, scope: Scope) -> SearchSpace:
    """Return the search space of a command.

    Raises ConfigError, naming the key, where a word is wrong, or none has several values.
    """
    fixed, keys = list[str](), dict[str, Choice | Interval]()
    for override in compose.parsed(words, config_dir, scope):
        if not override.is_sweep_override():
            fixed.append(override.input_line)
        else:
            keys[override.get_key_element()] = _dimension(override)
    if not keys:
        raise ConfigError(f"nothing to search: expected a key with several values or an interval, {EXAMPLES}")
    return SearchSpace(tuple(fixed), keys, config_dir, scope)


def _dimension(override: Any) -> Choice | Interval:
    """Return what the key of an override of Hydra may be."""
    value = override.value()
    if not override.is_interval_sweep():
        return Choice(tuple(dict.fromkeys(override.sweep_string_iterator())))
    whole, log = isinstance(value.start, int) and isinstance(value.end, int), "log" in value.tags
    if not value.start < value.end or (log and value.start <= 0):
        raise ConfigError(f"{override.input_line}: expected a lower end, above 0 with log, and then a higher one")
    return Interval(float(value.start), float(value.end), log, whole)
