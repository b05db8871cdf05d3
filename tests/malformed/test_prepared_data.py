"""Prepared data and folds that were damaged: one line names the file and the commands that make it again."""

import json

import pytest
from helpers.made_runs import DATA, WORDS, make_root
from helpers.malformed import Case, check

FOLDER = "data/prepared/digits_8x8"
PREPARE = "` removes that folder, and `foldwise prepare` with the same settings makes it again"


def bytes_of(name, data):
    """Return a function that replaces a file of the prepared data by bytes, or by what a function makes of its own."""

    def write(root):
        (path,) = make_root(root).glob(f"{FOLDER}/*/{name}")
        if data is None:
            path.unlink()
        else:
            path.write_bytes(data(path.read_bytes()) if callable(data) else data)

    return write


def made(folder):
    folder.mkdir()
    return folder


def without(key):
    return lambda data: json.dumps({name: one for name, one in json.loads(data).items() if name != key}).encode()


CASES = [
    Case(
        "dataset.json that is no JSON",
        bytes_of("dataset.json", b"{"),
        f"score {WORDS}",
        "dataset.json is damaged (JSON",
    ),
    Case(
        "dataset.json without a task", bytes_of("dataset.json", without("task")), f"score {WORDS}", "(KeyError: 'task')"
    ),
    Case("no dataset.json", bytes_of("dataset.json", None), f"score {WORDS}", "dataset.json is missing; `rm -r"),
    Case(
        "images cut off", bytes_of("train.npy", lambda d: d[:-9]), f"score {WORDS}", "train.npy is damaged (ValueError"
    ),
    Case("images of no bytes", bytes_of("test.npy", b""), f"prepare {DATA}", "test.npy is damaged (EOFError"),
    Case(
        "images that are a pickle",
        bytes_of("test.npy", b"\x80\x04N."),
        f"prepare {DATA}",
        "test.npy is damaged (ValueErr",
    ),
    Case("no images", bytes_of("train.npy", None), f"prepare {DATA}", "train.npy is missing; `rm -r"),
    Case(
        "a table cut off",
        bytes_of("train.parquet", lambda d: d[:99]),
        f"score {WORDS}",
        "train.parquet is damaged (Arrow",
    ),
    Case("no table", bytes_of("test.parquet", None), f"folds {WORDS}", "test.parquet is missing; `rm -r"),
    Case(
        "folds cut off",
        bytes_of("folds_*.parquet", lambda d: d[:-9]),
        f"ensemble {WORDS}",
        ".parquet is damaged (Arrow",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_damaged_prepared_data_are_one_line(case: Case, tmp_path, capsys) -> None:
    check(case, tmp_path, capsys)


def test_the_line_names_what_makes_them_again(tmp_path, capsys) -> None:
    write = bytes_of("train.npy", b"")
    check(Case("repair", write, f"prepare {DATA}", PREPARE), tmp_path, capsys)
    check(
        Case("repair", bytes_of("folds_*.parquet", b""), f"score {WORDS}", "` removes it, and `foldwise folds` with"),
        made(tmp_path / "folds"),
        capsys,
    )


@pytest.mark.parametrize("n_rows", [49, 51])
def test_a_table_that_does_not_fit_the_images_is_refused(tmp_path, capsys, n_rows) -> None:
    import pandas as pd

    def write(root):
        (path,) = make_root(root).glob(f"{FOLDER}/*/train.parquet")
        table = pd.read_parquet(path)
        pd.concat([table, table]).head(n_rows).to_parquet(path)

    expected = f"train.parquet has {n_rows} rows, train.npy images of 50"
    check(Case("rows", write, f"prepare {DATA}", expected), tmp_path, capsys)
