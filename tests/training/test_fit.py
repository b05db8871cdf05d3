"""What one fold learns, and what it must not look at."""

import math

import keras
import numpy as np
import pytest
from helpers.data import HELD_OUT, N_TEST, N, make_dataset, make_recipe

from foldwise.errors import FoldwiseError
from foldwise.settings import ONE_CLASS, AugmentSettings, FitSettings
from foldwise.training import build, inputs, network, optimizer
from foldwise.training.fit import train_fold
from foldwise.training.predict import Predictor


@pytest.mark.parametrize(("task", "k"), [("binary", 1), ("multiclass", 3), ("multilabel", 3), ("ordinal", 3)])
@pytest.mark.parametrize("model", ["logistic_regression", "mlp", "small_cnn"])
def test_every_model_learns_every_task(task, k, model):
    dataset = make_dataset(task, k)
    result = train_fold(make_recipe(model, epochs=25), dataset, HELD_OUT, 0)
    assert result.held_out.shape == (12, k)
    assert result.test.shape == (N_TEST, k)
    if task in ONE_CLASS:
        assert result.test.sum(axis=1) == pytest.approx(np.ones(N_TEST))
    truth = dataset.test.table[dataset.targets].to_numpy()
    assert ((result.test > 0.5) == truth).mean() > 0.8
    assert result.history["epoch"].tolist() == list(range(1, 26))


@pytest.mark.parametrize("model", ["mlp", "small_cnn"])
def test_labels_of_the_held_out_fold_change_nothing(model):
    recipe = make_recipe(model, augment=AugmentSettings("flips", mixup=0.3))
    honest = train_fold(recipe, make_dataset(), HELD_OUT, 1)
    nonsense = make_dataset()
    nonsense.train.table.loc[HELD_OUT, "t0"] = 1 - nonsense.train.table.loc[HELD_OUT, "t0"]
    misled = train_fold(recipe, nonsense, HELD_OUT, 1)
    assert (honest.held_out == misled.held_out).all()
    assert (honest.test == misled.test).all()


def test_images_of_the_held_out_fold_and_of_test_scale_nothing():
    changed = make_dataset()
    changed.train.images[HELD_OUT] += 100
    changed.test.images[:] = 0
    weights = [
        train_fold(make_recipe("mlp"), dataset, HELD_OUT, 0).models[0].weights for dataset in (make_dataset(), changed)
    ]
    assert all((a == b).all() for a, b in zip(*weights, strict=True))


def test_the_scale_is_that_of_the_training_rows():
    dataset = make_dataset()
    scale = train_fold(make_recipe(epochs=1), dataset, HELD_OUT, 0).models[0].loaded().get_layer("scale")
    pixels = dataset.train.images[~HELD_OUT].reshape(-1, 2).astype(float)
    assert np.asarray(scale.mean).ravel() == pytest.approx(pixels.mean(axis=0), rel=1e-5)
    assert np.asarray(scale.variance).ravel() == pytest.approx(pixels.var(axis=0), rel=1e-4)


@pytest.mark.parametrize("augment", ["none", "radar"])
def test_the_same_fold_again_is_bit_identical_whatever_came_before(augment):
    recipe = make_recipe("small_cnn", augment=AugmentSettings(augment), ema=0.9, weight_decay=0.01, warmup_epochs=1)
    first = train_fold(recipe, make_dataset(), HELD_OUT, 2)
    train_fold(make_recipe("mlp"), make_dataset("multiclass", 3), HELD_OUT, 0)
    again = train_fold(recipe, make_dataset(), HELD_OUT, 2)
    assert (first.held_out == again.held_out).all()
    other_fold = train_fold(recipe, make_dataset(), HELD_OUT, 1)
    assert (first.held_out != other_fold.held_out).any()


@pytest.mark.parametrize(("mixup", "given"), [(0.0, "uint8"), (0.2, "float32")])
def test_bytes_go_to_the_device_as_bytes_and_train_as_floats_do(mixup, given, monkeypatch):
    seen, traced_step = [], network.traced_step

    def traced(model, batch):
        seen.append(batch[0].dtype.name)
        return traced_step(model, batch)

    monkeypatch.setattr(network, "traced_step", traced)
    recipe = make_recipe("small_cnn", augment=AugmentSettings("flips", mixup=mixup), epochs=1)
    found = []
    for kind in (np.uint8, np.float32):
        dataset = make_dataset()
        for split in (dataset.train, dataset.test):
            split.images = np.round(split.images + 50).astype(np.uint8).astype(kind)
        found.append(train_fold(recipe, dataset, HELD_OUT, 0))
        network.forget()
    assert seen == [given, "float32"]
    assert (found[0].held_out == found[1].held_out).all()
    assert (found[0].test == found[1].test).all()


def test_several_seeds_are_averaged():
    dataset = make_dataset()
    both = train_fold(make_recipe(n_seeds=2), dataset, HELD_OUT, 0)
    alone = [train_fold(make_recipe(seed=seed), dataset, HELD_OUT, 0) for seed in (0, 1)]
    assert both.held_out == pytest.approx((alone[0].held_out + alone[1].held_out) / 2)
    assert len(both.models) == 2
    assert both.history["seed"].tolist() == [0, 0, 0, 1, 1, 1]


def test_views_are_averaged_at_test_time():
    dataset, rows = make_dataset(), np.arange(N_TEST)
    recipe = make_recipe("mlp", augment=AugmentSettings("none", test_views="flips"))
    result = train_fold(recipe, dataset, HELD_OUT, 0)
    predict = Predictor(result.models[0].loaded(), "binary", "identity")
    flips = [dataset.test.images[:, ::y, ::x] for y in (1, -1) for x in (1, -1)]
    assert result.test == pytest.approx(np.mean([predict(view, None, rows) for view in flips], axis=0))


def test_auxiliary_columns_reach_the_model_standardised_with_a_flag():
    dataset = make_dataset()
    rows = np.flatnonzero(~HELD_OUT)
    train, test = inputs.auxiliary_columns(dataset, ("angle",), rows)
    assert (train.shape, test.shape) == ((N, 2), (N_TEST, 2))
    assert train[3].tolist() == [0.0, 1.0]  # missing
    known = train[rows][train[rows][:, 1] == 0, 0]
    assert known.mean() == pytest.approx(0, abs=1e-6)
    assert known.std() == pytest.approx(1, abs=1e-5)
    result = train_fold(make_recipe("small_cnn", {"filters": (4,), "auxiliary": ("angle",)}), dataset, HELD_OUT, 0)
    assert np.isfinite(result.held_out).all()
    with pytest.raises(FoldwiseError, match="no column 'speed'"):
        train_fold(make_recipe("mlp", {"auxiliary": ("speed",)}), dataset, HELD_OUT, 0)


def test_a_loss_that_is_no_number_stops_with_its_step():
    with pytest.raises(FoldwiseError, match=r"the loss became (nan|inf) in epoch 1, step"):
        train_fold(make_recipe("mlp", optimizer="sgd", learning_rate=1e30), make_dataset(), HELD_OUT, 0)


@pytest.mark.parametrize(
    "name", ["adam", "adamw", "sgd", "rmsprop", "nadam", "lion", "lamb", "muon", "adagrad", "adadelta", "adamax"]
)
def test_every_optimizer_trains(name):
    result = train_fold(
        make_recipe("mlp", optimizer=name, epochs=1, ema=0.5, weight_decay=0.01), make_dataset(), HELD_OUT, 0
    )
    assert np.isfinite(result.test).all()


def test_mixed_precision_keeps_a_float32_head_and_leaves_no_trace():
    result = train_fold(make_recipe("small_cnn", mixed_precision=True), make_dataset(), HELD_OUT, 0)
    layers = {layer.name: layer.compute_dtype for layer in result.models[0].model.layers}
    assert layers["logits"] == layers["scale"] == "float32"
    assert "bfloat16" in layers.values()
    assert keras.config.dtype_policy().name == "float32"


def test_class_weights_are_balanced():
    labels = np.array([[1.0], [0.0], [0.0], [0.0]])
    assert inputs.balanced_weights(labels, "binary").tolist() == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3])
    with pytest.raises(FoldwiseError, match="multilabel"):
        inputs.balanced_weights(labels, "multilabel")


def test_learning_rates_by_hand():
    def rates(**settings):
        schedule = optimizer.learning_rate(FitSettings(epochs=10, learning_rate=0.1, **settings), steps_per_epoch=10)
        return [float(schedule(step)) if callable(schedule) else schedule for step in (0, 10, 50, 99, 100)]

    assert rates(schedule="constant") == [0.1] * 5
    half = [0.1 * (1 + math.cos(math.pi * step / 100)) / 2 for step in (0, 10, 50, 99, 100)]
    assert rates(schedule="cosine") == pytest.approx(half, abs=1e-7)
    warm = rates(schedule="cosine", warmup_epochs=2)
    assert warm[:2] == pytest.approx([0, 0.05])
    assert warm[-1] == pytest.approx(0, abs=1e-7)
    assert rates(schedule="constant", warmup_epochs=2) == pytest.approx([0, 0.05, 0.1, 0.1, 0.1])


def test_weights_reload_in_a_rebuilt_model(tmp_path):
    dataset, recipe = make_dataset(), make_recipe("small_cnn", ema=0.9)
    result = train_fold(recipe, dataset, HELD_OUT, 0)
    result.models[0].save_weights(tmp_path / "model.weights.h5")
    keras.backend.clear_session()
    rebuilt = build.build_model(recipe, dataset)
    rebuilt.load_weights(tmp_path / "model.weights.h5")
    predicted = Predictor(rebuilt, "binary", "identity")(dataset.test.images, None, np.arange(N_TEST))
    assert predicted == pytest.approx(result.test, abs=1e-6)
