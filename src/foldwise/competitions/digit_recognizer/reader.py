"""Digit recognizer: square grey digits as CSV rows, label 0 to 9."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from foldwise.competitions.digit_recognizer import embedded
from foldwise.data.records import Record, Records
from foldwise.errors import FoldwiseError
from foldwise.storage import check_is_file, check_widths, clear_csv_errors

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1
SOURCES: dict[str, Callable[..., None]] = {"embedded": embedded.write}
ROWS_AT_ONCE = 2000


def read(
    raw_dir: Path,
    *,
    side: Annotated[int, Field(ge=1)] | None = None,
    one_vs_rest: Annotated[int, Field(ge=0, le=9)] | None = None,
) -> Records:
    """Read `train.csv` (label, pixel0, ...), `test.csv` (pixel0, ...) and `sample_submission.csv`.

    side: pad the images with zeros on all sides to this many pixels; 28 -> 32 gives the 1,024 pixels of the
        talk's logistic regression.
    one_vs_rest: learn this digit against the others, which makes the task binary.

    Images are uint8 (side, side, 1). The host gives train rows no ids: they are called train_1, train_2, ...;
    test ids are the host's ImageId, 1, 2, ...
    """

    def records(name: str) -> Iterator[Record]:
        number = 0
        for chunk in _chunks(raw_dir / name):
            pixels = [column for column in chunk if column != "label"]
            images = _images(chunk[pixels], f"{name}", number, side)
            for i, image in enumerate(images):
                number += 1
                where = f"{name}, row {number}"
                if name == "train.csv":
                    yield Record(f"train_{number}", image, _label(chunk["label"].iloc[i], one_vs_rest, where), where)
                else:
                    yield Record(str(number), image, {}, where)
        if number == 0:
            raise FoldwiseError(f"{name}: there is no row below the header")

    multiclass = one_vs_rest is None
    return Records(
        task="multiclass" if multiclass else "binary",
        targets=[str(digit) for digit in range(10)] if multiclass else [f"is_{one_vs_rest}"],
        train=records("train.csv"),
        test=records("test.csv"),
        sample_submission=raw_dir / "sample_submission.csv",
    )


def submission(predictions: pd.DataFrame, sample: pd.DataFrame, /, **options: Any) -> pd.DataFrame:
    """Return `ImageId,Label` with the likeliest digit; with one digit against the rest, 1 where p > .5."""
    import pandas as pd

    probabilities = predictions.drop(columns="id").to_numpy()
    binary = probabilities.shape[1] == 1
    labels = (probabilities[:, 0] > 0.5).astype(int) if binary else probabilities.argmax(axis=1)
    return pd.DataFrame({"ImageId": predictions["id"], "Label": labels})


def truth(solution: pd.DataFrame, targets: list[str], **options: Any) -> np.ndarray:
    """Return the true labels of `solution.csv`: (n, 10), or (n, 1) for one digit against the rest."""
    digits = np.array([int(target.removeprefix("is_")) for target in targets])
    return (solution["Label"].to_numpy(np.int64)[:, None] == digits).astype(np.float64)


def _chunks(path: Path) -> Iterator[pd.DataFrame]:
    import pandas as pd

    check_is_file(path)
    with clear_csv_errors(path.name):
        header = list(pd.read_csv(path, nrows=0).columns)
    n_pixels = sum(column != "label" for column in header)
    expected = ["label"] if path.name == "train.csv" else []
    expected += [f"pixel{i}" for i in range(isqrt(n_pixels) ** 2)]
    if header != expected:
        absent = [column for column in expected if column not in header] or ["a square number of pixels"]
        raise FoldwiseError(
            f"{path.name}: expected the columns {', '.join(expected[:3])}, ..., pixel<side*side-1>; "
            f"missing {absent[0]}, received {len(header)} columns: {', '.join(header[:4])}, ..."
        )
    with clear_csv_errors(path.name):
        for chunk in pd.read_csv(path, chunksize=ROWS_AT_ONCE):
            check_widths(chunk, path.name)
            yield chunk


def _images(pixels: pd.DataFrame, name: str, rows_before: int, side: int | None) -> np.ndarray:
    """Return uint8 (n, side, side, 1)."""
    import pandas as pd

    whole = all(dtype.kind in "iu" for dtype in pixels.dtypes)  # else a value is no number or no whole one
    numbers = (pixels if whole else pixels.apply(pd.to_numeric, errors="coerce")).to_numpy(np.float64)
    wrong = ~((numbers >= 0) & (numbers <= 255) & (numbers == np.floor(numbers)))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise FoldwiseError(
            f"{name}, row {rows_before + row + 1}: {pixels.columns[column]} is {pixels.iat[row, column]}, "
            "expected a whole number from 0 to 255 (a NaN, infinite or cut-off value?)"
        )
    given = isqrt(numbers.shape[1])
    images = numbers.astype(np.uint8).reshape(-1, given, given, 1)
    if side is None or side == given:
        return images
    if side < given:
        raise FoldwiseError(f"competition.options.side={side}: the images are {given} x {given}; side can only pad")
    before = (side - given) // 2
    pad = (before, side - given - before)
    return np.pad(images, ((0, 0), pad, pad, (0, 0)))


def _label(value: Any, one_vs_rest: int | None, where: str) -> dict[str, int]:
    import pandas as pd

    if pd.isna(value):
        raise FoldwiseError(f"{where}: the label is missing")
    number = pd.to_numeric(value, errors="coerce")
    if isinstance(number, bool | np.bool_) or number not in range(10):
        raise FoldwiseError(f"{where}: the label is {value}, expected a digit from 0 to 9")
    if one_vs_rest is not None:
        return {f"is_{one_vs_rest}": int(number == one_vs_rest)}
    return {str(digit): int(number == digit) for digit in range(10)}
