"""Digits as CSV rows: shapes, padding, one against the rest, submissions, and the real digits in installed packages."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.raw_files import digit_files, left_in, write_files

from foldwise.competitions.digit_recognizer import reader
from foldwise.competitions.digit_recognizer.embedded import write
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.stages.prepare import prepare

KAGGLE = ("competition=digit_recognizer", "source=kaggle")


@pytest.fixture
def prepared(settings) -> Callable:
    """Prepare the given texts as the host's files."""

    def prepare_files(files: dict[str, str], *overrides: str):
        one = settings(*KAGGLE, *overrides)
        write_files(one.raw_dir, files)
        return prepare(one)

    return prepare_files


# What is read


@pytest.mark.parametrize("side", [1, 4, 8, 28])
def test_rows_are_square_images(prepared, side: int) -> None:
    data = prepared(digit_files(side=side))
    assert (data.train.images.shape, data.train.images.dtype) == ((10, side, side, 1), np.uint8)
    assert data.test.images.shape == (3, side, side, 1)
    assert data.train.images[2].ravel()[0] == 14
    assert data.train.images[2].ravel()[-1] == (14 + side * side - 1) % 256
    assert data.test.images[0].ravel()[0] == 70
    if side > 1:
        assert data.train.images[2, 1, 0, 0] == 14 + side  # row by row


def test_ids_and_labels(prepared) -> None:
    data = prepared(digit_files([3, 1, 4, 1, 5, 9, 2, 6, 0, 7, 8]))
    assert data.task == "multiclass"
    assert data.targets == list("0123456789")
    assert data.train.table["id"].tolist()[:3] == ["train_1", "train_2", "train_3"]
    assert data.test.table["id"].tolist() == ["1", "2", "3"]
    assert list(data.test.table) == ["id"]
    assert data.labels.argmax(axis=1).tolist() == [3, 1, 4, 1, 5, 9, 2, 6, 0, 7, 8]
    assert (data.labels.sum(axis=1) == 1).all()


@pytest.mark.parametrize(("given", "side", "before"), [(28, 32, 2), (28, 28, 0), (4, 7, 1), (4, 32, 14)])
def test_padding_with_zeros(prepared, given: int, side: int, before: int) -> None:
    files = digit_files(side=given)
    data = prepared(files, f"competition.options.side={side}")
    assert data.train.images.shape == (10, side, side, 1)
    inside = slice(before, before + given)
    plain = prepared(files).train.images
    assert (data.train.images[:, inside, inside] == plain).all()
    assert data.train.images.sum(dtype=int) == plain.sum(dtype=int)  # zeros all around


def test_padding_to_fewer_pixels_is_refused(prepared) -> None:
    with pytest.raises(FoldwiseError, match=r"competition.options.side=3: the images are 4 x 4; side can only pad"):
        prepared(digit_files(), "competition.options.side=3")


def test_one_digit_against_the_rest(prepared) -> None:
    data = prepared(digit_files([3, 1, 4, 1, 5]), "competition.options.one_vs_rest=1")
    assert (data.task, data.targets) == ("binary", ["is_1"])
    assert data.labels.tolist() == [[0.0], [1.0], [0.0], [1.0], [0.0]]


def test_more_rows_than_are_read_at_once(prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "ROWS_AT_ONCE", 4)
    data = prepared(digit_files(list(range(10)) * 2, n_test=9))
    assert data.train.table["id"].tolist() == [f"train_{i}" for i in range(1, 21)]
    assert data.train.images[:, 0, 0, 0].tolist() == [7 * i for i in range(20)]
    assert data.test.table["id"].tolist() == list("123456789")


# Submissions and truth


def test_a_submission_holds_the_likeliest_digit() -> None:
    probabilities = np.full((3, 10), 0.05)
    probabilities[[0, 1, 2], [7, 0, 9]] = 0.55
    predictions = pd.DataFrame(probabilities, columns=list("0123456789"))
    predictions.insert(0, "id", ["1", "2", "3"])
    laid_out = reader.submission(predictions, pd.DataFrame(columns=["ImageId", "Label"]))
    assert laid_out.to_csv(index=False) == "ImageId,Label\n1,7\n2,0\n3,9\n"


def test_a_submission_of_one_digit_against_the_rest() -> None:
    predictions = pd.DataFrame({"id": ["1", "2", "3"], "is_4": [0.2, 0.5, 0.51]})
    laid_out = reader.submission(predictions, pd.DataFrame(columns=["ImageId", "Label"]))
    assert laid_out.to_csv(index=False) == "ImageId,Label\n1,0\n2,0\n3,1\n"


def test_truth() -> None:
    solution = pd.DataFrame({"ImageId": ["1", "2"], "Label": ["0", "4"], "Usage": ["Public", "Private"]})
    assert reader.truth(solution, ["is_4"]).tolist() == [[0.0], [1.0]]
    assert reader.truth(solution, list("0123456789")).argmax(axis=1).tolist() == [0, 4]


# The real digits that installed packages carry


def test_the_embedded_mnist(settings) -> None:
    one = settings("competition=digit_recognizer")
    data = prepare(one)
    assert left_in(one.raw_dir) == ["sample_submission.csv", "solution.csv", "source.json", "test.csv", "train.csv"]
    train, test = (pd.read_csv(one.raw_dir / f"{name}.csv") for name in ("train", "test"))
    assert list(train) == ["label", *(f"pixel{i}" for i in range(784))]
    assert list(test) == [f"pixel{i}" for i in range(784)]
    assert train["label"].value_counts().to_dict() == dict.fromkeys(range(10), 400)
    solution = pd.read_csv(one.raw_dir / "solution.csv")
    assert list(solution) == ["ImageId", "Label", "Usage"]
    assert solution["Label"].value_counts().to_dict() == dict.fromkeys(range(10), 100)
    assert solution["Usage"].value_counts().to_dict() == {"Private": 800, "Public": 200}
    sample = (one.raw_dir / "sample_submission.csv").read_text().splitlines()
    assert (sample[0], sample[1], sample[-1], len(sample)) == ("ImageId,Label", "1,0", "1000,0", 1001)
    assert data.train.images.shape == (4000, 28, 28, 1)
    assert data.test.images.shape == (1000, 28, 28, 1)
    assert data.train.images.max() == 255
    assert data.labels.sum(axis=0).tolist() == [400] * 10
    assert list(data.test.table) == ["id"]
    sums = np.concatenate([split.images.sum(axis=(1, 2, 3), dtype=int) for split in (data.train, data.test)])
    assert sums.sum() == MNIST_SUM
    assert np.corrcoef(solution["Label"], np.arange(1000))[0, 1] == pytest.approx(
        0, abs=0.1
    )  # no order tells the label


MNIST_SUM = 131_267_102  # of all pixels of all 5,000 digits


def test_the_8x8_digits(settings) -> None:
    one = settings("competition=digits_8x8")
    data = prepare(one)
    assert (data.train.images.shape, data.test.images.shape) == ((1500, 8, 8, 1), (297, 8, 8, 1))
    assert sorted(np.unique(data.train.images).tolist()) == [
        *(0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255)
    ]
    solution = pd.read_csv(one.raw_dir / "solution.csv")
    assert (data.labels.sum(axis=0) + solution["Label"].value_counts().sort_index()).tolist() == [
        *(178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
    ]


def test_an_embedded_source_follows_its_seed_and_sizes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder, seed in zip(folders, (0, 0, 1), strict=True):
        folder.mkdir()
        write(folder, digits="8x8", n_train=50, n_test=10, seed=seed)
    same, again, other = ((folder / "train.csv").read_bytes() for folder in folders)
    assert same == again != other
    assert same.count(b"\n") == 51
    with pytest.raises(ConfigError, match=r"source.n_train=1700 source.n_test=297: there are 1797 digits in all"):
        write(tmp_path, digits="8x8", n_train=1700)


# Damaged files


def edited(name: str, row: int, column: int, value: str | None) -> dict[str, str]:
    """The host's files with one cell changed, or cut out where `value` is None; row 0 is the header."""
    files = digit_files()
    lines = [line.split(",") for line in files[name].splitlines()]
    lines[row][column : column + 1] = [] if value is None else [value]
    return files | {name: "\n".join(",".join(cells) for cells in lines) + "\n"}


def without_column(name: str, column: int) -> dict[str, str]:
    files = digit_files()
    lines = [line.split(",") for line in files[name].splitlines()]
    return files | {name: "\n".join(",".join(cells[:column] + cells[column + 1 :]) for cells in lines) + "\n"}


def replaced(name: str, text: str) -> dict[str, str]:
    return digit_files() | {name: text}


HEADER = digit_files()["test.csv"].splitlines()[0]
BAD = {
    "NaN pixel": (edited("train.csv", 3, 5, "NaN"), "train.csv, row 3: pixel4 is nan"),
    "no pixel": (edited("test.csv", 2, 4, ""), "test.csv, row 2: pixel4 is nan"),
    "infinite pixel": (edited("test.csv", 1, 0, "Infinity"), "test.csv, row 1: pixel0 is inf"),
    "1e999": (edited("train.csv", 10, 16, "1e999"), "train.csv, row 10: pixel15 is"),
    "pixel 256": (edited("train.csv", 1, 1, "256"), "train.csv, row 1: pixel0 is 256, expected"),
    "pixel -1": (edited("train.csv", 1, 1, "-1"), "train.csv, row 1: pixel0 is"),
    "pixel 0.5": (edited("train.csv", 1, 2, "0.5"), "train.csv, row 1: pixel1 is"),
    "text pixel": (
        edited("train.csv", 1, 2, "x"),
        "train.csv, row 1: pixel1 is x, expected a whole number from 0 to 255",
    ),
    "cut row": (edited("train.csv", 10, 16, None), "train.csv, row 10: pixel15 is"),
    "long row": (
        edited("train.csv", 2, 3, "1,2"),
        "train.csv: cannot be read as a CSV: .*Expected 17 fields in line 3",
    ),
    "no label": (edited("train.csv", 4, 0, ""), "train.csv, row 4: the label is missing"),
    "label 10": (edited("train.csv", 4, 0, "10"), "train.csv, row 4: the label is 10, expected a digit from 0 to 9"),
    "label 1.5": (edited("train.csv", 4, 0, "1.5"), "train.csv, row 4: the label is 1.5, expected a digit"),
    "label inf": (edited("train.csv", 4, 0, "inf"), "train.csv, row 4: the label is inf, expected a digit"),
    "text label": (edited("train.csv", 4, 0, "two"), "train.csv, row 4: the label is two, expected a digit"),
    "no label column": (
        without_column("train.csv", 0),
        "train.csv: expected the columns label, pixel0, .*missing label",
    ),
    "no pixel3": (without_column("test.csv", 3), "test.csv: expected the columns pixel0, .*missing pixel3"),
    "no last pixel": (
        without_column("train.csv", 16),
        "train.csv: expected the columns .*missing a square number of pixels",
    ),
    "empty train": (replaced("train.csv", ""), "train.csv: the file is empty"),
    "empty test": (replaced("test.csv", ""), "test.csv: the file is empty"),
    "empty sample": (replaced("sample_submission.csv", ""), "sample_submission.csv: the file is empty"),
    "no train rows": (replaced("train.csv", f"label,{HEADER}\n"), "train.csv: there is no row below the header"),
    "no test rows": (replaced("test.csv", f"{HEADER}\n"), "test.csv: there is no row below the header"),
    "other sizes": (
        replaced("test.csv", digit_files(side=5)["test.csv"]),
        "test.csv, row 1: expected an image of shape (4, 4, 1) and type uint8 like those before it, received (5, 5, 1)",
    ),
    "a digit is absent": (digit_files([0, 1, 2, 3, 4, 5, 6, 7, 8]), "the class '9' cannot be learned: no row has it"),
    "short sample": (
        replaced("sample_submission.csv", "ImageId,Label\n1,0\n2,0\n"),
        "sample_submission.csv: its ids are not the test ids: 0 are not in test, 1 test ids are absent, .*'3'",
    ),
    "other sample": (
        replaced("sample_submission.csv", "ImageId,Label\n1,0\n2,0\n4,0\n"),
        "sample_submission.csv: its ids are not the test ids: 1 are not in test, 1 test ids are absent, .*'4'",
    ),
}


@pytest.mark.parametrize(("files", "expected"), BAD.values(), ids=BAD)
def test_bad_files_are_refused_by_row_and_nothing_is_left(settings, prepared, files: dict, expected: str) -> None:
    with pytest.raises(FoldwiseError, match=re.escape(expected).replace(r"\.\*", ".*")):
        prepared(files)
    assert left_in(settings(*KAGGLE).prepared_dir) == []
    prepared(digit_files())
    assert len(left_in(settings(*KAGGLE).prepared_dir)) == 1


@pytest.mark.parametrize("name", ["train.csv", "test.csv", "sample_submission.csv"])
def test_a_missing_file_is_named_with_the_command_that_fetches_it(settings, prepared, name: str) -> None:
    files = digit_files()
    del files[name]
    with pytest.raises(FoldwiseError, match=rf"{name} is missing; .*`foldwise download competition=digit_recognizer`"):
        prepared(files)
    assert left_in(settings(*KAGGLE).prepared_dir) == []
