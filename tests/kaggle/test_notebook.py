"""The script, the notebook and the metadata of a bundle."""

import json
import shutil
import sys

import nbformat
import numpy
import pytest
from slugify import slugify

from foldwise.kaggle import bundle_script, notebook


@pytest.fixture
def bundle(tmp_path):
    """A folder with a bundle.json, and the script in it."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "bundle.json").write_text("{}")
    notebook.write_script(folder)
    notebook.write_notebook(folder, "statoil")
    return folder


def test_the_notebook_is_valid_and_does_what_the_script_does(bundle):
    read = nbformat.read(bundle / "predict.ipynb", as_version=4)
    nbformat.validate(read)
    assert [cell.cell_type for cell in read.cells] == ["markdown", "code", "code", "code"]
    script = (bundle / "predict.py").read_text()
    assert read.cells[1].source in script
    assert "__main__" not in read.cells[1].source
    scope = {}
    exec(compile(read.cells[1].source, "cell", "exec"), scope)
    assert callable(scope["main"])


@pytest.mark.parametrize("competition", ["statoil", "passenger_screening", "x", "A" * 60, "mine.of-2026"])
def test_names_and_titles_are_what_kaggle_takes(tmp_path, competition):
    dataset = notebook.dataset_name(competition)
    kernel = notebook.kernel_name(dataset)
    assert 6 <= len(dataset) <= 50
    assert 5 <= len(kernel) <= 50
    notebook.write_metadata(tmp_path, dataset, "me", "the-slug", False)
    assert notebook.names_in(tmp_path) == (f"me/{dataset}", f"me/{kernel}")
    for kind, name in (("dataset", dataset), ("kernel", kernel)):
        title = json.loads((tmp_path / f"{kind}-metadata.json").read_text())["title"]
        assert slugify(title) == name  # else Kaggle gives the notebook another address


def test_without_a_name_the_metadata_have_a_placeholder(tmp_path):
    notebook.write_metadata(tmp_path, "foldwise-faces", None, None, True)
    kernel = json.loads((tmp_path / "kernel-metadata.json").read_text())
    assert kernel["id"] == "INSERT_USERNAME_HERE/foldwise-faces-predict"
    assert (kernel["competition_sources"], kernel["enable_gpu"], kernel["enable_internet"]) == ([], True, False)


@pytest.mark.parametrize("place", ["foldwise-statoil", "datasets/me/foldwise-statoil"])
def test_the_script_finds_the_dataset_and_the_competition(tmp_path, monkeypatch, place):
    monkeypatch.setattr(bundle_script, "INPUT", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / place).mkdir(parents=True)
    with pytest.raises(SystemExit, match=r"no bundle.json in .*add the dataset"):
        bundle_script.find_bundle()
    (tmp_path / place / "bundle.json").write_text("{}")
    assert bundle_script.find_bundle() == tmp_path / place
    with pytest.raises(SystemExit, match=r"icebergs: no such folder; .* holds .*Give the folder"):
        bundle_script.find_raw("", "icebergs")
    with pytest.raises(SystemExit, match="not on Kaggle"):
        bundle_script.find_raw("", None)
    (tmp_path / "competitions" / "icebergs").mkdir(parents=True)
    assert bundle_script.find_raw("", "icebergs") == tmp_path / "competitions" / "icebergs"
    assert bundle_script.find_raw(str(tmp_path), "icebergs") == tmp_path


def test_archives_that_kaggle_left_packed_are_unpacked(bundle, tmp_path):
    (bundle / "runs" / "mlp-1").mkdir(parents=True)
    (bundle / "runs" / "mlp-1" / "recipe.yaml").write_text("a: 1")
    assert bundle_script.unpacked(bundle, tmp_path) == bundle
    shutil.make_archive(str(bundle / "runs"), "zip", bundle / "runs")
    shutil.rmtree(bundle / "runs")
    (tmp_path / "work").mkdir()
    whole = bundle_script.unpacked(bundle, tmp_path / "work")
    assert (whole / "runs" / "mlp-1" / "recipe.yaml").read_text() == "a: 1"
    assert (whole / "bundle.json").is_file()
    assert {path.name for path in bundle.iterdir()} == {"bundle.json", "predict.py", "predict.ipynb", "runs.zip"}


def test_other_versions_are_named(capsys):
    bundle_script.compare_versions({"numpy": numpy.__version__})
    assert capsys.readouterr().out == ""
    bundle_script.compare_versions({"numpy": "1.0", "keras-of-mars": "2.0"})
    expected = f"numpy {numpy.__version__} (trained with 1.0), keras-of-mars missing (trained with 2.0)"
    assert expected in capsys.readouterr().out


def test_the_script_needs_nothing_but_python():
    text = notebook.SCRIPT.read_text()
    imported = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported <= {*sys.stdlib_module_names}
