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
