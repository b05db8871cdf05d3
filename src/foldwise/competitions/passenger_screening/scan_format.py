"""Files of body scanners (.aps, .a3daps, .a3d, .ahi): a header of 512 bytes, then words.

Rows are stored bottom-up; everything returned here is upright.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from foldwise.errors import FoldwiseError, choices
from foldwise.storage import check_is_file


def _axes(name: str, axes: str, kind: str) -> list[tuple[str, str]]:
    return [(f"{axis}_{name}", kind) for axis in axes]


HEADER = np.dtype(
    [
        *[("filename", "S20"), ("parent", "S20"), ("comments1", "S80"), ("comments2", "S80")],
        *[
            (name, "<i2")
            for name in ("energy_type", "config_type", "file_type", "trans_type", "scan_type", "data_type")
        ],
        *[("date_modified", "S16"), ("frequency", "<f4"), ("mat_velocity", "<f4"), ("num_pts", "<i4")],
        *[("num_polarization_channels", "<i2"), ("spare00", "<i2")],
        *[("adc_min_voltage", "<f4"), ("adc_max_voltage", "<f4"), ("band_width", "<f4"), ("spare01", "<i2", 5)],
        *[("polarization_type", "<i2", 4), ("record_header_size", "<i2"), ("word_type", "<i2")],
        ("word_precision", "<i2"),
        *[(f"{name}_data_value", "<f4") for name in ("min", "max", "avg")],
        *[("data_scale_factor", "<f4"), ("data_units", "<i2"), ("surf_removal", "<u2"), ("edge_weighting", "<u2")],
        *[*_axes("units", "xyzt", "<u2"), ("spare02", "<i2"), *_axes("return_speed", "xyz", "<f4")],
        *[(name, "<i2") for name in ("scan_orientation", "scan_direction", "data_storage_order", "scanner_type")],
        *_axes("inc", "xyzt", "<f4"),
        *[(f"num_{axis}_pts", "<i4") for axis in "xyzt"],
        *[*_axes("speed", "xyz", "<f4"), *_axes("acc", "xyz", "<f4")],
        *[*_axes("motor_res", "xyz", "<f4"), *_axes("encoder_res", "xyz", "<f4")],
        *[("date_processed", "S8"), ("time_processed", "S8"), ("depth_recon", "<f4")],
        *[("x_max_travel", "<f4"), ("y_max_travel", "<f4"), ("elevation_offset_angle", "<f4")],
        *[("roll_offset_angle", "<f4"), ("z_max_travel", "<f4"), ("azimuth_offset_angle", "<f4")],
        *[("adc_type", "<i2"), ("spare06", "<i2"), ("scanner_radius", "<f4"), *_axes("offset", "xyz", "<f4")],
        *[("t_delay", "<f4"), ("range_gate_start", "<f4"), ("range_gate_end", "<f4")],
        *[("ahis_software_version", "<f4"), ("spare_end", "<f4", 5)],
    ]
)
WORDS: dict[int, np.dtype[Any]] = {4: np.dtype("<u2"), 7: np.dtype("<f4")}  # by word_type
SUFFIXES = {".aps": (4, 7), ".a3daps": (4, 7), ".a3d": (4, 7), ".ahi": (7,)}  # and what word_type may be


@dataclass(frozen=True)
class Layout:
    """Where the words of a file lie, once its header and its size agree."""

    name: str  # as messages name the file
    header: np.void  # of HEADER
    suffix: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]  # as stored, in C order: see memory_map

    @property
    def scale(self) -> float:
        """What a word is multiplied by."""
        return float(self.header["data_scale_factor"])

    def byte_range(self, view: int) -> tuple[int, int]:
        """First byte of a view of an .aps or .a3daps, and the one after its last."""
        size = self.shape[1] * self.shape[2] * self.dtype.itemsize
        if not 0 <= view < self.shape[0]:
            raise FoldwiseError(f"{self.name}: it has no view {view}, but {self.shape[0]} of them")
        return HEADER.itemsize + view * size, HEADER.itemsize + (view + 1) * size


def layout(name: str, head: bytes, size: int) -> Layout:
    """Check the first 512 bytes of a file of `size` bytes, and return where its words lie.

    Raises FoldwiseError, naming the file, for another suffix, a file shorter than its header, a header of
    zeros, words of another type than the suffix has, and dimensions that do not fit the size.
    """
    suffix = PurePosixPath(name).suffix
    if suffix not in SUFFIXES:
        raise FoldwiseError(f"{name}: not a scan; {choices(suffix, SUFFIXES)}")
    if size < HEADER.itemsize or len(head) < HEADER.itemsize:
        raise FoldwiseError(
            f"{name}: the file has {size:,} bytes, which is less than a header ({HEADER.itemsize}); it is cut off: "
            "download or unpack it again"
        )
    if not any(head):
        raise FoldwiseError(f"{name}: the header holds zeros only; it is damaged: download or unpack it again")
    header = np.frombuffer(head, HEADER, 1)[0]
    word_type = int(header["word_type"])
    if word_type not in SUFFIXES[suffix]:
        known = " or ".join(f"{number} ({WORDS[number].name})" for number in SUFFIXES[suffix])
        raise FoldwiseError(
            f"{name}: word_type is {word_type}, expected {known} in a file of {suffix}; the header is damaged, or the "
            "file has another one's name"
        )
    nx, ny, nt = (int(header[f"num_{axis}_pts"]) for axis in "xyt")
    dtype = WORDS[word_type]
    shape = {".a3d": (ny, nt, nx), ".ahi": (nt, nx, ny, 2)}.get(suffix, (nt, ny, nx))
    expected = HEADER.itemsize + dtype.itemsize * nx * ny * nt * (2 if suffix == ".ahi" else 1)
    if min(nx, ny, nt) < 1 or size != expected:
        what = "no size" if min(nx, ny, nt) < 1 else f"{expected:,} bytes"
        problem = "cut off" if min(nx, ny, nt) > 0 and size < expected else "damaged"
        raise FoldwiseError(
            f"{name}: its header has {nx} x {ny} x {nt} points (num_x_pts, num_y_pts, num_t_pts) of "
            f"word_type {word_type} ({dtype.name}), which is {what}, but the file has {size:,} bytes; it is {problem}: "
            "download or unpack it again"
        )
    return Layout(name, header, suffix, dtype, shape)


def local_layout(path: Path) -> Layout:
    """Read and check the header of a file on this machine."""
    check_is_file(path)
    with path.open("rb") as file:
        return layout(str(path), file.read(HEADER.itemsize), path.stat().st_size)


def memory_map(path: Path) -> tuple[np.ndarray, Layout]:
    """Map the words of a file, upright: nothing is read before it is used.

    .aps, .a3daps: (views, rows, columns). .a3d: (rows, t, x). .ahi: complex64 (t, x, y), which has no rows to
    turn over. Words are as stored, uint16 (an .ahi: float32); times `scale` they are values.
    """
    found = local_layout(path)
    words = np.memmap(path, found.dtype, "r", HEADER.itemsize, found.shape)
    if found.suffix == ".ahi":
        return words.view(np.complex64)[..., 0], found
    return (words[::-1] if found.suffix == ".a3d" else words[:, ::-1]), found


def read_view(path: Path, view: int) -> np.ndarray:
    """Read one view of an .aps or .a3daps, upright (rows, columns): faster than through a fresh memory map."""
    check_is_file(path)
    with path.open("rb", buffering=0) as file:
        found = layout(str(path), file.read(HEADER.itemsize), os.fstat(file.fileno()).st_size)
        words = np.empty(found.shape[1:], found.dtype)
        file.seek(found.byte_range(view)[0])
        if file.readinto(words.data.cast("B")) != words.nbytes:
            raise FoldwiseError(f"{path}: view {view} could not be read to its end; is the disk failing?")
    return words[::-1]


def write(path: Path, words: np.ndarray, **fields: object) -> None:
    """Write upright words, shaped as `memory_map` returns them, below a header.

    The dimensions, the word type and the smallest, largest and mean value follow from the words; `fields` are
    further fields of the header. The scale factor is 1 unless it is among them.
    """
    suffix = path.suffix
    order = {".a3d": "ytx", ".ahi": "txy"}.get(suffix, "tyx")
    sizes = dict(zip(order, words.shape, strict=True))
    word_type = 4 if words.dtype == np.uint16 else 7
    scale = np.float32(fields.get("data_scale_factor", 1))  # type: ignore[arg-type]
    values = np.abs(words) if suffix == ".ahi" else words
    about = {"filename": path.name[:20].encode(), "record_header_size": HEADER.itemsize, "word_type": word_type}
    about |= {"word_precision": 8 * WORDS[word_type].itemsize, "data_scale_factor": scale, "num_pts": words.size}
    about |= {f"num_{axis}_pts": sizes.get(axis, 1) for axis in "xyzt"}
    about |= {f"{name}_data_value": getattr(values, name)() * scale for name in ("min", "max")}
    about |= {"avg_data_value": values.mean() * scale}
    header = np.zeros((), HEADER)
    for name, value in (about | fields).items():
        header[name] = value
    stored = words if suffix == ".ahi" else words[::-1] if suffix == ".a3d" else words[:, ::-1]
    with path.open("wb") as file:
        file.write(header.tobytes())
        file.write(np.ascontiguousarray(stored).data)
