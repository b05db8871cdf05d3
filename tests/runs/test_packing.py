"""What a bundle holds of runs and data."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.tiny import IDS, make_recipe, write_data

from foldwise.data import dataset
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.runs import packing, store
from foldwise.runs.recipe import recipe_from
from foldwise.runs.store import REFIT, Run
from foldwise.settings import CompetitionSettings


@pytest.fixture
def run(tmp_path):
    """A finished run of two folds, with weights of two layers."""

    def write(**fit):
        recipe = make_recipe(**fit)
        run = store.open_run(tmp_path / "runs", recipe)
        (run.path / "run.json").write_text("{}")
        for number in run.fits:
            folder = run.fold_path(number)
            folder.mkdir()
            if number != REFIT:
                pd.DataFrame({"id": IDS[number::2], "y": 0.5, "repeat": 0, "fold": number}).to_parquet(
                    folder / "held_out.parquet"
                )
            pd.DataFrame({"id": ["t0"], "y": 0.5}).to_parquet(folder / "test.parquet")
            (folder / "fold.json").write_text("{}")
            with h5py.File(folder / "model.weights.h5", "w") as file:
                file["layers/dense/vars/0"] = np.array([1.0, 0.1], np.float32)
                file["layers/norm/vars/0"] = np.array([1e6, 1.0], np.float32)
                file["layers/seed/vars/0"] = np.array([7], np.uint32)
                file["layers"].attrs["name"] = "all"
        return run

    return write


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("fit", "chosen", "fits", "weights"),
    [
        ({}, None, [0, 1], ["fold_0", "fold_1"]),
        ({}, [1], [1], ["fold_1"]),
        ({"refit": True}, None, [REFIT], ["refit"]),
        ({"refit": True}, [0], [REFIT], ["refit"]),
    ],
    ids=["all folds", "one fold", "refit", "a refit predicts alone"],
)
def test_a_run_travels_with_the_weights_of_the_chosen_fits_alone(run, tmp_path, fit, chosen, fits, weights):
    original = run(**fit)
    assert packing.pack_run(original, tmp_path / "packed", chosen, False) == fits
    expected = [f"fold_{k}/held_out.parquet" for k in (0, 1)]
    expected += [f"{name}/{file}" for name in weights for file in ("fold.json", "model.weights.h5")]
    assert files(tmp_path / "packed" / original.name) == sorted([*expected, "recipe.yaml", "run.json"])
    packed = Run(tmp_path / "packed" / original.name, tuple(fits))
    assert packed.predicting == fits
    assert recipe_from(packed.recipe) == recipe_from(original.recipe)


@pytest.mark.parametrize("folds", [[2], [0, 5]])
def test_folds_that_are_not_there_are_refused(run, tmp_path, folds):
    with pytest.raises(ConfigError, match=r"bundle.folds=.* has the folds 0 to 1"):
        packing.pack_run(run(), tmp_path / "packed", folds, False)


def test_missing_weights_are_named(run, tmp_path):
    original = run()
    (original.fold_path(1) / "model.weights.h5").unlink()
    with pytest.raises(FoldwiseError, match=r"fold_1: there are no weights"):
        packing.pack_run(original, tmp_path / "packed", None, False)


def test_half_weights_keep_what_16_bits_cannot_hold(run, tmp_path):
    original = run()
    packing.pack_run(original, tmp_path / "packed", [0], True)
    with h5py.File(tmp_path / "packed" / original.name / "fold_0" / "model.weights.h5") as file:
        assert file["layers"].attrs["name"] == "all"
        found = {name: file[f"layers/{name}/vars/0"] for name in ("dense", "norm", "seed")}
        assert {name: one.dtype.name for name, one in found.items()} == {
            "dense": "float16",
            "norm": "float32",  # 1e6 is beyond 65,504
            "seed": "uint32",
        }
        assert found["dense"][()].astype(np.float64).tolist() == [1.0, 0.0999755859375]
        assert found["norm"][()].tolist() == [1e6, 1.0]


def test_folders_do_not_travel(run, tmp_path):
    original = run()
    recipe = yaml.safe_load((original.path / "recipe.yaml").read_text())
    mine = tmp_path / "mine.weights.h5"
    mine.write_text("x")
    inner = {"weights": str(mine)}
    recipe["model"]["options"] = {"weights": "imagenet", "backbone_options": inner, "side": 8}
    recipe["competition"]["options"] = {"persons": str(mine), "raw_url": "s3://bucket/scans", "group_pattern": "/a(.)/"}
    store.write_recipe(original, recipe)
    packing.pack_run(Run(original.path), tmp_path / "packed", [0], False)
    text = (tmp_path / "packed" / original.name / "recipe.yaml").read_text()
    assert str(tmp_path) not in text
    packed = yaml.safe_load(text)
    assert packed["model"]["options"] == {
        "weights": "imagenet",
        "backbone_options": {"weights": "mine.weights.h5"},
        "side": 8,
    }
    assert packed["competition"]["options"] == {
        "persons": "mine.weights.h5",
        "raw_url": "scans",
        "group_pattern": "/a(.)/",
    }


def test_data_travel_without_images(tmp_path):
    data = dataset.read(write_data(tmp_path / "data"))
    packing.pack_data(data, tmp_path / "data" / "folds.parquet", tmp_path / "packed")
    packed = dataset.read(tmp_path / "packed")
    assert packed.train.images.shape == (0, 6, 6, 1)
    assert packed.train.images.dtype == data.train.images.dtype
    pd.testing.assert_frame_equal(packed.train.table, data.train.table)
    assert len(packed.test.table) == 0
    assert replace(packed, train=data.train, test=data.test, path=data.path) == data
    assert files(tmp_path / "packed") == [
        "dataset.json",
        "folds.parquet",
        "test.npy",
        "test.parquet",
        "train.npy",
        "train.parquet",
    ]


def test_the_competition_travels_without_files_of_this_machine(tmp_path):
    options = {"persons": "/home/me/persons.csv", "raw_url": "s3://a/b", "side": 32}
    competition = CompetitionSettings("scans", "passenger_screening", None, options)
    packing.pack_competition(competition, tmp_path)
    for name in (packing.BUNDLE, packing.BLEND):
        (tmp_path / name).write_text("{}")
    assert packing.packed_competition(tmp_path) == replace(competition, options={"side": 32})


def test_runs_of_a_bundle_predict_by_the_fits_that_it_holds(tmp_path):
    (tmp_path / packing.BUNDLE).write_text(json.dumps({"fits": {"mlp-1": [1], "mlp-2": [REFIT]}}))
    runs = packing.packed_runs(tmp_path, {"members": [{"run": "mlp-2"}, {"run": "mlp-1"}]})
    assert [(run.name, run.predicting) for run in runs] == [("mlp-2", [REFIT]), ("mlp-1", [1])]


@pytest.mark.parametrize(("there", "expected"), [(None, "no such folder"), ("notes.txt", "it holds notes.txt")])
def test_a_folder_that_is_no_bundle_is_refused(tmp_path, there, expected):
    folder = tmp_path / "bundle"
    if there:
        folder.mkdir()
        (folder / there).write_text("x")
    with pytest.raises(FoldwiseError, match=rf"`foldwise bundle` wrote.*{expected}"):
        packing.packed_competition(folder)
