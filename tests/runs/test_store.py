"""A run's predictions are aligned by id, and refused unless they are a partition."""

import numpy as np
import pandas as pd
import pytest

from foldwise.errors import FoldwiseError
from foldwise.runs import store
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
