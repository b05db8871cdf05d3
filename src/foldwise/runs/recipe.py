"""A recipe: everything that decides a prediction, and the key that is made of it."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from foldwise.augment import pipelines
from foldwise.devices import chosen_backend
from foldwise.errors import FoldwiseError
from foldwise.plugins import changed_options, competition_module, public_functions, weights_named
from foldwise.settings import (
    AugmentSettings,
    Backend,
    FinetuneSettings,
    FitSettings,
    ModelSettings,
    PseudoSettings,
    Settings,
    SplitSettings,
    changed,
)
from foldwise.storage import content_key, sha256

SOURCE = Path(__file__).parents[1]
PACKAGES = ("foldwise", "keras", "numpy", "albumentations")
# modules whose code decides a prediction, whatever the model and the augmentation: each has a VERSION, which is raised
# by whoever edits it so that the same recipe predicts something else
DECIDING = (
    "augment/mix",
    "augment/on_device",
    "augment/views",
    "data/batch",
    "training/backend",
    "training/backends/alone",
    "training/backends/lanes_on_jax",
    "training/backends/on_jax",
    "training/backends/on_tensorflow",
    "training/backends/on_torch",
    "training/backends/scale",
    "training/batches",
    "training/build",
    "training/features",
    "training/finetune",
    "training/fit",
    "training/fold_data",
    "training/inputs",
    "training/lanes",
    "training/losses",
    "training/network",
    "training/optimizer",
    "training/predict",
    "training/pseudo",
    "training/snapshots",
    "training/source",
)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a prediction; where and how fast it runs is not in it.

    model_code, augment_code: hashes of the code of the builder and of the augmentation.
    code_versions: the VERSION of each module of `DECIDING` that is not 1.
    backend: of Keras.
    """

    competition: dict[str, Any]
    data_key: str
    split_key: str
    split: SplitSettings
    model: ModelSettings
    model_code: str
    augment: AugmentSettings
    fit: FitSettings
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)
    pseudo: PseudoSettings = field(default_factory=PseudoSettings)
    augment_code: str = ""
    code_versions: dict[str, int] = field(default_factory=dict)
    backend: Backend = "tensorflow"

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
        "" if settings.augment.name == "none" else code_key(public_functions("augment")[settings.augment.name]),
        code_versions(),
        chosen_backend(settings.execution),
    )


def recipe_from(values: dict[str, Any]) -> Recipe:
    """Return the recipe of plain values as `recipe.yaml` has them."""
    kinds = {
        "split": SplitSettings,
        "model": ModelSettings,
        "augment": AugmentSettings,
        "fit": FitSettings,
        "finetune": FinetuneSettings,
        "pseudo": PseudoSettings,
    }
    return Recipe(**{name: kinds[name](**value) if name in kinds else value for name, value in values.items()})


def run_name(recipe: Recipe) -> str:
    """Return `<model>-<run key>`; the key is a hash of the recipe.

    Only what differs from the defaults enters it, so that an option that is added later, at its default, leaves the
    key as it is. A default that is changed later changes what old recipes mean: a test holds the defaults and names
    the VERSION to raise.
    """
    fit = changed(recipe.fit)
    if not recipe.fit.refit:
        fit.pop("refit_seeds", None)
    values = {
        "competition": recipe.competition.get("name"),
        "data": recipe.data_key,
        "split": recipe.split_key,
        "model": [recipe.model.name, changed_options("models", recipe.model.name, recipe.model.options)],
        "model_code": recipe.model_code,
        "augment": [
            recipe.augment.name,
            changed_options("augment", recipe.augment.name, recipe.augment.options),
            {name: value for name, value in changed(recipe.augment).items() if name not in ("name", "options")},
            recipe.augment_code,
        ],
        "fit": fit,
        # where nothing is tuned, and where no run labels test rows, nothing else of these settings decides anything
        "finetune": {} if recipe.finetune.mode == "none" else changed(recipe.finetune),
        "pseudo": changed(recipe.pseudo) if recipe.pseudo.runs else {},
        "code_versions": recipe.code_versions,
    }
    if recipe.backend != "tensorflow":  # their initial weights and random numbers differ
        values["backend"] = recipe.backend
    return f"{recipe.model.name}-{content_key(values)}"


def code_key(function: Callable[..., Any]) -> str:
    """Hash the code of a model or an augmentation: an edited one is another one.

    It is the function's module and, in turn, the modules of its room (`foldwise.models`, `foldwise.augment`) that it
    imports, however nested, with a table of the same name (zoo.csv). Comments, docstrings and imports change nothing.
    """
    waiting, code = [function.__module__], dict[str, Any]()
    while waiting:
        name = waiting.pop()
        module = importlib.import_module(name)
        tree = ast.parse(inspect.getsource(module))
        table = Path(str(module.__file__)).with_suffix(".csv")
        code[name] = [_structure(tree), table.read_text() if table.is_file() else ""]
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
        names = {
            str(name) for node in imports for name in (node.module, *(f"{node.module}.{a.name}" for a in node.names))
        }
        waiting += [name for name in names - code.keys() if _is_module_of_a_room(name)]
    own = code.pop(function.__module__)
    return content_key([own, *sorted(code.values(), key=str)])


def _is_module_of_a_room(name: str) -> bool:
    """Tell whether a dotted name is a module, no package, of the rooms whose code is hashed."""
    if not name.startswith(("foldwise.models.", "foldwise.augment.")):
        return False
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # a name inside a module
        return False
    return spec is not None and spec.submodule_search_locations is None


def _structure(node: Any) -> Any:
    """Return a syntax tree as lists, the same in every version of Python, without docstrings and imports."""
    if isinstance(node, list):
        return [_structure(one) for one in node if not isinstance(one, ast.Import | ast.ImportFrom)]
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
        node.body = node.body[1:]
    fields = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
    return [type(node).__name__, *([name, _structure(value)] for name, value in fields if name != "kind")]


def code_versions() -> dict[str, int]:
    """Return the VERSION of each module of `DECIDING` that is not 1, read without importing Keras."""
    found = {}
    for name in DECIDING:
        text = (SOURCE / f"{name}.py").read_text()
        number = re.search(r"^VERSION = (\d+)", text, re.MULTILINE)
        if number is None:
            raise FoldwiseError(f"foldwise/{name}.py: expected a line VERSION = NUMBER, which enters the run keys")
        found[name] = int(number[1])
    return {name: number for name, number in found.items() if number != 1}


def stores_features(recipe: Recipe) -> bool:
    """Return whether features are stored: the backbone gives an image the same ones in every fold, seed and epoch."""
    options, settings = recipe.model.options, recipe.augment
    return (
        recipe.finetune.mode == "head"
        and recipe.finetune.features == "stored"
        and options.get("weights") is not None  # random ones differ by fold
        and options.get("bands") != "learned"
        and not (settings.mixup or settings.cutmix)
        and (settings.name == "none" or recipe.finetune.views > 1)
        and not pipelines.needs_rows(settings.name)  # such views differ by fold
        and not recipe.pseudo.runs  # their images are those of another split
    )


def without_seeds(fit: FitSettings) -> FitSettings:
    """Return the settings of a training without those that say how often it is done, and from which seed."""
    return replace(fit, seed=0, n_seeds=1, refit=False, refit_seeds=1)


def versions(backend: Backend = "tensorflow") -> dict[str, str]:
    """The versions of the packages that a prediction depends on."""
    names = {"tensorflow": ("tensorflow", "tensorflow-cpu")}
    chosen = (PACKAGES[0], backend, *PACKAGES[1:])
    installed = [(package, installed_version(name)) for package in chosen for name in names.get(package, (package,))]
    return {package: version for package, version in installed if version is not None}


def installed_version(package: str) -> str | None:
    """Return the version of a package that is installed, None of one that is not."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
