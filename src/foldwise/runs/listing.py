"""What is known of runs without their data: scores, progress and recipes, to be listed, filtered and compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from typing import Any, get_type_hints

from foldwise.errors import ConfigError, FoldwiseError, choices
from foldwise.plugins import changed_options
from foldwise.runs.recipe import Recipe
from foldwise.runs.report import usual_metric_of
from foldwise.runs.store import Run
from foldwise.settings import plain

KEYS_ALONE = ("data_key", "split_key", "model_code", "augment_code", "code_versions")  # hashes: no setting
CONDITION = re.compile(r"([\w.]+)(<=|>=|!=|=|<|>)(.+)")


def row_of(run: Run) -> dict[str, Any]:
    """Return a run's name, model, fits, scores, minutes, date, keys, and `changes`, the settings not at their defaults.

    The scores are those of its `run.json`, which a run has once all of its folds are trained and scored.
    """
    report = run.report if (run.path / "run.json").is_file() else {}
    metric = usual_metric_of(report) if report else None
    names = [name for name in ("log_loss", "rmse", "accuracy", "f1", "auc", "mae", "r2") if name in report]
    written = (run.path / ("run.json" if report else "recipe.yaml")).stat().st_mtime
    return {
        "run": run.name,
        "competition": run.path.parent.name,
        "model": run.recipe["model"]["name"],
        "fits": len(run.fits) - len(run.missing()),
        "all_fits": len(run.fits),
        **{name: report[name] for name in names},
        **({"interval": report[f"{metric}_interval"], "fold_scores": report[f"fold_{metric}"]} if report else {}),
        "minutes": report["seconds"] / 60 if report else None,
        "device": report.get("device"),
        "date": datetime.fromtimestamp(written).astimezone().isoformat(timespec="minutes"),
        "data_key": run.recipe.get("data_key"),
        "split_key": run.recipe.get("split_key"),
        "changes": changes(run.recipe),
    }


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by their dotted keys.

    >>> flat({"fit": {"epochs": 3}, "pseudo": {}})
    {'fit.epochs': 3, 'pseudo': {}}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else {f"{prefix}{name}": value}
    return found


def changes(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a stored recipe that differ from their defaults, by their dotted keys."""
    found: dict[str, Any] = {}
    groups = {one.name: one for one in fields(Recipe)}
    rooms = {"model": "models", "augment": "augment"}
    for name, value in recipe.items():
        if name not in groups or name in KEYS_ALONE or name == "competition" or not isinstance(value, Mapping):
            continue
        given = dict(value)
        options = given.pop("options", {})
        if name in rooms:
            given.pop("name", None)
            options = changed_options(rooms[name], value.get("name", ""), options)
        usual = flat(plain(_defaults(name)))
        found |= {f"{name}.{key}": one for key, one in flat(given).items() if key not in usual or usual[key] != one}
        found |= {f"{name}.options.{key}": one for key, one in options.items()}
        if name == "augment" and value.get("name") not in (None, "none"):
            found["augment"] = value["name"]
    return found


def difference(first: Run, second: Run) -> list[tuple[str, Any, Any]]:
    """Return (key, value of the first, value of the second) of all that differs in two recipes; None: not there."""
    return differences(flat(first.recipe), flat(second.recipe))


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return (key, value of one, value of the other) of all keys whose values differ; None: not there.

    >>> differences({"a": 1, "b": 2}, {"b": 3, "c": 4})
    [('a', 1, None), ('b', 2, 3), ('c', None, 4)]
    """
    return [(key, one.get(key), other.get(key)) for key in {**one, **other} if one.get(key) != other.get(key)]


def matches(row: Mapping[str, Any], recipe: Mapping[str, Any], condition: str) -> bool:
    """Tell whether a row has what a condition says: a part of its name, or key=value with =, !=, <, >, <= or >=.

    Keys are those of the row (log_loss, minutes, ...) and the dotted ones of the recipe; numbers compare as numbers.

    Raises ConfigError where < or > compares what is no number.

    >>> matches({"run": "mlp-1", "log_loss": 0.3}, {"fit": {"epochs": 3}}, "log_loss<0.5")
    True
    """
    parsed = CONDITION.fullmatch(condition)
    if parsed is None:
        return condition in row["run"]
    key, sign, text = parsed.groups()
    value = {**flat(recipe), **row}.get(key)
    if sign in ("=", "!="):
        return (_same(value, text)) == (sign == "=")
    if value is None:
        return False
    try:
        number, bound = float(value), float(text)
    except (TypeError, ValueError):
        raise ConfigError(f"runs.filter={condition}: expected a number to compare with {key}={value}") from None
    return {"<": number < bound, ">": number > bound, "<=": number <= bound, ">=": number >= bound}[sign]


def run_named(name: str, runs: Sequence[Run]) -> Run:
    """Return the run of a name, of its beginning, or of the beginning of its key.

    Raises FoldwiseError where there is none, or where there are several.
    """
    exact = [run for run in runs if run.name == name]
    found = exact or [run for run in runs if run.name.startswith(name) or run.name.rpartition("-")[2].startswith(name)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise FoldwiseError(f"{name}: no such run; {choices(name, [run.name for run in runs])}")
    raise FoldwiseError(f"{name}: {len(found)} runs begin so: {', '.join(run.name for run in found[:8])}")


def _same(value: Any, text: str) -> bool:
    try:
        return float(value) == float(text)
    except (TypeError, ValueError):
        return str(value).lower() == text.lower() or (value is None and text == "null")


def _defaults(group: str) -> dict[str, Any]:
    """Return the defaults of a group of settings, without those that have none."""
    kind = get_type_hints(Recipe)[group]
    if not is_dataclass(kind):
        return {}
    made = {one.name: one.default_factory() for one in fields(kind) if one.default_factory is not MISSING}
    return {one.name: one.default for one in fields(kind) if one.default is not MISSING} | made
