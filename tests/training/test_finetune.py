"""What trains in each phase, how fast, and that stored features predict what a backbone in every epoch predicts."""

import importlib
import inspect
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from helpers.data import HELD_OUT, N, make_dataset
from helpers.data import make_recipe as small_recipe
from helpers.tiny import IDS, train_here, write_data
from helpers.tiny import make_recipe as tiny_recipe

from foldwise import models
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.execution.prediction import PredictionTask, predict_one
from foldwise.models.pretrained.load import load_keras
from foldwise.plugins import public_functions
from foldwise.runs.recipe import code_key, make_recipe, run_name, stores_features
from foldwise.settings import AugmentSettings, FinetuneSettings, FitSettings
from foldwise.training import build, features, finetune, predict
from foldwise.training.fit import train_fold
from foldwise.training.optimizer import optimizer as optimizer_optimizer

INNER = "model.options.backbone_options"
NESTED = ("model.options.backbone=efficientnet_lite0", f"~{INNER}")
OPTIONS = {"side": 32, "weights": "imagenet", "values": (-35.0, 0.0), "bands": "difference", "dropout": 0.0}


def recipe(mode, augment=None, options=None, **settings):
    fit = {key: settings.pop(key) for key in ("epochs", "learning_rate", "snapshots") if key in settings}
    made = small_recipe("efficientnet_lite0", OPTIONS | (options or {}), augment, **{"epochs": 2} | fit)
    return replace(made, finetune=FinetuneSettings(mode, **settings))


@pytest.fixture
def short(monkeypatch, tmp_path):
    """Take most blocks out of the network, which keeps its five stages, and name a file of its weights."""
    stages = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 1), (5, 2, 6, 40, 1), (3, 2, 6, 80, 1), (5, 2, 6, 192, 1))
    monkeypatch.setattr(importlib.import_module("foldwise.models.pretrained.efficientnet_lite0"), "STAGES", stages)
    network, path = net().get_layer("backbone"), tmp_path / "short.weights.h5"
    for layer in network.layers:  # else random weights let everything fade out
        layer.momentum = 0.0
    network(np.random.default_rng(0).normal(size=(16, 32, 32, 3)), training=True)
    network.save_weights(path)
    return {"weights": str(path)}


def wide_dataset():
    return make_dataset(shape=(12, 12, 2))


def net():
    return models.efficientnet_lite0((12, 12, 2), 1, weights=None, side=32, bands="difference", dropout=0.0)


def test_phases_share_the_epochs():
    model, fit = net(), FitSettings(epochs=10)

    def cut(**settings):
        return [(p.first, p.last, p.depth) for p in finetune.phases(FinetuneSettings(**settings), fit, model)]

    assert cut(mode="none") == [(0, 10, None)]
    assert cut(mode="head", head_epochs=3) == [(0, 10, 0)]
    assert cut(mode="last_block", head_epochs=3) == [(0, 3, 0), (3, 10, 1)]
    assert cut(mode="all", head_epochs=3) == [(0, 3, 0), (3, 10, 5)]
    assert cut(mode="gradual", head_epochs=5) == [(0, 5, 0), *((5 + i, 6 + i, 1 + i) for i in range(5))]
    assert cut(mode="gradual", head_epochs=8) == [(0, 8, 0), (8, 9, 3), (9, 10, 5)]


def test_frozen_stages_hold_no_trainable_weight():
    model = net()
    cut = finetune.stages(model.get_layer("backbone"))
    counts = []
    for depth in range(6):
        finetune.unfreeze(model, FinetuneSettings("all", batch_norm="tuned"), finetune.Phase(0, 1, depth))
        counts.append(sum(np.prod(v.shape) for v in model.trainable_variables))
        assert [bool(layer.trainable) for stage in cut for layer in stage] == [
            number >= 5 - depth for number, stage in enumerate(cut) for _ in stage
        ]
    assert counts[0] == 1281  # 1,280 features and a bias
    assert counts == sorted(set(counts))
    moving = sum(np.prod(v.shape) for v in model.weights if "moving" in v.name)
    assert counts[-1] == model.count_params() - moving


def statistics(model):
    layers = model.get_layer("backbone").layers
    return {
        layer.name: [np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)]
        for layer in layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }


@pytest.mark.parametrize("mode", ["last_block", "all"])
def test_batch_norm_statistics_do_not_move_where_a_layer_is_frozen(short, mode):
    settings = {"batch_norm": "tuned" if mode == "last_block" else "frozen", "head_epochs": 1}
    made = recipe(mode, options=short, **settings)
    before = statistics(build.build_model(made, wide_dataset()))
    tuned = train_fold(made, wide_dataset(), HELD_OUT, 0).models[0].loaded()
    after = statistics(tuned)
    moved = {name for name in before for a, b in zip(before[name], after[name], strict=True) if (a != b).any()}
    last = {layer.name for layer in finetune.stages(tuned.get_layer("backbone"))[-1]}
    assert moved == (last & set(before) if mode == "last_block" else set())


def test_the_backbone_and_its_stages_have_learning_rates_of_their_own():
    model = net()
    settings = FinetuneSettings("all", backbone_rate=0.1, layer_decay=0.5)
    finetune.unfreeze(model, settings, finetune.Phase(0, 1, 5))
    variables, shares = model.trainable_variables, finetune.learning_rate_shares(model, settings)
    before = [np.asarray(variable) for variable in variables]
    fit = FitSettings(optimizer="sgd", learning_rate=1.0, schedule="constant", weight_decay=0.01)
    optimizer = optimizer_optimizer(fit, 1, variables, shares)
    optimizer.build(variables)
    optimizer.apply([keras.ops.ones_like(variable) for variable in variables], variables)
    steps = {
        variable.path: (old - np.asarray(variable)) / (1 + 0.01 * old)
        for variable, old in zip(variables, before, strict=True)
    }
    by_stage = []
    for stage in finetune.stages(model.get_layer("backbone")):
        (share,) = {round(float(np.mean(steps[v.path])), 5) for layer in stage for v in layer.trainable_variables}
        by_stage.append(share)
    assert by_stage == pytest.approx([0.00625, 0.0125, 0.025, 0.05, 0.1], rel=1e-3)
    assert steps[model.get_layer("logits").kernel.path] == pytest.approx(np.ones((1280, 1)), rel=1e-3)


def test_the_second_phase_has_a_schedule_and_a_decay_of_its_own():
    fit = FitSettings(epochs=10, learning_rate=1.0, weight_decay=0.1, warmup_epochs=3)
    settings = FinetuneSettings("all", head_epochs=2, head_rate=0.5, tuned_weight_decay=0.3)
    first, second = (finetune.fit_of_phase(fit, settings, p) for p in finetune.phases(settings, fit, net()))
    assert (first.epochs, first.learning_rate, first.weight_decay, first.warmup_epochs) == (2, 1.0, 0.1, 2)
    assert (second.epochs, second.learning_rate, second.weight_decay, second.warmup_epochs) == (8, 0.5, 0.3, 3)


@pytest.mark.parametrize(("test_views", "snapshots"), [("identity", 1), ("flips", 1), ("identity", 2)])
def test_features_once_predict_what_the_naive_way_predicts(short, tmp_path, test_views, snapshots):
    data = replace(wide_dataset(), path=tmp_path)
    options = short | {"dropout": 0.3}
    augment = AugmentSettings("none", test_views=test_views)
    made = recipe("head", augment, options, learning_rate=0.01, snapshots=snapshots)
    assert stores_features(made)
    stored = features.features(made, data)
    assert stored.train.shape == (N, 1 if test_views == "identity" else 4, 1280)
    once = train_fold(made, data, HELD_OUT, 0, features=stored)
    naive = train_fold(made, data, HELD_OUT, 0)
    assert np.ptp(once.held_out) > 0.01
    assert once.held_out == pytest.approx(naive.held_out, abs=1e-4)
    assert once.test == pytest.approx(naive.test, abs=1e-4)
    # what is saved predicts from images
    assert len(once.models) == snapshots
    rows = np.arange(len(data.test.images))
    predicted = [
        predict.Predictor(one.loaded(), "binary", test_views)(data.test.images, None, rows) for one in once.models
    ]
    assert np.mean(predicted, axis=0) == pytest.approx(once.test, abs=1e-4)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    time = folder.stat().st_mtime_ns
    features.features(replace(made, fit=replace(made.fit, learning_rate=1.0, seed=7)), data)  # another trial reads them
    assert [path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.is_dir()] == [time]


def test_stored_features_predict_values_too(short, tmp_path):
    data = replace(wide_dataset(), path=tmp_path, task="regression")
    data.train.table["t0"] = 1000.0 + 50 * data.train.table["t0"]
    made = recipe("head", options=short | {"dropout": 0.0}, learning_rate=0.01)
    once = train_fold(made, data, HELD_OUT, 0, features=features.features(made, data))
    naive = train_fold(made, data, HELD_OUT, 0)
    assert np.ptp(once.held_out) > 1
    assert once.held_out == pytest.approx(naive.held_out, abs=1e-2)
    assert 900 < once.test.mean() < 1150


def test_each_seed_has_a_head_of_its_own_on_the_one_backbone(short, tmp_path):
    data, options = replace(wide_dataset(), path=tmp_path), short | {"dropout": 0.3}
    made = recipe("head", options=options)
    made = replace(made, fit=replace(made.fit, n_seeds=2))
    stored = features.features(made, data)
    one, other = train_fold(made, data, HELD_OUT, 0, features=stored).models
    shared = [a is b for a, b in zip(one.weights, other.weights, strict=True)]
    assert shared == [True] * (len(shared) - 2) + [False] * 2  # kernel and bias of the head
    kernels = [np.asarray(model.loaded().get_layer("logits").kernel) for model in (one, other)]
    assert (kernels[0] != kernels[1]).mean() > 0.9
    again = train_fold(made, data, HELD_OUT, 0, features=stored).models  # what a worker did before is forgotten
    assert (kernels[1] == again[1].weights[-2]).all()
    fresh = build.build_model(made, data)
    one.save_weights(tmp_path / "model.weights.h5")
    fresh.load_weights(tmp_path / "model.weights.h5")  # what is stored is a whole model
    images = data.test.images.astype(np.float32)
    found, expected = (np.asarray(model(images, training=False)) for model in (fresh, one.loaded()))
    assert np.ptp(expected) > 0.01
    assert found == pytest.approx(expected, abs=1e-5)


def test_training_samples_from_fixed_views(short, tmp_path):
    data = replace(wide_dataset(), path=tmp_path)
    made = recipe("head", AugmentSettings("flips"), short, views=3)
    stored = features.features(made, data)
    assert stored.training_views.shape == (N, 3, 1280)
    assert (stored.training_views[:, 0] == stored.train[:, 0]).all()
    assert (
        0 < (stored.training_views[:, 1] != stored.training_views[:, 0]).any(axis=1).sum() < N
    )  # a quarter is flipped by no flip
    assert np.isfinite(train_fold(made, data, HELD_OUT, 0, features=stored).test).all()


def test_what_differs_by_epoch_fold_or_head_is_not_stored():
    assert stores_features(recipe("head"))
    for other in (
        recipe("all"),
        recipe("head", AugmentSettings("flips")),
        recipe("head", AugmentSettings("none", mixup=0.2)),
        recipe("head", options={"bands": "learned"}),
        recipe("head", options={"weights": None}),
        recipe("head", features="computed"),
        recipe("head", AugmentSettings("body", {"mirror": False, "transplant": 0.5}), views=2),
    ):
        assert not stores_features(other)


def test_a_model_that_is_not_tuned_keeps_its_run_key(settings):
    made = make_recipe(settings("model=mlp"), "data", "split")
    key = run_name(made)
    assert run_name(replace(made, finetune=FinetuneSettings("none", head_epochs=5))) == key
    assert run_name(replace(made, finetune=FinetuneSettings("head"))) != key


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=mlp", "finetune=head"], "mlp has no pretrained weights to tune.*efficientnet_lite0"),
        (["model=efficientnet_lite0", "finetune=all", "fit.epochs=3"], "head_epochs=3: expected fewer"),
        (["model=efficientnet_lite0", "finetune=head", "finetune.views=2"], "augment=none makes no views"),
        (["model=efficientnet_lite0", "model.options.weights=x.pth"], "weights=x.pth: no such file"),
        (["model=efficientnet_lite0", "model.options.weights=x.zip"], "weights=x.zip: expected imagenet, null, or"),
        (["model=multi_view", *NESTED, f"{INNER}.weights=x.pth"], f"{INNER}.weights=x.pth: no such file"),
        (["model=efficientnet_lite0", "finetune=some"], "no such choice"),
    ],
)
def test_settings_that_do_not_go_together_stop_at_once(settings, words, message):
    with pytest.raises(ConfigError, match=message):
        settings(*words)


@pytest.mark.parametrize(
    ("model", "key"),
    [(["model=efficientnet_lite0"], "model.options"), (["model=multi_view", *NESTED], INNER)],
    ids=["own", "of the backbone"],
)
def test_weights_of_a_file_enter_the_run_key_by_content(settings, tmp_path, model, key):
    path, keys = tmp_path / "mine.weights.h5", []
    for content in (b"one", b"two", b"one"):
        path.write_bytes(content)
        keys.append(run_name(make_recipe(settings(*model, f"{key}.weights={path}"), "data", "split")))
    assert keys[0] == keys[2] != keys[1]


def test_what_reads_pretrained_weights_is_code_of_pretrained_models_alone(monkeypatch):
    names = ["application", "efficientnet_lite0", "small_cnn"]
    before = [code_key(public_functions("models")[name]) for name in names]
    read_text = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda p, *a: read_text(p, *a) + "x" * (p.name == "zoo.csv"))
    assert [code_key(public_functions("models")[n]) != b for n, b in zip(names, before, strict=True)] == [
        True,
        False,
        False,
    ]
    monkeypatch.undo()
    source = inspect.getsource
    monkeypatch.setattr(
        inspect,
        "getsource",
        lambda m: source(m) + "\nX = 1\n" * (m.__name__ == "foldwise.models.pretrained.checkpoints"),
    )
    assert [code_key(public_functions("models")[n]) != b for n, b in zip(names, before, strict=True)] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("kind", ["backbone", "whole", "keras"])
def test_keras_weights_are_loaded_and_others_refused(short, tmp_path, kind):
    trained, fresh = net(), net()
    source = trained.get_layer("backbone")
    path = tmp_path / ("m.keras" if kind == "keras" else "m.weights.h5")
    if kind == "keras":
        source.save(path)
    else:
        (trained if kind == "whole" else source).save_weights(path)
    target = fresh.get_layer("backbone")
    load_keras(target, path)
    assert all((a == b).all() for a, b in zip(source.get_weights(), target.get_weights(), strict=True))
    with pytest.raises(FoldwiseError, match=str(path)):
        load_keras(models.zfnet((64, 64, 3), 1, side=64, dense=(4,)).get_layer("backbone"), path)


def test_a_trained_fit_predicts_without_the_weights_that_it_started_from(tmp_path, short):
    data = write_data(tmp_path / "data")
    tuned = replace(
        tiny_recipe("efficientnet_lite0", short | {"side": 32, "values": (-3.0, 5.0)}),
        finetune=FinetuneSettings("head"),
    )
    run = train_here(tuned, data, tmp_path / "runs", [0])
    Path(short["weights"]).unlink()
    task = PredictionTask(run, tuned, 0, len(IDS), data, data / "folds.parquet", tmp_path / "new", 8)
    task.new.mkdir()
    for name in ("test.npy", "test.parquet"):
        shutil.copy(data / name, task.new / name)
    predict_one(task, lambda *_: None)
    assert list(task.new.rglob("features_*.npy"))
    pd.testing.assert_frame_equal(pd.read_parquet(task.result), pd.read_parquet(run.fold_path(0) / "test.parquet"))
