"""Scans that are damaged or hostile: one line each, and nothing outside the folder."""

import os

import numpy as np
import pytest
from helpers.malformed import Case, check

from foldwise.competitions.passenger_screening import scan_format

PREPARE = "prepare competition=passenger_screening source=kaggle"
FIELDS = scan_format.HEADER.fields


def aps(words, **fields):
    """The bytes of a file of 16 views; fields of its header may be others."""

    def write(path):
        scan_format.write(path, words)
        data = bytearray(path.read_bytes())
        for name, value in fields.items():
            kind, at = FIELDS[name][:2]
            data[at : at + kind.itemsize] = np.array(value, kind).tobytes()
        path.write_bytes(data)

    return write


WHOLE = np.arange(16 * 33 * 24, dtype=np.uint16).reshape(16, 33, 24)


def scanned(write):
    """Write one file x.aps."""
    return lambda root: write(root / "x.aps")


def raw(write, scan="a"):
    """Write a competition of two scans, of which one is `write`'s; scan: what the tables call it."""

    def write_all(root):
        folder = root / "data" / "raw" / "passenger_screening"
        folder.mkdir(parents=True)
        write(folder / "a.aps")
        aps(WHOLE)(folder / "b.aps")
        lines = {name: "".join(f"{name}_Zone{zone},0\n" for zone in range(1, 18)) for name in (scan, "b")}
        (folder / "stage1_labels.csv").write_text("Id,Probability\n" + lines[scan])
        (folder / "stage1_sample_submission.csv").write_text("Id,Probability\n" + lines["b"])

    return write_all


def cut(write, n_bytes):
    def write_cut(path):
        write(path)
        path.write_bytes(path.read_bytes()[:n_bytes])

    return write_cut


AGAIN = "download or unpack it again"
INSPECT = "inspect {root}/x.aps {root}/x.png"
CASES = [
    Case(
        "scan: a header that claims 2**31 - 1 columns and rows",
        raw(aps(WHOLE, num_x_pts=2**31 - 1, num_y_pts=2**31 - 1)),
        PREPARE,
        "a.aps: its header has 2147483647 x 2147483647 x 16 points (num_x_pts, num_y_pts, num_t_pts) of word_type 4 "
        "(uint16), which is 147,573,952,452,237,460,000 bytes, but the file has 25,856 bytes; it is cut off: ",
    ),
    Case(
        "scan: a header that claims -24 columns",
        raw(aps(WHOLE, num_x_pts=-24)),
        PREPARE,
        "a.aps: its header has -24 x 33 x 16 points (num_x_pts, num_y_pts, num_t_pts) of word_type 4 (uint16), which "
        f"is no size, but the file has 25,856 bytes; it is damaged: {AGAIN}",
    ),
    Case(
        "scan: a header that claims another kind of words",
        raw(aps(WHOLE, word_type=99)),
        PREPARE,
        "a.aps: word_type is 99, expected 4 (uint16) or 7 (float32) in a file of .aps; the header is damaged",
    ),
    Case(
        "scan: shorter than its header",
        raw(cut(aps(WHOLE), 100)),
        PREPARE,
        f"a.aps: the file has 100 bytes, which is less than a header (512); it is cut off: {AGAIN}",
    ),
    Case(
        "scan: a header of zeros",
        raw(lambda path: path.write_bytes(bytes(600))),
        PREPARE,
        f"a.aps: the header holds zeros only; it is damaged: {AGAIN}",
    ),
    Case(
        "scan: 7 views",
        raw(aps(WHOLE[:7])),
        PREPARE,
        "a.aps: it has 7 views, expected 16 or a multiple of that",
    ),
    Case("scan: a named pipe", raw(os.mkfifo), PREPARE, "a.aps: expected a file, found a named pipe"),
    Case("scan: words that are no numbers", raw(aps(np.full((16, 33, 24), np.nan, np.float32))), PREPARE, "a.aps: "),
    Case(
        "scan: the name of a file outside",
        raw(aps(WHOLE), "../../../../x"),
        PREPARE,
        "stage1_labels.csv, row 1: the Id is '../../../../x_Zone1', expected <scan>_Zone<k> with k of 1 to 17",
    ),
    Case(
        "scan: an absolute path",
        raw(aps(WHOLE), "/etc/x"),
        PREPARE,
        "stage1_labels.csv, row 1: the Id is '/etc/x_Zone1', expected <scan>_Zone<k>",
    ),
    Case(
        "scan: a view of 1 x 100,000 pixels",
        scanned(aps(np.ones((16, 100_000, 1), np.uint16))),
        INSPECT,
        "uint16 (16, 100000, 1) as stored; sheet of 16 images",
        0,
    ),
    Case(
        "scan: a view of 100,000 x 1 pixels",
        scanned(aps(np.ones((16, 1, 100_000), np.uint16))),
        INSPECT,
        "uint16 (16, 1, 100000) as stored; sheet of 16 images",
        0,
    ),
    Case(
        "scan: 100,000 views of one pixel",
        scanned(aps(np.ones((100_000, 1, 1), np.uint16))),
        INSPECT,
        "x.aps: its header has 100,000 views, expected 512 at most",
    ),
    Case(
        "scan: markup and instructions to the terminal in the header",
        scanned(aps(WHOLE, comments1=b"[/red][bold\x1b[2J")),
        INSPECT,
        "sheet of 16 images",
        0,
    ),
    Case(
        "scan: a sheet that is no image",
        scanned(aps(WHOLE)),
        "inspect {root}/x.aps {root}/x.exe",
        "x.exe: cannot be written as an image; expected the name of a PNG",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_malformed_scans(case, tmp_path, capsys):
    check(case, tmp_path, capsys)
