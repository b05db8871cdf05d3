"""The loss of the held-out rows after each epoch: its value, and that recording it changes no bit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import tiny
from helpers.data import HELD_OUT, N, make_dataset, make_recipe
from helpers.values import HELD_OUT as VALUES_HELD_OUT
from helpers.values import make_values

from foldwise.execution.task import FoldTask, train_one
from foldwise.runs import store
from foldwise.settings import AugmentSettings, FinetuneSettings
from foldwise.training import features, network
from foldwise.training.fit import train_fold
from foldwise.training.held_out_loss import logits

SHORT = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 1))  # stages of a network that would be traced too long
LITE = {"weights": None, "side": 32, "bands": "difference", "values": (-35.0, 0.0)}
CASES = {
    "dropout, batch norm, snapshots, average": make_recipe(
        "small_cnn", {"dropout": 0.4, "auxiliary": ("angle",)}, epochs=4, snapshots=2, ema=0.9
    ),
    "two seeds, views": make_recipe("mlp", {"dropout": 0.3}, AugmentSettings("flips", test_views="flips"), n_seeds=2),
    "phases": replace(
        make_recipe("efficientnet_lite0", LITE, epochs=3, learning_rate=0.01),
        finetune=FinetuneSettings("last_block", head_epochs=1),
    ),
    "stored features": replace(
        make_recipe("efficientnet_lite0", LITE, epochs=2), finetune=FinetuneSettings("head", head_epochs=2)
    ),
}


def trained(recipe, with_held_out_loss, folder):
    """Everything that two folds give, one after the other in one process."""
    network.forget()
    data = replace(make_dataset(), path=folder)
    stored = features.features(recipe, data) if recipe.finetune.mode == "head" else None
    found, reports = [], []
    for fold, held_out in enumerate((HELD_OUT, np.arange(N) % 3 == 1)):
        result = train_fold(
            recipe, data, held_out, fold, lambda *step: reports.append(step), stored, None, with_held_out_loss
        )
        assert ("held_out_loss" in result.history) == with_held_out_loss
        weights = [array for model in result.models for array in model.weights]
        found += [result.held_out, result.test, result.history["loss"].to_numpy(), *weights]
    return found, reports


@pytest.mark.parametrize("case", CASES)
def test_recording_it_changes_no_bit_and_no_report(case, monkeypatch, tmp_path):
    monkeypatch.setattr("foldwise.models.pretrained.efficientnet_lite0.STAGES", SHORT)
    without, reported = trained(CASES[case], False, tmp_path)
    with_it, also = trained(CASES[case], True, tmp_path)
    assert len(without) == len(with_it)
    assert all((a == b).all() for a, b in zip(without, with_it, strict=True))
    assert reported == also


def binary(y, p, smoothing=0.0):
    y = y * (1 - smoothing) + smoothing / 2
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()


@pytest.mark.parametrize(
    ("task", "k", "fit", "expected"),
    [
        ("binary", 1, {}, binary),
        ("binary", 1, {"ema": 0.9}, binary),  # of the averages, which are kept in the end
        ("binary", 1, {"label_smoothing": 0.2}, lambda y, p: binary(y, p, 0.2)),
        (
            "binary",
            1,
            {"loss": "focal"},
            lambda y, p: -(y * (1 - p) ** 2 * np.log(p) + (1 - y) * p**2 * np.log(1 - p)).mean(),
        ),
        ("multilabel", 3, {}, binary),
        ("multiclass", 3, {}, lambda y, p: -(y * np.log(p)).sum(axis=1).mean()),
    ],
    ids=["binary", "average", "smoothing", "focal", "multilabel", "multiclass"],
)
def test_the_last_one_is_the_loss_of_the_predictions(task, k, fit, expected):
    data = make_dataset(task, k)
    result = train_fold(make_recipe("mlp", learning_rate=1e-4, **fit), data, HELD_OUT, 0, with_held_out_loss=True)
    assert result.history["held_out_loss"].iloc[-1] == pytest.approx(
        expected(data.labels[HELD_OUT], result.held_out), rel=1e-4
    )
    assert result.history["held_out_loss"].nunique() == 3  # one for each epoch


def test_that_of_a_regression_is_in_standard_deviations_of_the_training_targets():
    data = make_values()
    result = train_fold(make_recipe("mlp"), data, VALUES_HELD_OUT, 0, with_held_out_loss=True)
    sd = data.labels[~VALUES_HELD_OUT].std(axis=0)
    errors = (result.held_out - data.labels[VALUES_HELD_OUT]) / sd
    assert result.history["held_out_loss"].iloc[-1] == pytest.approx((errors**2).mean(), rel=1e-4)


def test_logits_are_finite_where_a_probability_is_0_or_1():
    assert logits(np.array([[0.0], [1.0]]), "binary") == pytest.approx(np.array([[-34.5], [34.5]]), abs=0.1)
    assert logits(np.array([[0.25, 0.75]]), "multiclass") == pytest.approx(np.log([[0.25, 0.75]]))
    assert logits(np.array([[7.0]]), "regression").tolist() == [[7.0]]


def test_the_history_of_a_fold_has_it_and_that_of_a_refit_has_not(tmp_path):
    data, recipe = tiny.write_data(tmp_path / "data"), tiny.make_recipe(refit=True, refit_seeds=1)
    run = store.open_run(tmp_path / "runs", recipe)
    for fit in (0, store.REFIT):
        task = FoldTask(run, recipe, fit, len(tiny.IDS), data, data / "folds.parquet", held_out_loss=True)
        train_one(task, lambda *_: None)
    columns = ["epoch", "loss", "learning_rate", "seconds", "held_out_loss", "seed"]
    history = pd.read_csv(run.fold_path(0) / "history.csv")
    assert list(history) == columns
    assert np.isfinite(history["held_out_loss"]).all()
    assert "held_out_loss" not in pd.read_csv(run.fold_path(store.REFIT) / "history.csv")
