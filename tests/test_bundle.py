"""A bundle predicts by itself: in an environment that has Kaggle's packages alone, from a folder that is read only,
without network."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest
from packaging.requirements import Requirement

from foldwise.__main__ import main
from foldwise.kaggle import wheels
from foldwise.kaggle.own_wheel import repacked

WORDS = ("competition=faces", "source.n_train=40", "source.n_test=12")
KEY = "planted0123456789"
# what Kaggle's image has, see kaggle/image.yaml; their own needs are looked up
IMAGE = """
tensorflow-cpu keras numpy scipy pandas pyarrow scikit-learn threadpoolctl albumentations opencv-python-headless Pillow
tifffile pydicom h5py ImageHash safetensors filelock fsspec pydantic rich PyYAML pip
"""
NO_NETWORK = """
import socket
def refuse(*_, **__): raise OSError("this environment has no network")
socket.getaddrinfo = socket.create_connection = refuse
"""


def show_image_packages(folder: Path) -> None:
    """Link what Kaggle's image has, and nothing else, from this environment into a folder."""
    waiting, seen = IMAGE.split(), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__", "bin"}:
            if not (folder / top).exists():
                (folder / top).symlink_to(str(distribution.locate_file(top)))
        needs = map(Requirement, distribution.requires or [])
        waiting += [one.name for one in needs if one.marker is None or one.marker.evaluate({"extra": ""})]


def alone(home):
    """The variables of an environment that shows nothing of this one."""
    return {"PATH": os.environ["PATH"], "HOME": str(home)}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python that has the packages of Kaggle's image, no foldwise and no network: the words that start it."""
    folder = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (folder / "packages").mkdir()
    show_image_packages(folder / "packages")
    (site / "image.pth").write_text(f"{folder / 'packages'}\n")
    (site / "sitecustomize.py").write_text(NO_NETWORK)
    words = [str(folder / "env" / "bin" / "python")]
    apart = ["unshare", "--map-root-user", "--net"]  # a network namespace of its own, where the system allows one
    if shutil.which("unshare") and subprocess.run([*apart, "true"], check=False, capture_output=True).returncode == 0:
        words = [*apart, *words]
    lacking = ["hydra", "omegaconf", "antlr4", "simdjson", "foldwise", "kaggle", "imagecodecs", "gdcm"]
    code = f"import importlib.util as u; print([n for n in {lacking} if u.find_spec(n)])"
    found = subprocess.run([*words, "-c", code], env=alone(folder), capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    return words


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A root with a blend of two tiny nets, and its bundle."""
    root, store = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("wheels")
    words = [*WORDS, f"root={root}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAGGLE_USERNAME", "alice")
        patch.setenv("KAGGLE_KEY", KEY)
        nets = "model=logistic_regression,mlp"
        assert main(["train", "-m", nets, *words, "fit.epochs=1", "split.n_folds=2"]) == 0
        assert main(["ensemble", *words, "split.n_folds=2", "ensemble=mean"]) == 0
        for one in wheels.needed("folder"):
            repacked(one.name, store)
        here = ".".join(map(str, sys.version_info[:2]))
        assert main(["bundle", *words, f"wheels={store}", f"python={here}"]) == 0
    (bundle,) = (root / "bundles").iterdir()
    return root, bundle


def hidden_set(raw, folder):
    """A copy of raw files without those that only training needs."""
    return shutil.copytree(raw, folder, ignore=shutil.ignore_patterns("train.csv", "solution.csv", "source.json"))


@pytest.mark.slow
@pytest.mark.trains
def test_a_clean_environment_without_network_makes_the_same_submission_bit_for_bit(python, packed, tmp_path):
    root, bundle = packed
    raw = hidden_set(root / "data" / "raw" / "faces", tmp_path / "raw")
    before = sorted(bundle.rglob("*"))
    for path in (bundle, *before):
        path.chmod(0o555 if path.is_dir() else 0o444)
    working = tmp_path / "working"
    working.mkdir()
    command = [*python, str(bundle / "predict.py"), str(raw)]
    done = subprocess.run(command, cwd=working, env=alone(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 rows predicted by faces_" in done.stdout
    (original,) = (root / "submissions").glob("*.csv")
    assert (working / "submission.csv").read_bytes() == original.read_bytes()
    assert [path.name for path in working.iterdir()] == ["submission.csv"]
    assert sorted(bundle.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.trains
def test_a_hidden_test_set_of_other_and_more_rows_becomes_a_submission(python, packed, tmp_path):
    _, bundle = packed
    words = ["competition=faces", "source.n_train=40", "source.n_test=30", "source.seed=1"]
    assert main(["simulate", *words, f"root={tmp_path / 'other'}"]) == 0
    raw = hidden_set(tmp_path / "other" / "data" / "raw" / "faces", tmp_path / "raw")
    working = tmp_path / "working"
    working.mkdir()
    command = [*python, str(bundle / "predict.py"), str(raw)]
    done = subprocess.run(command, cwd=working, env=alone(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "30 rows predicted by faces_" in done.stdout
    submission, sample = pd.read_csv(working / "submission.csv"), pd.read_csv(raw / "sample_submission.csv")
    assert list(submission) == list(sample)
    assert submission["id"].tolist() == sample["id"].tolist()
    assert submission["is_face"].between(0, 1).all()
    assert submission["is_face"].nunique() > 15
    assert [path.name for path in working.iterdir()] == ["submission.csv"]


@pytest.mark.slow
@pytest.mark.trains
def test_a_bundle_holds_no_credential_no_image_and_no_path_of_this_machine(packed):
    root, bundle = packed
    private = [KEY, str(root), str(Path.home()), str(Path(__file__).parents[1]), str(Path.cwd())]
    for path in sorted(bundle.rglob("*")):
        if path.is_dir():
            continue
        parts = {str(path): path.read_bytes()}
        if path.name.startswith("foldwise-"):
            with zipfile.ZipFile(path) as wheel:
                parts |= {f"{path}: {name}": wheel.read(name) for name in wheel.namelist()}
        for where, data in parts.items():
            assert not [text for text in private if text.encode() in data], where
    assert {path.name for path in bundle.iterdir()} == {
        "blend.json",
        "bundle.json",
        "competition.yaml",
        "data",
        "dataset-metadata.json",
        "kernel-metadata.json",
        "licences",
        "predict.ipynb",
        "predict.py",
        "runs",
        "wheels",
    }
    assert (bundle / "data" / "train.npy").stat().st_size == 128  # the header alone
    assert {path.name for path in (bundle / "licences").iterdir()} == {
        path.name.partition("-")[0].lower() for path in (bundle / "wheels").iterdir()
    }
