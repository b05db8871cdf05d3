"""The one place that names TensorFlow."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def traced_step(model: keras.Model, batch: tuple[Any, ...]) -> Any:
    """Return one training step of Keras as a graph for batches like this one, of any length.

    It returns the mean loss of the epoch so far, and the learning rate of the step to come.
    """
    signature = tf.nest.map_structure(lambda one: tf.TensorSpec((None, *one.shape[1:]), one.dtype), batch)

    def step(*batch: Any) -> Any:
        return model.train_step(batch)["loss"], model.optimizer.learning_rate

    return tf.function(step, input_signature=signature, autograph=False, jit_compile=model.jit_compile)
