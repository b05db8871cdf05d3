"""The built wheel is whole: it runs in an empty folder, without the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("src", "conf", "setup.py", "pyproject.toml", "requirements.txt", "MANIFEST.in", "README.md", "LICENSE")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds what the wheel holds; the wheel is built offline, from a copy of the sources."""
    copy, folder = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("installed")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(ROOT / name, copy)
    subprocess.run([sys.executable, "-c", BUILD, "dist"], cwd=copy, check=True, capture_output=True)
    (wheel,) = (copy / "dist").glob("foldwise-*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture
def python(installed, tmp_path):
    """Run Python in an empty folder, with the wheel's files before the environment's; return its stdout."""

    def run(*words):
        environment = os.environ | {"PYTHONPATH": str(installed)}
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def files(folder):
    """The files below `folder` by their paths, without compiled ones and what the build left there."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if "__pycache__" not in name and "-info/" not in name}


def test_the_wheel_holds_every_module_table_and_yaml(installed):
    conf = {f"foldwise/conf/{name}" for name in files(ROOT / "conf")}
    assert files(installed) == files(ROOT / "src") | conf
    assert {"foldwise/models/pretrained/zoo.csv", "foldwise/conf/config.yaml"} <= files(installed)


def test_the_wheel_needs_what_requirements_txt_pins(installed):
    (metadata,) = installed.glob("foldwise-*.dist-info/METADATA")
    needed = {line.removeprefix("Requires-Dist: ") for line in metadata.read_text().splitlines()}
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    pins = {line for line in lines if line}
    assert len(pins) > 10
    assert pins <= needed


def test_the_tests_of_the_wheel_import_the_wheel(python, installed):
    code = "import foldwise; from foldwise.config import compose; print(foldwise.__file__, compose.CONF, sep='\\n')"
    assert python("-c", code).splitlines() == [
        str(installed / "foldwise" / "__init__.py"),
        str(installed / "foldwise" / "conf"),
    ]


def test_the_wheel_trains_in_an_empty_folder(python, tmp_path):
    words = ["competition=digits_8x8", "source.n_train=60", "source.n_test=20", "model=logistic_regression"]
    python("-m", "foldwise", "train", *words, "fit.epochs=1", "split.n_folds=2")
    (run,) = (tmp_path / "runs" / "digits_8x8").iterdir()
    assert (run / "run.json").is_file()
    assert sorted(path.name for path in run.glob("fold_*")) == ["fold_0", "fold_1"]


@pytest.mark.parametrize("words", [(), ("--config-dir", "elsewhere")], ids=["conf", "--config-dir"])
def test_the_wheel_finds_yamls_of_the_user(python, tmp_path, words):
    folder = tmp_path / (words[-1] if words else "conf") / "competition"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("name: mine\nreader: folder\noptions: {side: 48}\n")
    settings = python("-m", "foldwise", "prepare", "competition=mine", "source=kaggle", "--cfg", *words)
    assert "name: mine" in settings
    assert "side: 48" in settings
