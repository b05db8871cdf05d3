"""What trained models say of the samples on the page."""

import numpy as np
import pytest
from helpers.pool import PoolHere
from helpers.tiny import make_recipe, train_here, write_data

from foldwise.data import dataset
from foldwise.execution import executors
from foldwise.report import looks, samples
from foldwise.runs.store import Run
from foldwise.settings import ExecutionSettings, ReportSettings


@pytest.mark.parametrize(
    ("task", "y", "p", "outputs", "signs"),
    [
        ("binary", [[1], [0]], [[0.4], [0.6]], [0, 0], [-1, 1]),
        ("multiclass", [[1, 0, 0]], [[0.2, 0.1, 0.7]], [2], [1]),
        ("multilabel", [[1, 0, 1]], [[0.9, 0.3, 0.1]], [2], [-1]),
        ("regression", [[1.0, 5.0]], [[1.5, 2.0]], [1], [1]),
    ],
)
def test_the_decision_is_asked_for(task, y, p, outputs, signs):
    found = looks.evidence(np.array(y), np.array(p), task)
    assert [one.tolist() for one in found] == [outputs, signs]


@pytest.mark.trains
def test_each_row_is_explained_by_the_model_that_held_it_out(tmp_path, monkeypatch):
    """The folds hold out two rows in turn: fold 1 has row 2, fold 0 rows 0 and 5. Fold 1 is asked for the hardest."""
    monkeypatch.setattr(executors, "LocalPool", PoolHere)
    data = dataset.read(write_data(tmp_path / "data"))
    recipe = make_recipe("small_cnn", {"filters": (4,)}, epochs=1)
    run = train_here(recipe, data.path, tmp_path / "runs")
    rows, ones = [2, 0, 5], np.ones(3, int)
    shown = looks.Shown(run, recipe, rows, np.array(rows), np.array([1, 0, 0]), 0 * ones, ones)
    given = ReportSettings(heat=1, occlusion=2, neighbours=1)
    (found,) = looks.explain([shown], data, data.path / "folds.parquet", given, ExecutionSettings())
    assert {row: sorted(about) for row, about in found.items()} == {
        2: ["heat", "neighbours", "occlusion"],
        0: ["neighbours", "occlusion"],
        5: ["neighbours"],
    }
    assert found[2]["neighbours"][0] // 2 % 2 == 0  # a row that fold 1 trained on
    p = np.full((24, 1), 0.5)
    views = samples.sample_views(rows, data.labels, p, data, data, samples.grey_ranges(data.train.images), found)
    assert [[one["name"] for one in view["maps"]] for view in views] == [["Grad-CAM", "Occlusion"], ["Occlusion"], []]
    assert views[0]["neighbours"][0]["text"] in ("y 0", "y 1")
    assert views[0]["maps"][0]["image"].startswith("data:image/jpeg")


def test_an_imported_run_is_passed_over(tmp_path):
    data = dataset.read(write_data(tmp_path / "data"))
    run = Run(tmp_path / "imported-1")
    shown = looks.Shown(run, None, [0], np.array([0]), np.array([0]), np.array([0]), np.array([1]))
    given = ReportSettings(heat=1)
    assert looks.explain([shown], data, tmp_path / "folds.parquet", given, ExecutionSettings()) == [{}]
