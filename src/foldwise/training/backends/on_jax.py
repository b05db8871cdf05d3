"""Training and predicting on JAX: only modules `on_jax*` of foldwise import it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.training.backends.alone import import_keras
from foldwise.training.backends.inner import changed_outputs, kept_outputs
from foldwise.training.backends.scale import scaled_by

if TYPE_CHECKING:
    import keras

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def environment() -> dict[str, str]:
    """Return the environment variables that must be set before JAX is imported."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "foldwise" / "xla"
    return {
        "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", str(cache)),  # between commands
        "XLA_PYTHON_CLIENT_PREALLOCATE": os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE", "false"),  # else 3/4 of a GPU
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
    }


def start(threads: int) -> None:
    """Import JAX and Keras, with so many threads on a CPU."""
    os.environ["NPROC"] = str(threads)  # the size of XLA's pool of threads
    import_keras()


def set_seed(number: int) -> None:
    """Set the seeds of all random numbers that initializers and layers of Keras draw."""
    import keras

    keras.utils.set_random_seed(number)


def has_gpu() -> bool:
    """Return whether JAX computes on a GPU."""
    import jax

    return bool(jax.default_backend() == "gpu")


def gpu_has_bfloat16() -> bool:
    """Return whether the first GPU computes with bfloat16, as those from Ampere on do (compute capability 8.0)."""
    import jax

    return float(getattr(jax.devices()[0], "compute_capability", 0.0)) >= 8.0


def device_name() -> str:
    """Return the name of the first GPU, or `CPU`."""
    import jax

    return str(jax.devices()[0].device_kind) if has_gpu() else "CPU"


def traced_step(model: keras.Model, batch: tuple[Any, ...]) -> Step:
    """Return one training step; XLA compiles it for each length of a batch, of which an epoch has two at most."""
    return Step(model)


class Step:
    """One training step of a compiled Keras model, whose variables are kept here from one step to the next.

    The model gets them back by `write_back`; the step after that starts from what the model then holds.
    """

    def __init__(self, model: keras.Model) -> None:
        import jax

        self.model = model
        self.state: tuple[Any, ...] | None = None

        def step(state: tuple[Any, ...], batch: tuple[Any, ...]) -> tuple[Any, Any, Any]:
            with scaled_by(model, state[1]):
                logs, state = model.train_step(state, batch)
            optimizer = model.optimizer
            rate = _with_values(optimizer.variables, state[2], lambda: optimizer.learning_rate + 0.0)
            return logs["loss"], rate, state

        self.step = jax.jit(step, donate_argnums=0)

    def __call__(self, *batch: Any) -> tuple[Any, Any]:
        if self.state is None:
            # copies: the step reuses the memory of what it is given
            self.state = tuple([variable.value.copy() for variable in group] for group in self._groups())
        if len(batch) == 2:
            batch = (*batch, None)
        loss, rate, self.state = self.step(self.state, batch)
        return loss, rate

    def write_back(self) -> None:
        """Write the variables into the model."""
        if self.state is not None:
            for group, values in zip(self._groups(), self.state, strict=True):
                for variable, value in zip(group, values, strict=True):
                    variable.assign(value)
            self.state = None

    def _groups(self) -> tuple[list[Any], ...]:
        model = self.model
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )


def traced_predict(model: keras.Model) -> Callable[..., np.ndarray]:
    """Return a function that takes an array for each input of a model and returns its outputs at test time.

    A batch is filled up to the longest one so far: XLA would compile the model anew for a short last one.
    """
    import jax

    longest = 0

    def outputs(trainable: Any, non_trainable: Any, inputs: Any) -> Any:
        with scaled_by(model, non_trainable):
            return model.stateless_call(trainable, non_trainable, inputs, training=False)[0]

    compiled = jax.jit(outputs)

    def predict(*inputs: Any) -> np.ndarray:
        nonlocal longest
        n = len(inputs[0])
        longest = max(longest, n)
        filled = [
            np.concatenate([one, np.repeat(one[-1:], longest - n, axis=0)]) if n < longest else one for one in inputs
        ]
        trainable, fixed = (
            [one.value for one in group] for group in (model.trainable_variables, model.non_trainable_variables)
        )
        return np.asarray(compiled(trainable, fixed, filled[0] if len(filled) == 1 else filled))[:n]

    return predict


def maps_and_gradients(
    model: keras.Model, layers: list[keras.Layer], inputs: list[np.ndarray], weights: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """Return what `foldwise.training.backend.maps_and_gradients` describes."""
    import jax
    import jax.numpy as jnp

    probes: list[Any] = []

    def add_probe(number: int, output: Any) -> Any:
        return output + probes[number]

    def total(values: list[Any]) -> Any:
        probes[:] = values
        outputs = model(tensors[0] if len(tensors) == 1 else tensors, training=False)
        return jnp.sum(outputs.astype("float32") * weights)

    tensors = [jnp.asarray(one, given.dtype) for one, given in zip(inputs, model.inputs, strict=True)]
    with kept_outputs(layers) as kept:
        total([])
    with changed_outputs(layers, add_probe):
        gradients = jax.grad(total)([jnp.zeros_like(kept[number]) for number in range(len(layers))])
    pairs = [
        (np.asarray(kept[number], np.float32), np.asarray(one, np.float32)) for number, one in enumerate(gradients)
    ]
    return [pair if pair[1].any() else None for pair in pairs]


def _with_values(variables: list[Any], values: list[Any], function: Callable[[], Any]) -> Any:
    """Call a function in which Keras' variables have these values."""
    import keras

    with keras.StatelessScope(list(zip(variables, values, strict=True))):
        return function()
