"""What depends on the backend of Keras: TensorFlow, JAX or PyTorch, each in a module of `foldwise.training.backends`.

No other module of foldwise imports one of them. To run foldwise on another backend, write such a module for it, with
`environment`, `start`, `set_seed`, `has_gpu`, `gpu_has_bfloat16`, `device_name`, `traced_step`, `traced_predict` and
`maps_and_gradients`, and name it in `MODULES` and in `foldwise.settings.Backend`.

A backend is imported when a process starts to compute with it, and never another one. The process that only starts
the workers imports none.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.settings import Backend
from foldwise.training.backends import on_jax, on_tensorflow, on_torch

if TYPE_CHECKING:
    import keras

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts

MODULES: dict[str, Any] = {"tensorflow": on_tensorflow, "jax": on_jax, "torch": on_torch}


def environment(name: Backend = "tensorflow") -> dict[str, str]:
    """Return the environment variables that must be set before the backend and albumentations are imported."""
    own: dict[str, str] = MODULES[name].environment()
    return {"KERAS_BACKEND": name, "NO_ALBUMENTATIONS_UPDATE": "1"} | own


def start(threads: int, name: Backend = "tensorflow") -> None:
    """Import a backend and Keras in a worker process, which computes with so many threads.

    Must come before anything else that imports them, in the `environment` of the backend. On TensorFlow and a CPU,
    operations are deterministic from here on; on a GPU, memory is taken as it is needed.
    """
    # Keras imports both for helpers that are not used here, which takes 2 of the 7 seconds of its start
    for unused in ("sklearn", "matplotlib"):
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]
    MODULES[name].start(threads)


def set_seed(number: int) -> None:
    """Set the seeds of all random numbers that initializers and layers of Keras draw."""
    _current().set_seed(number)


def has_gpu() -> bool:
    """Return whether the backend computes on a GPU."""
    return bool(_current().has_gpu())


def device_name() -> str:
    """Return the name of the first GPU, or `CPU`."""
    return str(_current().device_name())


def half_floats() -> str:
    """Return Keras' policy of mixed precision on this device: bfloat16 but on GPUs that have no units for it.

    float16 has the smaller range, in which small gradients vanish: Keras then scales the loss.
    """
    return "mixed_float16" if has_gpu() and not _current().gpu_has_bfloat16() else "mixed_bfloat16"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, of the machine or of a GPU.

    The error of a backend is known by its name, since the process that handles it has not imported the backend.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError())
    (True, False)
    """
    name = type(error).__name__
    if name in ("JaxRuntimeError", "XlaRuntimeError"):
        return "RESOURCE_EXHAUSTED" in str(error)
    return isinstance(error, MemoryError) or name in ("ResourceExhaustedError", "OutOfMemoryError")


def traced_step(model: keras.Model, batch: tuple[Any, ...]) -> Callable[..., tuple[Any, Any]]:
    """Return one training step of a compiled Keras model as a compiled function, for batches like this one.

    The step takes the arrays of a batch of any length, (inputs, labels) or (inputs, labels, weights), and returns the
    mean loss of the epoch so far and the learning rate of the next step. Where a backend keeps what is learned outside
    the model, `write_back` must be called before anything else reads or changes the model.
    """
    step: Callable[..., tuple[Any, Any]] = _current().traced_step(model, batch)
    return step


def write_back(step: Callable[..., Any]) -> None:
    """Write what a traced step has learned into the variables of its model, at the end of each epoch."""
    if hasattr(step, "write_back"):
        step.write_back()


def traced_predict(model: keras.Model) -> Callable[..., np.ndarray]:
    """Return a function that takes an array for each input of a model and returns its outputs at test time."""
    predict: Callable[..., np.ndarray] = _current().traced_predict(model)
    return predict


def maps_and_gradients(
    model: keras.Model, layers: list[keras.Layer], inputs: list[np.ndarray], weights: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """Return the output of each layer, and the gradient of a sum of the model's outputs with respect to it, float32.

    layers: of the model or of models inside it. None is returned for one on which the sum does not depend.
    weights: (m, k) of the outputs in the sum.
    """
    found: list[tuple[np.ndarray, np.ndarray] | None] = _current().maps_and_gradients(model, layers, inputs, weights)
    return found


def _current() -> Any:
    """Return the module of the backend that Keras runs on in this process."""
    import keras

    return MODULES[keras.config.backend()]
