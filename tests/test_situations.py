"""Situations from public reports, from their files to a submission; each has the right value or a message that helps.

The generators are not part of this repository; the tests of `competitions/folder` have the situations in small.
"""

import functools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.__main__ import main
from foldwise.config.compose import configure
from foldwise.execution.task import train_one
from foldwise.stages import train
from foldwise.stages.prepare import data_key, prepare

CASES = Path(__file__).parents[2] / "shared" / "cases"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.trains,
    pytest.mark.skipif(not CASES.is_dir(), reason="the generators are not there"),
]


@pytest.fixture(scope="module")
def situation(tmp_path_factory):
    """Return a function that writes a situation and returns its root."""

    @functools.cache
    def write(number):
        root = tmp_path_factory.mktemp(f"situation_{number}")
        subprocess.run([sys.executable, CASES / f"case_{number}.py", root], check=True, capture_output=True)
        return root

    return write


@pytest.fixture
def line(situation, monkeypatch):
    """Return a function that trains and blends in this process, and returns the data and the submission."""

    def train_here(tasks, execution, finished, written):
        for task in tasks:
            train_one(task, lambda *_: None)
            if task.run.is_finished():
                finished(task.run)

    monkeypatch.setattr(train, "train_folds", train_here)

    def run(name, *words, trained=False):
        root = situation(name[4:6])
        given = [f"competition={name}", "source=kaggle", f"root={root}", *words]
        conf = f"--config-dir={root / 'conf'}"
        if not trained:
            return prepare(configure(*given, config_dir=root / "conf")), None
        assert main(["train", conf, *given, "model=logistic_regression", "fit.epochs=1", "split.n_folds=2"]) == 0
        assert main(["ensemble", conf, *given, "split.n_folds=2"]) == 0
        newest = max((root / "submissions").glob(f"{name[:6]}*.json"), key=lambda path: path.stat().st_mtime_ns)
        file = newest.with_suffix(".csv")
        data = prepare(configure(*given, config_dir=root / "conf"))
        return data, pd.read_csv(file, dtype=str, keep_default_na=False) if file.is_file() else None

    return run


def images(data, label=None):
    """The mean of each training image, or of those of a label."""
    means = data.train.images.reshape(len(data.train.images), -1).mean(axis=1, dtype=np.float64)
    return means if label is None else means[data.labels[:, 0] == label].mean()


@pytest.mark.parametrize("name", ["case01with", "case01without", "case01lower"])
def test_cameras_name_files_in_folders_with_blanks(line, name):
    data, _ = line(name)
    assert data.train.images.shape == (18, 16, 16, 3)
    assert images(data, 1) == pytest.approx(140, abs=3) and images(data, 0) == pytest.approx(80, abs=3)


@pytest.mark.parametrize("name", ["case02mixed", "case02first16", "case02deep"])
def test_images_of_eight_and_sixteen_bits(line, name):
    data, _ = line(name, "competition.options.depth=8")
    assert data.train.images.dtype == np.uint8
    assert images(data, 0) == pytest.approx(80, abs=3) and images(data, 1) == pytest.approx(140, abs=3)


@pytest.mark.parametrize(("name", "channels"), [("case03flat", 3), ("case03grey", 1)])
def test_kinds_of_colour_in_one_folder(line, name, channels):
    data, submission = line(name, "competition.options.channels=auto", trained=True)
    assert data.train.images.shape == (20, 16, 16, channels)
    assert list(submission) == ["id", "label"] and len(submission) == 8


@pytest.mark.parametrize("name", ["case04rgb", "case04grey"])
def test_photographs_are_upright(line, name):
    data, _ = line(name)
    rows = data.train.images.mean(axis=(2, 3))  # (n, 32)
    assert (rows[:, :15].mean(axis=1) > rows[:, 17:].mean(axis=1) + 50).all()


@pytest.mark.parametrize("kind", ["jpg", "progressive", "png", "tif", "webp", "bmp", "gif"])
def test_a_file_that_did_not_arrive_whole(line, kind):
    with pytest.raises(Exception, match=r"row 8: im7\.\w+ .*competition.options.broken=skip"):
        line(f"case05{kind}")
    data, _ = line(f"case05{kind}", "competition.options.broken=skip")
    assert len(data.train.table) == 17
    assert len(data.test.table) == 6


def test_a_damaged_jpeg_is_named(line, caplog):
    line("case05zeros")
    assert "im7.jpg" in caplog.text


@pytest.mark.parametrize(
    ("kind", "zero", "one"),
    [("int16", 400, -600), ("int32", 400, -600), ("uint32", 3e9, 70000), ("float64", 0.5, -0.5), ("int8", 40, -60)],
)
def test_numbers_of_tiffs(line, kind, zero, one):
    data, _ = line(f"case07{kind}")
    assert data.train.images.dtype == np.float32
    assert images(data, 0) == pytest.approx(zero, rel=0.02) and images(data, 1) == pytest.approx(one, rel=0.02)


def test_pages_of_stacks(line):
    for name in ("case07stack", "case07gif"):
        with pytest.raises(Exception, match="has 3 pages"):
            line(name)
        data, _ = line(name, "competition.options.pages=1")
        assert images(data, 1) == pytest.approx(200, abs=3) and images(data, 0) == pytest.approx(50, abs=3)
    assert line("case07stack", "competition.options.pages=all")[0].train.images.shape == (18, 3, 16, 16, 1)
    assert line("case07fiveband")[0].train.images.shape == (18, 16, 16, 5)
    assert set(np.unique(line("case07bilevel")[0].train.images)) == {0, 255}


FORMS = ["bom", "bomcrlf", "semicolon", "tab", "index", "quoted", "utf16", "spaces", "trailing", "floats", "bools"]
FORMS += ["blankline", "cr"]


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_csv(line, form):
    data, _ = line(f"case08{form}")
    assert data.train.table["id"].tolist() == [f"{i:03d}" for i in range(18)]
    assert data.labels[:, 0].tolist() == [0, 1] * 9


def test_a_missing_label_names_its_row(line):
    with pytest.raises(Exception, match=r"train\.csv, row 4: the label 'label' is missing"):
        line("case08nancell")


@pytest.mark.parametrize(("kind", "separator"), [("space", " "), ("pipe", "|")])
def test_several_labels_in_a_cell(line, kind, separator):
    words = [f"competition.options.separator='{separator}'", "competition.options.empty_label=healthy"]
    data, submission = line(f"case09{kind}", *words, trained=kind == "pipe")
    bits = dict(zip(("rust", "scab", "frog_eye"), range(3), strict=True))
    for k, name in enumerate(data.targets):
        assert data.labels[:, k].tolist() == [i >> bits[name] & 1 for i in range(32)]
    if submission is not None:
        answers = {part for cell in submission["labels"] for part in cell.split(separator)}
        assert answers <= {"rust", "scab", "frog_eye", "healthy"}


def test_one_label_as_columns(line):
    data, submission = line("case10", trained=True)
    assert data.task == "multiclass"
    assert list(submission) == ["image_id", "healthy", "scab", "rust", "multiple_diseases"]
    assert submission.iloc[:, 1:].astype(float).sum(axis=1).to_numpy() == pytest.approx(np.ones(12))


def test_a_row_for_each_image_and_label(line):
    words = ["competition.options.task=multilabel", "competition.options.label_form=long"]
    data, submission = line("case11", *words, trained=True)
    assert sorted(data.targets) == ["any", "epidural", "subdural"] and len(data.train.table) == 32
    assert (list(submission), len(submission)) == (["ID", "Label"], 24)
    assert submission["ID"].iloc[0] == "ID_0020_epidural"


def test_classes_by_folder_and_drivers_in_a_table(line):
    data, _ = line("case12")
    assert data.targets == ["c0", "c1", "c2"] and data.train.table["group"].nunique() == 8


def test_folds_of_the_team(line, situation):
    file = situation("13") / "folds.csv"
    line("case13", "split=file", f"split.file={file}")
    conf, root = f"--config-dir={situation('13') / 'conf'}", situation("13")
    words = ["competition=case13", "source=kaggle", f"root={root}", "split=file", f"split.file={file}"]
    assert main(["train", conf, *words, "model=logistic_regression", "fit.epochs=1"]) == 0
    (run,) = (root / "runs" / "case13").iterdir()
    parts = [pd.read_parquet(run / f"fold_{k}" / "held_out.parquet") for k in range(4)]
    theirs = pd.read_csv(file, dtype={"image_id": str}).set_index("image_id")["kfold"]
    for k, part in enumerate(parts):
        assert sorted(part["id"]) == sorted(theirs.index[theirs == k])


def test_names_that_look_like_nothing(line, caplog):
    caplog.set_level("INFO")
    data, _ = line("case15na")
    assert sorted(data.targets) == sorted(["NA", "None", "Black-grass, wild", "nan"])
    assert {"NA", "007", "1e5", "null"} <= set(data.train.table["id"])
    data, _ = line("case15stray")
    assert set(data.targets) == {"Dog", "Cat", "dog", "cat"}
    assert "differ only in case" in caplog.text and "blanks around 4 cells are removed" in caplog.text


@pytest.mark.parametrize("form", ["order", "indexed", "indexname", "zeros", "suffix"])
def test_files_of_a_teammate(line, situation, form, capsys):
    root, words = situation("19"), ["competition=case19", "source=kaggle"]
    files = [f"{name}={root / 'team' / name / form}.csv" for name in ("oof", "test")]
    common = [f"--config-dir={root / 'conf'}", *words, f"root={root}", *files, f"name={form}", "split=other"]
    status = main(["import", *common])
    if form in ("zeros", "suffix"):
        assert status == 1 and "imports.ids=repaired" in capsys.readouterr().err
        assert main(["import", *common, "imports.ids=repaired"]) == 0
    (run,) = (root / "runs" / "case19").glob(f"{form}-*")
    assert json.loads((run / "run.json").read_text())["log_loss"] == pytest.approx(1.5908, abs=5e-5)


def test_files_of_file_managers_change_nothing(line, situation):
    root = situation("20")
    settings = configure("competition=case20", "source=kaggle", f"root={root}", config_dir=root / "conf")
    before = data_key(settings)
    subprocess.run([sys.executable, CASES / "case_20.py", root, "visit"], check=True)
    assert (root / "data/raw/case20/images/Thumbs.db").is_file()
    assert data_key(settings) == before


@pytest.mark.parametrize("kind", ["nofile", "norow", "noimage", "trainrow"])
def test_a_test_set_that_is_not_there(line, kind):
    words = []
    if kind != "nofile":
        with pytest.raises(Exception, match=r"competition\.options\.(test=none|train_prefix)"):
            line(f"case24{kind}")
        words = ["competition.options.test=none"]
    data, submission = line(f"case24{kind}", *words, trained=kind == "nofile")
    assert (len(data.train.table), len(data.test.table), submission) == (40, 0, None)


@pytest.mark.parametrize(("name", "kappa"), [("wordsordered", 0.9167), ("numbers", 0.9762)])
def test_the_order_of_grades(line, situation, name, kappa, capsys):
    root, kind = situation("25"), name.removesuffix("ordered")
    files = [f"{what}={root}/{kind}_{what}.csv" for what in ("oof", "test")]
    folds = pd.read_csv(root / f"{kind}_oof.csv", dtype=str)[["id"]].assign(fold=lambda t: np.arange(len(t)) % 2)
    folds.to_csv(root / "folds.csv", index=False)
    theirs = root / "folds.csv"
    words = ["split=file", f"split.file={theirs}", "competition=case25" + name, "source=kaggle"]
    assert main(["import", f"--config-dir={root / 'conf'}", *words, *files, f"folds={theirs}", f"root={root}"]) == 0
    capsys.readouterr()
    assert main(["score", f"--config-dir={root / 'conf'}", *words, f"root={root}", "format=json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["score"] == pytest.approx(kappa, abs=0.01)  # learned cuts, where the generator takes the likeliest


def test_grades_by_name_need_their_order(line):
    with pytest.raises(Exception, match="kappa depends on the order of the classes"):
        line("case25words")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("spelled", "'Bee' and the label 'bee'"),
        ("unk", r"classes=\[ant,bee,cow,UNK\]"),
        ("extra", r"kept_columns=\[comment\]"),
        ("few", "no column asks for 'cow'"),
        ("two", r"kept_columns=\[confidence\]"),
    ],
)
def test_samples_that_cannot_be_answered_are_known_before_training(line, situation, kind, expected):
    with pytest.raises(Exception, match=expected):
        line(f"case27{kind}")
    assert not list((situation("27") / "data").glob(f"prepared/case27{kind}/*/train.npy"))


def test_a_class_without_rows_is_answered(line):
    _, submission = line("case27unk4", trained=True)
    assert list(submission) == ["id", "ant", "bee", "cow", "UNK"]
    assert (submission["UNK"].astype(float) == 0).all()
