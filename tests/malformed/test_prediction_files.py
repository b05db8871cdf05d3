"""Malformed files of predictions, of folds and of blends: CSV and parquet that come from others."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.malformed import Case, check
from helpers.raw_files import write_folder

from foldwise.data.ids import likely_pair, repaired_ids
from foldwise.errors import choices

Write = Callable[[Path], object]
DATA = (
    "competition=faces source=kaggle competition.options.task=binary competition.options.label_columns=[label] "
    "split.n_folds=2"
)
CSV = f"import {DATA} split=other oof={{root}}/oof.csv test={{root}}/test.csv name=x"
PARQUET = f"import {DATA} split=other oof={{root}}/oof.parquet test={{root}}/test.csv name=x"
FOLDS = f"import {DATA} oof={{root}}/oof.csv test={{root}}/test.csv name=x imports.folds={{root}}/folds.csv"
SPLIT = f"folds {DATA.removesuffix(' split.n_folds=2')} split=file split.file={{root}}/folds"
BLEND = f"ensemble {DATA} ensemble=files ensemble.options.folder={{root}}/past"
OOF = "id,label\nt0,0.1\nt1,0.8\nt2,0.3\nt3,0.6\n"
TEST = "id,label\nu0,0.1\nu1,0.8\n"


def files(**contents: str | bytes) -> Write:
    """Write a folder competition, and files of predictions by their names; `_` stands for a dot."""

    def write(root: Path) -> None:
        write_folder(root / "data/raw/faces")
        for name, content in ({"oof_csv": OOF, "test_csv": TEST} | contents).items():
            (root / name.replace("_", ".")).write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def parquet(table: pd.DataFrame | pa.Table, cut: int = 0) -> Write:
    """Write a folder competition, and a parquet of predictions that lacks its last bytes."""

    def write(root: Path) -> None:
        files()(root)
        path = root / "oof.parquet"
        pq.write_table(table if isinstance(table, pa.Table) else pa.Table.from_pandas(table), path)
        if cut:
            path.write_bytes(path.read_bytes()[:-cut])

    return write


def flipped(at: int) -> Write:
    """Write a parquet whose byte at a place is another."""

    def write(root: Path) -> None:
        parquet(GOOD)(root)
        content = bytearray((root / "oof.parquet").read_bytes())
        content[at] ^= 0xFF
        (root / "oof.parquet").write_bytes(content)

    return write


def past(**contents: str | bytes) -> Write:
    """Write a folder competition, and a folder of files to blend."""

    def write(root: Path) -> None:
        files()(root)
        (root / "past").mkdir()
        for name, content in ({"a_csv": TEST} | contents).items():
            path = root / "past" / name.replace("_", ".")
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def pipe(name: str, write: Write) -> Write:
    """Put a named pipe in place of a file."""

    def write_both(root: Path) -> None:
        write(root)
        (root / name).unlink(missing_ok=True)
        os.mkfifo(root / name)

    return write_both


GOOD = pd.DataFrame({"id": ["t0", "t1", "t2", "t3"], "label": [0.1, 0.8, 0.3, 0.6]})
NESTED = pa.table({"id": ["t0", "t1"], "label": [[0.1], [0.2]]})
BYTES = pa.table({"id": ["t0", "t1", "t2", "t3"], "label": [b"\xff", b"0.1", b"0.1", b"0.1"]})
DATES = pa.table({"id": ["t0", "t1", "t2", "t3"], "label": pd.to_datetime(["2020-01-01"] * 4)})
TWICE = pa.Table.from_arrays([pa.array(["t0"]), pa.array([0.1]), pa.array([0.1])], names=["id", "label", "label"])
MANY = pa.table({"id": pa.array(["t0"] * 2_000_000).dictionary_encode(), "label": np.full(2_000_000, 0.5)})

CASES = [
    # CSV
    Case(
        "predictions of zeros",
        files(oof_csv=bytes(500)),
        CSV,
        "oof.csv: the column 'label' is missing; expected id, label; it has id",
    ),
    Case(
        "predictions in UTF-16",
        files(oof_csv=OOF.encode("utf-16")),
        CSV,
        "oof.csv: cannot be read as a CSV: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
    ),
    Case(
        "predictions in latin-1",
        files(oof_csv=OOF.encode() + b"\xe9,0.5\n"),
        CSV,
        "oof.csv: cannot be read as a CSV: 'utf-8' codec can't decode byte 0xe9 in position 0: unexpected end of",
    ),
    Case("an empty file of predictions", files(oof_csv=""), CSV, "oof.csv: the file is empty"),
    Case(
        "predictions of a header alone",
        files(oof_csv="id,label\n"),
        CSV,
        "oof.csv: 4 ids are missing, for example 't0'",
    ),
    Case(
        "predictions of one column",
        files(oof_csv="id\nt0\nt1\n"),
        CSV,
        "oof.csv: the column 'label' is missing; expected id, label; it has id",
    ),
    Case(
        "predictions with a longer row",
        files(oof_csv=OOF + "t4,0.1,0.2,0.3\n"),
        CSV,
        "oof.csv: cannot be read as a CSV: Error tokenizing data. C error: Expected 2 fields in line 6, saw 4",
    ),
    Case(
        "predictions whose rows are all longer",
        files(oof_csv="id,label\nt0,0.1,1\nt1,0.1,1\nt2,0.1,1\nt3,0.1,1\n"),
        CSV,
        "oof.csv: cannot be read as a CSV: the header has 2 cells, the rows 3",
    ),
    Case(
        "predictions with a shorter row",
        files(oof_csv="id,label\nt0,0.1\nt1\nt2,0.3\nt3,0.6\n"),
        CSV,
        "oof.csv: the prediction for 't1' is [nan], expected probabilities in [0, 1] and none missing",
    ),
    Case(
        "predictions with an open quote",
        files(oof_csv='id,label\n"t0,0.1\nt1,0.8\n'),
        CSV,
        "oof.csv: cannot be read as a CSV: Error tokenizing data. C error: EOF inside string starting at row 1",
    ),
    Case(
        "a probability of NaN",
        files(oof_csv=OOF.replace("0.8", "nan")),
        CSV,
        "oof.csv: the prediction for 't1' is [nan], expected probabilities in [0, 1] and none missing",
    ),
    Case(
        "a probability of inf",
        files(oof_csv=OOF.replace("0.8", "inf")),
        CSV,
        "oof.csv: the prediction for 't1' is [inf], expected probabilities in [0, 1] and none missing",
    ),
    Case(
        "a probability of 1e400",
        files(oof_csv=OOF.replace("0.8", "1e400")),
        CSV,
        "oof.csv: the prediction for 't1' is [inf], expected probabilities in [0, 1] and none missing",
    ),
    Case(
        "a probability of -1e-9",
        files(oof_csv=OOF.replace("0.8", "-1e-9")),
        CSV,
        "oof.csv: the prediction for 't1' is [-1e-09], expected probabilities in [0, 1] and none missing; they",
    ),
    Case(
        "a probability of 2",
        files(oof_csv=OOF.replace("0.8", "2.0")),
        CSV,
        "oof.csv: the prediction for 't1' is [2.0], expected probabilities in [0, 1] and none missing",
    ),
    Case(
        "a probability of words",
        files(oof_csv=OOF.replace("0.8", "high")),
        CSV,
        "oof.csv: the prediction for 't1' is [nan], expected probabilities in [0, 1] and none missing",
    ),
    Case(
        "a probability with a comma",
        files(oof_csv=OOF.replace("0.8", '"0,8"')),
        CSV,
        "oof.csv: the prediction for 't1' is [nan], expected probabilities in [0, 1] and none missing",
    ),
    Case(
        "a probability that is true",
        files(oof_csv=OOF.replace("0.8", "True")),
        CSV,
        "oof.csv: the prediction for 't1' is [nan], expected probabilities in [0, 1] and none missing",
    ),
    Case("a prediction twice", files(oof_csv=OOF + "t3,0.6\n"), CSV, "oof.csv: duplicate id 't3'"),
    Case(
        "a prediction of an unknown id",
        files(oof_csv=OOF + "t4,0.6\n"),
        CSV,
        "oof.csv: 1 of its ids are not in the data, for example 't4'; the nearest there is 't3'",
    ),
    Case(
        "a prediction without an id",
        files(oof_csv=OOF.replace("t1", "")),
        CSV,
        "oof.csv: 1 of its ids are not in the data, for example ''; the nearest there is 't3'",
    ),
    Case(
        "a prediction missing", files(oof_csv="id,label\nt0,0.1\n"), CSV, "oof.csv: 3 ids are missing, for example 't1'"
    ),
    Case(
        "an id of a million zeros",
        files(oof_csv=OOF + "0" * 1_000_000 + "x,0.6\n"),
        CSV,
        "oof.csv: 1 of its ids are not in the data, for example",
    ),
    Case(
        "a million rows",
        files(oof_csv=OOF + "t0,0.5\n" * 1_000_000),
        CSV,
        "oof.csv: it has more than 1,008 rows, many more than the data",
    ),
    Case(
        "the column of labels twice",
        files(oof_csv="id,label,label\nt0,1,0\n"),
        CSV,
        "oof.csv: 3 ids are missing, for example 't1'",
    ),
    Case(
        "a test prediction missing",
        files(test_csv="id,label\nu0,0.1\n"),
        CSV,
        "test.csv: 1 ids are missing, for example 'u1'",
    ),
    Case(
        "predictions that are a zip",
        files(oof_csv=b"PK\x03\x04" + bytes(60)),
        CSV,
        "oof.csv: the column 'label' is missing; expected id, label; it has id",
    ),
    Case(
        "predictions in a .txt",
        files(oof_txt=OOF),
        CSV.replace("oof.csv", "oof.txt"),
        "oof.txt: expected a .csv or a .parquet file",
    ),
    Case(
        "a named pipe in place of predictions",
        pipe("oof.csv", files()),
        CSV,
        "oof.csv: expected a file, found a named pipe; remove it, or put the file there",
    ),
    # parquet
    Case(
        "a parquet of garbage",
        files(oof_parquet=bytes(range(256)) * 4),
        PARQUET,
        "oof.parquet: cannot be read as a parquet: Parquet magic bytes not found in footer. Either the file is",
    ),
    Case(
        "an empty parquet",
        files(oof_parquet=b""),
        PARQUET,
        "oof.parquet: cannot be read as a parquet: Parquet file size is 0 bytes",
    ),
    Case(
        "a CSV called parquet",
        files(oof_parquet=OOF),
        PARQUET,
        "oof.parquet: cannot be read as a parquet: Parquet magic bytes not found in footer. Either the file is",
    ),
    Case(
        "a parquet of its marks alone",
        files(oof_parquet=b"PAR1\xff\xff\xff\x7fPAR1"),
        PARQUET,
        "oof.parquet: cannot be read as a parquet: Parquet file size is 12 bytes, smaller than the size reported",
    ),
    Case(
        "a parquet that lacks its last byte",
        parquet(GOOD, 1),
        PARQUET,
        "oof.parquet: cannot be read as a parquet: Parquet magic bytes not found in footer. Either the file is",
    ),
    Case(
        "a parquet that lacks its last 100 bytes",
        parquet(GOOD, 100),
        PARQUET,
        "oof.parquet: cannot be read as a parquet: Parquet magic bytes not found in footer. Either the file is",
    ),
    Case(
        "a parquet with a damaged page",
        flipped(6),
        PARQUET,
        "oof.parquet: cannot be read as a parquet: Couldn't deserialize thrift: invalid TType",
    ),
    Case(
        "a parquet of lists",
        parquet(NESTED),
        PARQUET,
        "oof.parquet: the column 'label' holds lists or mappings, expected text or numbers",
    ),
    Case(
        "a parquet of bytes",
        parquet(BYTES),
        PARQUET,
        "oof.parquet: the prediction for 't0' is [nan], expected probabilities in [0, 1] and none missing",
    ),
    Case(
        "a parquet of dates",
        parquet(DATES),
        PARQUET,
        "oof.parquet: the prediction for 't0' is [nan], expected probabilities in [0, 1] and none missing",
    ),
    Case(
        "a parquet with a column twice",
        parquet(TWICE),
        PARQUET,
        "oof.parquet: cannot be read as a parquet: Multiple matches for FieldRef.Name(label) in id: string",
    ),
    Case("a parquet of no column", parquet(pd.DataFrame(index=range(3))), PARQUET, "oof.parquet: it has no column"),
    Case("a parquet of no row", parquet(GOOD[:0]), PARQUET, "oof.parquet: 4 ids are missing, for example 't0'"),
    Case(
        "a parquet of two million rows",
        parquet(MANY),
        PARQUET,
        "oof.parquet: it has 2,000,000 rows, expected at most 1,008",
    ),
    Case(
        "a parquet whose ids are numbers",
        parquet(GOOD.assign(id=[0, 1, 2, 3])),
        PARQUET,
        "oof.parquet: 4 of its ids are not in the data, for example '0'; the nearest there is 't0'",
    ),
    Case("a parquet whose ids are missing", parquet(GOOD.assign(id=None)), PARQUET, "oof.parquet: duplicate id ''"),
    Case(
        "a folder in place of a parquet",
        lambda root: (files()(root), (root / "oof.parquet").mkdir()),
        PARQUET,
        "test.csv: expected two files or two folders",
    ),
    Case(
        "a named pipe in place of a parquet",
        pipe("oof.parquet", files()),
        PARQUET,
        "oof.parquet: expected a file, found a named pipe; remove it, or put the file there",
    ),
    # folds
    Case(
        "a fold that is a word",
        files(folds_csv="id,fold\nt0,0\nt1,one\nt2,1\nt3,1\n"),
        FOLDS,
        "folds.csv, row 2: 'fold' of 't1' is 'one', expected a whole number from 0, or -1 for a row that is never",
    ),
    Case(
        "a fold of -2",
        files(folds_csv="id,fold\nt0,0\nt1,-2\nt2,1\nt3,1\n"),
        FOLDS,
        "folds.csv, row 2: 'fold' of 't1' is '-2', expected a whole number from 0, or -1 for a row that is never",
    ),
    Case(
        "a fold of 1e300",
        files(folds_csv="id,fold\nt0,0\nt1,1e300\nt2,1\nt3,1\n"),
        FOLDS,
        "oof.csv: its folds are not those of this split; choose the split it was made on (split=, split.n_folds=,",
    ),
    Case(
        "a fold of 10**19",
        files(folds_csv="id,fold\nt0,0\nt1,10000000000000000000\nt2,1\nt3,1\n"),
        FOLDS,
        "oof.csv: its folds are not those of this split; choose the split it was made on (split=, split.n_folds=,",
    ),
    Case(
        "a fold that is infinite",
        files(folds_csv="id,fold\nt0,0\nt1,inf\nt2,1\nt3,1\n"),
        FOLDS,
        "folds.csv, row 2: 'fold' of 't1' is 'inf', expected a whole number from 0, or -1 for a row that is never",
    ),
    Case(
        "one fold",
        files(folds_csv="id,fold\nt0,0\nt1,0\nt2,0\nt3,0\n"),
        FOLDS,
        "folds.csv: expected 2 to 100 folds in the column 'fold', found 1; every fold is held out once, and rows",
    ),
    Case(
        "folds whose rows are all longer",
        files(folds_csv="id,fold\nt0,0,1\nt1,0,1\nt2,1,1\nt3,1,1\n"),
        FOLDS,
        "folds.csv: cannot be read as a CSV: the header has 2 cells, the rows 3",
    ),
    Case("folds of zeros", files(folds_csv=bytes(400)), FOLDS, "folds.csv: of the columns"),
    Case(
        "folds in UTF-16",
        files(folds_csv="id,fold\nt0,0\n".encode("utf-16")),
        FOLDS,
        "folds.csv: cannot be read as a CSV: 'utf-8' codec can't decode byte 0xff in position 0: invalid start",
    ),
    Case(
        "folds that lack an id",
        files(folds_csv="id,fold\nt0,0\nt1,1\n"),
        FOLDS,
        "folds.csv: 2 of 4 training ids have no fold: 't2', 't3'; expected each once (-1 is the fold of a row",
    ),
    Case(
        "two folds for an id",
        files(folds_csv="id,fold\nt0,0\nt0,1\nt1,1\nt2,1\nt3,1\n"),
        FOLDS,
        "folds.csv: 't0' is in the folds 0 and 1; expected one",
    ),
    Case(
        "folds of ids alone",
        files(folds_csv="id\nt0\n"),
        FOLDS,
        "folds.csv: of the columns id none is named fold or kfold; name it fold",
    ),
    Case("folds that are empty", files(folds_csv=""), FOLDS, "folds.csv: the file is empty"),
    Case(
        "folds in a damaged parquet",
        files(folds_parquet=b"PAR1" + bytes(50)),
        SPLIT + ".parquet",
        "folds.parquet: cannot be read as a parquet: Parquet magic bytes not found in footer. Either the file is",
    ),
    Case(
        "a split by a file of words",
        files(folds_csv="no table at all\n"),
        SPLIT + ".csv",
        "folds.csv: of the columns no table at all none is named fold or kfold; name it by split.column=NAME",
    ),
    # blends
    Case(
        "a blend with a damaged parquet",
        past(b_parquet=b"PAR1" + bytes(50)),
        BLEND,
        "past/b.parquet: cannot be read as a parquet: Parquet magic bytes not found in footer. Either the file is",
    ),
    Case("a blend with an empty file", past(b_csv=""), BLEND, "past/b.csv: the file is empty"),
    Case(
        "a blend with an infinite prediction",
        past(b_csv=TEST.replace("0.8", "inf")),
        BLEND,
        "past/b.csv: the prediction for 'u1' is [inf], expected probabilities in [0, 1] and none missing",
    ),
    Case(
        "a blend with ids of another set",
        past(b_csv=OOF),
        BLEND,
        "past/b.csv: 4 of its ids are not in the data, for example 't0'; the nearest there is 'u0'",
    ),
    Case(
        "a blend of one file",
        past(),
        BLEND,
        "past: expected at least two .csv or .parquet files, found 1; with ensemble.options.runs=true one is",
    ),
    Case(
        "a blend of a folder that is not there",
        files(),
        BLEND,
        "past: expected at least two .csv or .parquet files, found 0; with ensemble.options.runs=true one is",
    ),
    Case(
        "a blend with a named pipe",
        pipe("past/b.csv", past()),
        BLEND,
        "past/b.csv: expected a file, found a named pipe; remove it, or put the file there",
    ),
]


def test_a_long_id_is_compared_in_a_moment() -> None:
    """Each of these took time with the square of the length, or compared a megabyte with each of the ids."""
    long = "0" * 300_000
    ids = [f"t{i}" for i in range(3000)]
    assert repaired_ids([long + "x"], ids) is None
    assert repaired_ids([long + "7"], ["7"]) == {long + "7": "7"}
    assert likely_pair([long], ids) == (long, "t2000")
    assert choices(long, ids).startswith("Valid choices: t0, t1")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_malformed_prediction_files(case: Case, tmp_path: Path, capsys) -> None:
    check(case, tmp_path, capsys)
