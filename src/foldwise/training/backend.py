"""Everything that depends on TensorFlow: no other module of foldwise imports it.

To run foldwise on another backend of Keras, supply these functions for it:

`environment`: the variables that a process must have before it imports the backend
`start`: import the backend in a worker process and set its threads, memory and determinism
`has_gpu`, `device_name`: what the backend computes on
`is_out_of_memory`: which of its errors mean that memory ran out
`traced_step`: one step of training as a compiled function
`traced_predict`: the outputs of a model as a compiled function
`maps_and_gradients`: the outputs of inner layers, and the gradients of the model's outputs with respect to them

TensorFlow is imported when one of them is called, not with this module: the process that only starts the workers
never loads it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.processes import spread_new_threads

if TYPE_CHECKING:
    import keras

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def environment() -> dict[str, str]:
    """Return the environment variables that must be set before TensorFlow and albumentations are imported."""
    return {
        "KERAS_BACKEND": "tensorflow",
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),  # off by default without AVX-512
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
        "NO_ALBUMENTATIONS_UPDATE": "1",
    }


def start(threads: int) -> None:
    """Import TensorFlow and Keras in a worker process, which computes with so many threads.

    Must come before anything else that imports them. On a CPU, operations are deterministic from here on; on a GPU,
    memory is taken as it is needed.
    """
    # Keras imports both for helpers that are not used here, which takes 2 of the 7 seconds of its start
    for unused in ("sklearn", "matplotlib"):
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]
    with _silent_stderr():  # two lines of advice from C++ code, at each start and whatever the log level
        import keras  # noqa: F401
        import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # it warns that the function of each fold's predictor is traced again
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if not gpus:
        tf.config.experimental.enable_op_determinism()
    spread_new_threads(lambda: tf.zeros(()), threads)  # the first tensor starts the pool of threads


def has_gpu() -> bool:
    """Return whether TensorFlow computes on a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def device_name() -> str:
    """Return the name of the first GPU, or `CPU`."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")) if gpus else "CPU"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, of the machine or of a GPU.

    TensorFlow's error is known by its name, since the process that handles it has not imported TensorFlow.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError())
    (True, False)
    """
    return isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"


def traced_step(model: keras.Model, batch: tuple[Any, ...]) -> Callable[..., tuple[Any, Any]]:
    """Return one training step of a compiled Keras model as a graph, for batches like this one of any length.

    The step takes the arrays of a batch, (inputs, labels) or (inputs, labels, weights), and returns the mean loss of
    the epoch so far and the learning rate of the next step.
    """
    import tensorflow as tf

    signature = tf.nest.map_structure(lambda one: tf.TensorSpec((None, *one.shape[1:]), one.dtype), batch)

    def step(*batch: Any) -> Any:
        return model.train_step(batch)["loss"], model.optimizer.learning_rate

    traced: Callable[..., tuple[Any, Any]] = tf.function(
        step, input_signature=signature, autograph=False, jit_compile=model.jit_compile
    )
    return traced


def traced_predict(model: keras.Model) -> Callable[..., np.ndarray]:
    """Return a function that takes an array for each input of a model and returns its outputs at test time.

    It has one signature for batches of every length: TensorFlow would trace it anew for a short last one.
    """
    import tensorflow as tf

    def outputs(*inputs: Any) -> Any:
        return model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)

    signature = [tf.TensorSpec((None, *one.shape[1:]), one.dtype) for one in model.inputs]
    traced = tf.function(outputs, input_signature=signature)
    return lambda *inputs: np.asarray(traced(*inputs))


def maps_and_gradients(
    model: keras.Model, layers: list[keras.Layer], inputs: list[np.ndarray], weights: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """Return the output of each layer, and the gradient of a sum of the model's outputs with respect to it, float32.

    layers: of the model or of models inside it. None is returned for one on which the sum does not depend.
    weights: (m, k) of the outputs in the sum.
    """
    import tensorflow as tf

    kept: dict[int, Any] = {}

    def keeping(layer: keras.Layer) -> Callable[..., Any]:
        call = layer.call

        def kept_call(*args: Any, **kwargs: Any) -> Any:
            kept[id(layer)] = call(*args, **kwargs)
            return kept[id(layer)]

        return kept_call

    try:
        for layer in layers:  # the graph of a nested model cannot be cut open from outside
            layer.call = keeping(layer)
        with tf.GradientTape() as tape:
            tensors = [tf.constant(one, given.dtype) for one, given in zip(inputs, model.inputs, strict=True)]
            tape.watch(tensors[0])
            outputs = model(tensors[0] if len(tensors) == 1 else tensors, training=False)
            total = tf.reduce_sum(outputs * weights)
        gradients = tape.gradient(total, [kept[id(layer)] for layer in layers])
    finally:
        for layer in layers:
            del layer.call

    def plain(one: Any) -> np.ndarray:
        return np.asarray(tf.cast(one, tf.float32))

    return [
        None if gradient is None else (plain(kept[id(layer)]), plain(gradient))
        for layer, gradient in zip(layers, gradients, strict=True)
    ]


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    kept = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
