"""Every model builds for every shape of image and task, with the shapes and weights worked out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from foldwise import models
from foldwise.errors import ConfigError
from foldwise.models.pretrained import zoo
from foldwise.plugins import public_functions


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


PRETRAINED = {entry.builder for entry in zoo.entries().values()} - {"efficientnet_lite0"}  # see test_zoo.py
NAMES = sorted(set(public_functions("models")) - PRETRAINED)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(25, 25, 1), (75, 75, 2), (32, 32, 3)])
@pytest.mark.parametrize("n_outputs", [1, 10])
def test_every_model_builds_and_returns_logits(name, shape, n_outputs):
    model = public_functions("models")[name](shape, n_outputs)
    images = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    logits = np.asarray(model(images, training=False))
    assert logits.shape == (3, n_outputs)
    assert logits.dtype == np.float32


@pytest.mark.parametrize("name", NAMES)
def test_every_model_takes_auxiliary_columns(name):
    model = public_functions("models")[name]((25, 25, 1), 1, auxiliary=("angle",))
    images = np.zeros((2, 25, 25, 1), np.float32)
    one, other = (np.asarray(model([images, np.full((2, 2), value, np.float32)])) for value in (0.0, 3.0))
    assert (one != other).all()


def test_logistic_regression_has_the_weights_of_the_talk():
    assert trainable(models.logistic_regression((32, 32, 1), 1)) == 1024 + 1
    assert trainable(models.logistic_regression((28, 28, 1), 10)) == 7840 + 10


def test_mlp_weights_by_hand():
    # 784 * 100 + 100, 100 * 10 + 10
    assert trainable(models.mlp((28, 28, 1), 10, hidden=(100,))) == 78500 + 1010


def test_small_cnn_weights_by_hand():
    model = models.small_cnn(
        (28, 28, 1), 10, filters=(8, 16), batch_norm=False, batch_norm_input=False, global_pooling="mean"
    )
    # 3*3*1*8 + 8, 3*3*8*16 + 16, 16*10 + 10
    assert trainable(model) == 80 + 1168 + 170
    model = models.small_cnn((28, 28, 1), 10, filters=(8, 16), global_pooling="mean_max")
    # convolutions lose their bias to batch norm's 2 numbers a channel; twice the features; 2 for the input
    assert trainable(model) == (72 + 16) + (1152 + 32) + 330 + 2


@pytest.mark.parametrize(
    ("options", "features"),
    [
        ({"padding": "same", "pooling": "max"}, (7, 7, 8)),  # 28, 14, 7
        ({"padding": "valid", "pooling": "max"}, (5, 5, 8)),  # 26, 13, 11, 5
        ({"padding": "valid", "pooling": "none"}, (24, 24, 8)),
        ({"padding": "same", "pooling": "none", "stride": 2}, (7, 7, 8)),
        ({"padding": "valid", "pooling": "none", "convolutions": 2}, (20, 20, 8)),
        ({"padding": "valid", "pooling": "none", "kernel_sizes": (7, 5)}, (18, 18, 8)),
    ],
)
def test_small_cnn_feature_maps_by_hand(options, features):
    model = models.small_cnn((28, 28, 1), 1, filters=(4, 8), global_pooling="none", **options)
    assert model.layers[-3].input.shape[1:] == features  # flatten, dropout, logits


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu"])
@pytest.mark.parametrize("convolutions", [1, 2])
def test_pooling_before_the_activation_changes_no_bit(activation, convolutions):
    options = {"filters": (4, 8), "batch_norm": False, "batch_norm_input": False, "convolutions": convolutions}
    options |= {"pooling": "max", "global_pooling": "none", "activation": activation}
    model = models.small_cnn((12, 12, 1), 1, **options)
    written = keras.Sequential([keras.Input((12, 12, 1)), keras.layers.Rescaling(1.0)])
    for width in (4, 8):
        for _ in range(convolutions):
            written.add(keras.layers.Conv2D(width, 3, padding="same", activation=activation))
        written.add(keras.layers.MaxPooling2D(2))
    written.add(keras.layers.Flatten())
    written.add(keras.layers.Dense(1))
    weights = [np.random.default_rng(1).normal(0, 0.5, w.shape) for w in model.trainable_weights]
    images = np.random.default_rng(0).normal(size=(6, 12, 12, 1)).astype(np.float32)
    found = []
    for one in (model, written):
        for variable, value in zip(one.trainable_weights, weights, strict=True):
            variable.assign(value)
        with tf.GradientTape() as tape:
            logits = one(images)
            loss = keras.ops.sum(logits**2)
        found.append(
            [np.asarray(logits), *map(np.asarray, tape.gradient(loss, [w.value for w in one.trainable_weights]))]
        )
    for ours, theirs in zip(*found, strict=True):
        assert np.abs(theirs).max() > 0
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_sizes": (3, 3, 3), "filters": (4, 4)}, "one for each of the 2 blocks"),
        ({"filters": (4, 4, 4, 4)}, "4 blocks are too many"),
        ({"filters": (4, 4, 4), "padding": "valid"}, "3 blocks are too many"),
    ],
)
def test_small_cnn_refuses_what_does_not_fit(options, message):
    with pytest.raises(ConfigError, match=message):
        models.small_cnn((8, 8, 1), 1, **options)
