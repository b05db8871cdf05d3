"""Statoil/C-CORE iceberg classifier: ship or iceberg in 75 x 75 pixels of two radar bands (HH, HV)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from foldwise.competitions.statoil import simulator
from foldwise.data.records import Record, Records
from foldwise.errors import FoldwiseError
from foldwise.storage import check_is_file

if TYPE_CHECKING:
    import pandas as pd
    import simdjson

VERSION = 1
SOURCES: dict[str, Callable[..., None]] = {"simulated": simulator.simulate}
SIDE = 75
KEYS = ("id", "band_1", "band_2", "inc_angle")
MOST_BYTES = 1 << 24  # of a record; the host's have a fifth of a million, indented ones a few times that
LONG = 4096  # bytes from which on numpy counts faster


def read(
    raw_dir: Path,
    *,
    units: Literal["dB", "amplitude"] = "dB",
    crop: Annotated[int, Field(ge=8, le=SIDE)] = SIDE,
) -> Records:
    """Read `train.json`, `test.json` and `sample_submission.csv`, record by record.

    units: pixels in decibels as shipped, or as linear amplitude 10 ** (dB / 20).
    crop: side of the centre square that is kept, in pixels (10 m each).

    Images are float32 (crop, crop, 2). Columns: is_iceberg (train), inc_angle in degrees (NaN where the
    host wrote "na"), group (rows with one incidence angle, which are of one scene), and for test rows scored
    (false for the machine-generated ones, recognised by an angle with more than 4 decimals).
    """
    low = (SIDE - crop) // 2
    window = slice(low, low + crop)

    def records(name: str) -> Iterator[Record]:
        import simdjson  # commands on other competitions, which import this module as the default, go without

        parser = simdjson.Parser()
        for number, text in enumerate(json_objects(_found(raw_dir, name)), start=1):
            image, columns = _decode(parser, text, f"{name}, record {number}", labelled=name == "train.json")
            if units == "amplitude":
                image = np.power(np.float32(10), image / np.float32(20))
            id_ = columns.pop("id")
            yield Record(id_, np.ascontiguousarray(image[window, window]), columns, f"{name}, record {number}")

    return Records(
        task="binary",
        targets=["is_iceberg"],
        train=records("train.json"),
        test=records("test.json"),
        auxiliary=["inc_angle"],
        sample_submission=_found(raw_dir, "sample_submission.csv"),
    )


def submission(predictions: pd.DataFrame, sample: pd.DataFrame, /, **options: Any) -> pd.DataFrame:
    """Return `id,is_iceberg`; the predictions already are."""
    return predictions


def truth(solution: pd.DataFrame, targets: list[str], **options: Any) -> np.ndarray:
    """Return the true labels (n, 1) of `solution.csv`."""
    return solution[targets].to_numpy(np.float64)


def _found(raw_dir: Path, name: str) -> Path:
    """Return the file, which the host's archives hold in a folder of their own."""
    return next((path for path in sorted(raw_dir.rglob(name)) if path.is_file()), raw_dir / name)


def json_objects(path: Path, chunk_bytes: int = 1 << 18) -> Iterator[bytes]:
    """Yield the bytes of each object of a JSON list of flat objects, reading a chunk at a time.

    Each byte is looked at a fixed number of times, whatever the file holds.

    Raises FoldwiseError if the file is empty, is not such a list, holds no object, lacks a comma between two objects,
    has an object of more than MOST_BYTES, or ends early.
    """
    check_is_file(path)
    with path.open("rb") as file:
        buffer = b""
        while not buffer and (chunk := file.read(chunk_bytes)):
            buffer = chunk.lstrip()
        if not buffer.startswith(b"["):
            received = f"starts with {buffer[:20]!r}" if buffer else "is empty"
            raise FoldwiseError(f"{path.name}: expected a JSON list of objects, but the file {received}")
        # the buffer is not cut at each record: that would copy it every time
        start, counted, searched, number, in_text = 1, 1, 1, 0, False
        while True:
            end = buffer.find(b"}", searched)
            if end < 0:
                if len(buffer) - start > MOST_BYTES:
                    raise FoldwiseError(
                        f"{path.name}: record {number + 1} has more than {MOST_BYTES:,} bytes, a usual one 200,000; "
                        "the file is damaged: download or unpack it again"
                    )
                chunk = file.read(chunk_bytes)
                if chunk:
                    searched, counted, buffer, start = len(buffer) - start, counted - start, buffer[start:] + chunk, 0
                    continue
                if buffer[start:].strip() != b"]":
                    raise FoldwiseError(
                        f"{path.name}: the file ends in the middle of record {number + 1}; it is truncated: "
                        "download or unpack it again"
                    )
                if not number:
                    raise FoldwiseError(f"{path.name}: the list is empty; expected a record for each sample")
                return
            searched = end + 1
            in_text ^= _quotes(buffer[counted:searched]) % 2 == 1  # from brace to brace: an escape ends before one
            counted = searched
            if in_text:  # a brace inside a string
                continue
            number += 1
            yield _alone(buffer[start:searched], f"{path.name}, record {number}", is_first=number == 1)
            start = searched


def _quotes(text: bytes) -> int:
    """Count the quotes that begin or end a string."""
    if b"\\" in text:
        text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    if len(text) < LONG:
        return text.count(b'"')
    # numpy is ten times as fast over a record
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord('"')))


def _alone(text: bytes, where: str, is_first: bool) -> bytes:
    """Return an object without the comma that separates it from the one before it."""
    text = text.lstrip()
    if is_first:
        return text
    if not text.startswith(b","):
        raise FoldwiseError(f"{where}: expected a comma before it, found {text[:20]!r}")
    return text[1:].lstrip()


def _decode(parser: simdjson.Parser, text: bytes, where: str, labelled: bool) -> tuple[np.ndarray, dict[str, Any]]:
    """Decode one record to an image (75, 75, 2) in dB and its columns."""
    import simdjson

    try:
        record: Any = parser.parse(text)
        absent = [key for key in (*KEYS, *(["is_iceberg"] if labelled else [])) if key not in record]
        if absent:
            raise FoldwiseError(f"{where}: {absent[0]!r} is missing; its keys are {', '.join(record.keys())}")
        if len(record) != len(keys := set(record.keys())):
            twice = min(key for key in keys if list(record.keys()).count(key) > 1)
            raise FoldwiseError(f"{where}: it has the key {twice!r} more than once")
        for key in keys & {"id", "inc_angle", "is_iceberg"}:
            if isinstance(record[key], simdjson.Array | simdjson.Object):
                raise FoldwiseError(f"{where}: {key} is a list or an object, expected one value")
        id_ = _id(record["id"], where)
        image = np.empty((SIDE, SIDE, 2), np.float32)
        for channel, band in enumerate(("band_1", "band_2")):
            values = np.frombuffer(record[band].as_buffer(of_type="d"), np.float64)
            if values.size != SIDE * SIDE:
                raise FoldwiseError(f"{where}: {band} of {id_!r} has {values.size} pixels, expected {SIDE * SIDE}")
            image[:, :, channel] = values.reshape(SIDE, SIDE)
        angle, label = record["inc_angle"], record["is_iceberg"] if labelled else None
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        cause = str(error)
        if "BIGINT_ERROR" in cause:
            cause = "a whole number of more than 64 bits"
        elif "DEPTH_ERROR" in cause:
            cause = "lists in lists, more than a thousand deep"
        elif b"NaN" in text or b"Infinity" in text or "NUMBER_ERROR" in cause:
            cause = "a NaN or infinite number, or one that is no number at all"
        elif "TAPE_ERROR" in cause:
            cause = "a comma, a quote, a key or a value is missing, or there is one too many; expected a flat object"
        elif not isinstance(error, ValueError):
            cause = "band_1 and band_2 must be lists of numbers"
        raise FoldwiseError(f"{where} ({text[:24].decode(errors='replace')}...): cannot be read: {cause}") from None
    finally:
        record = values = None  # type: ignore[assignment]  # simdjson reuses the parser's memory only once nothing points into it
    if isinstance(label, bool):
        raise FoldwiseError(f"{where}: the label 'is_iceberg' of {id_!r} is {label}, expected 0 or 1")
    columns: dict[str, Any] = {"id": id_} | ({"is_iceberg": label} if labelled else {})
    columns |= _angle_columns(angle, id_, where)
    if not labelled:
        generated = columns["inc_angle"] != round(columns["inc_angle"], 4) and angle != "na"
        columns |= {"generated": generated, "scored": not generated}
    return image, columns


def _id(value: Any, where: str) -> str:
    """Return an id as text; raise FoldwiseError unless it is a text that is not blank, or a whole number."""
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise FoldwiseError(f"{where}: the id is {value!r}, expected text such as 'dfd5f913'")
    return str(value)


def _angle_columns(angle: Any, id_: str, where: str) -> dict[str, Any]:
    if angle == "na":
        return {"inc_angle": float("nan"), "group": f"na_{id_}"}
    if isinstance(angle, bool) or not isinstance(angle, int | float) or abs(angle) > 360:
        raise FoldwiseError(f'{where}: inc_angle of {id_!r} is {angle!r}, expected degrees or "na"')
    return {"inc_angle": float(angle), "group": f"{angle:.4f}"}
