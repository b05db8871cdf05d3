"""Training and predicting on PyTorch: no other module of foldwise imports it. Its steps are not compiled."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.training.backends.alone import import_keras
from foldwise.training.backends.inner import kept_outputs

if TYPE_CHECKING:
    import keras

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def environment() -> dict[str, str]:
    """Return the environment variables that must be set before PyTorch is imported."""
    return {"CUBLAS_WORKSPACE_CONFIG": os.environ.get("CUBLAS_WORKSPACE_CONFIG", ":4096:8")}


def start(threads: int) -> None:
    """Import PyTorch and Keras, with so many threads on a CPU."""
    import torch

    import_keras()
    torch.set_num_threads(threads)


def set_seed(number: int) -> None:
    """Set the seeds of all random numbers that initializers and layers of Keras draw."""
    import keras

    keras.utils.set_random_seed(number)


def has_gpu() -> bool:
    """Return whether PyTorch computes on a GPU."""
    import torch

    return bool(torch.cuda.is_available())


def gpu_has_bfloat16() -> bool:
    """Return whether the first GPU computes with bfloat16, as those from Ampere on do (compute capability 8.0)."""
    import torch

    return bool(torch.cuda.get_device_capability() >= (8, 0))


def device_name() -> str:
    """Return the name of the first GPU, or `CPU`."""
    import torch

    return str(torch.cuda.get_device_name()) if has_gpu() else "CPU"


def traced_step(model: keras.Model, batch: tuple[Any, ...]) -> Callable[..., tuple[Any, Any]]:
    """Return one training step, which changes the model itself."""
    import keras

    def tensors(arrays: Any) -> Any:
        return keras.tree.map_structure(keras.ops.convert_to_tensor, arrays)

    def step(*batch: Any) -> tuple[Any, Any]:
        loss = model.train_step(tensors(batch))["loss"]
        return loss, model.optimizer.learning_rate

    return step


def traced_predict(model: keras.Model) -> Callable[..., np.ndarray]:
    """Return a function that takes an array for each input of a model and returns its outputs at test time."""
    import keras
    import torch

    def predict(*inputs: Any) -> np.ndarray:
        with torch.no_grad():
            outputs = model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)
        return np.asarray(keras.ops.convert_to_numpy(outputs))

    return predict


def maps_and_gradients(
    model: keras.Model, layers: list[keras.Layer], inputs: list[np.ndarray], weights: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """Return what `foldwise.training.backend.maps_and_gradients` describes."""
    import keras
    import torch

    tensors = [keras.ops.convert_to_tensor(one, given.dtype) for one, given in zip(inputs, model.inputs, strict=True)]
    with kept_outputs(layers) as kept, torch.enable_grad():
        tensors[0].requires_grad_()
        outputs = model(tensors[0] if len(tensors) == 1 else tensors, training=False)
        total = (outputs * keras.ops.convert_to_tensor(weights)).sum()
    gradients = torch.autograd.grad(total, [kept[number] for number in range(len(layers))], allow_unused=True)

    def plain(one: Any) -> np.ndarray:
        return np.asarray(keras.ops.convert_to_numpy(one.float()))

    return [None if one is None else (plain(kept[number]), plain(one)) for number, one in enumerate(gradients)]
