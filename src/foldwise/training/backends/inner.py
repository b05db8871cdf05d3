"""The outputs of layers inside a model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


@contextlib.contextmanager
def changed_outputs(layers: list[keras.Layer], change: Callable[[int, Any], Any]) -> Iterator[None]:
    """In a `with` block, let the output of each layer be what `change` makes of its number and its output.

    The graph of a nested model cannot be cut open from outside.
    """

    def changing(number: int, call: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: change(number, call(*args, **kwargs))

    try:
        for number, layer in enumerate(layers):
            layer.call = changing(number, layer.call)
        yield
    finally:
        for layer in layers:
            del layer.call


@contextlib.contextmanager
def kept_outputs(layers: list[keras.Layer]) -> Iterator[dict[int, Any]]:
    """In a `with` block, keep the output of each layer by its number."""
    kept: dict[int, Any] = {}

    def keep(number: int, output: Any) -> Any:
        kept[number] = output
        return output

    with changed_outputs(layers, keep):
        yield kept
