"""A run's predictions are aligned by id, and refused unless they are a partition."""

import shutil

import numpy as np
import pandas as pd
import pytest

from foldwise.data import checksums
from foldwise.errors import Damaged, FoldwiseError
from foldwise.runs import store
from foldwise.runs.check_files import wrong_predictions
from foldwise.runs.store import Run

IDS = [f"r{i}" for i in range(6)]


def make_folds(repeats=1):
    return pd.DataFrame(
        [{"id": id_, "repeat": r, "fold": (i + r) % 2} for r in range(repeats) for i, id_ in enumerate(IDS)]
    )


def write_run(tmp_path, folds, change=lambda table, fit: table, n_folds=2):
    """Write a run whose prediction for row i in repeat r is (i + 1) / 10 + r / 100."""
    repeats = folds["repeat"].max() + 1
    run = Run(tmp_path / "mlp-0123")
    run.path.mkdir()
    (run.path / "recipe.yaml").write_text(f"split: {{n_folds: {n_folds}, repeats: {repeats}}}\nmodel: {{name: mlp}}\n")
    for fit in range(n_folds * repeats):
        repeat, fold = divmod(fit, n_folds)
        rows = folds[(folds["repeat"] == repeat) & (folds["fold"] == fold)].copy()
        rows["y"] = [(IDS.index(id_) + 1) / 10 + repeat / 100 for id_ in rows["id"]]
        rows = change(rows.sample(frac=1, random_state=0), fit)  # rows in no order: they are aligned by id
        test = pd.DataFrame({"id": ["t1", "t0"], "y": [0.1 * fit, 0.5]})
        store.write_fold(run, fit, rows, test, pd.DataFrame({"epoch": [1]}), [], {"seconds": 1.0})
    return run


def test_out_of_fold_predictions_are_aligned_by_id(tmp_path):
    folds = make_folds()
    run = write_run(tmp_path, folds)
    predicted = store.out_of_fold(run, folds, pd.Series(IDS[::-1]), ["y"])
    assert predicted[:, 0].tolist() == pytest.approx([0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


def test_repeats_are_averaged(tmp_path):
    folds = make_folds(repeats=2)
    run = write_run(tmp_path, folds)
    assert run.n_fits == 4
    predicted = store.out_of_fold(run, folds, pd.Series(IDS), ["y"])
    assert predicted[:, 0].tolist() == pytest.approx([0.105, 0.205, 0.305, 0.405, 0.505, 0.605])


def test_test_predictions_are_the_mean_over_folds(tmp_path):
    run = write_run(tmp_path, make_folds())
    assert store.test_predictions(run, pd.Series(["t0", "t1"]), ["y"]).tolist() == [[0.5], [pytest.approx(0.05)]]


@pytest.mark.parametrize(
    "change",
    [
        lambda table, _: table.iloc[1:],  # a row is lost
        lambda table, _: pd.concat([table, table.iloc[:1]]),  # a row is predicted twice
        lambda table, _: table.assign(fold=1 - table["fold"]),  # a row is predicted by another fold's model
        lambda table, _: table.replace({"id": {"r0": "r99"}}),
        lambda table, _: table.assign(y=np.nan),
    ],
    ids=["lost", "twice", "wrong fold", "other id", "not a number"],
)
def test_what_is_no_partition_is_refused(tmp_path, change):
    folds = make_folds()
    run = write_run(tmp_path, folds, change)
    with pytest.raises(FoldwiseError, match="no partition"):
        store.out_of_fold(run, folds, pd.Series(IDS), ["y"])


def test_predictions_of_other_data_are_refused(tmp_path):
    run = write_run(tmp_path, make_folds())
    with pytest.raises(FoldwiseError, match="trained on other data"):
        store.test_predictions(run, pd.Series(["t0", "t2"]), ["y"])


def test_a_run_without_all_its_folds_is_not_finished(tmp_path):
    run = write_run(tmp_path, make_folds())
    assert run.is_finished()
    (run.path / "fold_1").rename(run.path / ".fold_1.partial-1")
    assert run.missing() == [1]


def test_folds_that_a_refit_takes_belong_to_its_run(tmp_path):
    first = write_run(tmp_path, make_folds())
    run = Run(tmp_path / "mlp-4567")
    run.path.mkdir()
    (run.path / "recipe.yaml").write_text((first.path / "recipe.yaml").read_text())
    store.take_folds(run, first)
    for fit in (0, 1):
        store.check_owner(run, fit)
        assert list(checksums.wrong_files(run.fold_path(fit) / "checksums.json")) == []
    shutil.rmtree(run.fold_path(1))
    shutil.copytree(run.fold_path(0), run.fold_path(1))
    with pytest.raises(Damaged, match=r"mlp-4567/fold_1 is a copy of mlp-4567/fold_0; `rm -r .*fold_1` removes it"):
        store.out_of_fold(run, make_folds(), pd.Series(IDS), ["y"])


@pytest.mark.parametrize(
    ("task", "values", "expected"),
    [
        ("binary", [0.0, 1.0], ""),
        ("binary", [0.5, 2.0], "goes from 0.5 to 2, expected probabilities in [0, 1]"),
        ("binary", [-0.1, 0.5], "goes from -0.1 to 0.5, expected probabilities in [0, 1]"),
        ("multilabel", [0.5, np.inf], "goes from 0.5 to inf, expected probabilities in [0, 1]"),
        ("multiclass", [0.5, 0.5], "has rows whose probabilities do not sum to 1, but to 0.5 more or less"),
        ("regression", [-7.0, 300.0], ""),
        ("regression", [1.0, np.nan], "goes from nan to nan, expected finite numbers"),
        ("binary", ["a", "b"], "goes from nan to nan, expected probabilities in [0, 1]"),
        (None, [5.0, 7.0], ""),
    ],
)
def test_impossible_predictions_are_told(task, values, expected):
    assert wrong_predictions(pd.DataFrame({"y": values}), ["y"], task) == expected
    assert wrong_predictions(pd.DataFrame({"z": values}), ["y"], task) == "has no column 'y'"
