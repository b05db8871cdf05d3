"""Folds are partitions, groups never straddle them, and every training part knows every class."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldwise.data import folds
from foldwise.data.assign_folds import assign_folds, imbalance, split_problem
from foldwise.data.dataset import Dataset, Split
from foldwise.data.near_duplicates import near_duplicates
from foldwise.errors import FoldwiseError
from foldwise.settings import SplitSettings


def make_dataset(labels, tmp_path, groups=None, images=None):
    table = pd.DataFrame({"id": [f"r{i}" for i in range(len(labels))], "y": labels})
    if groups is not None:
        table["group"] = groups
    images = np.zeros((len(labels), 8, 8, 1), np.float32) if images is None else images
    split = Split(images, table)
    return Dataset(split, split, "binary", ["y"], [], tmp_path, "data", "ids")


def test_stratified_folds_share_the_classes():
    labels = np.repeat([[1], [0]], [30, 70], axis=0)
    assigned = assign_folds(labels, None, SplitSettings(n_folds=5), seed=0)
    assert assigned.dtype == np.int8
    assert np.bincount(assigned).tolist() == [20] * 5
    assert [int(labels[assigned == f].sum()) for f in range(5)] == [6] * 5


def test_each_kind_of_row_shares_out_its_own_classes():
    labels = np.repeat([[1], [0]], [40, 160], axis=0)
    kinds = np.concatenate([np.repeat([1, 2], [30, 10]), np.repeat([1, 2], [70, 90])])
    assigned = assign_folds(labels, None, SplitSettings(n_folds=5), seed=0, kinds=kinds)
    for kind, label, each in ((1, 1, 6), (2, 1, 2), (1, 0, 14), (2, 0, 18)):
        assert np.bincount(assigned[(kinds == kind) & (labels[:, 0] == label)]).tolist() == [each] * 5


def test_kinds_too_rare_to_be_shared_out_go_together():
    labels = np.repeat([[1], [0]], [10, 40], axis=0)
    assigned = assign_folds(labels, None, SplitSettings(n_folds=5), seed=0, kinds=np.arange(50) % 25)
    assert np.bincount(assigned).tolist() == [10] * 5


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 14), st.integers(0, 1)), min_size=40, max_size=120),
    st.integers(2, 4),
    st.sampled_from(["group", "stratified_group"]),
    st.integers(0, 3),
)
def test_a_group_never_straddles_folds(rows, n_folds, kind, seed):
    groups = np.array([group for group, _ in rows])
    labels = np.array([[label] for _, label in rows])
    split = SplitSettings(kind=kind, n_folds=n_folds, tries=5)
    try:
        assigned = assign_folds(labels, groups, split, seed)
    except FoldwiseError as error:
        assert "split.n_folds" in str(error)  # refused: never a bad split
        return
    assert sorted(set(assigned)) == list(range(n_folds))
    assert all(len(set(assigned[groups == group])) == 1 for group in set(groups))
    for fold in range(n_folds):
        assert set(labels[assigned != fold, 0]) == {0, 1}


def test_more_tries_are_never_less_balanced():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 25, 200)
    labels = (rng.random((25, 1)) < 0.3)[groups].astype(int)
    found = [
        imbalance(assign_folds(labels, groups, SplitSettings(kind="stratified_group", tries=t), 0), labels, 5)
        for t in (1, 40)
    ]
    assert found[1] < found[0]


@pytest.mark.parametrize(
    ("labels", "groups", "assignment", "problem"),
    [
        ([[1], [0], [1], [0]], None, [0, 0, 0, 0], "fold 1 is empty"),
        ([[1], [0], [1], [0]], [1, 1, 2, 2], [0, 1, 0, 1], "a group straddles folds"),
        ([[1], [1], [0], [0]], None, [0, 0, 1, 1], "lack a class"),
        ([[1], [0], [1]], None, [0, 1], "no partition"),
        ([[1], [0], [1], [0]], None, [0, 0, 1, 1], ""),
    ],
)
def test_every_split_is_checked(labels, groups, assignment, problem):
    groups = None if groups is None else np.array(groups)
    assert problem in split_problem(np.array(assignment), np.array(labels), groups, 2)
    assert bool(split_problem(np.array(assignment), np.array(labels), groups, 2)) == bool(problem)


def test_too_few_rows_of_every_class_are_refused():
    with pytest.raises(FoldwiseError, match="largest class has 2 rows"):
        assign_folds(np.array([[1], [1], [0]]), None, SplitSettings(n_folds=3), 0)


def test_a_class_in_one_group_only_is_refused():
    labels, groups = np.array([[1], [1], [0], [0], [0], [0]]), np.array([0, 0, 1, 2, 3, 4])
    with pytest.raises(FoldwiseError, match="lack a class"):
        assign_folds(labels, groups, SplitSettings(kind="group", n_folds=2), 0)


def test_rare_combinations_of_labels_still_split():
    labels = np.zeros((40, 3), int)
    labels[:20, 0] = labels[10:30, 1] = 1
    labels[[0, 25, 35], 2] = 1
    assigned = assign_folds(labels, None, SplitSettings(n_folds=2), 0, "multilabel")
    assert np.bincount(assigned).tolist() == [20, 20]


def test_repeats_differ_and_are_written_once(tmp_path):
    dataset = make_dataset(np.tile([0, 1], 20), tmp_path)
    split = SplitSettings(n_folds=4, repeats=2)
    table = folds.write_folds(dataset, split)
    assert table.groupby("repeat")["id"].nunique().tolist() == [40, 40]
    assert (table[table["repeat"] == 0]["fold"].to_numpy() != table[table["repeat"] == 1]["fold"].to_numpy()).any()
    path = folds.folds_path(dataset, split)
    written = path.stat().st_mtime_ns
    pd.testing.assert_frame_equal(folds.read_folds(dataset, split), table)
    assert path.stat().st_mtime_ns == written
    balance = pd.read_csv(path.with_name(f"{path.stem}_balance.csv"))
    assert balance["rows"].tolist() == [10] * 8
    assert balance["y"].tolist() == [0.5] * 8


def test_the_split_key_follows_what_decides_the_folds(tmp_path):
    dataset = make_dataset(np.tile([0, 1], 20), tmp_path)
    keys = {
        folds.split_key(dataset, split)
        for split in (
            SplitSettings(),
            SplitSettings(n_folds=4),
            SplitSettings(seed=1),
            SplitSettings(near_duplicates=3),
        )
    }
    assert len(keys) == 4
    assert folds.split_key(dataset, SplitSettings()) == folds.split_key(dataset, SplitSettings())


def test_a_grouped_split_needs_groups(tmp_path):
    with pytest.raises(FoldwiseError, match="no column that groups rows"):
        folds.read_folds(make_dataset(np.tile([0, 1], 20), tmp_path), SplitSettings(kind="group"))


def test_near_identical_images_share_a_fold(tmp_path):
    rng = np.random.default_rng(0)
    base = rng.normal(size=(20, 32, 32, 2)).astype(np.float32)
    base = np.cumsum(np.cumsum(base, axis=1), axis=2)  # smooth, as a perceptual hash expects
    images = np.concatenate([base, base + rng.normal(scale=1e-3, size=base.shape).astype(np.float32)])
    pairs = {tuple(pair) for pair in near_duplicates(images, 2).tolist()}
    assert {(i, i + 20) for i in range(20)} <= pairs
    dataset = make_dataset(np.tile([0, 1], 20), tmp_path, images=images)
    table = folds.read_folds(dataset, SplitSettings(n_folds=4, near_duplicates=2)).set_index("id")["fold"]
    assert all(table[f"r{i}"] == table[f"r{i + 20}"] for i in range(20))
    assert len(set(table)) == 4


def test_folds_of_a_regression_share_the_quantiles_of_the_first_target():
    rng = np.random.default_rng(0)
    y = np.stack([rng.gamma(0.5, 100, 103), rng.normal(size=103)], axis=1)
    assigned = assign_folds(y, None, SplitSettings(n_folds=5), seed=0, task="regression")
    # 103 // 10 = 10 bins of 10 or 11 rows: 2 or 3 of each in every fold
    bins = np.searchsorted(np.quantile(y[:, 0], np.arange(1, 10) / 10), y[:, 0], side="right")
    counts = np.array([np.bincount(bins[assigned == f], minlength=10) for f in range(5)])
    assert set(counts.ravel().tolist()) == {2, 3}


def test_equal_targets_share_a_bin_and_few_rows_have_one():
    zeros = np.concatenate([np.zeros(60), np.arange(1, 41)])[:, None]
    assigned = assign_folds(zeros, None, SplitSettings(n_folds=5), seed=0, task="regression")
    assert [int((zeros[assigned == f] == 0).sum()) for f in range(5)] == [12] * 5
    few = assign_folds(np.arange(6.0)[:, None], None, SplitSettings(n_folds=3), seed=0, task="regression")
    assert np.bincount(few).tolist() == [2] * 3


@pytest.mark.parametrize("kind", ["group", "stratified_group"])
def test_groups_with_a_value_each_are_split(kind):
    """Each value lies in one fold alone: that is no reason to refuse a regression."""
    groups = np.repeat(np.arange(6), 10)
    assigned = assign_folds(
        groups[:, None] * 1.0, groups, SplitSettings(kind=kind, n_folds=3), seed=0, task="regression"
    )
    assert np.bincount(assigned).tolist() == [20] * 3
    assert split_problem(assigned, np.empty((60, 0)), groups, 3) == ""
