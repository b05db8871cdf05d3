"""Test rows that train: which, with what labels, and never from a model that saw the held-out fold."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.data import HELD_OUT, N_TEST, N, make_dataset
from helpers.data import make_recipe as fit_recipe
from helpers.tiny import IDS, make_recipe, train_here, write_data

from foldwise import configure
from foldwise.augment.training_rows import TrainingRows
from foldwise.data.dataset import Dataset, Split
from foldwise.data.structure import Structure
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.runs import members, report, store
from foldwise.runs.recipe import make_recipe as recipe_make_recipe
from foldwise.runs.recipe import run_name
from foldwise.runs.store import Run
from foldwise.scoring import metrics, objective
from foldwise.settings import AugmentSettings, PseudoSettings
from foldwise.training import pseudo
from foldwise.training.fit import train_fold
from foldwise.training.inputs import with_class_weights

FOLD_1 = [id_ for i, id_ in enumerate(IDS) if i // 2 % 2 == 1]


def with_pseudo(recipe, names, **settings):
    return replace(recipe, pseudo=PseudoSettings(list(names), **settings))


def write_source(folder, probabilities, name="mlp-1", split_key="split", **recipe):
    """A finished run whose fold f says probabilities[f] (n, k) of the test rows t0, t1, ..."""
    source = Run(folder / name)
    source.path.mkdir(exist_ok=True)
    for fit, p in enumerate(np.asarray(probabilities, float)):
        table = pd.DataFrame(p, columns=[f"y{j}" for j in range(p.shape[1])])
        table.insert(0, "id", [f"t{i}" for i in range(len(p))])
        store.write_fold(source, fit, None, table.sample(frac=1, random_state=fit), table, [], {})
    split, model = {"n_folds": len(probabilities), "repeats": 1}, {"name": name.split("-")[0]}
    said = {"split_key": split_key, "split": split, "model": model} | recipe
    (source.path / "recipe.yaml").write_text(yaml.safe_dump(said))
    return source


def data_of(n, k, task, scored=None, rows_per_image=1):
    table = pd.DataFrame({"id": [f"t{i}" for i in range(n)]})
    if scored is not None:
        table["scored"] = scored
    split = Split(np.zeros((n // rows_per_image, 2, 2, 1)), table)
    return Dataset(split, split, task, [f"y{j}" for j in range(k)], [], None, "data", "ids", Structure(rows_per_image))


def taken(folder, data, names, fit=0, n_folds=3, **settings):
    recipe = make_recipe()
    recipe = with_pseudo(replace(recipe, split=replace(recipe.split, n_folds=n_folds)), names, **settings)
    return pseudo.find_pseudo_labels(Run(folder / "mine"), recipe, fit, data)


def test_a_fold_takes_the_sure_and_scored_rows_of_its_own_fold(tmp_path):
    said = [
        [[0.99], [0.5], [0.02], [0.97]],
        [[0.5], [0.96], [0.95], [0.9]],
        [[0.1], [0.1], [0.1], [0.1]],
    ]
    write_source(tmp_path, said)
    data = data_of(4, 1, "binary", scored=[True, True, True, False])
    first, second = (taken(tmp_path, data, ["mlp-1"], fit) for fit in (0, 1))
    assert first.positions.tolist() == [0, 2]  # row 3 is as sure, but generated
    assert first.labels.tolist() == [[1.0], [0.0]]
    assert second.positions.tolist() == [1, 2]
    assert second.labels.tolist() == [[1.0], [1.0]]
    soft = taken(tmp_path, data, ["mlp-1"], 2, labels="soft", confidence=0.9, weight=0.5)
    assert soft.positions.tolist() == [0, 1, 2]
    assert soft.labels == pytest.approx(np.full((3, 1), 0.1))
    assert soft.weight == 0.5
    refit = taken(tmp_path, data, ["mlp-1"], store.REFIT, labels="soft", confidence=0.0)  # holds nothing out: all folds
    assert refit.labels == pytest.approx(np.array([[1.59], [1.56], [1.07]]) / 3)
    with pytest.raises(FoldwiseError, match=r"the surest has 0\.900"):
        taken(tmp_path, data, ["mlp-1"], 2)


def test_several_runs_are_averaged_fold_by_fold(tmp_path):
    write_source(tmp_path, [[[0.2, 0.8]], [[0.5, 0.5]]], "a-1")
    write_source(tmp_path, [[[0.6, 0.4]], [[0.1, 0.9]]], "b-1")
    said = [
        taken(tmp_path, data_of(1, 2, "multiclass"), ["a-1", "b-1"], fit, 2, labels="soft", confidence=0.0).labels
        for fit in (0, 1)
    ]
    assert np.concatenate(said) == pytest.approx(np.array([[0.4, 0.6], [0.3, 0.7]]))
    sure = taken(tmp_path, data_of(1, 2, "multiclass"), ["a-1", "b-1"], 1, 2, confidence=0.7)
    assert sure.labels.tolist() == [[0.0, 1.0]]


def test_an_image_is_taken_with_all_its_rows_or_not(tmp_path):
    write_source(tmp_path, [[[0.99], [0.01], [0.99], [0.6], [0.02], [0.01]], np.full((6, 1), 0.5)])
    extra = taken(tmp_path, data_of(6, 1, "binary", rows_per_image=2), ["mlp-1"], n_folds=2)
    assert extra.positions.tolist() == [0, 2]
    assert extra.labels.tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_joined_images_are_those_of_both():
    first, second = np.arange(6.0).reshape(3, 2), np.arange(10.0, 14.0).reshape(2, 2)
    both = pseudo.Concatenation(first, second)
    assert both.shape == (5, 2)
    assert both[np.array([4, 0, 3])].tolist() == [[12, 13], [0, 1], [10, 11]]
    assert both[1:4].tolist() == [[2, 3], [4, 5], [10, 11]]
    assert both[4].tolist() == [12, 13]


@pytest.mark.parametrize(("class_weights", "expected"), [(False, [1, 1, 0.5, 0.5]), (True, [2, 2 / 3, 1 / 3, 1 / 3])])
def test_weights_of_pseudo_labels_and_of_classes_multiply(class_weights, expected):
    data = make_dataset()
    labelled = pseudo.PseudoLabels(np.array([0, 2]), np.array([[0.9], [0.8]], np.float32), 0.5)
    two = np.array([0, 1])  # labels 0 and 1
    rows = TrainingRows(data.train.images, {"auxiliary": np.zeros((N, 1))}, data.labels[two], two)
    rows = pseudo.with_pseudo_labels(rows, labelled, data.test.images, {"auxiliary": np.ones((N_TEST, 1))})
    if class_weights:
        rows = with_class_weights(rows, "binary")
    assert rows.labels.ravel() == pytest.approx([0, 1, 0.9, 0.8])
    assert rows.weights == pytest.approx(np.array(expected))
    assert rows.positions.tolist() == [0, 1, 60, 62]
    assert rows.inputs["auxiliary"][rows.positions].ravel().tolist() == [0, 0, 1, 1]
    assert (rows.images[rows.positions[2:]] == data.test.images[[0, 2]]).all()


def test_rows_of_test_teach():
    data = make_dataset()
    data.train.table.loc[~HELD_OUT, "t0"] = np.arange((~HELD_OUT).sum()) % 3 // 2  # the training labels say nothing
    truth = data.test.table[["t0"]].to_numpy(np.float32)
    extra = pseudo.PseudoLabels(np.arange(N_TEST), truth, 5.0)
    recipe = fit_recipe("mlp", {"auxiliary": ("angle",)}, AugmentSettings("none", mixup=0.2), epochs=12, snapshots=2)
    taught, alone = (train_fold(recipe, data, HELD_OUT, 0, pseudo_labels=e) for e in (extra, None))
    loss = [metrics.log_loss(data.labels[HELD_OUT], result.held_out) for result in (taught, alone)]
    assert loss[0] < 0.5 < loss[1]


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Folders with data and a run on it; in the second the labels of fold 1 are nonsense."""
    folders = [tmp_path_factory.mktemp(name) for name in ("honest", "misled")]
    for folder, flipped in zip(folders, ([], FOLD_1), strict=True):
        write_data(folder / "data", flipped=flipped)
        train_here(make_recipe(epochs=1), folder / "data", folder / "runs")
    return folders


@pytest.mark.parametrize("planted", [False, True], ids=["as it is", "with a planted leak"])
def test_labels_of_the_held_out_fold_change_nothing_of_both_runs(twins, monkeypatch, tmp_path, planted):
    if planted:  # the mean over all folds' models, of which all but one saw fold 1
        everything = lambda source, fit, data: store.test_predictions(source, data.test.table["id"], ["y"])  # noqa: E731
        monkeypatch.setattr(pseudo, "fold_test_predictions", everything)
    predicted, others = [], []
    for folder in twins:
        source = Run(folder / "runs" / run_name(make_recipe(epochs=1)))
        taught = with_pseudo(make_recipe(seed=int(planted)), [source.name], labels="soft", confidence=0.0)
        run = train_here(taught, folder / "data", folder / "runs", [1])
        predicted.append(pd.read_parquet(run.fold_path(1) / "held_out.parquet")["y"])
        others.append(pd.read_parquet(source.fold_path(0) / "test.parquet")["y"])
    assert (predicted[0] == predicted[1]).all() != planted
    assert (others[0] != others[1]).any()  # the labels did matter where they may


def test_the_effect_is_a_paired_difference(tmp_path):
    folds = pd.DataFrame({"id": ["a", "b", "c", "d"], "repeat": 0, "fold": [0, 0, 1, 1]})
    table = pd.DataFrame({"id": folds["id"], "y": [1, 0, 1, 0]})
    data = Dataset(
        Split(np.zeros((4, 2, 2, 1)), table), data_of(1, 1, "binary").test, "binary", ["y"], [], None, "", ""
    )
    for name, said, recipe in [("plain-1", 0.5, {}), ("taught-1", 0.8, {"pseudo": {"runs": ["plain-1"]}})]:
        run = write_source(tmp_path, [[[0.5]], [[0.5]]], name, **recipe)
        for fit in (0, 1):
            held_out = folds[folds["fold"] == fit].assign(y=[said, 1 - said])
            held_out.to_parquet(run.fold_path(fit) / "held_out.parquet")
            (run.fold_path(fit) / "fold.json").write_text(f'{{"pseudo_images": {fit + 5}}}')
    p = np.array([[0.8], [0.2], [0.8], [0.2]])
    ours = objective.score_answers("log_loss", data.labels, p, "binary", None)
    about = report.pseudo_effect(run, data, folds, ours)
    assert about["log_loss"] == pytest.approx(np.log(2))
    assert about["difference"] == pytest.approx(np.log(0.5 / 0.8))
    assert about["interval"] == pytest.approx([np.log(0.5 / 0.8)] * 2)
    assert about["n_images"] == [5, 6]
    told = report.effect_line({"model": "taught", "run_key": "1", "pseudo": about})
    assert told.startswith("taught-1: log loss -0.4700 (95 % interval -0.4700 to -0.4700, better) against plain-1, ")
    assert told.endswith("labelled 5 to 6 test images a fold")


def test_runs_that_cannot_teach_are_refused(tmp_path):
    write_source(tmp_path, [[[0.5]]], "good-1")
    write_source(tmp_path, [[[0.5]]], "theirs-1", imported={"oof": "x.csv"})
    write_source(tmp_path, [[[0.5]]], "elsewhere-1", split_key="other split")
    unfinished = write_source(tmp_path, [[[0.5]], [[0.5]]], "half-1")
    unfinished.fold_path(0).rename(tmp_path / "gone")
    assert [one.name for one in members.labelling_runs(tmp_path, ["good-1"], "split")] == ["good-1"]
    for name, advice in {
        "god-1": "did you mean 'good-1'",
        "theirs-1": "imported",
        "elsewhere-1": "expected split",
        "half-1": "1 folds are missing",
    }.items():
        with pytest.raises(FoldwiseError, match=f"pseudo.runs={name}") as error:
            members.labelling_runs(tmp_path, [name], "split")
        assert advice in str(error.value)


def test_the_runs_enter_the_key_in_any_order():
    def key(*words):
        return run_name(recipe_make_recipe(configure("competition=faces", "model=mlp", *words), "data", "split"))

    assert key("pseudo=none") == key()
    assert key("pseudo=confident", "pseudo.runs=[a-1,b-1]") == key("pseudo=confident", "pseudo.runs=[b-1,a-1,a-1]")
    others = [["pseudo=distill", "pseudo.runs=[a-1]"], ["pseudo=confident", "pseudo.runs=[a-1]"], []]
    assert len({key(*words) for words in others}) == 3


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["pseudo=confident"], "pseudo.runs=[small_cnn-0123456789ab]"),
        (["pseudo.weight=2"], "no runs label"),
        (["pseudo=distill", "pseudo.runs=[a-1]", "pseudo.confidence=1"], "less than 1"),
        (["pseudo.runs=[a-1]", "augment=body", "augment.options.transplant=.5"], "transplant=0"),
    ],
)
def test_wrong_settings_are_one_clear_message(words, advice):
    with pytest.raises(ConfigError) as error:
        configure(*words)
    assert advice in str(error.value)
