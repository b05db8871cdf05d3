"""A name in a YAML -> a function: models, augmentations, ways to blend and competitions are looked up here.

Rooms are imported by name and only when one of their functions is wanted, so this module stands below them all.
A function's keyword-only arguments are the schema of its options.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types
from collections.abc import Callable
from functools import cache
from typing import Any, get_type_hints

from foldwise.errors import ConfigError, choices
from foldwise.settings import differences


def function_named(room: str, name: str, key: str) -> Callable[..., Any]:
    """Return the public function `name` of `foldwise.<room>`.

    Raises ConfigError, naming the key of the settings and the valid choices, where there is none.
    """
    functions = public_functions(room)
    if name not in functions:
        raise ConfigError(f"{key}={name}: no such function in foldwise.{room}; {choices(name, functions)}")
    return functions[name]


def public_functions(room: str) -> dict[str, Callable[..., Any]]:
    """Return the functions that a YAML may name: those that `foldwise.<room>` lists in `__all__`."""
    imported = importlib.import_module(f"foldwise.{room}")
    return {name: getattr(imported, name) for name in imported.__all__}


def competition_module(name: str) -> types.ModuleType:
    """Import the reader of a competition: `foldwise.competitions.<name>.reader`, whose contract that package describes.

    Raises ConfigError, naming the valid choices, where there is none, or what the reader lacks.
    """
    package = importlib.import_module("foldwise.competitions")
    readers = sorted(module.name for module in pkgutil.iter_modules(package.__path__) if module.ispkg)
    if name not in readers:
        raise ConfigError(f"competition.reader={name}: no such competition; {choices(name, readers)}")
    reader = importlib.import_module(f"foldwise.competitions.{name}.reader")
    absent = [part for part in ("VERSION", "SOURCES", "read", "submission", "truth") if not hasattr(reader, part)]
    if absent:
        raise ConfigError(
            f"competition.reader={name}: {reader.__name__} has no {absent[0]}; foldwise/competitions/__init__.py lists "
            "what a reader defines"
        )
    return reader


@cache
def option_schema(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Return the annotation and the default of each keyword-only argument of a function, by its name."""
    # only these are evaluated: other annotations name keras or albumentations, which are not imported here
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    scope = types.SimpleNamespace(__annotations__={p.name: p.annotation for p in parameters})
    hints = get_type_hints(scope, function.__globals__, include_extras=True)
    return {p.name: (hints[p.name], p.default) for p in parameters}


def changed_options(room: str, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return, as plain JSON values, the options that differ from the defaults of `foldwise.<room>.<name>`.

    The options of a builder inside the builder (`backbone_options`) are compared with that one's defaults.
    """
    functions = public_functions(room)
    defaults = default_options(functions[name]) if name in functions else {}
    found = differences(options, defaults)
    if options.get("backbone_options") is not None:
        found["backbone_options"] = changed_options(room, options["backbone"], options["backbone_options"])
    return found


def weights_named(options: dict[str, Any], prefix: str = "model.options") -> dict[str, str | None]:
    """Return the weights that a model's options name, and those of the builder it is made of, by their keys."""
    own = {f"{prefix}.weights": options["weights"]} if "weights" in options else {}
    inner = options.get("backbone_options")
    return own | (weights_named(inner, f"{prefix}.backbone_options") if inner else {})


def default_options(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the defaults of a function's keyword-only arguments."""
    return {name: default for name, (_, default) in option_schema(function).items()}
