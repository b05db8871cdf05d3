"""Random bytes and changed valid files: each reader of text ends in a result or in a FoldwiseError, and in time."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.raw_files import digit_files, statoil_json, statoil_record
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from foldwise.competitions.digit_recognizer import reader as digits
from foldwise.competitions.passenger_screening import inspect_scan, scan_format
from foldwise.competitions.passenger_screening.tables import read_zones
from foldwise.competitions.statoil import reader as statoil
from foldwise.config.yaml_files import read_yaml
from foldwise.data.csv_files import read_csv
from foldwise.data.fold_files import read_fold_file
from foldwise.data.parquet_files import read_parquet
from foldwise.errors import FoldwiseError
from foldwise.runs.prediction_files import read_predictions
from foldwise.runs.submission import check_about, read_about

IDS = pd.Series(["a", "b", "c"])


def read_statoil(path: Path) -> list:
    """Read all training records."""
    path.rename(path.with_name("train.json"))
    return list(statoil.read(path.parent).train)


def read_digits(path: Path) -> list:
    """Read all training rows."""
    path.rename(path.with_name("train.csv"))
    return list(digits.read(path.parent).train)


def show_scan(path: Path) -> None:
    """Show the header and the views of a scan."""
    words, layout = scan_format.memory_map(path)
    inspect_scan.header_table(layout)
    inspect_scan.contact_sheet(inspect_scan.projections(words[: inspect_scan.MOST_VIEWS], layout.suffix))


def about_submission(path: Path) -> None:
    """Read the JSON of a submission and check it."""
    check_about(path, read_about(path))


def scan_bytes(folder: Path) -> bytes:
    """A small scan."""
    scan_format.write(folder / "small.aps", np.arange(64, dtype=np.uint16).reshape(4, 4, 4))
    return (folder / "small.aps").read_bytes()


def parquet_bytes(folder: Path) -> bytes:
    """A small parquet of predictions."""
    pd.DataFrame({"id": IDS, "y": [0.1, 0.5, 0.9], "fold": [0, 1, 1]}).to_parquet(folder / "small.parquet")
    return (folder / "small.parquet").read_bytes()


def text(content: str) -> Callable[[Path], bytes]:
    """A valid file of this text."""
    return lambda folder: content.encode()


ZONES = "Id,Probability\n" + "".join(f"a_Zone{zone},{zone % 2}\n" for zone in range(1, 18))
RECORDS = statoil_json([statoil_record("a", 0, band_1=[], band_2=[]), statoil_record("b", 1, band_1=[], band_2=[])])
PREDICTIONS = "id,y,fold\na,0.1,0\nb,0.5,1\nc,0.9,1\n"
ABOUT = json.dumps({"nested_score": 0.2, "metric": "auc", "members": [{"run": "x"}], "thresholds": [0.5]})
predictions = partial(read_predictions, ids=IDS, targets=["y"], task="binary")
folds = partial(read_fold_file, ids=IDS)

READERS: dict[str, tuple[Callable, Callable[[Path], bytes], str]] = {
    "Statoil's JSON": (read_statoil, text(RECORDS), ".json"),
    "digits": (read_digits, text(digit_files()["train.csv"]), ".csv"),
    "a CSV": (read_csv, text(PREDICTIONS), ".csv"),
    "zones": (read_zones, text(ZONES), ".csv"),
    "a scan": (show_scan, scan_bytes, ".aps"),
    "a YAML": (read_yaml, text("name: &a mine\noptions: {x: [1, *a]}\ndefaults:\n  - override /model: mlp\n"), ".yaml"),
    "predictions": (predictions, text(PREDICTIONS), ".csv"),
    "repaired predictions": (partial(predictions, repair="repaired"), text(PREDICTIONS), ".csv"),
    "predictions in a parquet": (predictions, parquet_bytes, ".parquet"),
    "a parquet": (read_parquet, parquet_bytes, ".parquet"),
    "folds": (folds, text(PREDICTIONS), ".csv"),
    "folds in a parquet": (folds, parquet_bytes, ".parquet"),
    "the JSON of a submission": (about_submission, text(ABOUT), ".json"),
}
PIECES = st.sampled_from(
    [
        *(b"\0", b"\xff", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b"\n", b"\r", b";", b"'", b"&a", b"*a", b"- "),
        *(b": ", b"\xef\xbb\xbf", b"1e400", b"nan", b"-", b"9" * 40, b"true", b"null", b"\t", b"#", b"a", b"id"),
        b"fold",
    ]
)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), PIECES | st.binary(max_size=4)), min_size=1, max_size=6)


def edited(content: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """Replace some bytes at some places by others."""
    for place, n, piece in edits:
        at = int(place * len(content))
        content = content[:at] + piece + content[at + n :]
    return content


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
@hypothesis_settings(max_examples=60, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
def test_a_reader_ends_in_a_result_or_one_error(name: str, data, tmp_path_factory) -> None:
    read, valid, suffix = READERS[name]
    folder = tmp_path_factory.mktemp("random")
    content = data.draw(st.binary(max_size=300) | st.builds(partial(edited, valid(folder)), EDITS))
    path = folder / f"file{suffix}"
    path.write_bytes(content)
    try:
        read(path)
    except FoldwiseError as error:
        assert str(error)


@pytest.mark.parametrize("name", [name for name in READERS if name not in ("Statoil's JSON", "repaired predictions")])
def test_the_valid_file_is_read(name: str, tmp_path: Path) -> None:
    read, valid, suffix = READERS[name]
    path = tmp_path / f"file{suffix}"
    path.write_bytes(valid(tmp_path))
    read(path)
