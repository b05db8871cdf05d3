"""Losses against numbers worked out by hand and against Keras' own; at their defaults they are those of before."""

import keras
import numpy as np
import pytest
from helpers.data import HELD_OUT, make_dataset, make_recipe

from foldwise.errors import ConfigError
from foldwise.settings import FitSettings
from foldwise.training.fit import train_fold
from foldwise.training.losses import check_fit, class_losses, loss_of, output_losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (6, 3)).astype(np.float32)
LABELS = RNG.integers(0, 2, (6, 3)).astype(np.float32)
ONE_HOT = np.eye(3, dtype=np.float32)[RNG.integers(0, 3, 6)]


def test_the_default_is_the_cross_entropy_of_keras():
    for task, kind in (("binary", "BinaryCrossentropy"), ("ordinal", "CategoricalCrossentropy")):
        loss = loss_of(FitSettings(), task)
        assert type(loss).__name__ == kind
        assert loss.get_config()["from_logits"] is True
        assert loss.get_config()["label_smoothing"] == 0


def test_values_by_hand():
    # p = 3/4 of logit ln 3. y = 1: 2 (1/4)^2 ln(4/3) = .03595; y = 0: (3/4)^2 ln 4 = .77979; the mean
    labels, logits = np.array([[1.0, 0.0]], np.float32), np.full((1, 2), np.log(3), np.float32)
    assert np.asarray(output_losses(labels, logits, 2.0, 2.0)) == pytest.approx([(0.0359603 + 0.7797906) / 2], rel=1e-5)
    # p = 1/2, 1/4, 1/4: (1 - 1/4)^1.5 ln 4
    logits = np.log(np.array([[2.0, 1.0, 1.0]], np.float32))
    found = class_losses(np.array([[0.0, 1.0, 0.0]], np.float32), logits, 1.5)
    assert np.asarray(found) == pytest.approx([0.75**1.5 * np.log(4)], rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_focal_loss_is_that_of_keras(gamma):
    theirs = keras.losses.BinaryFocalCrossentropy(gamma=gamma, from_logits=True)(LABELS, LOGITS)
    ours = np.asarray(loss_of(FitSettings(loss="focal", focal_gamma=gamma), "multilabel")(LABELS, LOGITS)).mean()
    assert ours == pytest.approx(float(theirs), rel=1e-4)
    theirs = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=gamma, from_logits=True)(ONE_HOT, LOGITS)
    ours = np.asarray(loss_of(FitSettings(loss="focal", focal_gamma=gamma), "multiclass")(ONE_HOT, LOGITS)).mean()
    assert ours == pytest.approx(float(theirs), rel=1e-4)


def test_without_gamma_and_weight_all_are_the_cross_entropy():
    for smooth in (0.0, 0.2):
        plain = FitSettings(label_smoothing=smooth)
        weighted = FitSettings(label_smoothing=smooth, loss="focal", focal_gamma=0.0)
        for task, labels in (("multilabel", LABELS), ("multiclass", ONE_HOT)):
            expected = float(loss_of(plain, task)(labels, LOGITS))
            assert np.asarray(loss_of(weighted, task)(labels, LOGITS)).mean() == pytest.approx(expected, rel=1e-5)


def test_a_positive_weight_counts_positive_labels_so_often():
    whole = FitSettings(positive_weight=3.0)
    each = np.asarray(loss_of(FitSettings(loss="focal", focal_gamma=0.0), "binary")(LABELS[:, :1], LOGITS[:, :1]))
    found = np.asarray(loss_of(whole, "binary")(LABELS[:, :1], LOGITS[:, :1]))
    assert found == pytest.approx(np.where(LABELS[:, 0] == 1, 3, 1) * each, rel=1e-5)


@pytest.mark.parametrize(
    "fit",
    [
        {"loss": "focal"},
        {"loss": "focal", "focal_gamma": 0.5, "label_smoothing": 0.1},
        {"positive_weight": 4.0},
        {"label_smoothing": 0.3},
    ],
)
def test_losses_train_and_move_predictions_as_they_should(fit):
    data = make_dataset()
    plain, other = (train_fold(make_recipe(epochs=8, **extra), data, HELD_OUT, 0).test for extra in ({}, fit))
    assert np.isfinite(other).all()
    assert (plain != other).any()
    if "positive_weight" in fit:
        assert other.mean() > plain.mean()
    else:  # sure rows count less: predictions are nearer to 1/2
        assert abs(other - 0.5).mean() < abs(plain - 0.5).mean()


def test_weights_of_rows_go_with_a_loss_of_our_own():
    """Rows whose label is 0 weigh nearly nothing: all is predicted to be 1."""
    data = make_dataset()
    data.train.table["weight"] = np.where(data.train.table["t0"] == 1, 1.0, 1e-6)
    result = train_fold(make_recipe(epochs=15, loss="focal", focal_gamma=0.0), data, HELD_OUT, 0)
    assert result.held_out.min() > 0.5


@pytest.mark.parametrize(
    ("fit", "task", "message"),
    [
        (
            {"loss": "squared"},
            "binary",
            "fit.loss=squared: the task is binary, and classes are trained by auto or focal",
        ),
        ({"positive_weight": 2.0}, "ordinal", "the task is ordinal, and only binary.*fit.class_weights=true"),
        ({"positive_weight": 2.0}, "multiclass", "fit.positive_weight=2: the task is multiclass, and only"),
    ],
)
def test_what_does_not_fit_the_task_is_refused(fit, task, message):
    with pytest.raises(ConfigError, match=message):
        check_fit(FitSettings(**fit), task)
