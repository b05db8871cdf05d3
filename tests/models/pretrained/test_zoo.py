"""Every network that can be named: its facts, its range, its stages, and the published numbers of weights."""

import importlib
import itertools
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras.src.applications import imagenet_utils

from foldwise import models
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.models.pretrained import assemble, zoo
from foldwise.plugins import option_schema, public_functions
from foldwise.stages import list_models
from foldwise.training import finetune
from foldwise.training.build import check_values

APPLICATIONS = sorted(name for name, entry in zoo.entries().items() if entry.builder == "application")
OURS = sorted(name for name, entry in zoo.entries().items() if entry.builder != "application")


# of Keras' classifiers: what lies between the features and the 1,000 classes, where anything does
HIDDEN = {
    "MobileNetV3Small": (1024,),
    "MobileNetV3Large": (1280,),
    "VGG16": (4096, 4096),
    "VGG19": (4096, 4096),
}


@pytest.fixture(autouse=True)
def leaves_nothing():
    """Variables without a value, below, wait to be given one by the next scope that does."""
    yield
    keras.backend.clear_session(free_memory=False)


def drawn_up():
    """Let networks be built without values: forty of them are many gigabytes, and minutes of random numbers."""
    return keras.StatelessScope(initialize_variables=False)


def test_the_zoo_holds_every_application_of_keras():
    named = {name for name, value in vars(keras.applications).items() if name[0].isupper() and callable(value)}
    assert set(APPLICATIONS) == named
    assert len(APPLICATIONS) == 40


@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_application_has_the_facts_of_the_zoo(name, monkeypatch):
    entry, asked, sides = zoo.entries()[name], [], []
    shape_of = imagenet_utils.obtain_input_shape

    def download(fname=None, origin=None, *_, **__):
        asked.append((fname, origin))
        return "file.h5"

    def shaped(*args, **kwargs):
        sides.append((kwargs["default_size"], kwargs["min_size"]))
        return shape_of(*args, **kwargs)

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", download)
    monkeypatch.setattr(keras.Model, "load_weights", lambda *_, **__: None)
    monkeypatch.setattr(imagenet_utils, "obtain_input_shape", shaped)
    side = entry.min_side
    with drawn_up():
        small = models.application((side, side, 1), 3, name=name, side=side, weights="imagenet")
    assert asked == [(entry.file, entry.url)]
    assert sides == ([] if "MobileNetV3" in name else [(entry.side, side)])  # that one is checked in its own words
    network = small.get_layer("backbone")
    assert small.get_layer("features").output.shape == (None, entry.features)
    assert small.output.shape == (None, 3)
    assert 0 not in network.output.shape
    # the published number is that of Keras' network with its classifier: dense layers, each with biases
    pixels = 7 * 7 if name.startswith("VGG") else 1  # the others pool the last map
    widths = [entry.features * pixels, *HIDDEN.get(name, ()), 1000]
    classifier = sum((wide + 1) * narrow for wide, narrow in itertools.pairwise(widths))
    assert network.count_params() + classifier == entry.parameters
    cut = finetune.stages(network)
    assert 4 <= len(cut) <= 6
    assert all(any(layer.weights for layer in stage) for stage in cut)
    assert sum(len(layer.weights) for stage in cut for layer in stage) == len(network.weights)
    with pytest.raises(ConfigError, match=f"takes {side} pixels at least"):
        models.application((64, 64, 3), 1, name=name, weights=None, side=side - 1)


@pytest.mark.parametrize("name", ["MobileNetV3Small", "VGG16", "ConvNeXtTiny", "EfficientNetB1"])
def test_keras_networks_with_their_classifier_have_the_number_and_the_side_of_the_zoo(name):
    with drawn_up():
        whole = getattr(keras.applications, name)(weights=None)
    assert whole.count_params() == zoo.entries()[name].parameters
    assert whole.input_shape[1] in (zoo.entries()[name].side, None)


def test_offline_the_message_says_which_file_goes_where(monkeypatch):
    def download(fname, origin, *_, **__):
        raise Exception(f"URL fetch failure on {origin}: None -- no network")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", download)
    with (
        drawn_up(),
        pytest.raises(FoldwiseError, match=r"put it here as .*/models/vgg16_weights.*notop.h5"),
    ):
        models.application((64, 64, 3), 1, name="VGG16", weights="imagenet", side=32)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("ResNet50", "conv5_block1_1_conv"),
        ("VGG16", "block5_conv1"),
        ("DenseNet121", "conv5_block1_0_bn"),
        ("InceptionV3", "conv2d_71"),
        ("MobileNetV2", "block_13_depthwise"),
        ("EfficientNetB0", "block6a_dwconv"),
        ("Xception", "conv2d_3"),
        ("NASNetMobile", "separable_conv_1_reduction_left1_reduce_8"),
    ],
)
def test_the_last_block_begins_where_the_resolution_falls_last(name, first):
    with drawn_up():
        network = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(96, 96, 3))
    assert next(layer for layer in finetune.stages(network)[-1] if layer.weights).name == first


@pytest.mark.parametrize("name", ["ResNet50", "ResNet50V2", "VGG16", "DenseNet121", "Xception", "InceptionV3"])
def test_the_scaling_inside_is_keras_own(name):
    module = importlib.import_module(f"keras.applications.{MODULES[name]}")
    images = np.random.default_rng(0).uniform(0, 255, (2, 80, 80, 3)).astype(np.float32)
    entry = zoo.entries()[name]
    scaled = np.asarray(assemble._prepare(keras.ops.convert_to_tensor(images), entry.preparation))
    assert scaled == pytest.approx(module.preprocess_input(images.copy()), abs=1e-4)


MODULES = {
    "ResNet50": "resnet",
    "ResNet50V2": "resnet_v2",
    "VGG16": "vgg16",
    "DenseNet121": "densenet",
    "Xception": "xception",
    "InceptionV3": "inception_v3",
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_preparation_of_each_is_its_modules(name):
    function = getattr(keras.applications, name)
    module = importlib.import_module(function.__module__)
    images = np.linspace(0, 255, 48, dtype=np.float32).reshape(1, 4, 4, 3)
    given = np.asarray(assemble._prepare(keras.ops.convert_to_tensor(images), zoo.entries()[name].preparation))
    assert given == pytest.approx(np.asarray(module.preprocess_input(images.copy())), abs=1e-4)


@pytest.mark.parametrize("name", OURS)
def test_the_others_have_the_published_number_of_weights(name):
    entry = zoo.entries()[name]
    with drawn_up():
        model = public_functions("models")[entry.builder]((entry.side, entry.side, 3), 1000, weights=None)
        assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == entry.parameters
        assert model.get_layer("features").output.shape == (None, entry.features)
        network = model.get_layer("backbone")
        assert len(finetune.stages(network)) == 4 if name == "zfnet" else 5
        public_functions("models")[entry.builder]((8, 8, 1), 1, weights=None, side=entry.min_side)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("densenet161", "densenet161"),
        ("efficientnet_lite0", "efficientnet_lite0"),
        ("fbresnet152", "resnets"),
        ("inception_v4", "inception_v4"),
        ("resnext101_32x4d", "resnets"),
        ("resnext101_64x4d", "resnets"),
    ],
)
def test_converted_networks_share_their_options_and_belong_to_the_module_of_their_trunk(name, module):
    builder = public_functions("models")[name]
    assert (builder.__name__, builder.__module__) == (name, f"foldwise.models.pretrained.{module}")
    assert builder.__doc__.startswith("Build ")
    assert list(option_schema(builder)) == ["weights", "side", "values", "bands", "dropout", "auxiliary"]


def test_zf_net_has_the_shapes_of_the_talk():
    with drawn_up():
        network = models.zfnet((224, 224, 3), 1000).get_layer("backbone")
    shapes = {layer.name: tuple(layer.output.shape[1:]) for layer in network.layers}
    assert shapes["conv1"] == (110, 110, 96)
    assert shapes["pool1"] == (55, 55, 96)
    assert shapes["conv2"] == (26, 26, 256)
    assert shapes["pool2"] == (13, 13, 256)
    assert shapes["conv3"] == shapes["conv4"] == (13, 13, 384)
    assert shapes["conv5"] == (13, 13, 256)
    assert shapes["pool5"] == (6, 6, 256)
    assert shapes["fc6"] == shapes["fc7"] == (4096,)
    kernels = {layer.name: layer.kernel_size for layer in network.layers if "conv" in layer.name}
    assert kernels == {"conv1": (7, 7), "conv2": (5, 5), "conv3": (3, 3), "conv4": (3, 3), "conv5": (3, 3)}


def bands(images, kind):
    return np.asarray(assemble._to_bands(keras.ops.convert_to_tensor(np.asarray(images, np.float32)), kind))


def test_bands_by_hand():
    grey, two = np.full((1, 1, 1, 1), 40.0), np.array([100.0, 60.0]).reshape(1, 1, 1, 2)
    assert bands(grey, "repeat").ravel().tolist() == [40, 40, 40]
    assert bands(two, "repeat").ravel().tolist() == [100, 60, 100]
    assert bands(two, "difference").ravel().tolist() == [100, 60, 147.5]  # 40 / 2 + 127.5
    assert bands(two, "ratio").ravel().tolist() == [100, 60, 159.375]  # 255 * 100 / 160
    assert bands(two, "learned").ravel().tolist() == [100, 60, 100]  # until it learns
    four = np.array([10.0, 20, 30, 40]).reshape(1, 1, 1, 4)
    assert bands(four, "learned").ravel().tolist() == [25, 20, 30]  # channels 0 and 3 share a band
    for kind, images in (("repeat", four), ("difference", grey), ("ratio", four)):
        with pytest.raises(ConfigError, match=f"bands={kind}"):
            bands(images, kind)


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_resummed_kernels_say_the_same_of_equal_channels(monkeypatch, channels):
    lite = importlib.import_module("foldwise.models.pretrained.efficientnet_lite0")
    monkeypatch.setattr(lite, "STAGES", lite.STAGES[:2])
    grey = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 1)).astype(np.float32)
    three = models.efficientnet_lite0((32, 32, 3), 1, weights=None, side=32).get_layer("backbone")
    other = assemble.rebuild_for_channels(three, channels)
    assert other.input_shape[-1] == channels
    one, many = three(np.repeat(grey / 128 - 1, 3, 3)), other(np.repeat(grey / 128 - 1, channels, 3))
    if channels in (1, 6):  # every plane is dealt out equally often
        assert np.asarray(many) == pytest.approx(np.asarray(one), abs=1e-4)
    kernels = [np.asarray(net.get_layer("conv_stem").kernel) for net in (three, other)]
    expected = kernels[0].sum(2) if channels != 4 else 0.75 * (kernels[0].sum(2) + kernels[0][:, :, 0])
    if channels != 2:
        assert kernels[1].sum(2) == pytest.approx(expected, abs=1e-6)


def test_a_scaling_inside_a_resummed_application_takes_any_number_of_channels():
    model = models.application((32, 32, 2), 1, name="EfficientNetB0", weights=None, side=32, bands="resummed")
    assert model.get_layer("backbone").input_shape == (None, 32, 32, 2)
    assert np.isfinite(model(np.full((1, 32, 32, 2), 99, np.float32))).all()


def test_images_outside_the_told_range_stop_with_the_range_to_say():
    with drawn_up():
        model = models.efficientnet_lite0((32, 32, 1), 1, weights=None, side=32)
    photograph = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1)).astype(np.uint8)
    check_values(model, photograph)
    check_values(model, np.zeros((4, 32, 32, 1)))  # a blank batch says nothing
    with pytest.raises(FoldwiseError, match=r"values=\[0, 255\].*values of 0 to 1, .*for example .*values=\[0,1\]"):
        check_values(model, photograph / 255)
    with pytest.raises(FoldwiseError, match=r"model.options.values=\[-26,-16\]"):
        check_values(model, np.linspace(-26, -16, 1024).reshape(1, 32, 32, 1))


def test_the_values_are_mapped_to_the_range_and_clipped():
    with drawn_up():
        model = models.efficientnet_lite0((32, 32, 1), 1, weights=None, side=32, values=(-30, 0))
    radar = keras.ops.convert_to_tensor(np.array([-40.0, -30, -15, 0, 5], np.float32).reshape(1, 5, 1, 1))
    mapped = model.get_layer("clip")(model.get_layer("pixels")(radar))
    assert np.asarray(mapped).ravel().tolist() == pytest.approx([0, 0, 127.5, 255, 255], abs=1e-3)


def test_the_table_of_models_holds_the_talks(settings):
    listed = {one["name"]: one for one in list_models.list_models(settings())}
    own = {"logistic_regression", "mlp", "multi_view", "region_nets", "small_cnn", "whole_scan"}
    assert set(listed) == {*APPLICATIONS, *OURS} | own
    talk = {
        "NASNetLarge": (82.7, 96.2),
        "InceptionResNetV2": (80.4, 95.3),
        "inception_v4": (80.2, 95.3),
        "resnext101_64x4d": (79.6, 94.7),
        "resnext101_32x4d": (78.8, 94.4),
        "ResNet152": (78.4, 94.1),
        "fbresnet152": (77.8, 93.8),
        "densenet161": (77.6, 93.8),
        "InceptionV3": (77.3, 93.5),
        "DenseNet201": (77.2, 93.5),
    }
    assert {name: (one["talk_top1"], one["talk_top5"]) for name, one in listed.items() if one.get("talk_top1")} == talk
    assert listed["efficientnet_lite0"]["here"] is True
    words = {name: listed[name]["override"] for name in ("ResNet152", "zfnet", "mlp")}
    assert words == {
        "ResNet152": "model=application model.options.name=ResNet152",
        "zfnet": "model=zfnet",
        "mlp": "model=mlp",
    }
    text = list_models.show(list(listed.values()), 200)
    assert "NASNetLarge           88,949,818   331        82.5 / 96.0  82.7 / 96.2" in text


def test_the_table_of_models_loads_neither_tensorflow_nor_pandas():
    code = """if True:
        import sys
        from foldwise.__main__ import main
        status = main(["models", "format=json"])
        loaded = [name for name in ("tensorflow", "keras", "pandas.core") if name in sys.modules]
        import pandas
        pandas.Series
        sys.exit(f"{status} {loaded} {'pandas.core' in sys.modules}")"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "0 [] True"
