"""The converted networks against timm's, in PyTorch with random weights: independent code, the same numbers.

Both compute in float64: random weights make networks of ReLU6 amplify the rounding of float32 without end.
`make oracle` installs both. timm wants torchvision, whose wheels want a CUDA build of PyTorch: what timm imports of
it (transforms of images) is not used here and stands in as an empty shell.
"""

import importlib
import importlib.machinery
import sys
from unittest.mock import MagicMock

import keras
import numpy as np
import pytest

from foldwise.models.pretrained import load

torch = pytest.importorskip("torch", reason="`make oracle` installs PyTorch and timm")

pytestmark = pytest.mark.slow
TORCHVISION = """transforms transforms.functional transforms.v2 transforms.v2.functional models
models.feature_extraction ops ops.misc datasets datasets.folder utils"""
SHELLS = ["torchvision", *(f"torchvision.{name}" for name in TORCHVISION.split())]
SHELLS += ["huggingface_hub", "huggingface_hub.utils", "safetensors", "safetensors.torch"]


@pytest.fixture(scope="module")
def timm():
    if importlib.util.find_spec("timm") is None:
        pytest.skip("`make oracle` installs PyTorch and timm")
    with pytest.MonkeyPatch.context() as patch:
        for name in SHELLS:
            shell = MagicMock(name=name, __spec__=importlib.machinery.ModuleSpec(name, None), __path__=[])
            shell.__version__ = "0"
            patch.setitem(sys.modules, name, shell)
        yield importlib.import_module("timm")


def randomised(net, biases):
    """Draw what a fresh network leaves at 0 and 1, so that an exchange of two tensors shows."""
    draw = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=draw)
            module.running_var.uniform_(0.5, 1.5, generator=draw)
            module.weight.data.uniform_(0.4, 0.8, generator=draw)
            module.bias.data.normal_(0, 0.1, generator=draw)
        if biases and isinstance(module, torch.nn.Conv2d):  # timm's ResNet-152 with the biases of Torch's
            module.bias = torch.nn.Parameter(torch.randn(module.out_channels, generator=draw) * 0.1)
    return net.eval()


@pytest.mark.parametrize(
    ("name", "timms", "module", "rename", "trunk", "side"),
    [
        ("efficientnet_lite0", "tf_efficientnet_lite0", "efficientnet_lite0", "timm_name", {}, 96),
        ("resnext101_32x4d",) * 2 + ("resnets", "timm_name", {"blocks": (3, 4, 23, 3), "groups": 32, "width": 4}, 64),
        ("densenet161", "densenet161", "densenet161", "torchvision_name", {}, 64),
        ("inception_v4", "inception_v4", "inception_v4", None, {}, 107),
        (
            "fbresnet152",
            "resnet152",
            "resnets",
            "timm_name",
            {"blocks": (3, 8, 36, 3), "groups": 1, "width": 64, "bias": True},
            64,
        ),
    ],
)
def test_the_converted_network_agrees_with_timms(timm, tmp_path, name, timms, module, rename, trunk, side):
    ours = importlib.import_module(f"foldwise.models.pretrained.{module}")
    theirs = randomised(timm.create_model(timms), biases=name == "fbresnet152").double()
    torch.save(theirs.state_dict(), tmp_path / "a.pth")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        network = ours._trunk((side, side, 3), **trunk)
    finally:
        keras.config.set_dtype_policy(before)
    tensors = load.read_checkpoint(tmp_path / "a.pth")
    load.load_tensors(network, tensors, getattr(ours, rename) if rename else str, "a.pth")
    images = np.random.default_rng(0).normal(size=(2, side, side, 3))
    with torch.no_grad():
        expected = theirs.forward_features(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    found = np.asarray(network(images, training=False)).transpose(0, 3, 1, 2)
    assert found.dtype == expected.dtype == np.float64
    assert np.abs(expected).max() > 1e-3
    assert np.abs(found - expected).max() < 1e-4
