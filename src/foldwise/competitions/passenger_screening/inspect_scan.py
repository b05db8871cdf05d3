"""Stage `inspect`: the header of a scan file, and a contact sheet of its views."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from foldwise.competitions.passenger_screening import scan_format
from foldwise.errors import ConfigError, FoldwiseError, printable

WIDTH = 256  # pixels of a view on the sheet
A_LINE = 8  # views
MOST_VIEWS, MOST_ROWS = 512, 4 * WIDTH  # of the sheet, and of a view on it: a header may claim views of one pixel


def inspect(words: list[str]) -> Path:
    """Print the header of the scan file words[0] and write its contact sheet to words[1]; return where that is.

    By default the sheet is `<file name>.png` in the working folder. .aps, .a3daps: the views in order. .a3d:
    the maximum over depth, over columns and over rows. .ahi: the root mean square magnitude over the first
    axis (t), which needs no calibration and keeps the outline.

    Raises ConfigError without a file, and FoldwiseError, naming the file, for one that cannot be read.
    """
    if not 1 <= len(words) <= 2:
        raise ConfigError("inspect: expected a scan file (.aps, .a3daps, .a3d, .ahi) and, if wanted, a PNG to write")
    path = Path(words[0])
    target = Path(words[1]) if len(words) == 2 else Path(f"{path.name}.png")
    if not path.is_file():
        raise FoldwiseError(f"{path}: there is no such file")
    words_map, layout = scan_format.memory_map(path)
    if layout.suffix in (".aps", ".a3daps") and len(words_map) > MOST_VIEWS:
        raise FoldwiseError(f"{path}: its header has {len(words_map):,} views, expected {MOST_VIEWS} at most")
    images = projections(words_map, layout.suffix)
    sheet = contact_sheet(images)
    try:
        written = cv2.imwrite(str(target), sheet)
    except cv2.error:  # a suffix of no kind of image
        written = False
    if not written:
        raise FoldwiseError(f"{target}: cannot be written as an image; expected the name of a PNG")
    Console().print(header_table(layout))
    print(
        f"{path}: {layout.dtype.name} {layout.shape} as stored; sheet of {len(images)} images in {target}",
        file=sys.stderr,
    )
    return target


def header_table(layout: scan_format.Layout) -> Table:
    """Return every field of the header with its offset and type."""
    table = Table("offset", "field", "type", "value", title=Text(f"{Path(layout.name).name}: header"))
    assert scan_format.HEADER.fields is not None and scan_format.HEADER.names is not None
    for name in scan_format.HEADER.names:
        dtype, offset = scan_format.HEADER.fields[name][:2]
        value = layout.header[name]
        text = printable(value.decode("latin-1")) if isinstance(value, bytes) else str(value)
        table.add_row(str(offset), name, dtype.str.lstrip("<|") if not dtype.shape else str(dtype), Text(text))
    return table


def projections(words: np.ndarray, suffix: str) -> list[np.ndarray]:
    """Return upright images, float32 (rows, columns), of words as `files.memory_map` gives them."""
    if suffix == ".a3d":  # (rows, t, x)
        projected = [words.max(axis=1), words.max(axis=2), words.max(axis=0)]
    elif suffix == ".ahi":  # (t, x, y), a plane at a time; y counts rows from the top
        power = sum(np.abs(plane).astype(np.float64) ** 2 for plane in words) / len(words)
        projected = [np.sqrt(power).T]
    else:
        projected = list(words)
    return [np.asarray(image, np.float32) for image in projected]


def contact_sheet(images: list[np.ndarray]) -> np.ndarray:
    """Lay images out in lines of eight, 8 bits, each 256 wide; white is the 99.9th percentile of them all."""
    small = []
    for image in images:
        height = min(max(round(image.shape[0] * WIDTH / image.shape[1]), 1), MOST_ROWS)
        method = cv2.INTER_AREA if image.shape[1] > WIDTH else cv2.INTER_NEAREST
        small.append(cv2.resize(np.nan_to_num(image), (WIDTH, height), interpolation=method))
    height = max(image.shape[0] for image in small)
    small = [np.pad(image, ((0, height - image.shape[0]), (0, 0))) for image in small]
    lines = [np.hstack(small[i : i + A_LINE]) for i in range(0, len(small), A_LINE)]
    width = max(line.shape[1] for line in lines)
    sheet = np.vstack([np.pad(line, ((0, 0), (0, width - line.shape[1]))) for line in lines])
    white = max(float(np.percentile(sheet, 99.9)), 1e-30)
    return np.asarray(np.clip(sheet * (255 / white), 0, 255), np.uint8)
