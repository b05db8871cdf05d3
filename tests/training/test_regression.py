"""A regression from images to stored predictions: standardised inside a fold, and back in the units of the targets."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import tiny
from helpers.data import make_recipe
from helpers.values import HELD_OUT, N_TEST, N, brightness, make_values, write_values

from foldwise.augment.training_rows import TrainingRows
from foldwise.data import dataset
from foldwise.data.structure import Structure
from foldwise.errors import ConfigError
from foldwise.runs import store
from foldwise.runs.report import write_report
from foldwise.settings import AugmentSettings, PseudoSettings
from foldwise.training import build, inputs
from foldwise.training.fit import train_fold
from foldwise.training.predict import Predictor
from foldwise.training.pseudo import PseudoLabels, with_pseudo_labels

X = brightness()


def test_a_linear_model_learns_a_line_whatever_the_units_are():
    slopes = ((3.0, 2.0), (-2e5, 7e6), (1e-4, -1.0))
    recipe = make_recipe(epochs=150, batch_size=64, learning_rate=0.05)
    result = train_fold(recipe, make_values(slopes), HELD_OUT, 0)
    for c, (a, b) in enumerate(slopes):
        assert result.held_out[:, c] == pytest.approx(a * X[:N][HELD_OUT] + b, abs=0.01 * abs(a))
        assert result.test[:, c] == pytest.approx(a * X[N:] + b, abs=0.01 * abs(a))
    assert result.test.dtype == np.float64
    y = make_values(slopes).labels[~HELD_OUT]
    assert result.target_scale.mean == pytest.approx(y.mean(axis=0))
    assert result.target_scale.sd == pytest.approx(y.std(axis=0))


@pytest.mark.parametrize("loss", ["squared", "absolute", "huber"])
def test_every_loss_of_values_learns(loss):
    recipe = make_recipe(epochs=150, batch_size=64, learning_rate=0.05, loss=loss)
    result = train_fold(recipe, make_values(), HELD_OUT, 0)
    assert result.held_out[:, 0] == pytest.approx(3 * X[:N][HELD_OUT] + 2, abs=0.15)


def test_the_absolute_loss_takes_the_median_and_the_squared_loss_the_mean():
    """Blank images: 30 of 40 targets are 0, and 10 are 100; a constant is all that can be learned."""
    data = make_values()
    data = replace(data, train=replace(data.train, images=np.zeros_like(data.train.images)))
    data.train.table["y0"] = np.where(np.arange(N) % 4 == 0, 100.0, 0.0)
    nothing = np.zeros(N, bool)
    found = {}
    for loss in ("squared", "absolute"):
        recipe = make_recipe(epochs=300, batch_size=64, learning_rate=0.05, loss=loss)
        test = replace(data.test, images=np.zeros_like(data.test.images))
        found[loss] = train_fold(recipe, replace(data, test=test), nothing, 0).test.mean()
    assert found["squared"] == pytest.approx(25, abs=0.5)
    assert found["absolute"] == pytest.approx(0, abs=2)


@pytest.mark.parametrize("model", ["mlp", "small_cnn"])
def test_labels_of_the_held_out_fold_change_nothing(model):
    recipe = make_recipe(model, augment=AugmentSettings("flips", mixup=0.3))
    shape = (8, 8, 1)
    honest = train_fold(recipe, make_values(shape=shape), HELD_OUT, 1)
    nonsense = make_values(shape=shape)
    nonsense.train.table.loc[HELD_OUT, "y0"] += 1e6
    misled = train_fold(recipe, nonsense, HELD_OUT, 1)
    assert (honest.held_out == misled.held_out).all()
    assert (honest.test == misled.test).all()


@pytest.mark.parametrize(
    ("augment", "fit"),
    [
        (AugmentSettings("none", mixup=0.4), {}),
        (AugmentSettings("none", cutmix=0.4), {}),
        (AugmentSettings("flips", test_views="flips"), {"ema": 0.5}),
        (AugmentSettings("none"), {"n_seeds": 2, "snapshots": 2, "epochs": 4}),
    ],
    ids=["mixup", "cutmix", "flips", "seeds and snapshots"],
)
def test_what_goes_with_classes_goes_with_values(augment, fit):
    recipe = make_recipe("mlp", {"hidden": (8,)}, augment, **fit)
    data = make_values(noise=0.3)
    result = train_fold(recipe, data, HELD_OUT, 0)
    assert (result.held_out.shape, result.test.shape) == ((8, 1), (N_TEST, 1))
    rows, scale = np.arange(N_TEST), result.target_scale
    by_hand = [
        scale.restored(Predictor(m.loaded(), "regression", augment.test_views)(data.test.images, None, rows))
        for m in result.models
    ]
    assert len(by_hand) == fit.get("n_seeds", 1) * fit.get("snapshots", 1)
    assert result.test == pytest.approx(np.mean(by_hand, axis=0), abs=1e-5)


@pytest.mark.parametrize("model", ["small_cnn", "mlp", "logistic_regression", "multi_view"])
def test_every_model_ends_in_a_linear_layer(model):
    data = make_values(((1.0, 0.0), (2.0, 0.0)), shape=(25, 25, 1))
    built = build.build_model(make_recipe(model), data)
    assert built.outputs[0].shape == (None, 2)
    assert built.get_layer("logits").get_config().get("activation", "linear") == "linear"
    outputs = Predictor(built, "regression", "identity")(1000 * data.test.images, None, np.arange(N_TEST))
    assert outputs.dtype == np.float64
    assert np.asarray(built(1000 * data.test.images, training=False)) == pytest.approx(outputs, rel=1e-4, abs=1e-4)


def test_an_image_that_answers_several_rows_has_a_value_for_each():
    """Row 2 i is x, row 2 i + 1 is 10 - x of image i; images are held out whole."""
    data = make_values()
    rows = pd.DataFrame({"id": [f"r{i}" for i in range(2 * N)], "y0": np.stack([X[:N], 10 - X[:N]], axis=1).ravel()})
    test = pd.DataFrame({"id": [f"t{i}" for i in range(2 * N_TEST)]})
    data = replace(
        data,
        train=replace(data.train, table=rows),
        test=replace(data.test, table=test),
        structure=Structure(rows_per_image=2),
    )
    recipe = make_recipe(epochs=150, batch_size=64, learning_rate=0.05)
    result = train_fold(recipe, data, np.repeat(HELD_OUT, 2), 0)
    assert result.held_out[:, 0] == pytest.approx(rows["y0"][np.repeat(HELD_OUT, 2)], abs=0.02)
    assert result.test[:, 0] == pytest.approx(np.stack([X[N:], 10 - X[N:]], axis=1).ravel(), abs=0.02)


def test_a_run_of_values_with_its_refit_and_its_report(tmp_path):
    data = write_values(tmp_path / "data")
    recipe = tiny.make_recipe(epochs=100, batch_size=64, refit=True, refit_seeds=1)
    run = tiny.train_here(recipe, data, tmp_path / "runs")
    about = json.loads((run.fold_path(0) / "fold.json").read_text())
    y = 3 * X[:N] + 2
    assert about["target_scale"]["mean"] == [pytest.approx(y[1::2].mean())]
    assert about["target_scale"]["sd"] == [pytest.approx(y[1::2].std())]
    there, folds = dataset.read(data), pd.read_parquet(data / "folds.parquet")
    report = write_report(run, there, folds)
    assert not {"log_loss", "accuracy", "f1", "auc", "confusion_matrix"} & report.keys()
    predicted = store.out_of_fold(run, folds, there.train.table["id"], ["y"])[:, 0]
    assert report["rmse"] == pytest.approx(np.sqrt(((predicted - y) ** 2).mean()))
    assert report["mae"] == pytest.approx(abs(predicted - y).mean())
    assert report["r2"] == pytest.approx(1 - ((predicted - y) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    by_fold = [np.sqrt(((predicted - y)[k::2] ** 2).mean()) for k in (0, 1)]
    assert report["fold_rmse"] == pytest.approx(by_fold)
    assert report["rmse_interval"][0] < report["rmse"] < report["rmse_interval"][1] < 0.2
    assert store.test_predictions(run, there.test.table["id"], ["y"])[:, 0] == pytest.approx(3 * X[N:] + 2, abs=0.05)


def test_values_of_earlier_runs_teach_as_they_are(tmp_path):
    data = write_values(tmp_path / "data")
    teacher = tiny.train_here(tiny.make_recipe(epochs=20, batch_size=64), data, tmp_path / "runs")
    pseudo = PseudoSettings([teacher.name], "soft", 0.0)
    run = tiny.train_here(replace(tiny.make_recipe(epochs=5), pseudo=pseudo), data, tmp_path / "runs")
    about = json.loads((run.fold_path(0) / "fold.json").read_text())
    assert about["pseudo_images"] == N_TEST
    report = write_report(run, dataset.read(data), pd.read_parquet(data / "folds.parquet"))
    theirs = write_report(teacher, dataset.read(data), pd.read_parquet(data / "folds.parquet"))
    assert report["pseudo"]["rmse"] == pytest.approx(theirs["rmse"])
    assert report["pseudo"]["difference"] == pytest.approx(report["rmse"] - theirs["rmse"])


def balanced_images(n, seed=0):
    """Images of as many 1 as -1, so that a row that is there twice leaves the scale of the pixels as it is."""
    rng = np.random.default_rng(seed)
    one = np.repeat([1.0, -1.0], 8)
    return np.stack([rng.permutation(one) for _ in range(n)]).reshape(n, 4, 4, 1).astype(np.float32)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_weight_of_two_is_the_row_twice(task):
    images, rng = balanced_images(12), np.random.default_rng(1)
    y = rng.normal(5, 2, 12) if task == "regression" else rng.integers(0, 2, 12).astype(float)
    twice = np.array([0, 6])
    table = pd.DataFrame({"id": [f"r{i}" for i in range(12)], "y0": y})
    data = make_values()
    test = replace(data.test, images=balanced_images(N_TEST, 7))

    def trained(rows, **columns):
        split = replace(
            data.train, images=images[rows], table=table.iloc[rows].reset_index(drop=True).assign(**columns)
        )
        recipe = make_recipe(epochs=20, batch_size=64, learning_rate=0.05)
        nothing = np.zeros(len(rows), bool)
        return train_fold(recipe, replace(data, train=split, test=test, task=task), nothing, 0).test

    weights = np.ones(12)
    weights[twice] = 2
    doubled = trained(np.concatenate([np.arange(12), twice]))
    assert trained(np.arange(12), weight=weights) == pytest.approx(doubled, abs=1e-4)
    assert trained(np.arange(12)) != pytest.approx(doubled, abs=1e-3)


def test_weights_are_multiplied():
    images = np.zeros((4, 2, 2, 1), np.float32)
    rows = TrainingRows(images, {}, np.array([[1.0], [0.0], [0.0], [0.0]], np.float32), np.arange(4))
    rows = inputs.with_row_weights(rows, np.array([2.0, 4.0, 1.0, 1.0]))
    assert rows.weights.tolist() == [1.0, 2.0, 0.5, 0.5]
    test_images = np.zeros((2, 2, 2, 1), np.float32)
    rows = with_pseudo_labels(rows, PseudoLabels(np.array([1]), np.array([[1.0]], np.float32), 0.25), test_images, {})
    assert rows.weights.tolist() == [1.0, 2.0, 0.5, 0.5, 0.25]
    # 2 of 5 rows are 1: 5 / (2 * 2) = 1.25, and 5 / (2 * 3) = .8333
    expected = [1.25, 2 / 1.2, 0.5 / 1.2, 0.5 / 1.2, 0.3125]
    assert inputs.with_class_weights(rows, "binary").weights == pytest.approx(expected)


def test_a_column_of_that_name_that_a_model_takes_weighs_nothing():
    data = make_values(weight=np.ones(N))
    assert data.row_weights.tolist() == [1.0] * N
    assert replace(data, auxiliary=["weight"]).row_weights is None
    assert make_values().row_weights is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit.loss=focal"], "fit.loss=focal: a regression is trained by auto, squared, absolute or huber"),
        (["fit.label_smoothing=0.1"], "fit.label_smoothing=0.1: a regression has no classes"),
        (["fit.class_weights=true"], "fit.class_weights=true: a regression has no classes"),
        (["fit.positive_weight=2"], "fit.positive_weight=2: the task is regression, and only binary"),
        (["fit.focal_gamma=1"], "fit.focal_gamma=1: nothing reads it without fit.loss=focal"),
        (["pseudo=confident", "pseudo.runs=[a-1]"], "pseudo.labels=hard .*choose pseudo=distill"),
    ],
)
def test_settings_that_need_classes_are_refused(settings, words, message):
    from foldwise.stages.check_task import check_task

    one = settings("competition=faces", "competition.metric=rmse", *words)
    with pytest.raises(ConfigError, match=message):
        check_task(one, "regression")
