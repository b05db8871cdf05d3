"""Numbers that go wrong: each is right, warned of, or refused in one line, and nothing half-written is left."""

import logging
import re
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers.malformed import Case, check
from helpers.raw_files import folder_files, left_in, write_folder
from helpers.tiny import make_recipe, train_here, write_data

from foldwise.__main__ import main
from foldwise.competitions.folder.labels import encode
from foldwise.data import dataset, records
from foldwise.errors import FoldwiseError
from foldwise.execution import task as tasks
from foldwise.runs import report, store
from foldwise.training.inputs import auxiliary_columns

FACES = (
    "competition=faces source=kaggle competition.options.task={task} competition.options.label_columns=[label] "
    "split.n_folds=2"
)


def rows(*labels, n_test: int = 2):
    """Write a folder competition of these labels."""
    return lambda root: write_folder(root / "data/raw/faces", folder_files(labels, n_test))


def command(stage: str, kind: str = "binary") -> str:
    words = FACES.replace("{task}", kind)
    return f"{stage} {words if stage == 'folds' else words.removesuffix(' split.n_folds=2')}"


CASES = [
    Case(
        "one-class labels",
        rows(1, 1, 1, 1),
        command("prepare"),
        "the class 'label' cannot be learned: every row has it",
    ),
    Case(
        "one named class",
        rows("a", "a", "a"),
        command("prepare", "multiclass"),
        "the class 'a' cannot be learned: every row has it in the training data",
    ),
    Case(
        "an empty test set",
        rows(0, 1, 0, 1, n_test=0),
        command("prepare"),
        "sample_submission.csv: there is no row below the header; a competition whose test images are hidden",
    ),
    Case(
        "fewer samples than folds",
        rows(0, 1),
        f"{command('folds')} split.n_folds=5",
        "split.n_folds=5: the largest class has 1 rows; there must be at least as many rows of a class as folds",
    ),
    Case(
        "a class missing in a fold",
        rows(0, 0, 0, 0, 0, 1),
        command("folds"),
        "split.kind=stratified split.n_folds=2: no valid split in 1 tries: the rows outside fold 1 lack a class:",
    ),
    Case(
        "a class for each row",
        rows(*[f"c{i:05d}" for i in range(12)]),
        command("folds", "multiclass"),
        "split.n_folds=2: the largest class has 1 rows; there must be at least as many rows of a class as folds",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_numbers_that_go_wrong_in_raw_files(case: Case, tmp_path, capsys) -> None:
    check(case, tmp_path, capsys)


def test_images_of_one_value_are_warned_of(tmp_path, caplog) -> None:
    rows(0, 1, 0, 1)(tmp_path)
    assert main([*command("prepare").split(), f"root={tmp_path}"]) == 0
    assert "train: 4 of 4 images have one value everywhere, such as 't0'" in caplog.messages
    assert "test: 2 of 2 images have one value everywhere, such as 'u0'" in caplog.messages


def test_two_rows_are_a_fold_and_one_row_is_a_test_set(tmp_path) -> None:
    rows(0, 1, 0, 1, n_test=1)(tmp_path)
    assert main([*command("folds").split(), f"root={tmp_path}"]) == 0
    (file,) = tmp_path.glob("data/prepared/faces/*/folds_*.parquet")
    assert sorted(pd.read_parquet(file)["fold"]) == [0, 0, 1, 1]
    assert len(pd.read_parquet(file.with_name("test.parquet"))) == 1


@pytest.mark.trains
def test_a_loss_that_is_no_number_names_fold_and_epoch_and_writes_nothing(tmp_path) -> None:
    data = write_data(tmp_path / "data")
    recipe = make_recipe(learning_rate=1e38, epochs=5)
    with pytest.raises(FoldwiseError, match=r"lower fit.learning_rate"):
        train_here(recipe, data, tmp_path / "runs")
    (run,) = (tmp_path / "runs").iterdir()
    assert left_in(run) == ["checksums_recipe.json", "recipe.yaml"]


@pytest.mark.parametrize("part", ["held_out", "test"])
def test_predictions_that_are_no_numbers_are_refused(part: str, tmp_path) -> None:
    result = SimpleNamespace(held_out=np.full((3, 1), 0.5), test=np.full((4, 1), 0.5))
    getattr(result, part)[1] = np.nan
    task = SimpleNamespace(recipe=make_recipe(epochs=7))
    n, what = {"held_out": (3, "held-out"), "test": (4, "test")}[part]
    with pytest.raises(FoldwiseError, match=f"after epoch 7 the predictions of 1 of {n} {what} rows are no numbers"):
        tasks._check_finite(task, result)


def finished(folder, held_out):
    """A finished run of two folds with these held-out predictions (24,)."""
    data = dataset.read(write_data(folder / "data"))
    folds = pd.read_parquet(folder / "data/folds.parquet")
    run = store.open_run(folder / "runs", make_recipe())
    table = pd.DataFrame({"id": folds["id"], "y": held_out, "repeat": np.int8(0), "fold": folds["fold"]})
    test = pd.DataFrame({"id": data.test.table["id"], "y": 0.5})
    about = {"seconds": 0.0, "images_per_second": 0.0, "device": "cpu", "versions": {}}
    for fold in (0, 1):
        store.write_fold(run, fold, table[table["fold"] == fold], test, pd.DataFrame({"epoch": []}), [], about)
    return run, data, folds


def test_constant_predictions_are_warned_of(tmp_path, caplog) -> None:
    fold = np.arange(24) // 2 % 2
    run, data, folds = finished(tmp_path, np.where(fold == 1, 0.3, np.linspace(0.1, 0.9, 24)))
    with caplog.at_level(logging.WARNING):
        assert report.write_report(run, data, folds)["n_rows"] == 24
    assert [message.partition(": ")[2][:52] for message in caplog.messages] == [
        "every held-out row of fold 1 gets the same predictio"
    ]


def with_column(train: list[float], test: list[float], folder):
    """Prepare four training and two test rows with an auxiliary column."""
    rng = np.random.default_rng(0)

    def record(id_, value, columns):
        return records.Record(id_, rng.normal(size=(2, 2, 1)).astype(np.float32), {"age": value} | columns, id_)

    training = [record(f"r{i}", value, {"y": i % 2}) for i, value in enumerate(train)]
    testing = [record(f"t{i}", value, {}) for i, value in enumerate(test)]
    made = records.Records("binary", ["y"], training, testing, ["age"], test_ids=[one.id for one in testing])
    dataset.write(made, folder, "data")
    return dataset.read(folder)


def test_a_column_that_is_missing_everywhere_becomes_0_with_a_mark(tmp_path, caplog) -> None:
    nan = float("nan")
    data = with_column([nan] * 4, [3.0, nan], tmp_path)
    assert "the auxiliary column 'age' is missing in every training row" in caplog.text
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train, test = auxiliary_columns(data, ("age",), np.arange(4))
    assert train.tolist() == [[0.0, 1.0]] * 4
    assert test.tolist() == [[0.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), 1e300])
def test_an_infinite_column_is_refused(value: float, tmp_path) -> None:
    with pytest.raises(FoldwiseError, match=re.escape(f"'age' of 'r2' is {value:g}, expected a finite number")):
        with_column([1, 2, value, 4], [3], tmp_path)


@pytest.mark.trains
def test_a_single_test_row_is_predicted(tmp_path) -> None:
    data = write_data(tmp_path / "data", n_test=1)
    run = train_here(make_recipe(), data, tmp_path / "runs")
    assert len(store.test_predictions(run, pd.Series(["t0"]), ["y"])) == 1


def test_ten_thousand_classes_of_as_many_rows_are_one_line() -> None:
    table = pd.DataFrame({"label": [f"c{i % 10_000}" for i in range(10_001)]})
    with pytest.raises(
        FoldwiseError, match=r"train\.csv: 10,000 classes of 10,001 rows are more than 100,000,000 labels"
    ):
        encode(table, "multiclass", ["label"], None, "train.csv")
    assert encode(table[:300], "multiclass", ["label"], None, "train.csv").values.shape == (300, 300)
