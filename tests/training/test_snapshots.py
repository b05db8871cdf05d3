"""Snapshots: a rate in cycles, and a model at the end of each."""

import math

import numpy as np
import pytest
from helpers.data import HELD_OUT, N_TEST, make_dataset, make_recipe

from foldwise import configure
from foldwise.errors import ConfigError
from foldwise.runs.recipe import make_recipe as recipe_make_recipe
from foldwise.runs.recipe import run_name
from foldwise.settings import AugmentSettings, FitSettings
from foldwise.training import fit, optimizer, predict, snapshots


def test_the_rate_starts_again_at_every_cycle():
    def rates(steps, **settings):
        settings = FitSettings(learning_rate=0.1, **settings)
        schedule = optimizer.learning_rate(settings, steps_per_epoch=10)
        return [float(schedule(step)) for step in steps]

    # 10 epochs of 10 steps: three cycles that end after 3, 6 and 10 epochs
    assert snapshots.cycle_ends(FitSettings(epochs=10, snapshots=3)) == [3, 6, 10]
    at = rates([0, 15, 29, 30, 45, 60, 80, 100], epochs=10, snapshots=3)
    nearly = 0.1 * (1 + math.cos(math.pi * 29 / 30)) / 2
    assert at == pytest.approx([0.1, 0.05, nearly, 0.1, 0.05, 0.1, 0.05, 0], abs=1e-7)
    warm = rates([0, 5, 10, 25, 40, 60], epochs=8, snapshots=2, warmup_epochs=1)
    assert warm == pytest.approx([0, 0.05, 0.1, 0.05, 0.1, 0.05], abs=1e-7)


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_the_first_snapshot_is_the_training_of_the_first_cycle_alone(ema):
    settings = {"learning_rate": 0.02, "ema": ema, "optimizer": "sgd"}
    dataset, rows = make_dataset(), np.arange(N_TEST)
    both = fit.train_fold(make_recipe("mlp", epochs=2, snapshots=2, **settings), dataset, HELD_OUT, 0)
    alone = fit.train_fold(make_recipe("mlp", epochs=1, **settings), dataset, HELD_OUT, 0)
    predicted = [
        predict.Predictor(one.loaded(), "binary", "identity")(dataset.test.images, None, rows) for one in both.models
    ]
    assert len(both.models) == 2
    assert predicted[0] == pytest.approx(alone.test, abs=1e-6)
    assert (predicted[0] != predicted[1]).any()
    assert both.test == pytest.approx((predicted[0] + predicted[1]) / 2)
    assert both.history["epoch"].tolist() == [1, 2]


def test_seeds_views_and_batch_norm_go_with_snapshots():
    settings = {"epochs": 2, "snapshots": 2, "n_seeds": 2, "ema": 0.9}
    recipe = make_recipe(
        "mlp", {"batch_norm": True, "hidden": (8,)}, AugmentSettings("flips", test_views="flips"), **settings
    )
    result = fit.train_fold(recipe, make_dataset(), HELD_OUT, 0)
    assert len(result.models) == 4
    assert result.history[["seed", "epoch"]].to_numpy().tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]
    views = [make_dataset().test.images[:, ::y, ::x] for y in (1, -1) for x in (1, -1)]
    rows = np.arange(N_TEST)
    each = [
        predict.Predictor(one.loaded(), "binary", "identity")(view, None, rows)
        for one in result.models
        for view in views
    ]
    assert result.test == pytest.approx(np.mean(each, axis=0), abs=1e-6)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["fit.schedule=constant"], "fit.schedule=cosine"),
        (["fit.epochs=2"], "cycles of 0.666667"),
        (["fit.epochs=7", "fit.warmup_epochs=2"], "longer than the warm-up"),
        (["model=densenet161", "finetune=gradual", "model.options.weights=null"], "finetune=all"),
    ],
)
def test_a_schedule_without_cycles_is_refused(words, advice):
    with pytest.raises(ConfigError, match=r"fit\.snapshots=3") as error:
        configure("fit.snapshots=3", *words)
    assert advice in str(error.value)


def test_one_snapshot_is_in_no_key():
    def key(*words):
        return run_name(recipe_make_recipe(configure("competition=faces", "model=mlp", *words), "data", "split"))

    assert key() == key("fit.snapshots=1") != key("fit.snapshots=2")
