"""Features once: a frozen backbone sees each image a single time, and every fold, seed and head reads what it said.

They lie beside the prepared data in features_<key>/: `train.npy` (n, V, d) and `test.npy` (n_test, V, d) for the
V views of test time, and `drawn.npy` (n, v, d) for the v fixed views that training draws from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.augment import pipelines
from foldwise.augment.views import views as views_views
from foldwise.data.dataset import Dataset
from foldwise.runs.recipe import Recipe
from foldwise.settings import plain
from foldwise.storage import content_key, one_at_a_time, written_aside
from foldwise.training.backend import traced_predict

if TYPE_CHECKING:
    import keras


VERSION = 1  # of what the same recipe would store
ROWS = 32  # images that the backbone sees at once
OF_THE_HEAD = ("dropout", "auxiliary")  # options that come after the features
OF_A_HEAD = ("joined", "dropout", "logits")  # the layers after them


@dataclass(frozen=True)
class Features:
    drawn: np.ndarray  # (n, v, d)
    train: np.ndarray  # (n, V, d)
    test: np.ndarray  # (n_test, V, d)


def can_be_stored(recipe: Recipe) -> bool:
    """Whether a recipe's backbone says the same of an image in every fold, seed and epoch."""
    options, settings = recipe.model.options, recipe.augment
    return (
        recipe.finetune.mode == "head"
        and recipe.finetune.features == "stored"
        and options.get("weights") is not None  # random ones differ by fold
        and options.get("bands") != "learned"
        and not (settings.mixup or settings.cutmix)
        and (settings.name == "none" or recipe.finetune.views > 1)
    )


def features(recipe: Recipe, dataset: Dataset) -> Features:
    """Return the features of all images, computing them where they are not stored yet."""
    path = dataset.path / f"features_{features_key(recipe, dataset)}"
    if not path.is_dir():
        with one_at_a_time(path):  # the workers of all folds ask at once
            if not path.is_dir():
                _store(recipe, dataset, path)
    return Features(*(np.load(path / f"{name}.npy", mmap_mode="r") for name in ("drawn", "train", "test")))


def features_key(recipe: Recipe, dataset: Dataset) -> str:
    """Hash what decides the features: weights, preprocessing, views and data."""
    options = {name: value for name, value in plain(recipe.model.options).items() if name not in OF_THE_HEAD}
    views: list[Any] = [recipe.augment.test_views, recipe.finetune.views]
    if recipe.finetune.views > 1:
        views += [recipe.augment.name, plain(recipe.augment.options), recipe.fit.seed]
    code = [VERSION, recipe.model.name, recipe.model_code, version("keras"), recipe.fit.mixed_precision]
    return content_key(["features", *code, options, views, dataset.data_key])


def built_once(recipe: Recipe, dataset: Dataset) -> keras.Model:
    """Return the model of a recipe whose features are stored; a worker builds it once for all folds and seeds."""
    from foldwise.training.build import build_model

    shape = [*dataset.train.images.shape[1:], len(dataset.targets)]
    key = content_key([plain(recipe.model), recipe.model_code, recipe.fit.mixed_precision, shape])
    if key not in _built:
        _built.clear()
        _built[key] = build_model(recipe, dataset)
    return _built[key]


_built: dict[str, keras.Model] = {}  # the last one


def with_new_head(model: keras.Model) -> keras.Model:
    """Return a model that shares the layers up to the features, and ends in a head of its own, freshly drawn."""
    import keras

    new = {name: layer.__class__.from_config(layer.get_config()) for name, layer in _of_the_head(model).items()}
    auxiliary = model.get_layer("auxiliary").output if "joined" in new else None
    logits = _logits(new, model.get_layer("features").output, auxiliary)
    return keras.Model(model.inputs if len(model.inputs) > 1 else model.inputs[0], logits)


def head(model: keras.Model) -> keras.Model:
    """Return what follows the features in a model, sharing its layers, as a model of (n, d) features."""
    import keras

    layers = _of_the_head(model)
    inputs = [keras.Input(model.get_layer("features").output.shape[1:], name="features_in")]
    if "joined" in layers:
        inputs.append(keras.Input(model.get_layer("auxiliary").output.shape[1:], name="auxiliary"))
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], _logits(layers, *inputs))


def _of_the_head(model: keras.Model) -> dict[str, Any]:
    """The layers that follow the features, by name."""
    return {layer.name: layer for layer in model.layers if layer.name in OF_A_HEAD}


def _logits(layers: dict[str, Any], x: Any, auxiliary: Any = None) -> Any:
    """Lead features, and auxiliary columns where there are any, through the layers of a head."""
    if "joined" in layers:
        x = layers["joined"]([x, auxiliary])
    if "dropout" in layers:
        x = layers["dropout"](x)
    return layers["logits"](x)


def _store(recipe: Recipe, dataset: Dataset, path: Path) -> None:
    from foldwise.training.build import check_values

    model = built_once(recipe, dataset)
    check_values(model, dataset.train.images[:ROWS])
    extract = _extractor(model)
    with written_aside(path) as aside:
        aside.mkdir()
        for name, images in (("train", dataset.train.images), ("test", dataset.test.images)):
            n_views = len(views_views(recipe.augment.test_views, images[:1]))
            _write(aside / f"{name}.npy", len(images), n_views, _viewed(images, recipe.augment.test_views), extract)
        stored = _drawn(recipe, dataset.train.images)
        _write(aside / "drawn.npy", len(dataset.train.images), recipe.finetune.views, stored, extract)


def _viewed(images: np.ndarray, test_views: str) -> Any:
    for start in range(0, len(images), ROWS):
        yield views_views(test_views, np.asarray(images[start : start + ROWS]))


def _drawn(recipe: Recipe, images: np.ndarray) -> Any:
    """The image itself, and views augmented with random numbers of (seed, view, row)."""
    pipeline = pipelines.build(recipe.augment.name, recipe.augment.options) if recipe.finetune.views > 1 else None
    seeds = [
        np.random.default_rng((recipe.fit.seed, view)).integers(2**63, size=len(images))
        for view in range(1, recipe.finetune.views)
    ]
    for start in range(0, len(images), ROWS):
        part = np.asarray(images[start : start + ROWS])
        yield [part, *(pipelines.augmented(pipeline, part, s[start : start + ROWS]) for s in seeds if pipeline)]


def _write(path: Path, n: int, n_views: int, parts: Any, extract: Any) -> None:
    place, array = 0, None
    for views in parts:
        found = np.stack([extract(view.astype(np.float32)) for view in views], axis=1)  # (rows, views, d)
        if array is None:
            array = np.lib.format.open_memmap(path, "w+", np.float32, (n, n_views, found.shape[-1]))
        array[place : place + len(found)] = found
        place += len(found)
    assert array is not None and place == n
    array.flush()


def _extractor(model: keras.Model) -> Any:
    import keras

    predict = traced_predict(keras.Model(model.get_layer("images").output, model.get_layer("features").output))
    return lambda images: predict(images).astype(np.float32, copy=False)


def head_recipe(recipe: Recipe) -> Recipe:
    """The recipe by which a head is trained on stored features: what it draws was augmented before."""
    return replace(recipe, augment=replace(recipe.augment, name="none", options={}, test_views="identity"))
