"""Folds of one's own are taken as they are, whatever their columns are called, or refused with the ids."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foldwise.data import folds
from foldwise.data.assign_folds import assign_folds
from foldwise.data.dataset import Dataset, Split
from foldwise.data.fold_files import read_fold_file
from foldwise.errors import FoldwiseError
from foldwise.settings import SplitSettings

IDS = pd.Series([f"{i:03d}" for i in range(12)])
FOLDS = np.arange(12) % 3


def make_dataset(tmp_path, labels, groups=None, targets=("y",), task="binary", ids=IDS):
    table = pd.DataFrame(labels, columns=list(targets)).assign(id=ids)
    if groups is not None:
        table["group"] = groups
    split = Split(np.zeros((len(table), 2, 2, 1), np.float32), table)
    return Dataset(split, split, task, list(targets), [], tmp_path, "data", "ids")


def written(tmp_path, table, name="folds.csv", **options):
    path = tmp_path / name
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False, **options)
    return path


def by_file(path, **settings):
    return SplitSettings(kind="file", file=str(path), **settings)


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        ({"id": IDS, "fold": FOLDS}, {}),
        ({"image_id": IDS, "kfold": FOLDS}, {}),
        ({"Fold": FOLDS, "label": "a", "picture": IDS}, {}),
        ({"": range(12), "image": IDS, "fold": FOLDS}, {}),
        ({"id": range(12), "image": IDS, "fold": FOLDS}, {}),
        ({"id": IDS, "fold": FOLDS + 1}, {}),
        ({"id": IDS, "fold": FOLDS.astype(float)}, {}),
        ({"id": IDS, "fold": FOLDS * 10}, {}),
        ({"id": IDS, "fold": FOLDS}, {"sep": ";", "encoding": "utf-8-sig"}),
        ({"id": IDS, "fold": FOLDS}, {"sep": "\t"}),
        ({"id": IDS.astype(int), "fold": FOLDS}, {}),
        ({"id": "images/" + IDS + ".png", "fold": FOLDS}, {}),
        ({"id": IDS, "fold": FOLDS, "repeat": 0}, {}),
        ({"id": [*IDS, *IDS], "fold": [*FOLDS, *FOLDS]}, {}),  # a row for each box or label
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_a_file_of_folds_is_understood(tmp_path, columns, options):
    table = pd.DataFrame(columns)
    mixed = table.sample(frac=1, random_state=0) if "" not in table else table
    found = read_fold_file(written(tmp_path, mixed, **options), IDS)
    assert found["id"].tolist() == IDS.tolist()
    assert found["fold"].tolist() == FOLDS.tolist()
    assert found["repeat"].tolist() == [0] * 12


def test_a_parquet_file_and_a_column_of_any_name(tmp_path):
    table = pd.DataFrame({"id": IDS, "fold": 0, "mine": FOLDS})
    path = written(tmp_path, table, "folds.parquet")
    assert read_fold_file(path, IDS, "mine")["fold"].tolist() == FOLDS.tolist()
    with pytest.raises(FoldwiseError, match=r"there is no column 'mein'; did you mean 'mine'\?"):
        read_fold_file(path, IDS, "mein")


def test_repeats_come_from_the_file(tmp_path):
    table = pd.concat(
        [pd.DataFrame({"id": IDS, "repeat": r, "fold": (np.arange(12) + 5 * r) // 4 % 3}) for r in (1, 2)]
    )
    dataset = make_dataset(tmp_path, np.tile([0, 1], 6))
    split = by_file(written(tmp_path, table))
    assert folds.read_folds(dataset, split)["fold"].tolist() == table["fold"].tolist()
    counted = folds.counted_split(split, folds.read_folds(dataset, split))
    assert (counted.n_folds, counted.repeats) == (3, 2)


def changed(row, **values):
    table = pd.DataFrame({"id": IDS, "fold": FOLDS}).astype({"fold": object})
    for name, value in values.items():
        table.loc[row, name] = value
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (changed(0)[2:], r"2 of 12 training ids have no fold: '000', '001'; expected each once"),
        (changed(3, id="x17"), r"1 ids of the column 'id' are not in the training data: 'x17'; the nearest to 'x17'"),
        (pd.concat([changed(0), changed(4, fold=2)]), r"'004' is in the folds 1 and 2; expected one"),
        (changed(5, fold=""), r"folds.csv, row 6: 'fold' of '005' is '', expected a whole number from 0, or -1"),
        (changed(5, fold=1.5), r"row 6: 'fold' of '005' is '1.5', expected a whole number"),
        (changed(5, fold="val"), r"row 6: 'fold' of '005' is 'val', expected a whole number"),
        (changed(5, fold=-2), r"row 6: 'fold' of '005' is '-2', expected a whole number"),
        (changed(0).assign(fold=0), r"expected 2 to 100 folds in the column 'fold', found 1"),
        (changed(0).rename(columns={"fold": "part"}), r"none is named fold or kfold; name it by split.column=NAME"),
        (changed(0).assign(kfold=0), r"of the columns fold, kfold several could hold the folds; name it by"),
        (changed(0)[["fold"]], r"there is no column of ids"),
        (
            changed(0).assign(id=lambda t: "a" + t["id"]),
            r"12 ids of the column 'id' .* the nearest to 'a000' there is '0",
        ),
    ],
)
def test_what_is_no_fold_for_each_id_is_refused(tmp_path, table, message):
    with pytest.raises(FoldwiseError, match=message):
        read_fold_file(written(tmp_path, table), IDS)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(FoldwiseError, match=r"split.file=.*none.csv: no such file"):
        read_fold_file(tmp_path / "none.csv", IDS)


def test_folds_are_checked_like_those_that_are_made(tmp_path):
    path = written(tmp_path, pd.DataFrame({"id": IDS, "fold": FOLDS}))
    labels = np.tile([0, 1], 6)
    groups = np.arange(12) // 2
    message = r"no valid split: 6 groups straddle folds: '000' and '001' of the group 0 are in the folds 0 and 1"
    with pytest.raises(FoldwiseError, match=message):
        folds.read_folds(make_dataset(tmp_path, labels, groups), by_file(path))
    with pytest.raises(FoldwiseError, match=r"the rows outside fold 1 lack a class: 'y=1' \(4 rows\)"):
        folds.read_folds(make_dataset(tmp_path, (FOLDS == 1).astype(int)), by_file(path))
    one = make_dataset(tmp_path, labels, FOLDS)  # whole groups
    assert folds.read_folds(one, by_file(path))["fold"].tolist() == FOLDS.tolist()


def test_the_folds_enter_the_key_and_the_name_of_their_file_does_not(tmp_path):
    dataset = make_dataset(tmp_path, np.tile([0, 1], 6))
    same = [
        written(tmp_path, pd.DataFrame({"id": IDS, "fold": FOLDS}), "a.csv"),
        written(tmp_path, pd.DataFrame({"kfold": FOLDS + 1, "image": IDS})[::-1], "b.csv"),
    ]
    other = written(tmp_path, pd.DataFrame({"id": IDS, "fold": np.roll(FOLDS, 1)}), "c.csv")
    keys = [folds.split_key(dataset, by_file(path)) for path in (*same, other)]
    assert keys[0] == keys[1] != keys[2]
    table = folds.write_folds(dataset, by_file(same[0]))
    assert folds.folds_path(dataset, by_file(same[1])).is_file()
    pd.testing.assert_frame_equal(folds.read_folds(dataset, by_file(same[1])), table)


def test_rows_of_fold_minus_one_are_never_held_out(tmp_path):
    given = np.where(np.arange(12) < 3, -1, FOLDS)
    path = written(tmp_path, pd.DataFrame({"id": IDS, "fold": given}))
    dataset = make_dataset(tmp_path, np.tile([0, 1], 6))
    part, table = folds.read_scored(dataset, by_file(path))
    assert table["id"].tolist() == part.train.table["id"].tolist() == IDS[3:].tolist()
    assert part.labels[:, 0].tolist() == [1, 0] * 4 + [1]
    assert folds.counted_split(by_file(path), table).n_folds == 3


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-1, 4), min_size=12, max_size=12), st.permutations(range(12)), st.integers(0, 3))
def test_every_row_is_held_out_once_or_never(tmp_path, given_folds, order, first):
    table = pd.DataFrame({"id": IDS, "fold": given_folds}).iloc[order]
    table["fold"] = table["fold"].where(table["fold"] < 0, table["fold"] + first)
    dataset = make_dataset(tmp_path, np.tile([0, 1], 6))
    split = by_file(written(tmp_path, table))
    try:
        part, found = folds.read_scored(dataset, split)
    except FoldwiseError as error:
        assert "2 to 100 folds" in str(error) or "lack a class" in str(error)
        return
    assert sorted(found["id"]) == sorted(IDS[np.array(given_folds) >= 0]) == sorted(part.train.table["id"])
    assert sorted(set(found["fold"])) == [*range(folds.counted_split(split, found).n_folds)]
    together = found.merge(table, on="id")  # the same rows share a fold, by other numbers
    assert (together.groupby("fold_x")["fold_y"].nunique() == 1).all()
    assert (together.groupby("fold_y")["fold_x"].nunique() == 1).all()


def test_a_regression_has_no_classes_to_lack(tmp_path, caplog):
    dataset = make_dataset(tmp_path, np.where(FOLDS == 1, 0.7, 0.2) + np.arange(12) / 1000, task="regression")
    path = written(tmp_path, pd.DataFrame({"id": IDS, "fold": FOLDS}))
    for split in (by_file(path), SplitSettings(kind="iterative", n_folds=3), SplitSettings(n_folds=3)):
        assert folds.write_folds(dataset, split)["fold"].value_counts().tolist() == [4, 4, 4]
    assert caplog.text == ""
    with pytest.raises(FoldwiseError, match="a regression has no classes"):
        folds.read_folds(dataset, SplitSettings(rare="keep_in_train"))


# Classes with fewer rows than folds

CLASSES = np.eye(4, dtype=int)[np.array([0] * 20 + [1] * 20 + [2] * 3 + [3])]
KEPT = SplitSettings(rare="keep_in_train")


def test_a_class_of_one_row_is_named_and_may_be_kept_in_training(tmp_path):
    ids = pd.Series([f"r{i}" for i in range(44)])
    dataset = make_dataset(tmp_path, CLASSES, None, ["ant", "bee", "cow", "dog"], "multiclass", ids)
    with pytest.raises(FoldwiseError, match=r"lack a class: 'dog' \(1 row\); split.rare=keep_in_train never holds"):
        folds.read_folds(dataset, SplitSettings())
    part, table = folds.read_scored(dataset, KEPT)
    assert sorted(table["id"]) == sorted(ids[:40])
    assert table["fold"].value_counts().tolist() == [8] * 5
    assert len(part.train.table) == 40
    assert folds.split_key(dataset, KEPT) != folds.split_key(dataset, SplitSettings())


def test_rare_classes_are_logged(tmp_path, caplog):
    ids = pd.Series([f"r{i}" for i in range(43)])
    dataset = make_dataset(tmp_path, CLASSES[:43, :3], None, ["ant", "bee", "cow"], "multiclass", ids)
    folds.write_folds(dataset, SplitSettings())
    assert "fewer rows than folds (5): 'cow' (3 rows); some folds hold none out" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO"):
        folds.write_folds(dataset, KEPT)
    assert "3 of 43 training rows are never held out" in caplog.text
    assert "fewer rows" not in caplog.text


def test_without_a_rare_class_the_option_changes_no_assignment():
    labels = CLASSES[:40, :2]
    usual = assign_folds(labels, None, SplitSettings(), 0, "multiclass")
    assert (assign_folds(labels, None, KEPT, 0, "multiclass") == usual).all()


def test_two_classes_at_least_must_be_held_out():
    with pytest.raises(FoldwiseError, match="fewer than two classes have 5 rows"):
        assign_folds(np.array([[1]] * 3 + [[0]] * 30), None, KEPT, 0)


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 9), st.sets(st.integers(0, 3))), min_size=30, max_size=60), st.booleans())
def test_kept_rows_are_whole_groups_and_all_other_classes_have_a_row_for_each_fold(rows, grouped):
    labels = np.array([[int(k in found) for k in range(4)] for _, found in rows])
    groups = np.array([group for group, _ in rows]) if grouped else None
    split = SplitSettings(kind="iterative_group" if grouped else "iterative", n_folds=3, tries=3, rare="keep_in_train")
    try:
        fold = assign_folds(labels, groups, split, 0, "multilabel")
    except FoldwiseError as error:
        assert "split." in str(error)
        return
    units = np.arange(len(rows)) if groups is None else groups
    assert not set(units[fold < 0]) & set(units[fold >= 0])
    for k in range(4):
        assert len(set(units[(labels[:, k] == 1) & (fold >= 0)])) not in (1, 2)
        for f in range(3):
            assert labels[fold != f, k].any()
