"""Blends: weights learned where they may be, scored where they were not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from foldwise import ensemble
from foldwise.config import EnsembleSettings


def test_arithmetic_and_logit_means_by_hand():
    predictions = np.array([[[0.9]], [[0.5]]])
    halves = np.array([0.5, 0.5])
    assert ensemble.blend(predictions, halves, "arithmetic", "binary")[0, 0] == pytest.approx(0.7)
    # logits ln 9 and 0, mean ln 3: 3 / 4
    assert ensemble.blend(predictions, halves, "logit", "binary")[0, 0] == pytest.approx(0.75)


def test_logit_mean_of_classes_is_the_normalised_geometric_mean():
    predictions = np.array([[[0.8, 0.1, 0.1]], [[0.2, 0.4, 0.4]]])
    blended = ensemble.blend(predictions, np.array([0.5, 0.5]), "logit", "multiclass")
    # sqrt(.16) = .4, sqrt(.04) = .2 twice: .5, .25, .25
    assert blended[0] == pytest.approx([0.5, 0.25, 0.25])


def test_greedy_takes_the_good_member_alone():
    labels = np.tile([[1.0], [0.0]], (50, 1))
    good, bad = np.where(labels == 1, 0.9, 0.1), np.where(labels == 1, 0.1, 0.9)
    for average in ("arithmetic", "logit"):
        weights = ensemble.fit_weights(np.stack([bad, good]), labels, EnsembleSettings("greedy", average), "binary")
        assert weights.tolist() == [0, 1]


def test_greedy_mixes_members_that_err_on_different_rows():
    labels = np.ones((4, 1))
    a, b = np.array([[0.9], [0.9], [0.2], [0.2]]), np.array([[0.2], [0.2], [0.9], [0.9]])
    weights = ensemble.fit_weights(np.stack([a, b]), labels, EnsembleSettings("greedy", "arithmetic"), "binary")
    assert weights.tolist() == [0.5, 0.5]


def test_best_keeps_the_members_of_lowest_loss():
    labels = np.ones((3, 1))
    predictions = np.stack([np.full((3, 1), p) for p in (0.5, 0.9, 0.7)])
    weights = ensemble.fit_weights(predictions, labels, EnsembleSettings("mean", best=2), "binary")
    assert weights.tolist() == [0, 0.5, 0.5]


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(np.float64, (3, 20, 1), elements=st.floats(0.02, 0.98)),
    st.sampled_from(["mean", "greedy"]),
    st.sampled_from(["logit", "arithmetic"]),
)
def test_weights_sum_to_one_and_greedy_never_loses_to_its_members(predictions, kind, average):
    labels = np.tile([[1.0], [0.0]], (10, 1))
    chosen = EnsembleSettings(kind, average)
    weights = ensemble.fit_weights(predictions, labels, chosen, "binary")
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    if kind == "greedy":
        losses = [ensemble.metrics.log_loss(labels, p) for p in predictions]
        blended = ensemble.blend(predictions, weights, average, "binary")
        assert ensemble.metrics.log_loss(labels, blended) <= min(losses) + 1e-12


def test_the_nested_score_never_sees_the_labels_that_it_is_scored_on():
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 1)) < 0.5).astype(float)
    predictions = rng.uniform(0.1, 0.9, size=(4, 60, 1))
    fold_of = np.arange(60) % 3
    settings = EnsembleSettings("greedy", best=2)
    before = ensemble.nested_predictions(predictions, labels, fold_of, settings, "binary")
    nonsense = labels.copy()
    nonsense[fold_of == 1] = 1 - nonsense[fold_of == 1]
    after = ensemble.nested_predictions(predictions, nonsense, fold_of, settings, "binary")
    assert (before[fold_of == 1] == after[fold_of == 1]).all()
    assert (before[fold_of != 1] != after[fold_of != 1]).any()


def test_fitting_noise_looks_good_only_when_it_is_not_nested():
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 1)) < 0.5).astype(float)
    predictions = rng.uniform(0.2, 0.8, size=(60, 80, 1))
    settings = EnsembleSettings("greedy", "arithmetic")
    weights = ensemble.fit_weights(predictions, labels, settings, "binary")
    flattering = ensemble.metrics.log_loss(labels, ensemble.blend(predictions, weights, "arithmetic", "binary"))
    nested = ensemble.nested_score(predictions, labels, np.arange(80) % 5, settings, "binary")
    assert flattering < 0.67 < 0.69 < nested  # ln 2 = .693 is what noise deserves
