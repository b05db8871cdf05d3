"""Stored features: a frozen backbone sees each image once, and every fold, seed and head reads its output.

They are in the folder of the prepared data in features_<key>/: `train.npy` (n, V, d) and `test.npy` (n_test, V, d)
for the V views of test time, and `drawn.npy` (n, v, d) for the v fixed views that training samples from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from foldwise.augment import pipelines
from foldwise.augment.views import views as test_time_views
from foldwise.data.dataset import Dataset
from foldwise.models import common
from foldwise.runs.recipe import Recipe
from foldwise.settings import plain
from foldwise.storage import content_key, one_at_a_time, written_aside
from foldwise.training.backend import traced_predict
from foldwise.training.build import build_model, check_values

VERSION = 1  # enters the run key and that of the stored features; raised by an edit that changes them
ROWS = 32  # images that the backbone sees at once
HEAD_OPTIONS = ("dropout", "auxiliary")  # options that come after the features
HEAD_LAYERS = (common.JOINED, common.DROPOUT, common.LOGITS)  # the layers after them


@dataclass(frozen=True)
class Features:
    """The features, of d numbers, of all images.

    training_views: (n, v, d), of the image itself and of v - 1 augmented views of it.
    train, test: (n, V, d) and (n_test, V, d), of the V views of test time.
    """

    training_views: np.ndarray
    train: np.ndarray
    test: np.ndarray


def features(recipe: Recipe, dataset: Dataset) -> Features:
    """Return the features of all images, computing them where they are not stored yet."""
    path = dataset.path / f"features_{features_key(recipe, dataset)}"
    if not path.is_dir():
        with one_at_a_time(path):  # the workers of all folds want them at once
            if not path.is_dir():
                _store(recipe, dataset, path)
    return Features(*(np.load(path / f"{name}.npy", mmap_mode="r") for name in ("drawn", "train", "test")))


def new_features(recipe: Recipe, dataset: Dataset, folder: Path, weights: Path) -> Features:
    """Return the features of new test images alone, kept in their folder; only `test` of the result holds any.

    weights: of a trained fit of the recipe. They hold those of the backbone, which need not be fetched then.
    folder: of one run, since the weights of its backbone are in no key.
    """
    path = folder / f"features_{features_key(recipe, dataset)}.npy"
    if not path.is_file():
        with one_at_a_time(path):  # the workers of all folds want them at once
            if not path.is_file():
                model = model_with_features(recipe, dataset)
                model.load_weights(weights)
                extract = _extractor(model)
                with written_aside(path) as aside:
                    _write_test_views(aside, dataset.test.images, recipe, extract)
    test = np.load(path, mmap_mode="r")
    return Features(test[:0], test[:0], test)


def features_key(recipe: Recipe, dataset: Dataset) -> str:
    """Return a hash of what decides the features: weights, preprocessing, views and data."""
    options = {name: value for name, value in plain(recipe.model.options).items() if name not in HEAD_OPTIONS}
    views: list[Any] = [recipe.augment.test_views, recipe.finetune.views]
    if recipe.finetune.views > 1:
        views += [recipe.augment.name, plain(recipe.augment.options), recipe.augment_code, recipe.fit.seed]
    code = [VERSION, recipe.model.name, recipe.model_code, version("keras"), recipe.fit.mixed_precision]
    return content_key(["features", *code, options, views, dataset.data_key])


def model_with_features(recipe: Recipe, dataset: Dataset) -> keras.Model:
    """Return the model of a recipe whose features are stored; a worker builds it once for all folds and seeds."""
    shape = [*dataset.train.images.shape[1:], len(dataset.targets)]
    key = content_key([plain(recipe.model), recipe.model_code, recipe.fit.mixed_precision, shape])
    if key not in _last_model:
        _last_model.clear()
        _last_model[key] = build_model(recipe, dataset)
    return _last_model[key]


_last_model: dict[str, keras.Model] = {}  # one at most


def with_new_head(model: keras.Model) -> keras.Model:
    """Return a model that shares the layers up to the features, and ends in a new head with random weights."""
    new = {name: layer.__class__.from_config(layer.get_config()) for name, layer in _head_layers(model).items()}
    auxiliary = model.get_layer("auxiliary").output if common.JOINED in new else None
    logits = _logits(new, model.get_layer(common.FEATURES).output, auxiliary)
    return keras.Model(model.inputs if len(model.inputs) > 1 else model.inputs[0], logits)


def head(model: keras.Model) -> keras.Model:
    """Return what follows the features in a model, sharing its layers, as a model of (n, d) features."""
    layers = _head_layers(model)
    inputs = [keras.Input(model.get_layer(common.FEATURES).output.shape[1:], name="features_in")]
    if common.JOINED in layers:
        inputs.append(keras.Input(model.get_layer("auxiliary").output.shape[1:], name="auxiliary"))
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], _logits(layers, *inputs))


def _head_layers(model: keras.Model) -> dict[str, Any]:
    """Return the layers that follow the features, by name."""
    return {layer.name: layer for layer in model.layers if layer.name in HEAD_LAYERS}


def _logits(layers: dict[str, Any], x: Any, auxiliary: Any = None) -> Any:
    """Apply the layers of a head to features, and to auxiliary columns where the model takes any."""
    if common.JOINED in layers:
        x = layers[common.JOINED]([x, auxiliary])
    if common.DROPOUT in layers:
        x = layers[common.DROPOUT](x)
    return layers[common.LOGITS](x)


def _store(recipe: Recipe, dataset: Dataset, path: Path) -> None:
    model = model_with_features(recipe, dataset)
    check_values(model, dataset.train.images[:ROWS])
    extract = _extractor(model)
    with written_aside(path) as aside:
        aside.mkdir()
        for name, images in (("train", dataset.train.images), ("test", dataset.test.images)):
            _write_test_views(aside / f"{name}.npy", images, recipe, extract)
        views = _training_views(recipe, dataset.train.images)
        _write(aside / "drawn.npy", len(dataset.train.images), recipe.finetune.views, views, extract)


def _write_test_views(path: Path, images: np.ndarray, recipe: Recipe, extract: Any) -> None:
    n_views = len(test_time_views(recipe.augment.test_views, images[:1]))
    _write(path, len(images), n_views, _test_views(images, recipe.augment.test_views), extract)


def _test_views(images: np.ndarray, test_views: str) -> Iterator[list[np.ndarray]]:
    for start in range(0, len(images), ROWS):
        yield test_time_views(test_views, np.asarray(images[start : start + ROWS]))


def _training_views(recipe: Recipe, images: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Yield the images themselves, and views augmented with random numbers of (seed, view, row), some rows at once."""
    augment = pipelines.build(recipe.augment.name, recipe.augment.options)
    seeds = [
        np.random.default_rng((recipe.fit.seed, view)).integers(2**63, size=len(images))
        for view in range(1, recipe.finetune.views)
    ]
    for start in range(0, len(images), ROWS):
        part = np.asarray(images[start : start + ROWS])
        no_labels = np.empty((len(part), 0))
        batches = (augment({"images": part}, no_labels, of_view[start : start + ROWS])[0] for of_view in seeds)
        yield [part, *(batch["images"] for batch in batches)]


def _write(path: Path, n: int, n_views: int, parts: Iterable[list[np.ndarray]], extract: Any) -> None:
    """Write the features (n, n_views, d) of images that come some rows at once, as a list of their views."""
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
    predict = traced_predict(keras.Model(model.get_layer("images").output, model.get_layer(common.FEATURES).output))
    return lambda images: predict(images).astype(np.float32, copy=False)
