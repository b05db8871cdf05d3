"""Maps and neighbours of tiny models whose answers can be worked out."""

import keras
import numpy as np
import pytest

from foldwise.data.structure import Structure
from foldwise.models import multi_view, region_nets, small_cnn
from foldwise.models.logistic_regression import logistic_regression
from foldwise.training import explain
from foldwise.training.explain import Evidence


def one_filter():
    """A convolution that passes the image on, the mean of it, and logits that are the mean and its opposite."""
    images = keras.Input((6, 6, 1), name="images")
    x = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")(images)
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(2, use_bias=False, name="logits")
    model = keras.Model(images, logits(x))
    logits.set_weights([np.array([[1.0, -1.0]])])
    return model


@pytest.fixture
def spots():
    """Two images: one spot of 4 and one of 2 in the first, a spot of 1 in the second."""
    images = np.zeros((2, 6, 6, 1), np.float32)
    images[0, 1, 1], images[0, 4, 4], images[1, 2, 3] = 4, 2, 1
    return {"images": images}


def evidence(outputs, signs=None):
    return Evidence(np.array(outputs), np.ones(len(outputs), int) if signs is None else np.array(signs))


def test_grad_cam_by_hand(spots):
    """The gradient of the mean is the same everywhere, so that the map is the image, scaled to 1."""
    heat = explain.grad_cam(one_filter(), spots, evidence([0, 0]), Structure())
    assert heat == pytest.approx(spots["images"][..., 0] / np.array([4, 1])[:, None, None])


@pytest.mark.parametrize("asked", [evidence([1, 1]), evidence([0, 0], [-1, -1])])
def test_what_speaks_against_an_output_has_no_grad_cam(asked, spots):
    assert explain.grad_cam(one_filter(), spots, asked, Structure()).max() == 0


def test_occlusion_by_hand(spots):
    """Where a patch of 2 x 2 with a spot takes the mean 1/6, the sum of the image falls by 4 - 4/6 and 2 - 4/6."""
    heat = explain.occluder(one_filter(), patches=3)(spots, evidence([0, 0]))
    assert heat.shape == (2, 3, 3)
    assert heat[0, 0, 0] == 1
    assert heat[0, 2, 2] == pytest.approx((2 - 4 / 6) / (4 - 4 / 6), abs=1e-5)
    assert np.delete(heat[0].ravel(), [0, 8]).max() == 0
    assert heat[1].argmax() == 4


def test_a_model_without_convolutions_has_no_map():
    assert not explain.has_convolutions(logistic_regression((6, 6, 1), 1), Structure())


@pytest.mark.parametrize(("pooling", "side"), [("mean", 8), ("max", 8), ("none", 16)])
def test_the_map_is_that_of_the_last_convolution_before_it_is_pooled(pooling, side):
    model = small_cnn((16, 16, 2), 3, filters=(4, 6), pooling=pooling)
    heat = explain.grad_cam(model, {"images": np.ones((2, 16, 16, 2), np.float32)}, evidence([0, 2]), Structure())
    assert heat.shape == (2, side, side)


@pytest.mark.parametrize("fusion", ["concat", "max", "attention"])
def test_each_view_has_a_map_and_an_empty_slot_has_none(fusion):
    structure = Structure(angles=True)
    options = {"backbone_options": {"filters": (4, 6)}}
    model = multi_view((3, 16, 16, 1), 2, structure, fusion=fusion, **options)
    images = np.random.default_rng(0).normal(size=(2, 3, 16, 16, 1)).astype(np.float32)
    batch = {"images": images, "angles": np.array([[0, 90, 180], [0, np.nan, 180]], np.float32)}
    heat = explain.grad_cam(model, batch, evidence([0, 1]), structure)
    assert heat.shape == (2, 3, 8, 8)
    assert heat[1, 1].max() == 0


def test_a_region_has_maps_of_its_own_views_alone():
    regions = {"left": {"slots": [0, 1], "outputs": [0]}, "right": {"slots": [2], "outputs": [1]}}
    structure = Structure(regions=regions)
    model = region_nets((3, 16, 16, 1), 2, structure, backbone_options={"filters": (4, 6)})
    images = np.random.default_rng(0).normal(size=(2, 3, 16, 16, 1)).astype(np.float32)
    heat = explain.grad_cam(model, {"images": images}, evidence([0, 1], [1, 1]), structure)
    assert heat.shape == (2, 3, 8, 8)
    assert heat[0, 2].max() == 0
    assert heat[1, :2].max() == 0


def test_the_layers_are_left_as_they_were(spots):
    model = one_filter()
    explain.grad_cam(model, spots, evidence([0, 0]), Structure())
    assert "call" not in vars(model.layers[1])


def test_neighbours_are_near_in_the_features_of_the_last_layer(spots):
    features = explain.feature_model(one_filter())(spots)
    assert features == pytest.approx(np.array([[6 / 36], [1 / 36]]))
    assert explain.nearest(features, np.array([[0.0], [1.0], [0.1]]), 2).tolist() == [[2, 0], [0, 2]]
