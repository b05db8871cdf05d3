"""Log loss against numbers worked out by hand and against scikit-learn where the two are meant to agree."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from foldwise.scoring import decisions, metrics, objective
from foldwise.scoring.metrics import METRICS


def test_binary_log_loss_by_hand():
    labels = np.array([[1], [0], [1]])
    probabilities = np.array([[0.5], [0.25], [0.8]])
    # (ln 2 - ln .75 - ln .8) / 3
    assert metrics.log_loss(labels, probabilities) == pytest.approx((0.6931471806 + 0.2876820724 + 0.2231435513) / 3)


def test_multiclass_log_loss_by_hand():
    labels = np.array([[0, 1, 0], [1, 0, 0]])
    probabilities = np.array([[0.2, 0.5, 0.3], [0.25, 0.5, 0.25]])
    # (-ln .5 - ln .25) / 2 = 1.5 ln 2
    assert metrics.log_loss(labels, probabilities, "multiclass") == pytest.approx(1.0397207708)


def test_multilabel_log_loss_is_the_mean_over_rows_and_outputs():
    labels = np.array([[1, 0], [0, 0]])
    probabilities = np.array([[0.5, 0.5], [0.25, 0.2]])
    # (ln 2 + ln 2 - ln .75 - ln .8) / 4
    assert metrics.log_loss(labels, probabilities, "multilabel") == pytest.approx(0.4742799962)


def test_the_two_forms_differ_on_the_same_numbers():
    labels, probabilities = np.array([[1, 0]]), np.array([[0.6, 0.4]])
    assert metrics.log_loss(labels, probabilities, "multiclass") == pytest.approx(-math.log(0.6))
    assert metrics.log_loss(labels, probabilities, "multilabel") == pytest.approx(-math.log(0.6))
    probabilities = np.array([[0.6, 0.2]])
    assert metrics.log_loss(labels, probabilities, "multiclass") == pytest.approx(-math.log(0.75))  # .6 / .8
    assert metrics.log_loss(labels, probabilities, "multilabel") == pytest.approx(0.3669845875)  # (-ln .6 - ln .8) / 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_certain_and_wrong_costs_the_documented_epsilon(dtype):
    # -ln 1e-15 = 34.5387763949, whatever the type of the probabilities
    loss = metrics.log_loss(np.array([[1]]), np.array([[0]], dtype))
    assert loss == pytest.approx(34.5387763949)


def test_a_constant_scores_what_the_competitions_state():
    labels = np.repeat([[1.0], [0.0]], [753, 851], axis=0)  # icebergs and ships in train
    assert metrics.log_loss(labels, np.full((1604, 1), 753 / 1604)) == pytest.approx(0.6913, abs=5e-5)


@pytest.mark.parametrize("bad", [np.array([[np.nan]]), np.array([[1.1]]), np.array([[-0.1]]), np.array([0.5])])
def test_no_score_for_what_is_no_probability(bad):
    with pytest.raises(ValueError, match=r"\[0, 1\]|shape"):
        metrics.log_loss(np.array([[1]]), bad)


@given(hnp.arrays(np.float64, (7, 3), elements=st.floats(0.01, 0.99)), st.integers(0, 2**21 - 1))
def test_agrees_with_scikit_learn(p, bits):
    from sklearn.metrics import log_loss

    y = np.array([[bits >> (3 * i + j) & 1 for j in range(3)] for i in range(7)])
    expected = np.mean([log_loss(y[:, k], p[:, k], labels=[0, 1]) for k in range(3)])
    assert metrics.log_loss(y, p, "multilabel") == pytest.approx(expected)
    rows = p / p.sum(axis=1, keepdims=True)
    classes = np.arange(7) % 3
    expected = log_loss(classes, rows, labels=[0, 1, 2])
    assert metrics.log_loss(np.eye(3)[classes], rows, "multiclass") == pytest.approx(expected)


@given(hnp.arrays(np.float32, (5, 4), elements=st.floats(-80, 80, width=32)))
def test_probabilities_of_logits(logits):
    softmax = metrics.probabilities(logits, "multiclass")
    assert softmax.sum(axis=1) == pytest.approx(np.ones(5))
    sigmoid = metrics.probabilities(logits, "binary")
    assert sigmoid == pytest.approx(1 / (1 + np.exp(-logits.astype(float))))
    assert sigmoid.dtype == np.float64


def test_human_metrics_by_hand():
    labels = np.array([[1], [1], [1], [0], [0]])
    probabilities = np.array([[0.9], [0.4], [0.6], [0.7], [0.1]])
    # predicted 1 0 1 1 0: 2 true positives, 1 false negative, 1 false positive, 1 true negative
    found = objective.for_humans(labels, probabilities, "binary")
    assert found["confusion_matrix"] == [[1, 1], [1, 2]]
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["auc"] == pytest.approx(4 / 6)  # of 6 pairs, .4 < .7 and .6 < .7 are the wrong ones


def test_human_metrics_of_several_classes_and_labels():
    labels = np.eye(3)[[0, 1, 2, 2]]
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.1, 0.1, 0.8]])
    found = objective.for_humans(labels, probabilities, "multiclass")
    assert found["confusion_matrix"] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert found["accuracy"] == 0.75
    assert found["f1"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    found = objective.for_humans(labels, probabilities, "multilabel")
    assert found["confusion_matrix"] == [[[3, 0], [0, 1]], [[2, 1], [0, 1]], [[2, 0], [1, 1]]]  # .5 is a one


def test_one_half_is_a_one_for_humans_as_for_the_objective():
    labels, p = np.array([[1.0], [1.0], [0.0]]), np.array([[0.5], [0.5], [0.2]])
    assert objective.for_humans(labels, p, "binary")["accuracy"] == 1.0
    answers = decisions.decide(p, decisions.untuned("accuracy", 1, "binary"), "binary")
    assert METRICS["accuracy"].value(labels, answers, "binary") == 1.0


def test_auc_is_absent_where_a_class_is():
    assert objective.for_humans(np.array([[1], [1]]), np.array([[0.9], [0.8]]), "binary")["auc"] is None


def test_bootstrap_interval_of_known_losses():
    losses = np.repeat([0.0, 1.0], [300, 100])
    low, high = metrics.bootstrap_interval(losses)
    # the mean is .25, its standard error sqrt(.25 * .75 / 400) = .02165
    assert low == pytest.approx(0.25 - 1.96 * 0.02165, abs=0.006)
    assert high == pytest.approx(0.25 + 1.96 * 0.02165, abs=0.006)
    assert metrics.bootstrap_interval(losses) == [low, high]


def test_bootstrap_over_groups_is_wider_where_groups_agree():
    losses = np.repeat([0.0, 1.0, 0.0, 0.0], 100)
    groups = np.repeat(np.arange(40), 10)
    low, high = metrics.bootstrap_interval(losses)
    grouped_low, grouped_high = metrics.bootstrap_interval(losses, groups)
    assert grouped_high - grouped_low > 2 * (high - low)
