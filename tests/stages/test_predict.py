"""Which new samples `foldwise predict` reads, and what it refuses before any work."""

import json

import cv2
import numpy as np
import pytest
import yaml

from foldwise.competitions.folder import reader
from foldwise.config.check import checked_options
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.settings import PredictSettings
from foldwise.stages.predict import new_records, predict
from foldwise.stages.prepare import prepare

FACES = ("competition=faces", "source.n_train=40", "source.n_test=12")


@pytest.fixture
def blended(settings):
    """Settings of prepared faces, and a function that writes the JSON of a blend of some runs."""
    one = settings(*FACES)
    data = prepare(one)

    def write(*members, **recipe):
        for name in members:
            run = one.runs_dir / name
            run.mkdir(parents=True)
            (run / "recipe.yaml").write_text(
                yaml.safe_dump({"model": {"name": "mlp"}, "split": {"n_folds": 2, "repeats": 1}, **recipe})
            )
        about = {"competition": "faces", "data_key": data.data_key, "members": [{"run": name} for name in members]}
        one.submissions_dir.mkdir(exist_ok=True)
        (one.submissions_dir / "faces_0.5_ab.json").write_text(json.dumps(about))
        return one

    return write


def test_without_a_blend_the_command_that_makes_one_is_named(settings):
    one = settings(*FACES)
    prepare(one)
    with pytest.raises(FoldwiseError, match="`foldwise ensemble competition=faces"):
        predict(one)


def test_imported_members_have_no_weights(blended):
    one = blended("ours-1", "theirs-2", imported={"oof": "x.csv"})
    with pytest.raises(FoldwiseError, match="ours-1: it was imported, so that no weights of it are here"):
        predict(one)


def test_files_without_runs_cannot_answer(blended):
    with pytest.raises(FoldwiseError, match="made of files of predictions, and no model can answer"):
        predict(blended())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, r"expected images=FOLDER .* or raw=FOLDER"),
        ({"images": ".", "raw": "."}, "one of them"),
        ({"images": "nowhere"}, "nowhere does not exist"),
        ({"raw": ".", "sample": "no.csv"}, "no.csv does not exist"),
    ],
)
def test_what_is_new_must_be_named(settings, given, expected):
    one = settings(*FACES)
    data = prepare(one)
    one.predict = PredictSettings(**given)
    with pytest.raises(ConfigError, match=expected):
        new_records(one, data)


def test_a_competition_with_a_format_of_its_own_takes_no_folder_of_images(settings, tmp_path):
    one = settings("competition=statoil", "source.n_train=20", "source.n_test=10")
    data = prepare(one)
    one.predict = PredictSettings(images=str(tmp_path))
    with pytest.raises(ConfigError, match="statoil reads its own format; give raw=FOLDER"):
        new_records(one, data)
    one.predict = PredictSettings(raw=str(one.raw_dir))
    records = list(new_records(one, data))
    assert [record.id for record in records] == data.test.table["id"].tolist()
    assert (records[2].image == data.test.images[2]).all()


def images_in(folder, *names):
    for value, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((4, 4), value, np.uint8))


def read_new(folder, images=".", sample=None, category_names=None, targets=("label",), **options):
    options = checked_options(reader.read, options, "competition.options")
    return list(
        reader.read_new(
            folder,
            new_images=images,
            new_sample=sample,
            targets=targets,
            category_names=category_names or {},
            **options,
        )
    )


def test_a_folder_of_images_names_its_ids(tmp_path):
    images_in(tmp_path, "b.png", "deep/a.PNG", "c.jpg")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "deep" / "empty").mkdir()
    records = read_new(tmp_path, channels="grey")
    assert [(record.id, int(record.image.max())) for record in records] == [("b", 0), ("c", 2), ("deep/a", 1)]
    with pytest.raises(FoldwiseError, match="expected image files, found none"):
        read_new(tmp_path / "deep", images="empty")


def test_a_sample_names_the_ids_that_are_answered(tmp_path):
    images_in(tmp_path / "pictures", "1.png", "2.png", "3.png")
    (tmp_path / "sample.csv").write_text("image,label\n3,0.5\n1,0.5\n")
    records = read_new(tmp_path / "pictures", sample=tmp_path / "sample.csv")
    assert [(record.id, int(record.image.max())) for record in records] == [("3", 2), ("1", 0)]
    (tmp_path / "sample.csv").write_text("image,label\n4,0.5\n")
    with pytest.raises(FoldwiseError, match=r"sample.csv, row 1: no image of '4'"):
        read_new(tmp_path / "pictures", sample=tmp_path / "sample.csv")


def test_columns_of_new_rows_have_the_numbers_of_the_training(tmp_path):
    images_in(tmp_path / "images", "1.png", "2.png")
    (tmp_path / "sample_submission.csv").write_text("id,label\n1,0.5\n2,0.5\n")
    (tmp_path / "test.csv").write_text("id,site,age\n2,B,41\n1,C,7\n")
    options = {"categories": ["site"], "auxiliary": ["age"], "category_names": {"site": ["A", "B", "C"]}}
    records = read_new(tmp_path, images=None, **options)
    assert [record.columns for record in records] == [{"age": 7.0, "site": 3}, {"age": 41.0, "site": 2}]
    options["category_names"] = {"site": ["A", "B"]}
    with pytest.raises(FoldwiseError, match="row 1: the site 'C' is not in the training data"):
        read_new(tmp_path, images=None, **options)
