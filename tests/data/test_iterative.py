"""Iterative stratification shares out every label as evenly as rows allow, the rarest first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldwise.data.assign_folds import assign_folds
from foldwise.data.iterative import iterative_folds
from foldwise.errors import FoldwiseError
from foldwise.settings import SplitSettings


def many_labels(n=600, seed=0):
    """Labels that come together: each of the later ones is rarer, the last has 10 rows."""
    rng = np.random.default_rng(seed)
    shares = np.array([0.5, 0.3, 0.1, 0.06, 0.02])
    labels = (rng.random((n, 5)) < shares).astype(int)
    labels[:, 2] |= labels[:, 1] & (rng.random(n) < 0.5)
    return labels


def deviations(labels, fold, n_folds=5):
    """By how many rows of a label a fold differs from its share: (n_folds, k)."""
    return np.array([labels[fold == f].sum(axis=0) for f in range(n_folds)]) - labels.sum(axis=0) / n_folds


def test_every_label_has_its_share_in_every_fold():
    labels = many_labels()
    for seed in range(5):
        fold = iterative_folds(labels, np.ones(600, int), 5, np.random.default_rng(seed))
        # what MultilabelStratifiedKFold of iterative-stratification 0.1.9 gives for these labels, random_state 0 to 4
        assert abs(deviations(labels, fold)).max() == pytest.approx(0.8)
        assert np.bincount(fold).tolist() == [120] * 5


def test_it_is_more_even_than_the_strata_of_combinations():
    labels = np.tile(np.eye(8, dtype=int), (6, 1)) | np.roll(np.tile(np.eye(8, dtype=int), (6, 1)), 3, axis=0)
    labels = np.concatenate([labels, (np.random.default_rng(0).random((60, 8)) < 0.2).astype(int)])
    worst = {}
    for kind in ("stratified", "iterative"):
        fold = assign_folds(labels, None, SplitSettings(kind=kind), 0, "multilabel")
        worst[kind] = abs(deviations(labels, fold)).max()
    assert worst["iterative"] < 2 < worst["stratified"]


@given(
    st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=12, max_size=60),
    st.integers(2, 5),
    st.integers(0, 9),
)
def test_items_are_a_partition_and_the_rarest_label_is_even(rows, n_folds, seed):
    labels = np.array(rows, int)
    fold = iterative_folds(labels, np.ones(len(labels), int), n_folds, np.random.default_rng(seed))
    assert fold.dtype == np.int8
    assert set(fold) <= set(range(n_folds))
    totals = labels.sum(axis=0)
    if totals.any():
        rarest = int(np.where(totals > 0, totals, 1000).argmin())  # it is shared out before any other
        counts = np.bincount(fold[labels[:, rarest] == 1], minlength=n_folds)
        assert counts.max() - counts.min() <= 1
    again = iterative_folds(labels, np.ones(len(labels), int), n_folds, np.random.default_rng(seed))
    assert (fold == again).all()


def test_whole_groups_share_a_fold_and_labels_are_still_even():
    labels = many_labels(900)
    groups = np.random.default_rng(1).integers(0, 150, 900)
    split = SplitSettings(kind="iterative_group")
    fold = assign_folds(labels, groups, split, 0, "multilabel")
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
    assert abs(deviations(labels, fold)[:, :3]).max() <= 12  # of 92 to 450 rows
    assert sorted(set(fold)) == [0, 1, 2, 3, 4]


def test_other_tasks_may_be_split_so_too():
    labels = np.repeat([[1], [0]], [30, 70], axis=0)
    fold = assign_folds(labels, None, SplitSettings(kind="iterative"), 0)
    assert np.bincount(fold).tolist() == [20] * 5
    assert [int(labels[fold == f].sum()) for f in range(5)] == [6] * 5


def test_a_label_of_one_row_is_refused_by_name():
    labels = np.zeros((40, 2), int)
    labels[:20, 0] = labels[7, 1] = 1
    with pytest.raises(FoldwiseError, match=r"lack a class: 'rust' \(1 row\); split.rare=keep_in_train never holds"):
        assign_folds(labels, None, SplitSettings(kind="iterative"), 0, "multilabel", targets=["scab", "rust"])
