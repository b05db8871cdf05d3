"""Load pretrained weights into a backbone: from a checkpoint of PyTorch's, or from a file of Keras."""

from __future__ import annotations

import contextlib
import re
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foldwise.errors import ConfigError, FoldwiseError
from foldwise.models.introspect import leaves
from foldwise.models.pretrained.checkpoints import read_checkpoint
from foldwise.models.pretrained.fetch import PUBLISHED, fetch_weights
from foldwise.models.pretrained.keras_files import WEIGHTS, check_keras_file

if TYPE_CHECKING:
    import keras


CHECKPOINTS = (".pth", ".pt", ".bin", ".safetensors")
KERAS_FILES = (".weights.h5", ".keras")
# how the names of a classifier's tensors begin, which are not loaded
HEADS = ("fc", "classifier", "last_linear", "_fc", "logits", "head")
Rename = Callable[[str], str]  # a tensor's name in a checkpoint -> <layer of ours>.<weight | bias | ...>


def check_named(weights: str | None, key: str = "model.options.weights") -> None:
    """Raise ConfigError unless `weights` is None, imagenet, or an existing file of a known kind."""
    if weights is None or weights == "imagenet":
        return
    if not weights.endswith((*CHECKPOINTS, *KERAS_FILES, ".h5")):
        raise ConfigError(
            f"{key}={weights}: expected imagenet, null, or a file {', '.join((*KERAS_FILES, *CHECKPOINTS))}"
        )
    if not Path(weights).is_file():
        raise ConfigError(f"{key}={weights}: no such file")


def loader(name: str, weights: str | None, rename: Rename | None) -> Callable[[keras.Model], None] | None:
    """Return a function that fills a backbone with `weights`, or None where they stay random.

    name: of the builder.
    weights: None (random), imagenet, or a local file.
    rename: see `load_tensors`; None where checkpoints of PyTorch are not converted.

    Raises ConfigError for weights that do not exist.
    """
    check_named(weights)
    if weights is None:
        return None
    if weights == "imagenet" and name not in PUBLISHED:
        raise ConfigError(f"model.options.weights=imagenet: no weights of {name} are published; choose null or a file")

    def load(backbone: keras.Model) -> None:
        path = fetch_weights(name) if weights == "imagenet" else Path(weights)
        if path.suffix not in CHECKPOINTS:
            load_keras(backbone, path)
        elif rename is None:
            raise ConfigError(
                f"model.options.weights={path}: PyTorch's checkpoints of {name} are not converted; "
                f"expected {' or '.join(KERAS_FILES)}"
            )
        else:
            load_tensors(backbone, read_checkpoint(path), rename, str(path))

    return load


def load_tensors(backbone: keras.Model, tensors: dict[str, np.ndarray], rename: Rename, origin: str) -> None:
    """Put a checkpoint's tensors (PyTorch's axes) into the layers of the same names.

    rename: translates the name of a tensor to `<layer>.<weight | bias | running_mean | running_var>`.
    origin: the file, for messages.

    Raises FoldwiseError, which names the first tensor that is missing, has another shape, or has no place.
    """
    given = {rename(name): (name, values) for name, values in tensors.items()}
    used = set()
    for layer in leaves(backbone):
        arrays = []
        for variable in layer.weights:
            key = f"{layer.name}.{TORCH_NAMES[variable.name]}"
            if key not in given:
                raise FoldwiseError(f"{origin}: the tensor {key!r} is missing; is it a checkpoint of {backbone.name}?")
            name, values = given[key]
            array = _keras_axes(values, layer)
            if array.shape != tuple(variable.shape):
                raise FoldwiseError(
                    f"{origin}: the tensor {name!r} has shape {values.shape}, which does not give the "
                    f"{tuple(variable.shape)} of {layer.name}; is it a checkpoint of {backbone.name}?"
                )
            used.add(key)
            arrays.append(array)
        if arrays:
            layer.set_weights(arrays)
    spare = [
        name
        for key, (name, _) in given.items()
        if key not in used and not key.endswith("num_batches_tracked") and key.split(".")[0] not in HEADS
    ]
    if spare:
        raise FoldwiseError(f"{origin}: {backbone.name} has no place for the tensor {spare[0]!r}")


TORCH_NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _keras_axes(values: np.ndarray, layer: keras.layers.Layer) -> np.ndarray:
    """Turn PyTorch's axes (out, in, h, w), (out, in) into Keras' (h, w, in, out), (in, out)."""
    if values.ndim == 4:
        depthwise = type(layer).__name__ == "DepthwiseConv2D"  # (c, 1, h, w) -> (h, w, c, 1)
        return values.transpose(2, 3, 0, 1) if depthwise else values.transpose(2, 3, 1, 0)
    return values.T if values.ndim == 2 else values


def load_keras(backbone: keras.Model, path: Path) -> None:
    """Load a .weights.h5 or .keras file of a backbone, or of a whole foldwise model that contains it.

    Of a .keras file the numbers alone are read: its configuration may name any class and any file.
    """
    import keras

    check_keras_file(path)
    try:
        with _weights_of(path) as weights, warnings.catch_warnings():
            warnings.filterwarnings("error", "Skipping nested container")  # else layers would stay random
            inside = _holds_whole_model(weights)
            if inside:
                whole = keras.Model(inputs := keras.Input(backbone.input_shape[1:]), backbone(inputs))
            (whole if inside else backbone).load_weights(weights)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        first = re.sub(r"\s+", " ", str(error))[:300]
        raise FoldwiseError(f"{path}: the weights do not fit {backbone.name}: {first}") from None


@contextlib.contextmanager
def _weights_of(path: Path) -> Iterator[Path]:
    """Yield a file of weights: the path itself, or what a .keras archive holds, in a folder of its own."""
    if path.suffix != ".keras":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
        yield Path(archive.extract(WEIGHTS, folder))


def _holds_whole_model(path: Path) -> bool:
    import h5py

    with h5py.File(path) as file:
        return "functional" in file.get("layers", {})
