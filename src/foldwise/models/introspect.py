"""What a built Keras model consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def input_names(model: keras.Model) -> list[str]:
    """Return the entries of a batch that a model takes, in its order; its first input are the images."""
    return ["images", *(one.name for one in model.inputs[1:])]


def layers_named(model: keras.Model, name: str) -> list[keras.Layer]:
    """Return the layers of that name, inside of models in the model too."""
    inner = [found for layer in model.layers if hasattr(layer, "layers") for found in layers_named(layer, name)]
    return [layer for layer in model.layers if layer.name == name] + inner


def leaves(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model in order, those of nested models one by one."""
    import keras

    found: list[Any] = []
    for layer in model.layers:
        nested = isinstance(layer, keras.Model)
        found += leaves(layer) if nested else [layer]
    return found
