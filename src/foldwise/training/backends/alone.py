"""Keras on a backend other than TensorFlow, without TensorFlow."""

from __future__ import annotations

import sys

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def import_keras() -> None:
    """Import Keras so that it never imports TensorFlow, which takes seconds and memory of a GPU.

    Keras looks once whether TensorFlow can be imported, when a seed is set, and remembers what it found.
    """
    hidden = "tensorflow" not in sys.modules
    if hidden:
        sys.modules["tensorflow"] = None  # type: ignore[assignment]
    try:
        import keras

        keras.utils.set_random_seed(0)
    finally:
        if hidden:
            del sys.modules["tensorflow"]
