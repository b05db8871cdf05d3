"""Malformed raw files: JSON of Statoil, CSV tables, labels, sample submissions, and what lies in place of a file."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.malformed import Case, check
from helpers.raw_files import (
    digit_files,
    folder_files,
    statoil_files,
    statoil_json,
    statoil_record,
    write_files,
    write_folder,
)

from foldwise.__main__ import main
from foldwise.competitions.passenger_screening import scan_format
from foldwise.competitions.statoil import reader

STATOIL = "prepare competition=statoil source=kaggle"
DIGITS = "prepare competition=digit_recognizer source=kaggle"
FACES = "prepare competition=faces source=kaggle"
LABELS = f"{FACES} competition.options.task=binary competition.options.label_columns=[label]"
NAMES = f"{FACES} competition.options.task=multiclass competition.options.label_columns=[label]"
SCANS = "prepare competition=passenger_screening source=kaggle competition.options.side=8"
Write = Callable[[Path], object]


def statoil(name: str, content: str | bytes) -> Write:
    """Write the host's files of Statoil, one of them with other content."""

    def write(root: Path) -> None:
        folder = write_files(root / "data/raw/statoil", statoil_files())
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def record(**columns: Any) -> Write:
    """Write the host's files of Statoil, the second training record with other values."""
    records = [statoil_record(f"0000000{i}", label=i % 2) for i in range(4)]
    records[1] |= columns
    return statoil("train.json", statoil_json(records))


def text_of_record(old: str, new: str) -> Write:
    """Write the host's files of Statoil, a text of the training records replaced once."""
    text = statoil_files()["train.json"]
    assert old in text
    return statoil("train.json", text.replace(old, new, 1))


def digits(name: str, content: str | bytes) -> Write:
    """Write the host's files of the digits, one of them with other content."""

    def write(root: Path) -> None:
        folder = write_files(root / "data/raw/digit_recognizer", digit_files())
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def faces(name: str | None = None, content: str | bytes = "", files: dict[str, str] | None = None) -> Write:
    """Write a folder competition, one of its files with other content."""

    def write(root: Path) -> None:
        folder = write_folder(root / "data/raw/faces", files)
        if name is not None:
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def in_place_of(path: str, write: Write, make: Callable[[Path], object] = os.mkfifo) -> Write:
    """Write files, and something else in place of one of them."""

    def write_both(root: Path) -> None:
        write(root)
        (root / path).unlink()
        make(root / path)

    return write_both


def classes(*names: str) -> Write:
    """Write a folder competition whose labels are names of classes."""
    files = folder_files([name for name in names for _ in range(2)])
    return faces(files=files | {"sample_submission.csv": "id,label\nu0," + names[0] + "\nu1," + names[0] + "\n"})


def scans(labels: str | None = None, **header: int) -> Write:
    """Write the files of two training scans and a test scan, the first with other labels or another header."""

    def write(root: Path) -> None:
        folder = root / "data/raw/passenger_screening"
        folder.mkdir(parents=True)
        words = np.random.default_rng(0).integers(0, 50_000, (16, 8, 8)).astype(np.uint16)
        for name in ("a", "b", "c"):
            scan_format.write(folder / f"{name}.aps", words, **(header if name == "a" else {}))
        rows = {name: [f"{name}_Zone{zone},{zone % 2}" for zone in range(1, 18)] for name in ("a", "b", "c")}
        usual = "\n".join(["Id,Probability", *rows["a"], *rows["b"], ""])
        (folder / "stage1_labels.csv").write_text(usual if labels is None else labels)
        (folder / "stage1_sample_submission.csv").write_text("\n".join(["Id,Probability", *rows["c"], ""]))
        (folder / "persons.csv").write_text("scan,person\na,p\nb,q\nc,r\n")

    return write


def with_test(labels: str) -> Write:
    """Write a folder competition with other labels and a table of test rows."""
    rows = folder_files() | {"train.csv": labels, "test.csv": "id,age,label\nu0,1,0\nu1,2,1\n"}
    return faces(files=rows)


FILES = statoil_files()
TRAIN = digit_files()["train.csv"]
HEADER = TRAIN.splitlines()[0]

CASES = [
    # Statoil: what stands for a record
    Case(
        "an id that is a list",
        record(id=["a", 1]),
        STATOIL,
        "train.json, record 2: id is a list or an object, expected one value",
    ),
    Case(
        "an id that is an object",
        record(id={}),
        STATOIL,
        'train.json, record 2 ({"id":{}...): cannot be read: a comma, a quote, a key or a value is missing, or',
    ),
    Case(
        "an id that is null",
        record(id=None),
        STATOIL,
        "train.json, record 2: the id is None, expected text such as 'dfd5f913'",
    ),
    Case(
        "an id that is empty",
        record(id=""),
        STATOIL,
        "train.json, record 2: the id is '', expected text such as 'dfd5f913'",
    ),
    Case(
        "an id that is blank",
        record(id=" \t"),
        STATOIL,
        "train.json, record 2: the id is ' \\t', expected text such as 'dfd5f913'",
    ),
    Case(
        "an id that is true",
        record(id=True),
        STATOIL,
        "train.json, record 2: the id is True, expected text such as 'dfd5f913'",
    ),
    Case(
        "an id that is a fraction",
        record(id=1.5),
        STATOIL,
        "train.json, record 2: the id is 1.5, expected text such as 'dfd5f913'",
    ),
    Case(
        "a label that is true",
        record(is_iceberg=True),
        STATOIL,
        "train.json, record 2: the label 'is_iceberg' of '00000001' is True, expected 0 or 1",
    ),
    Case(
        "a label that is a list",
        record(is_iceberg=[1]),
        STATOIL,
        "train.json, record 2: is_iceberg is a list or an object, expected one value",
    ),
    Case(
        "an angle that is a list",
        record(inc_angle=[38.1]),
        STATOIL,
        "train.json, record 2: inc_angle is a list or an object, expected one value",
    ),
    Case(
        "an angle that is true",
        record(inc_angle=True),
        STATOIL,
        "train.json, record 2: inc_angle of '00000001' is True, expected degrees or \"na\"",
    ),
    Case(
        "an angle of 1e300 degrees",
        record(inc_angle=1e300),
        STATOIL,
        "train.json, record 2: inc_angle of '00000001' is 1e+300, expected degrees or \"na\"",
    ),
    Case(
        "a key twice in a record",
        text_of_record('"inc_angle"', '"id":"x","inc_angle"'),
        STATOIL,
        "train.json, record 1: it has the key 'id' more than once",
    ),
    Case(
        "a band twice in a record",
        text_of_record('"inc_angle"', '"band_1":[],"inc_angle"'),
        STATOIL,
        "train.json, record 1: it has the key 'band_1' more than once",
    ),
    Case(
        "no comma between records",
        text_of_record("},{", "}{"),
        STATOIL,
        'train.json, record 2: expected a comma before it, found b\'{"id":"00000001","ba\'',
    ),
    Case(
        "no comma but a line between records",
        text_of_record("},{", "}\n{"),
        STATOIL,
        'train.json, record 2: expected a comma before it, found b\'{"id":"00000001","ba\'',
    ),
    Case(
        "two commas between records",
        text_of_record("},{", "},,{"),
        STATOIL,
        'train.json, record 2 (,{"id":"00000001","band_...): cannot be read: a comma, a quote, a key or a value',
    ),
    Case(
        "a comma after the last record",
        statoil("train.json", FILES["train.json"][:-1] + ",]"),
        STATOIL,
        "train.json: the file ends in the middle of record 5; it is truncated: download or unpack it again",
    ),
    Case(
        "two lists in a file",
        statoil("train.json", FILES["train.json"] * 2),
        STATOIL,
        'train.json, record 5: expected a comma before it, found b\'][{"id":"00000000","\'',
    ),
    Case(
        "a record in a record",
        text_of_record('"inc_angle"', '"more":{"a":1},"inc_angle"'),
        STATOIL,
        'train.json, record 1 ({"id":"00000000","band_1...): cannot be read: a comma, a quote, a key or a value',
    ),
    Case(
        "an id of a million braces without an end",
        statoil("train.json", '[{"id":"' + "}" * 10**6),
        STATOIL,
        "train.json: the file ends in the middle of record 1; it is truncated: download or unpack it again",
    ),
    Case(
        "a record of 20 million bytes",
        statoil("train.json", '[{"id":"' + "a" * 20_000_000 + '"}]'),
        STATOIL,
        "train.json: record 1 has more than 16,777,216 bytes, a usual one 200,000; the file is damaged: download",
    ),
    Case(
        "lists in lists, 5,000 deep",
        text_of_record('"00000001"', "[" * 5000 + "]" * 5000),
        STATOIL,
        'train.json, record 2 ({"id":[[[[[[[[[[[[[[[[[[...): cannot be read: lists in lists, more than a thousand',
    ),
    Case(
        "an id of 30 digits",
        text_of_record('"00000001"', "9" * 30),
        STATOIL,
        'train.json, record 2 ({"id":999999999999999999...): cannot be read: a whole number of more than 64 bits',
    ),
    Case(
        "a pixel of 30 digits",
        text_of_record("-20.5", "9" * 30),
        STATOIL,
        'train.json, record 1 ({"id":"00000000","band_1...): cannot be read: a whole number of more than 64 bits',
    ),
    Case(
        "an id in latin-1",
        statoil("train.json", FILES["train.json"].encode().replace(b"00000001", b"\xe9")),
        STATOIL,
        'train.json, record 2 ({"id":"�","band_1":[-20....): cannot be read: \'utf-8\' codec can\'t decode bytes in',
    ),
    Case(
        "JSON in UTF-16",
        statoil("train.json", FILES["train.json"].encode("utf-16")),
        STATOIL,
        "train.json: expected a JSON list of objects, but the file starts with",
    ),
    Case(
        "half a surrogate in an id",
        text_of_record("00000001", "\\ud800"),
        STATOIL,
        'train.json, record 2 ({"id":"\\ud800","band_1":...): cannot be read: STRING_ERROR: Problem while parsing',
    ),
    Case(
        "zeros in place of JSON",
        statoil("train.json", bytes(5000)),
        STATOIL,
        "train.json: expected a JSON list of objects, but the file starts with",
    ),
    Case(
        "a named pipe in place of train.json",
        in_place_of("data/raw/statoil/train.json", statoil("x", "")),
        STATOIL,
        "data/raw/statoil/train.json: expected a file, found a named pipe; remove it, or put the file there",
    ),
    Case(
        "a folder in place of test.json",
        in_place_of("data/raw/statoil/test.json", statoil("x", ""), Path.mkdir),
        STATOIL,
        "data/raw/statoil/test.json: expected a file, found a folder; remove it, or put the file there",
    ),
    Case(
        "a device in place of train.json",
        in_place_of("data/raw/statoil/train.json", statoil("x", ""), lambda path: path.symlink_to("/dev/zero")),
        STATOIL,
        "data/raw/statoil/train.json: expected a file, found a device; remove it, or put the file there",
    ),
    Case(
        "a link to nothing in place of train.json",
        in_place_of("data/raw/statoil/train.json", statoil("x", ""), lambda path: path.symlink_to("nothing")),
        STATOIL,
        "data/raw/statoil/train.json is missing; the folder holds sample_submission.csv, test.json, train.json,",
    ),
    Case(
        "a link to itself in place of train.json",
        in_place_of("data/raw/statoil/train.json", statoil("x", ""), lambda path: path.symlink_to(path.name)),
        STATOIL,
        "[Errno 40] Too many levels of symbolic links: '",
    ),
    Case(
        "a named pipe in place of the sample",
        in_place_of("data/raw/statoil/sample_submission.csv", statoil("x", "")),
        STATOIL,
        "data/raw/statoil/sample_submission.csv: expected a file, found a named pipe; remove it, or put the file",
    ),
    # samples
    Case(
        "a sample of zeros",
        statoil("sample_submission.csv", bytes(500)),
        STATOIL,
        "sample_submission.csv: cannot be read as a CSV: it is binary data; export it as text",
    ),
    Case(
        "a sample with a longer row",
        statoil("sample_submission.csv", "id,is_iceberg\na0000000,0.5,1,2\n"),
        STATOIL,
        "sample_submission.csv: cannot be read as a CSV: the header has 2 cells, the rows 4",
    ),
    Case(
        "a sample of one column",
        statoil("sample_submission.csv", "id\na0000000\na0000001\na0000002\n"),
        STATOIL,
        "the submission has the columns id, is_iceberg, the sample id",
    ),
    Case(
        "a sample of a header alone",
        statoil("sample_submission.csv", "id,is_iceberg\n"),
        STATOIL,
        "sample_submission.csv: its ids are not the test ids: 0 are not in test, 3 test ids are absent, for",
    ),
    Case(
        "a sample with an id twice",
        statoil("sample_submission.csv", "id,is_iceberg\na0000000,1\na0000000,1\na0000001,1\na0000002,1\n"),
        STATOIL,
        "sample_submission.csv: its ids are not the test ids: 0 are not in test, 0 test ids are absent, some ids",
    ),
    Case(
        "a sample with an open quote",
        statoil("sample_submission.csv", 'id,is_iceberg\n"a0000000,1\na0000001,1\n'),
        STATOIL,
        "sample_submission.csv: cannot be read as a CSV: Error tokenizing data. C error: EOF inside string",
    ),
    Case(
        "a sample with two columns of one name",
        statoil("sample_submission.csv", "id,id\na0000000,1\na0000001,1\na0000002,1\n"),
        STATOIL,
        "the submission has the columns id, is_iceberg, the sample id, id.1",
    ),
    Case(
        "a sample that is a zip",
        statoil("sample_submission.csv", b"PK\x03\x04" + bytes(100)),
        STATOIL,
        "sample_submission.csv: cannot be read as a CSV: it is a zip archive or a spreadsheet; export it as text",
    ),
    # digits
    Case(
        "a row longer than the header",
        digits("train.csv", TRAIN + "1," + "0," * 20 + "0\n"),
        DIGITS,
        "train.csv: cannot be read as a CSV: Error tokenizing data. C error: Expected 17 fields in line 12, saw 22",
    ),
    Case(
        "a row shorter than the header",
        digits("train.csv", TRAIN + "1,2,3\n"),
        DIGITS,
        "train.csv, row 11: pixel2 is nan, expected a whole number from 0 to 255 (a NaN, infinite or cut-off",
    ),
    Case(
        "each row longer than the header",
        digits("train.csv", HEADER + "\n" + ("1," + "0," * 16 + "0\n") * 3),
        DIGITS,
        "train.csv: cannot be read as a CSV: the header has 17 cells, the rows 18",
    ),
    Case(
        "a longer row in the second chunk",
        digits("train.csv", HEADER + "\n" + ("1" + ",0" * 16 + "\n") * 2500 + "1" + ",0" * 40 + "\n"),
        DIGITS,
        "train.csv: cannot be read as a CSV: Error tokenizing data. C error: Expected 17 fields in line 2502, saw",
    ),
    Case(
        "a digits table of zeros",
        digits("train.csv", bytes(5000)),
        DIGITS,
        "train.csv: expected the columns label, pixel0, ..., pixel<side*side-1>; missing label, received 1",
    ),
    Case(
        "a digits table in UTF-16",
        digits("train.csv", TRAIN.encode("utf-16")),
        DIGITS,
        "train.csv: cannot be read as a CSV: 'utf-8' codec can't decode byte 0xff in position 0: invalid start",
    ),
    Case(
        "a digits table of garbage",
        digits("train.csv", b"\xff\xfe\x00\x01" * 500),
        DIGITS,
        "train.csv: cannot be read as a CSV: 'utf-8' codec can't decode byte 0xff in position 0: invalid start",
    ),
    Case(
        "a digits label of 10",
        digits("train.csv", TRAIN.replace("\n1,", "\n10,")),
        DIGITS,
        "train.csv, row 2: the label is 10, expected a digit from 0 to 9",
    ),
    Case(
        "a digits label of 1.5",
        digits("train.csv", TRAIN.replace("\n1,", "\n1.5,")),
        DIGITS,
        "train.csv, row 2: the label is 1.5, expected a digit from 0 to 9",
    ),
    Case(
        "a digits label of True",
        digits("train.csv", TRAIN.replace("\n1,", "\nTrue,")),
        DIGITS,
        "train.csv, row 2: the label is True, expected a digit from 0 to 9",
    ),
    Case(
        "all digits labels True",
        digits("train.csv", HEADER + "\n" + ("True" + ",0" * 16 + "\n") * 5),
        DIGITS,
        "train.csv, row 1: the label is True, expected a digit from 0 to 9",
    ),
    Case(
        "a pixel of 256",
        digits("train.csv", TRAIN.replace("\n1,7,", "\n1,256,")),
        DIGITS,
        "train.csv, row 2: pixel0 is 256, expected a whole number from 0 to 255 (a NaN, infinite or cut-off",
    ),
    Case(
        "a pixel of 1e400",
        digits("train.csv", TRAIN.replace("\n1,7,", "\n1,1e400,")),
        DIGITS,
        "train.csv, row 2: pixel0 is inf, expected a whole number from 0 to 255 (a NaN, infinite or cut-off",
    ),
    Case("a header alone", digits("train.csv", HEADER + "\n"), DIGITS, "train.csv: there is no row below the header"),
    Case(
        "a header with a column twice",
        digits("train.csv", TRAIN.replace("pixel1,", "pixel0,")),
        DIGITS,
        "train.csv: expected the columns label, pixel0, pixel1, ..., pixel<side*side-1>; missing pixel1, received",
    ),
    Case(
        "a named pipe in place of train.csv",
        in_place_of("data/raw/digit_recognizer/train.csv", digits("x", "")),
        DIGITS,
        "data/raw/digit_recognizer/train.csv: expected a file, found a named pipe; remove it, or put the file",
    ),
    Case(
        "a named pipe in place of test.csv",
        in_place_of("data/raw/digit_recognizer/test.csv", digits("x", "")),
        DIGITS,
        "data/raw/digit_recognizer/test.csv: expected a file, found a named pipe; remove it, or put the file there",
    ),
    # scans
    Case(
        "a scan of 0 columns",
        scans(num_x_pts=0),
        SCANS,
        "data/raw/passenger_screening/a.aps: its header has 0 x 8 x 16 points (num_x_pts, num_y_pts, num_t_pts)",
    ),
    Case(
        "a scan of 2**31 - 1 views",
        scans(num_t_pts=2**31 - 1),
        SCANS,
        "data/raw/passenger_screening/a.aps: its header has 8 x 8 x 2147483647 points (num_x_pts, num_y_pts,",
    ),
    Case(
        "a scan of 15 views",
        scans(num_t_pts=15),
        SCANS,
        "data/raw/passenger_screening/a.aps: its header has 8 x 8 x 15 points (num_x_pts, num_y_pts, num_t_pts)",
    ),
    Case(
        "zones with a longer row",
        scans("Id,Probability\na_Zone1,1,2,3\n"),
        SCANS,
        "stage1_labels.csv: cannot be read as a CSV: the header has 2 cells, the rows 4",
    ),
    Case(
        "each row of zones longer",
        scans("Id,Probability\na_Zone1,1,2\na_Zone2,1,2\n"),
        SCANS,
        "stage1_labels.csv: cannot be read as a CSV: the header has 2 cells, the rows 3",
    ),
    Case(
        "a zone of a scan in another folder",
        scans("Id,Probability\n../../a_Zone1,1\n"),
        SCANS,
        "stage1_labels.csv, row 1: the Id is '../../a_Zone1', expected <scan>_Zone<k> with k of 1 to 17",
    ),
    Case(
        "a zone 18",
        scans("Id,Probability\na_Zone18,1\n"),
        SCANS,
        "stage1_labels.csv, row 1: the Id is 'a_Zone18', expected <scan>_Zone<k> with k of 1 to 17",
    ),
    Case(
        "a scan with one zone",
        scans("Id,Probability\na_Zone1,1\n"),
        SCANS,
        "stage1_labels.csv: the scan 'a' has no row for zone 2; expected 17 rows for each scan",
    ),
    Case(
        "a named pipe in place of a scan",
        in_place_of("data/raw/passenger_screening/a.aps", scans()),
        SCANS,
        "data/raw/passenger_screening/a.aps: expected a file, found a named pipe; remove it, or put the file there",
    ),
    # folders
    Case(
        "a class called id",
        classes("id", "other"),
        NAMES,
        "the class 'id' has the name of a column of foldwise's own tables (id, repeat, fold, group, scored,",
    ),
    Case(
        "a class called fold",
        classes("fold", "other"),
        NAMES,
        "the class 'fold' has the name of a column of foldwise's own tables (id, repeat, fold, group, scored,",
    ),
    Case(
        "a class called repeat",
        classes("repeat", "other"),
        NAMES,
        "the class 'repeat' has the name of a column of foldwise's own tables (id, repeat, fold, group, scored,",
    ),
    Case(
        "a class called group",
        classes("group", "other"),
        NAMES,
        "the class 'group' has the name of a column of foldwise's own tables (id, repeat, fold, group, scored,",
    ),
    Case(
        "a class called weight",
        classes("weight", "other"),
        NAMES,
        "the class 'weight' has the name of a column of foldwise's own tables (id, repeat, fold, group, scored,",
    ),
    Case(
        "labels of garbage",
        faces("train.csv", bytes(range(256))),
        LABELS,
        "train.csv: cannot be read as a CSV: 'utf-16-be' codec can't decode bytes in position 216-217: illegal",
    ),
    Case(
        "labels with a longer row",
        faces("train.csv", "id,label\nt0,0\nt1,1,2,3\nt2,0\nt3,1\n"),
        LABELS,
        "train.csv: cannot be read as a CSV: Error tokenizing data. C error: Expected 2 fields in line 3, saw 4",
    ),
    Case(
        "labels with an open quote",
        faces("train.csv", 'id,label\nt0,0\n"t1,1\nt2,0\nt3,1\n'),
        LABELS,
        "train.csv: cannot be read as a CSV: Error tokenizing data. C error: EOF inside string starting at row 2",
    ),
    Case(
        "labels with an id twice",
        faces("train.csv", "id,label\nt0,0\nt0,1\n"),
        LABELS,
        "train.csv, row 2: duplicate id 't0' in train",
    ),
    Case(
        "labels without an id",
        faces("train.csv", "id,label\nt0,0\n,1\n"),
        LABELS,
        "train.csv, row 2: the id is missing",
    ),
    Case(
        "labels with a column twice",
        faces("train.csv", "id,label,label\nt0,0,1\nt1,1,1\n"),
        LABELS,
        "train.csv: the column 'label' is there more than once; keep one of them",
    ),
    Case(
        "labels of one class",
        faces("train.csv", "id,label\nt0,0\nt1,0\n"),
        LABELS,
        "the class 'label' cannot be learned: no row has it in the training data",
    ),
    Case(
        "labels without an image",
        faces("train.csv", "id,label\nt0,0\nt9,1\n"),
        LABELS,
        "train.csv, row 2: no image of 't9' in images; there are 6 images, the nearest names are 'images/t3.png',",
    ),
    Case(
        "an image of zeros",
        faces("images/t1.png", bytes(500)),
        LABELS,
        "train.csv, row 2: t1.png does not decode as an image (500 bytes); competition.options.broken=skip leaves",
    ),
    Case(
        "an image cut off",
        faces("images/t1.png", b"\x89PNG\r\n\x1a\n"),
        LABELS,
        "train.csv, row 2: t1.png does not decode as an image (8 bytes); competition.options.broken=skip leaves",
    ),
    Case(
        "a named pipe in place of an image",
        in_place_of("data/raw/faces/images/t1.png", faces()),
        LABELS,
        "data/raw/faces/images/t1.png: expected a file, found a named pipe; remove it, or put the file there",
    ),
    Case(
        "a named pipe in place of the labels",
        in_place_of("data/raw/faces/train.csv", faces()),
        LABELS,
        "data/raw/faces/train.csv: expected a file, found a named pipe; remove it, or put the file there",
    ),
    Case(
        "a named pipe in place of the sample of a folder",
        in_place_of("data/raw/faces/sample_submission.csv", faces()),
        LABELS,
        "data/raw/faces/sample_submission.csv: expected a file, found a named pipe; remove it, or put the file",
    ),
    Case(
        "an auxiliary input of text",
        with_test("id,label,age\nt0,0,1\nt1,1,old\nt2,0,1\nt3,1,1\n"),
        f"{LABELS} competition.options.auxiliary=[age]",
        "train.csv, row 2: age is 'old', expected a number",
    ),
    Case(
        "an infinite auxiliary input",
        with_test("id,label,age\nt0,0,1\nt1,1,inf\nt2,0,1\nt3,1,1\n"),
        f"{LABELS} competition.options.auxiliary=[age]",
        "train.csv, row 2: age is 'inf', expected a number",
    ),
    Case(
        "the label as an auxiliary input",
        with_test("id,label,age\nt0,0,1\nt1,1,0\nt2,0,1\nt3,1,1\n"),
        f"{LABELS} competition.options.auxiliary=[label]",
        "'label' is a class and an input of the model; it would be learned from itself",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_malformed_raw_files(case: Case, tmp_path: Path, capsys) -> None:
    check(case, tmp_path, capsys)


@pytest.mark.parametrize("repeated", ["}", '"', "\\", "{}", '\\"}'])
def test_an_id_of_300_kilobytes_is_read_once(repeated: str, tmp_path: Path, monkeypatch) -> None:
    """Counts what the splitter looks at: the number of bytes does not grow with the square of the id."""
    looked_at = []
    count = reader._quotes
    monkeypatch.setattr(reader, "_quotes", lambda text: looked_at.append(len(text)) or count(text))
    records = [{"id": repeated * (300_000 // len(repeated))}, {"id": "b"}]
    path = tmp_path / "train.json"
    path.write_text(json.dumps(records))
    assert [json.loads(text) for text in reader.json_objects(path)] == records
    assert sum(looked_at) == path.stat().st_size - len("[]")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "sheet"),
    [((2, 1, 100_000), (1, 512)), ((2, 100_000, 1), (1024, 512)), ((300, 2, 2), (38 * 256, 8 * 256))],
)
def test_a_view_of_odd_proportions_is_shown(shape, sheet, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    scan_format.write(tmp_path / "a.aps", np.ones(shape, np.uint16))
    assert main(["inspect", "a.aps"]) == 0
    assert cv2.imread("a.aps.png", cv2.IMREAD_GRAYSCALE).shape == sheet


def test_a_header_of_a_scan_is_shown_as_it_is(tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    scan_format.write(tmp_path / "[a].aps", np.ones((1, 4, 4), np.uint16), comments1=b"[/bold] [red]x \x1b[2J")
    assert main(["inspect", "[a].aps"]) == 0
    shown = capfd.readouterr().out
    assert "[/bold] [red]x \\x1b[2J" in shown
    assert "[a].aps: header" in shown
