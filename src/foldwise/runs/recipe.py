"""A recipe: everything that decides a prediction, and the key that is made of it."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from foldwise.models.pretrained.fetch import weights_named
from foldwise.plugins import competition_module, public_functions
from foldwise.settings import (
    AugmentSettings,
    FinetuneSettings,
    FitSettings,
    ModelSettings,
    PseudoSettings,
    Settings,
    SplitSettings,
    plain,
)
from foldwise.storage import content_key, sha256

TRAIN_VERSION = 1  # bumped whenever the same recipe would predict something else
PACKAGES = ("foldwise", "tensorflow", "keras", "numpy", "albumentations")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a prediction; where and how fast it runs is not in it."""

    competition: dict[str, Any]
    data_key: str
    split_key: str
    split: SplitSettings
    model: ModelSettings
    model_code: str  # hash of the builder's module
    augment: AugmentSettings
    fit: FitSettings
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)
    pseudo: PseudoSettings = field(default_factory=PseudoSettings)
    version: int = TRAIN_VERSION

    @property
    def n_fits(self) -> int:
        """Folds times repeats; fits are numbered repeat by repeat."""
        return self.split.n_folds * self.split.repeats


def make_recipe(settings: Settings, data_key: str, split_key: str) -> Recipe:
    """Collect what decides a prediction from the settings and the keys of the data and the split."""
    competition = {
        "name": settings.competition.name,
        "reader": settings.competition.reader,
        "version": competition_module(settings.competition.reader).VERSION,
        "options": settings.competition.options,
    }
    builders = public_functions("models")
    model_code = code_key(builders[settings.model.name])
    if "backbone" in settings.model.options:
        model_code = content_key([model_code, code_key(builders[settings.model.options["backbone"]])])
    files = [Path(named) for named in weights_named(settings.model.options).values() if named not in (None, "imagenet")]
    if files:
        model_code = content_key([model_code, *map(sha256, files)])
    return Recipe(
        competition,
        data_key,
        split_key,
        settings.split,
        settings.model,
        model_code,
        settings.augment,
        settings.fit,
        settings.finetune,
        replace(settings.pseudo, runs=sorted(set(settings.pseudo.runs or []))),
    )


def code_key(function: Callable[..., Any]) -> str:
    """Hash the code behind a builder, without comments and docstrings: an edited model is another model.

    It is the function's module and, in turn, the modules of `foldwise.models` that it imports, with the table beside
    one (zoo.csv), and those that read pretrained weights.
    """
    from foldwise import models

    package = {f"{models.__name__}.{module.name}" for module in pkgutil.iter_modules(models.__path__)}
    package |= {"foldwise.weights", "foldwise.checkpoints"}
    waiting, code = [function.__module__], dict[str, str]()
    while waiting:
        name = waiting.pop()
        module = importlib.import_module(name)
        tree = ast.parse(inspect.getsource(module))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        beside = Path(str(module.__file__)).with_suffix(".csv")
        code[name] = ast.dump(tree) + (beside.read_text() if beside.is_file() else "")
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        used = {
            str(name) for node in imports for name in (node.module, *(f"{node.module}.{a.name}" for a in node.names))
        }
        waiting += (used & package) - code.keys()
    own = code.pop(function.__module__)
    return content_key([own, *(code[name] for name in sorted(code))])


def run_name(recipe: Recipe) -> str:
    """Return `<model>-<run key>`; the key is a hash of the recipe."""
    values = plain(recipe)
    if recipe.finetune.mode == "none":
        del values["finetune"]  # nothing is tuned, so nothing of it decides anything
    if not recipe.fit.refit:
        del values["fit"]["refit"], values["fit"]["refit_seeds"]
    if recipe.fit.snapshots == 1:
        del values["fit"]["snapshots"]
    if not recipe.pseudo.runs:
        del values["pseudo"]
    return f"{recipe.model.name}-{content_key(values)}"


def versions() -> dict[str, str]:
    """The versions of the packages that a prediction depends on."""
    names = {"tensorflow": ("tensorflow", "tensorflow-cpu")}
    found = {}
    for package in PACKAGES:
        for name in names.get(package, (package,)):
            try:
                found[package] = version(name)
            except ModuleNotFoundError:
                continue
    return found
