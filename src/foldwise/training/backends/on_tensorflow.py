"""Training and predicting on TensorFlow: no other module of foldwise imports it."""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.processes import spread_new_threads
from foldwise.training.backends.inner import kept_outputs
from foldwise.training.backends.scale import scaled_by

if TYPE_CHECKING:
    import keras

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def environment() -> dict[str, str]:
    """Return the environment variables that must be set before TensorFlow is imported."""
    return {
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),  # off by default without AVX-512
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
    }


def start(threads: int) -> None:
    """Import TensorFlow and Keras, and set threads, memory and determinism."""
    sys.modules.setdefault("jax", None)  # type: ignore[arg-type]  # TensorFlow Lite would import it
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


def set_seed(number: int) -> None:
    """Set the seed from which Keras' initializers and dropouts make theirs.

    `keras.utils.set_random_seed` sets that of TensorFlow too, which no layer of Keras reads: TensorFlow would then
    optimise all graphs anew when they are next called.
    """
    random.seed(number)


def has_gpu() -> bool:
    """Return whether TensorFlow computes on a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def gpu_has_bfloat16() -> bool:
    """Return whether the first GPU computes with bfloat16, as those from Ampere on do (compute capability 8.0)."""
    import tensorflow as tf

    (first, *_) = tf.config.list_physical_devices("GPU")
    capability: tuple[int, int] = tf.config.experimental.get_device_details(first).get("compute_capability", (0, 0))
    return capability >= (8, 0)


def device_name() -> str:
    """Return the name of the first GPU, or `CPU`."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")) if gpus else "CPU"


def traced_step(model: keras.Model, batch: tuple[Any, ...]) -> Callable[..., tuple[Any, Any]]:
    """Return one training step as a graph, for batches like this one of any length; it changes the model itself."""
    import tensorflow as tf

    signature = tf.nest.map_structure(lambda one: tf.TensorSpec((None, *one.shape[1:]), one.dtype), batch)

    def step(*batch: Any) -> Any:
        with scaled_by(model):
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
        with scaled_by(model):
            return model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)

    signature = [tf.TensorSpec((None, *one.shape[1:]), one.dtype) for one in model.inputs]
    traced = tf.function(outputs, input_signature=signature)
    return lambda *inputs: np.asarray(traced(*inputs))


def maps_and_gradients(
    model: keras.Model, layers: list[keras.Layer], inputs: list[np.ndarray], weights: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """Return what `foldwise.training.backend.maps_and_gradients` describes."""
    import tensorflow as tf

    with kept_outputs(layers) as kept, tf.GradientTape() as tape:
        tensors = [tf.constant(one, given.dtype) for one, given in zip(inputs, model.inputs, strict=True)]
        tape.watch(tensors[0])
        outputs = model(tensors[0] if len(tensors) == 1 else tensors, training=False)
        total = tf.reduce_sum(outputs * weights)
    gradients = tape.gradient(total, [kept[number] for number in range(len(layers))])

    def plain(one: Any) -> np.ndarray:
        return np.asarray(tf.cast(one, tf.float32))

    return [None if one is None else (plain(kept[number]), plain(one)) for number, one in enumerate(gradients)]


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
