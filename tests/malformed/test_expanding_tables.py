"""Files of predictions that are damaged or made to fill the memory: one line each."""

import os

import numpy as np
import pandas as pd
import pytest
from helpers.malformed import Case, check

from foldwise.runs.prediction_files import read_predictions

IDS = pd.Series(["a", "b"])


def case(what, write, message, name="p.parquet"):
    """A row of the table of a file that `foldwise import` reads once the data are prepared."""
    return Case(
        f"predictions: {what}",
        lambda root: write(root / name),
        f"import competition=faces oof={{root}}/{name} test={{root}}/{name}",
        message,
        reader=lambda root: read_predictions(root / name, IDS, ["y"], "binary"),
    )


def table(**columns):
    return lambda path: pd.DataFrame(columns).to_parquet(path, index=False, row_group_size=10**8)


BROKEN = "p.parquet: cannot be read as a parquet:"
CASES = [
    case(
        "20,000,000 rows of one number",
        table(y=np.zeros(20_000_000)),
        "p.parquet: it has 20,000,000 rows, expected at most 1,004",
    ),
    case(
        "one id of 200 kB in 1,000 rows",
        table(id=["x" * 200_000] * 1_000, y=np.zeros(1_000)),
        "p.parquet: refused: its rows take 200,000,000 bytes and more, of 128,000,000 allowed",
    ),
    case("an empty parquet", lambda path: path.write_bytes(b""), f"{BROKEN} Parquet file size is 0 bytes"),
    case("a parquet of zeros", lambda path: path.write_bytes(bytes(100)), f"{BROKEN} Parquet magic bytes not found"),
    case(
        "a parquet whose table of contents is cut off",
        lambda path: path.write_bytes(b"PAR1" + b"\xff" * 4 + b"PAR1"),
        f"{BROKEN} ",
    ),
    case("a folder in place of a parquet", lambda path: path.mkdir(), "p.parquet: expected a file, found a folder"),
    case("a named pipe", os.mkfifo, "p.parquet: expected a file, found a named pipe; remove it, or put the file there"),
    case("a named pipe (CSV)", os.mkfifo, "p.csv: expected a file, found a named pipe", "p.csv"),
    case("another kind of file", lambda path: path.write_bytes(b""), "p.npy: expected a .csv or a .parquet", "p.npy"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_malformed_predictions(case, tmp_path, capsys):
    check(case, tmp_path, capsys)
