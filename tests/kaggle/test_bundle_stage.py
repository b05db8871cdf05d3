"""Stage `bundle`: what the folder holds, what is refused before any work, and that push=true sends it."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from helpers.kaggle_server import USER, KaggleServer

from foldwise.data.folds import split_key, write_folds
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.kaggle import push, wheels
from foldwise.runs.recipe import make_recipe
from foldwise.runs.store import open_run
from foldwise.settings import BundleSettings
from foldwise.stages import bundle as stage
from foldwise.stages.prepare import prepare

WORDS = ("competition=faces", "source.n_train=40", "source.n_test=12", "model=mlp", "split.n_folds=2")


@pytest.fixture
def blended(settings, monkeypatch):
    """Settings of prepared faces with a finished run and its blend; the wheels are empty files."""
    one = settings(*WORDS)
    data = prepare(one)
    write_folds(data, one.split)
    run = open_run(one.runs_dir, make_recipe(one, data.data_key, split_key(data, one.split)))
    (run.path / "run.json").write_text("{}")
    for fit in run.fits:
        run.fold_path(fit).mkdir()
        pd.DataFrame({"id": ["a"]}).to_parquet(run.fold_path(fit) / "held_out.parquet")
        (run.fold_path(fit) / "fold.json").write_text("{}")
        with h5py.File(run.fold_path(fit) / "model.weights.h5", "w") as file:
            file["w"] = np.ones(4, np.float32)
    about = {"competition": "faces", "data_key": data.data_key, "members": [{"run": run.name, "weight": 1.0}]}
    about |= {"split_key": split_key(data, one.split), "metric": "log_loss", "ensemble": {}}
    one.submissions_dir.mkdir()
    (one.submissions_dir / "faces_0.5_ab.json").write_text(json.dumps(about))
    monkeypatch.setattr(stage, "own_wheel", lambda folder: folder / "foldwise-0.1.0-py3-none-any.whl")
    monkeypatch.setattr(wheels, "collect", lambda packages, folder, python, source: [])
    monkeypatch.setattr(wheels, "write_licences", lambda files, folder, licences: None)
    monkeypatch.setattr(push, "POLL_SECONDS", 0.01)
    return one


@pytest.mark.parametrize(
    ("given", "name", "fits"),
    [
        ({}, "faces_0.5_ab", [0, 1]),
        ({"folds": [1]}, "faces_0.5_ab_folds_1", [1]),
        ({"float16": True, "folds": [1, 0]}, "faces_0.5_ab_folds_0_1_float16", [0, 1]),
    ],
    ids=["all", "a fold", "16 bits"],
)
def test_each_choice_of_folds_and_precision_has_a_folder_of_its_own(blended, given, name, fits):
    blended.bundle = BundleSettings(**given, budget="80m", name="my-dataset", owner="me")
    result = stage.bundle(blended)
    folder = blended.bundles_dir / name
    assert result["folder"] == str(folder)
    assert list(result["fits"].values()) == [fits]
    about = json.loads((folder / "bundle.json").read_text())
    assert {key: about[key] for key in ("blend", "budget", "python", "slug")} == {
        "blend": "faces_0.5_ab",
        "budget": "80m",
        "python": "3.12",
        "slug": None,
    }
    assert json.loads((folder / "dataset-metadata.json").read_text())["id"] == "me/my-dataset"
    assert yaml.safe_load((folder / "competition.yaml").read_text())["name"] == "faces"
    weights = sorted(folder.glob("runs/*/fold_*/model.weights.h5"))
    assert [path.parent.name for path in weights] == [f"fold_{fit}" for fit in fits]
    with h5py.File(weights[0]) as file:
        assert file["w"].dtype == (np.float16 if given.get("float16") else np.float32)
    assert "MiB" in stage.show(result, 100)


def test_packing_again_replaces_the_folder(blended):
    folder = Path(stage.bundle(blended)["folder"])
    (folder / "old.txt").write_text("x")
    stage.bundle(blended)
    assert not (folder / "old.txt").exists()
    assert [path.name for path in blended.bundles_dir.iterdir()] == [folder.name]


@pytest.mark.parametrize(
    ("given", "error", "expected"),
    [
        ({"folds": [2]}, ConfigError, "bundle.folds=.*has the folds 0 to 1"),
        ({"wheels": "nowhere"}, FoldwiseError, "bundle.wheels=nowhere: no such folder"),
        ({"budget": "soon"}, ConfigError, "bundle.budget=soon: expected a time such as 80m"),
    ],
    ids=["fold", "wheels", "budget"],
)
def test_nothing_is_left_of_a_bundle_that_is_refused(blended, given, error, expected):
    blended.bundle = BundleSettings(**given)
    with pytest.raises(error, match=expected):
        stage.bundle(blended)
    assert not list(blended.bundles_dir.glob("*"))


@pytest.mark.slow
def test_push_sends_the_dataset_and_the_notebook_of_the_user(blended, server: KaggleServer) -> None:
    blended.bundle = BundleSettings(push=True)
    result = stage.bundle(blended)
    assert (result["kernel"], result["version"]) == (f"{USER}/foldwise-faces-predict", 1)
    assert list(server.shelf.datasets) == [f"{USER}/foldwise-faces"]
    assert f"notebook {USER}/foldwise-faces-predict, version 1" in stage.show(result, 100)


def test_push_without_credentials_packs_nothing(blended, stranger: KaggleServer) -> None:
    blended.bundle = BundleSettings(push=True)
    with pytest.raises(FoldwiseError, match="no Kaggle credentials"):
        stage.bundle(blended)
    assert not blended.bundles_dir.exists()
