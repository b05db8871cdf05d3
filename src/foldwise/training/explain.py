"""Where a trained model looks: Grad-CAM, occlusion, and the features by which images are near each other.

Maps are of the evidence for one output of a sample: positive where the image speaks for what was decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from foldwise.data.dataset import Dataset
from foldwise.data.structure import Batch, Structure
from foldwise.models import common, introspect
from foldwise.runs.recipe import Recipe
from foldwise.training import snapshots
from foldwise.training.backend import maps_and_gradients, traced_predict
from foldwise.training.network import untrained_model
from foldwise.training.source import Source

PATCHES = 8  # of an occlusion map along the longer side


@dataclass(frozen=True)
class Evidence:
    """Which output of each sample is looked at, and its sign: int (m,) and 1 or -1 (m,).

    Of a class that was decided against, sign -1 asks what speaks against it.
    """

    outputs: np.ndarray
    signs: np.ndarray

    def of(self, at: np.ndarray) -> Evidence:
        """Return that of the samples at some positions."""
        return Evidence(self.outputs[at], self.signs[at])

    def weights(self, n_outputs: int) -> np.ndarray:
        """Return the weights (m, k) by which the logits are summed."""
        found = np.zeros((len(self.outputs), n_outputs), np.float32)
        found[np.arange(len(self.outputs)), self.outputs] = self.signs
        return found


def trained_model(recipe: Recipe, dataset: Dataset, weights: Path) -> keras.Model:
    """Return the model of a recipe with the weights of one of its fits; dataset: a row an image."""
    model = untrained_model(recipe, Source.from_images(recipe, dataset), (0, 0))
    model.load_weights(weights)
    return snapshots.with_weights(model, model.get_weights())


def has_convolutions(model: keras.Model, structure: Structure) -> bool:
    """Return whether a model has a feature map for Grad-CAM."""
    return bool(map_layers(model, structure))


def map_layers(model: keras.Model, structure: Structure) -> list[tuple[keras.Layer, list[int] | None]]:
    """Return the layers whose outputs are the last feature maps, each with the views that it sees; None: all.

    A net of one region is a part of `region_nets`. In a model of several views it is the last map of the backbone that
    all views share: the map after their fusion no longer tells them apart.
    """
    regions = [layer for layer in model.layers if layer.name.startswith("region_")]
    if regions:
        slots = [list(region["slots"]) for region in structure.regions.values()]
        found = [(_last_map(layer), seen) for layer, seen in zip(regions, slots, strict=True)]
        return [(layer, seen) for layer, seen in found if layer is not None]
    last = _last_map(model)
    return [] if last is None else [(last, None)]


def _last_map(model: keras.Model) -> keras.Layer | None:
    """Return the last layer with the size of the last convolution: after its activation, before it is pooled."""
    for backbone in introspect.layers_named(model, common.BACKBONE):
        if found := _last_map_of(introspect.leaves(backbone)):
            return found
    return _last_map_of(introspect.leaves(model))


def _last_map_of(layers: list[keras.Layer]) -> keras.Layer | None:
    last, size = None, None
    for layer in layers:
        shape: tuple[int | None, ...] = getattr(getattr(layer, "output", None), "shape", ())
        if len(shape) != 4 or min(shape[1] or 1, shape[2] or 1) < 2:
            continue
        if "Conv" in type(layer).__name__ or shape[1:3] == size:
            last, size = layer, shape[1:3]
    return last


def grad_cam(model: keras.Model, batch: Batch, evidence: Evidence, structure: Structure) -> np.ndarray:
    """Return the Grad-CAM of samples, from 0 to 1 in each: float32 (m, [v,] h', w').

    The last feature map times the gradient of the evidence, summed over channels, and what is below zero left out:
    Selvaraju et al. (2017), Grad-CAM: visual explanations from deep networks via gradient-based localization, ICCV.
    Gradients are taken place by place and not averaged before, as Draelos and Carin (2020), Use HiResCAM instead of
    Grad-CAM, arXiv:2011.08891: after a mean over places both are the same; after a maximum the average blames places
    that had no part. An empty slot of a view, and a view that the output does not see, have zeros.
    """
    targets = map_layers(model, structure)
    names, images = introspect.input_names(model), batch["images"]
    weights = evidence.weights(model.outputs[0].shape[-1])
    found = maps_and_gradients(model, [layer for layer, _ in targets], [batch[name] for name in names], weights)
    n_views = images.shape[1] if images.ndim == 5 else 1
    present = np.isfinite(batch["angles"]) if "angles" in batch else np.ones((len(images), n_views), bool)
    result: np.ndarray | None = None
    for (_, slots), pair in zip(targets, found, strict=True):
        if pair is None:  # the output of no sample depends on it
            continue
        maps, gradients = pair
        heat = np.maximum((maps * gradients).sum(axis=-1), 0)
        seen = np.arange(n_views) if slots is None else np.asarray(slots)
        if result is None:
            result = np.zeros((len(images), n_views, *heat.shape[1:]), np.float32)
        part = np.zeros((len(images), len(seen), *heat.shape[1:]), np.float32)
        part[present[:, seen] if len(heat) < part.shape[0] * part.shape[1] else np.ones(part.shape[:2], bool)] = heat
        result[:, seen] += part
    assert result is not None
    return _scaled(result if images.ndim == 5 else result[:, 0])


def occluder(model: keras.Model, patches: int = PATCHES) -> Callable[[Batch, Evidence], np.ndarray]:
    """Return a function that covers patches of images, and returns how much the evidence falls: (m, [v,] h', w').

    Its values go from 0 to 1 in each sample. A square patch takes the mean of its channel, at each place of a grid of
    `patches` along the longer side: Zeiler and Fergus (2014), Visualizing and understanding convolutional networks,
    ECCV. One view is covered at a time.
    """
    predict, names = traced_predict(model), introspect.input_names(model)

    def occlusion(batch: Batch, evidence: Evidence) -> np.ndarray:
        images = batch["images"] if batch["images"].ndim == 5 else batch["images"][:, None]
        weights = evidence.weights(model.outputs[0].shape[-1])

        def sums(shown: np.ndarray) -> np.ndarray:
            given = batch | {"images": shown.reshape(batch["images"].shape)}
            return np.asarray((predict(*(given[name] for name in names)) * weights).sum(axis=1))

        n, v, h, w, _ = images.shape
        side = -(-max(h, w) // patches)
        heat = np.zeros((n, v, -(-h // side), -(-w // side)), np.float32)
        before, mean = sums(images), images.mean(axis=(2, 3), keepdims=True)
        for view, row, column in np.ndindex(heat.shape[1:]):
            covered = images.copy()
            place = slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side)
            covered[:, view, *place] = mean[:, view]
            heat[:, view, row, column] = before - sums(covered)
        return _scaled(np.maximum(heat.reshape(n, *batch["images"].shape[1:-3], *heat.shape[2:]), 0))

    return occlusion


def feature_model(model: keras.Model) -> Callable[[Batch], np.ndarray]:
    """Return a function from a batch to the features that its last layer sees, (m, d)."""
    features = next((layer.output for layer in model.layers if layer.name == common.FEATURES), None)
    if features is None:
        features = model.get_layer(common.LOGITS).input
    predict, names = traced_predict(keras.Model(model.inputs, features)), introspect.input_names(model)
    return lambda batch: predict(*(batch[name] for name in names)).reshape(len(batch["images"]), -1).astype(np.float32)


def nearest(features: np.ndarray, others: np.ndarray, k: int) -> np.ndarray:
    """Return for each row of features (m, d) the k nearest rows of `others` (n, d), nearest first: int (m, k).

    The distance is Euclidean, after each feature is divided by its standard deviation over `others`.

    >>> nearest(np.array([[0.0, 1.0]]), np.array([[0.0, 9.0], [0.0, 2.0], [5.0, 1.0]]), 2).tolist()
    [[1, 2]]
    """
    sd = others.std(axis=0)
    scale = np.where(sd > 1e-12, sd, 1)
    one, other = features / scale, others / scale
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return np.asarray(np.argsort(squares, axis=1, kind="stable")[:, :k])


def _scaled(heat: np.ndarray) -> np.ndarray:
    """Return maps (m, ...) divided by the largest value of each; one without any stays 0."""
    most = heat.reshape(len(heat), -1).max(axis=1).reshape(-1, *[1] * (heat.ndim - 1))
    return np.asarray(heat / np.where(most > 0, most, 1), np.float32)
