"""A submission follows the sample to the byte layout, and what the host would refuse is not written."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.raw_files import contents, left_in, write_sample

from foldwise.data.dataset import Dataset
from foldwise.errors import FoldwiseError
from foldwise.runs import submission

DIGITS = list("0123456789")


def dataset(folder: Path, task: str = "binary", targets: list[str] | None = None) -> Dataset:
    """What `submission.write` looks at: the sample submission in the folder, the task and the targets."""
    return Dataset(None, None, task, targets or ["is_iceberg"], [], folder, "data", "ids")


def predictions(**columns) -> pd.DataFrame:
    return pd.DataFrame({"id": ["a", "b", "c"]} | columns)


def ten(*likeliest: int) -> dict[str, np.ndarray]:
    """Columns of ten probabilities, .55 for the likeliest digit of each row and .05 for the others."""
    p = np.full((len(likeliest), 10), 0.05)
    p[np.arange(len(likeliest)), likeliest] = 0.55
    return dict(zip(DIGITS, p.T, strict=True))


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_statoil_has_the_samples_order_and_line_ends(settings, tmp_path: Path, line_end: str) -> None:
    one = settings("competition=statoil")
    write_sample(tmp_path / "sample_submission.csv", "id,is_iceberg", ["c", "a", "b"], line_end=line_end)
    path = submission.write(
        one, dataset(tmp_path), predictions(is_iceberg=[0.25, 1 / 3, 1e-9]), "s_0.15_ab", {"nested_score": 0.15}
    )
    assert path == tmp_path / "submissions" / "s_0.15_ab.csv"
    expected = line_end.join(["id,is_iceberg", "c,1e-09", "a,0.25", "b,0.3333333333333333", ""])
    assert path.read_bytes() == expected.encode()
    digest = hashlib.sha256(expected.encode()).hexdigest()
    assert json.loads(path.with_suffix(".json").read_text()) == {"nested_score": 0.15, "sha256": digest}
    assert left_in(path.parent) == ["s_0.15_ab.csv", "s_0.15_ab.json"]


def test_digits_are_labels_with_the_probabilities_beside_them(settings, tmp_path: Path) -> None:
    write_sample(tmp_path / "sample_submission.csv", "ImageId,Label", ["a", "b", "c"], "0", "\n")
    path = submission.write(
        settings("competition=digit_recognizer"),
        dataset(tmp_path, "multiclass", DIGITS),
        predictions(**ten(7, 0, 9)),
        "digits",
        {},
    )
    assert path.read_bytes() == b"ImageId,Label\na,7\nb,0\nc,9\n"
    beside = (path.parent / "digits_probabilities.csv").read_text().splitlines()
    assert beside[0] == "id,0,1,2,3,4,5,6,7,8,9"
    assert beside[2] == "b,0.55,0.05,0.05,0.05,0.05,0.05,0.05,0.05,0.05,0.05"
    assert left_in(path.parent) == ["digits.csv", "digits.json", "digits_probabilities.csv"]


def test_a_folder_competition_with_a_column_for_each_class(settings, tmp_path: Path) -> None:
    (tmp_path / "sample_submission.csv").write_bytes(b"image,dog,cat\r\nb,0,0\r\na,0,0\r\nc,0,0\r\n")
    path = submission.write(
        settings("competition=faces"),
        dataset(tmp_path, "multilabel", ["cat", "dog"]),
        predictions(cat=[0.5, 0.25, 1.0], dog=[0.75, 0.125, 0.0]),
        "f",
        {},
    )
    assert path.read_bytes() == b"image,dog,cat\r\nb,0.125,0.25\r\na,0.75,0.5\r\nc,0.0,1.0\r\n"


def test_decisions_are_submitted_where_they_are_what_counts(settings, tmp_path: Path) -> None:
    (tmp_path / "sample_submission.csv").write_bytes(b"image,dog,cat\nb,0,0\na,0,0\nc,0,0\n")
    path = submission.write(
        settings("competition=faces", "competition.metric=f1"),
        dataset(tmp_path, "multilabel", ["cat", "dog"]),
        predictions(cat=[0.5, 0.25, 1.0], dog=[0.75, 0.125, 0.0]),
        "f",
        {"thresholds": [0.25, 0.8]},  # of cat and of dog
    )
    assert path.read_bytes() == b"image,dog,cat\nb,0,1\na,0,1\nc,0,1\n"
    beside = (path.parent / "f_probabilities.csv").read_bytes()  # for `grade`
    assert beside == b"id,cat,dog\na,0.5,0.75\nb,0.25,0.125\nc,1.0,0.0\n"


def test_cuts_of_ordered_classes_decide_the_label(settings, tmp_path: Path) -> None:
    write_sample(tmp_path / "sample_submission.csv", "ImageId,Label", ["a", "b", "c"], "0", "\n")
    cuts = [0.5, *np.arange(1.5, 8), 8.9]  # the expected digits are 5.75, 2.25 and 6.75
    path = submission.write(
        settings("competition=digit_recognizer", "competition.metric=kappa"),
        dataset(tmp_path, "multiclass", DIGITS),
        predictions(**ten(7, 0, 9)),
        "digits",
        {"thresholds": cuts},
    )
    assert path.read_bytes() == b"ImageId,Label\na,6\nb,2\nc,7\n"


def test_ids_are_text(settings, tmp_path: Path) -> None:
    write_sample(tmp_path / "sample_submission.csv", "id,is_iceberg", ["1e10", "NA", "007"])
    table = pd.DataFrame({"id": ["007", "1e10", "NA"], "is_iceberg": [0.5, 0.25, 0.125]})
    path = submission.write(settings("competition=statoil"), dataset(tmp_path), table, "s", {})
    assert path.read_bytes() == b"id,is_iceberg\r\n1e10,0.25\r\nNA,0.125\r\n007,0.5\r\n"


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            predictions(is_iceberg=[0.5, np.nan, 0.5]),
            r"the prediction for 'b' is \[nan\], expected probabilities in \[0, 1\]",
        ),
        (predictions(is_iceberg=[0.5, 0.5, 1.01]), r"the prediction for 'c' is \[1.01\], expected probabilities"),
        (predictions(is_iceberg=[-0.01, 0.5, 0.5]), r"the prediction for 'a' is \[-0.01\], expected probabilities"),
        (predictions(is_iceberg=[np.inf, 0.5, 0.5]), r"the prediction for 'a' is \[inf\], expected probabilities"),
        (predictions(is_iceberg=0.5)[:2], "'c' is 0 times in the submission and 1 times in the sample"),
        (
            pd.DataFrame({"id": list("abcd"), "is_iceberg": 0.5}),
            "'d' is 1 times in the submission and 0 times in the sample",
        ),
        (
            pd.DataFrame({"id": list("abcc"), "is_iceberg": 0.5}),
            "'c' is 2 times in the submission and 1 times in the sample",
        ),
        (predictions(is_iceberg=0.5, more=0.5), "has the columns id, is_iceberg, more, the sample id, is_iceberg"),
    ],
)
def test_what_the_host_would_refuse_is_not_written(
    settings, tmp_path: Path, table: pd.DataFrame, expected: str
) -> None:
    write_sample(tmp_path / "sample_submission.csv", "id,is_iceberg", ["a", "b", "c"])
    with pytest.raises(FoldwiseError, match=expected):
        submission.write(settings("competition=statoil"), dataset(tmp_path), table, "s", {})
    assert not (tmp_path / "submissions").exists()


def test_a_sample_with_other_columns_is_refused(settings, tmp_path: Path) -> None:
    write_sample(tmp_path / "sample_submission.csv", "id,is_ship", ["a", "b", "c"])
    with pytest.raises(FoldwiseError, match="has the columns id, is_iceberg, the sample id, is_ship"):
        submission.write(settings("competition=statoil"), dataset(tmp_path), predictions(is_iceberg=0.5), "s", {})
    assert not (tmp_path / "submissions").exists()


@pytest.mark.parametrize(
    ("values", "asked", "expected"),
    [
        ([0.5, 0.25], ["benign", "benign"], "column 'y' holds the number 0.5 for 'a', the sample's names such as 'ben"),
        ([1, 0], ["True", "False"], "column 'y' holds the number 1 for 'a', the sample's names such as 'True'"),
        ([0.5, 0.25], ["0", "0"], None),
        ([0.5, 0.25], ["", ""], None),
        (["dog", "cat"], ["dog", "dog"], None),
        (["7", "x"], ["x", "7"], None),  # a class may be called 7
    ],
)
def test_numbers_in_a_column_of_names_are_refused(values: list, asked: list, expected: str | None) -> None:
    table, sample = (pd.DataFrame({"id": ["a", "b"], "y": column}) for column in (values, asked))
    if expected is None:
        submission.check(table, sample)
    else:
        with pytest.raises(FoldwiseError, match=expected):
            submission.check(table, sample)


def test_probabilities_of_several_classes_sum_to_one(settings, tmp_path: Path) -> None:
    write_sample(tmp_path / "sample_submission.csv", "ImageId,Label", ["a", "b", "c"], "0")
    columns = ten(1, 2, 3) | {"0": [0.05, 0.06, 0.05]}
    with pytest.raises(FoldwiseError, match=r"the prediction for 'b' is \[0.06, .* in \[0, 1\] that sum to 1"):
        submission.write(
            settings("competition=digit_recognizer"),
            dataset(tmp_path, "multiclass", DIGITS),
            predictions(**columns),
            "s",
            {},
        )
    assert not (tmp_path / "submissions").exists()


# Which submission is meant


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Three submissions, of which `new.csv` is the newest of statoil and `digits.csv` the newest of all."""
    folder = tmp_path / "submissions"
    folder.mkdir()
    for age, (name, competition) in enumerate({"digits": "digits", "new": "statoil", "old": "statoil"}.items()):
        (folder / f"{name}.csv").write_text("id,is_iceberg\n")
        (folder / f"{name}.json").write_text(json.dumps({"competition": competition, "name": name}))
        os.utime(folder / f"{name}.csv", (1000 - age, 1000 - age))
    (folder / "gone.json").write_text('{"competition": "statoil"}')
    return folder


@pytest.mark.parametrize(("named", "expected"), [(None, "new"), ("old.csv", "old"), ("elsewhere/old.csv", "old")])
def test_the_newest_or_the_named_one(settings, written: Path, named: str | None, expected: str) -> None:
    one = settings("competition=statoil", *([f"submission={named}"] if named else []))
    path, about = submission.chosen(one)
    assert path == written / f"{expected}.csv"
    assert about["name"] == expected


def test_a_submission_from_other_data_is_refused(settings, written: Path) -> None:
    one = settings("competition=statoil", "submission=digits.csv")
    with pytest.raises(FoldwiseError, match="made from other data: its competition is digits, not statoil"):
        submission.chosen(one)
    with pytest.raises(FoldwiseError, match="no submission of statoil from this data"):
        submission.chosen(settings("competition=statoil"), ids_key="another")
    (written / "new.json").write_text("{cut off")  # one broken JSON is no reason to fail
    assert submission.chosen(settings("competition=statoil"))[0] == written / "old.csv"


def test_a_file_from_elsewhere(settings, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("id,is_iceberg\n")
    assert submission.chosen(settings(f"submission={tmp_path / 'mine.csv'}")) == (tmp_path / "mine.csv", {})


def test_no_such_submission(settings, written: Path) -> None:
    before = contents(written)
    with pytest.raises(FoldwiseError, match=r"submission=nosuch.csv: no such file, nor in .*submissions"):
        submission.chosen(settings("submission=nosuch.csv"))
    with pytest.raises(
        FoldwiseError,
        match=r"no submission of faces from this data in .*; `foldwise ensemble .*source=embedded` writes",
    ):
        submission.chosen(settings("competition=faces"))
    with pytest.raises(FoldwiseError, match=r"no submission of faces from the host's data in .* source=kaggle` writes"):
        submission.chosen(settings("competition=faces"), source="kaggle")
    assert contents(written) == before
