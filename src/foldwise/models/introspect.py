"""What a built Keras model consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def input_names(model: keras.Model) -> list[str]:
    """Return the names of a model's inputs in its order; the first one are the images, whatever its layer is called."""
    return ["images", *(one.name for one in model.inputs[1:])]


def layers_named(model: keras.Model, name: str) -> list[keras.Layer]:
    """Return the layers of that name, those of nested models too."""
    inner = [found for layer in model.layers if hasattr(layer, "layers") for found in layers_named(layer, name)]
    return [layer for layer in model.layers if layer.name == name] + inner


def leaves(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model in order, with those of nested models in the places of the models."""
    import keras

    found: list[Any] = []
    for layer in model.layers:
        nested = isinstance(layer, keras.Model)
        found += leaves(layer) if nested else [layer]
    return found
