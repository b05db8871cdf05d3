"""Small raw files of every competition as its host writes them."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

N_PIXELS = 75 * 75
BAND = [-20.5] * N_PIXELS


def left_in(folder: Path) -> list[str]:
    """The names in a folder, hidden ones too, but for the cache of digests."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.name != "raw_digests.json")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_sample(path: Path, header: str, ids: Iterable[str], value: str = "0.5", line_end: str = "\r\n") -> None:
    """Write a sample submission."""
    lines = [header, *(f"{id_},{value}" for id_ in ids)]
    path.write_bytes("".join(line + line_end for line in lines).encode())


# Statoil


def statoil_record(id_: str, label: int | None = None, angle: float | str = 38.1234, **bands: list[float]) -> dict:
    """A record with the host's keys in the host's order; without a label, a test record."""
    record = {"id": id_, "band_1": BAND, "band_2": BAND, "inc_angle": angle} | bands
    return record if label is None else record | {"is_iceberg": label}


def statoil_json(records: Sequence[dict]) -> str:
    """Write records as the host does: one list, no spaces."""
    return json.dumps(records, separators=(",", ":"))


def statoil_files(train: Sequence[dict] | None = None, test: Sequence[dict] | None = None) -> dict[str, str]:
    """The text of the host's files: by default four training records and three test records."""
    train = train or [statoil_record(f"0000000{i}", label=i % 2) for i in range(4)]
    test = test or [statoil_record(f"a000000{i}") for i in range(3)]
    sample = "".join(f"{line}\r\n" for line in ("id,is_iceberg", *(f"{record['id']},0.5" for record in test)))
    return {"train.json": statoil_json(train), "test.json": statoil_json(test), "sample_submission.csv": sample}


def write_files(raw_dir: Path, files: dict[str, str]) -> Path:
    """Write texts into a raw folder, their line ends as they are."""
    raw_dir.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (raw_dir / name).write_bytes(text.encode())
    return raw_dir


# digits


def digit_files(labels: Sequence[Any] = tuple(range(10)), n_test: int = 3, side: int = 4) -> dict[str, str]:
    """The text of the host's files; pixel p of row r is (7 r + p) mod 256, and r counts on from train to test."""
    pixels = (7 * np.arange(len(labels) + n_test)[:, None] + np.arange(side * side)) % 256
    header = ",".join(f"pixel{i}" for i in range(side * side))
    rows = [",".join(map(str, row)) for row in pixels]
    train = [f"label,{header}", *(f"{label},{row}" for label, row in zip(labels, rows, strict=False))]
    files = {"train.csv": train, "test.csv": [header, *rows[len(labels) :]]}
    files["sample_submission.csv"] = ["ImageId,Label", *(f"{i + 1},0" for i in range(n_test))]
    return {name: "\n".join(lines) + "\n" for name, lines in files.items()}


# a folder of images


def write_images(folder: Path, images: dict[str, np.ndarray]) -> None:
    """Write images by file name; colours are given in RGB order."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        colours = image.ndim == 3 and image.shape[2] >= 3
        stored = image[:, :, [2, 1, 0, *range(3, image.shape[2])]] if colours else image  # OpenCV writes BGR
        assert cv2.imwrite(str(folder / name), stored)


def grey_image(value: int, side: int = 6) -> np.ndarray:
    """A grey image, uint8, of one value."""
    return np.full((side, side), value, np.uint8)


def folder_files(labels: Sequence[Any] = (0, 1, 0, 1), n_test: int = 2) -> dict[str, str]:
    """The CSVs of a folder competition: train ids t0, t1, ... and test ids u0, u1, ..."""
    train = ["id,label", *(f"t{i},{label}" for i, label in enumerate(labels))]
    sample = ["id,label", *(f"u{i},0.5" for i in range(n_test))]
    return {"train.csv": "\n".join(train) + "\n", "sample_submission.csv": "\n".join(sample) + "\n"}


def write_folder(raw_dir: Path, files: dict[str, str] | None = None, suffix: str = ".png") -> Path:
    """Write the CSVs and a grey image for each of their rows, in a folder `images`."""
    files = files or folder_files()
    write_files(raw_dir, files)
    ids = [line.split(",")[0] for text in files.values() for line in text.splitlines()[1:]]
    write_images(raw_dir / "images", {f"{id_}{suffix}": grey_image(10 * i + 5) for i, id_ in enumerate(ids)})
    return raw_dir
