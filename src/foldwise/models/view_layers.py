"""Layers for samples of several views, of which some may be missing.

`angles` (n, v) are those of the views, NaN where a view is missing. Missing views are left out before the backbone, so
that they change neither its batch normalisation nor any later layer, and cost no time.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class TakePresent(keras.layers.Layer):
    """The m present views in order: (n, v, h, w, c) and angles (n, v) -> (m, h, w, c).

    A batch without any view gives its first empty slot, because layers do not accept an empty batch.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_jit = False  # m differs from batch to batch

    def call(self, images: Any, angles: Any) -> Any:
        flat = ops.reshape(images, (-1, *images.shape[2:]))
        present = ops.reshape(ops.isfinite(angles), (-1,))
        first = ops.logical_not(ops.any(present, keepdims=True))
        present = ops.logical_or(present, ops.concatenate([first, ops.zeros_like(present[1:])]))
        return ops.take(flat, ops.nonzero(present)[0], axis=0)

    def compute_output_shape(self, images_shape: tuple[Any, ...], angles_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (None, *images_shape[2:])


class PutBack(keras.layers.Layer):
    """The features of the present views (m, ...) in the slots of their views, 0 in the empty ones: (n, v, ...)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_jit = False

    def call(self, features: Any, angles: Any) -> Any:
        places = ops.cast(ops.stack(ops.nonzero(ops.isfinite(angles)), axis=-1), "int32")
        features = features[: ops.shape(places)[0]]  # none where TakePresent gave an empty slot
        return ops.scatter(places, features, (ops.shape(angles)[0], *angles.shape[1:], *features.shape[1:]))

    def compute_output_shape(self, features_shape: tuple[Any, ...], angles_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*angles_shape, *features_shape[1:])


class EncodeAngles(keras.layers.Layer):
    """Sine and cosine of each view's angle in degrees, and 1; all 0 where a view is missing: (n, v) -> (n, v, 3)."""

    def call(self, angles: Any) -> Any:
        present = ops.isfinite(angles)
        turn = ops.where(present, angles, 0.0) * (3.141592653589793 / 180)
        weight = ops.cast(present, turn.dtype)
        return ops.stack([ops.sin(turn) * weight, ops.cos(turn) * weight, weight], axis=-1)

    def compute_output_shape(self, angles_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*angles_shape, 3)


def mean(features: Any, present: Any) -> Any:
    """Return the mean over present views: (n, v, f) and 0 or 1 (n, v, 1) -> (n, f); 0 where there is no view."""
    return ops.sum(features * present, axis=1) / ops.maximum(ops.sum(present, axis=1), 1)


def maximum(features: Any, present: Any) -> Any:
    """Return the maximum over present views: (n, v, f) and 0 or 1 (n, v, 1) -> (n, f); 0 where there is no view."""
    highest = ops.max(ops.where(present > 0, features, -60000.0), axis=1)  # fits 16-bit floats
    return highest * ops.max(present, axis=1)


def attention(features: Any, present: Any, scores: Any) -> Any:
    """Return the mean over present views, weighted by the softmax of their scores (n, v, 1): (n, v, f) -> (n, f)."""
    weights = ops.softmax(ops.where(present > 0, scores, -60000.0), axis=1) * present
    return ops.sum(features * weights, axis=1)
