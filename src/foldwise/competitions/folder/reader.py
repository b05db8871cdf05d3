"""Any image competition that is a folder of images and a CSV of labels; it needs a YAML and no code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import Field

from foldwise.competitions.folder import faces
from foldwise.data.records import Record, Records
from foldwise.errors import FoldwiseError, choices
from foldwise.settings import Task
from foldwise.storage import clear_csv_errors

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1
SOURCES: dict[str, Callable[..., None]] = {"embedded": faces.write}
SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".tif", ".tiff")


def read(
    raw_dir: Path,
    *,
    task: Task = "binary",
    labels: str = "train.csv",
    sample: str = "sample_submission.csv",
    images: str = "images",
    test_images: str | None = None,
    id_column: str = "id",
    label_columns: tuple[str, ...] = ("label",),
    classes: tuple[str, ...] | None = None,
    group_column: str | None = None,
    auxiliary: tuple[str, ...] = (),
    side: Annotated[int, Field(ge=1)] | None = None,
    channels: Literal["grey", "colour", "as_is"] = "as_is",
) -> Records:
    """Read PNG, JPEG or TIFF images named by the ids of a CSV; the test ids are those of the sample submission.

    task: binary (one 0/1 column, or one column with two `classes`, the second being the positive one),
        multiclass (one column of class names) or multilabel (several 0/1 columns).
    labels, sample: CSV files in the raw folder.
    images, test_images: folders in the raw folder (test_images: the same folder by default). An id is the
        file's name with or without its suffix.
    classes: the class names in order; by default the sorted values of the label column.
    group_column: rows that share this column's value stay in one fold.
    auxiliary: numeric columns of the labels file and, for test rows, of `test.csv`, for models that take them.
    side: resize to side x side pixels (area averaging); by default all images must have one size.
    channels: grey (1), colour (3, RGB), or as the file has them.

    Images are uint8, or float32 where the files have 16 bits.
    """
    table = _table(raw_dir / labels, [id_column, *label_columns, *auxiliary, *([group_column] if group_column else [])])
    test = _table(raw_dir / sample, [])
    targets, encoded = _encode(table, task, list(label_columns), classes, labels)
    test_columns = _table(raw_dir / "test.csv", [id_column, *auxiliary]) if auxiliary else None

    def train_records() -> Iterator[Record]:
        for i, id_ in enumerate(table[id_column]):
            where = f"{labels}, row {i + 1}"
            columns: dict[str, Any] = {target: encoded[i, k] for k, target in enumerate(targets)}
            if group_column:
                columns["group"] = table[group_column].iloc[i]
                if not columns["group"]:
                    raise FoldwiseError(f"{where}: the group {group_column!r} of {id_!r} is missing")
            columns |= {name: _number(table[name].iloc[i], name, where) for name in auxiliary}
            yield Record(id_, _image(raw_dir / images, id_, where, side, channels), columns, where)

    def test_records() -> Iterator[Record]:
        extra = test_columns.set_index(id_column) if test_columns is not None else None
        if extra is not None and not extra.index.is_unique:
            twice = extra.index[extra.index.duplicated()][0]
            raise FoldwiseError(f"test.csv: duplicate id {twice!r}; ids must be unique")
        for i, id_ in enumerate(test.iloc[:, 0]):
            where = f"{sample}, row {i + 1}"
            if extra is not None and id_ not in extra.index:
                raise FoldwiseError(f"{where}: {id_!r} is not in test.csv, which gives {', '.join(auxiliary)}")
            columns = (
                {name: _number(extra.at[id_, name], name, where) for name in auxiliary} if extra is not None else {}
            )
            folder = raw_dir / (test_images or images)
            yield Record(id_, _image(folder, id_, where, side, channels), columns, where)

    return Records(task, targets, train_records(), test_records(), list(auxiliary), raw_dir / sample)


def submission(predictions: pd.DataFrame, sample: pd.DataFrame) -> pd.DataFrame:
    """Lay the predictions (id, a column for each target) out as the sample submission does.

    A column for each target receives probabilities; one column for several classes receives the likeliest
    class's name. Raises FoldwiseError if the sample has neither.
    """
    import pandas as pd

    targets = list(predictions.columns[1:])
    columns = list(sample.columns[1:])
    result = pd.DataFrame({sample.columns[0]: predictions["id"]})
    if len(columns) == len(targets) == 1:
        return result.assign(**{columns[0]: predictions[targets[0]]})
    if len(columns) == 1:
        return result.assign(**{columns[0]: predictions[targets].idxmax(axis=1)})
    if sorted(columns) != sorted(targets):
        raise FoldwiseError(
            f"sample_submission.csv has the columns {', '.join(columns)}; expected one column, or the targets "
            f"{', '.join(targets)}"
        )
    return result.assign(**{column: predictions[column] for column in columns})


def truth(
    solution: pd.DataFrame,
    targets: list[str],
    task: Task = "binary",
    label_columns: tuple[str, ...] = ("label",),
    classes: tuple[str, ...] | None = None,
    **options: Any,
) -> np.ndarray:
    """Return the true labels (n, k) of `solution.csv`, which is laid out like the labels file."""
    classes = tuple(targets) if task == "multiclass" else classes
    return _encode(solution.astype(str), task, list(label_columns), classes, "solution.csv")[1].astype(np.float64)


def _table(path: Path, columns: list[str]) -> pd.DataFrame:
    import pandas as pd

    with clear_csv_errors(path.name):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if table.empty:
        raise FoldwiseError(f"{path.name}: there is no row below the header")
    for column in columns:
        if column not in table:
            raise FoldwiseError(f"{path.name}: the column {column!r} is missing; {choices(column, table.columns)}")
    return table


def _encode(
    table: pd.DataFrame, task: Task, columns: list[str], classes: tuple[str, ...] | None, name: str
) -> tuple[list[str], np.ndarray]:
    """Return the targets and the labels, int8 (n, k)."""
    if task != "multilabel" and len(columns) != 1:
        raise FoldwiseError(f"competition.options.label_columns={columns}: a {task} task has one label column")
    for column in columns:
        missing = table.index[table[column] == ""]
        if len(missing):
            raise FoldwiseError(f"{name}, row {missing[0] + 1}: the label {column!r} is missing")
    if task == "multiclass":
        names = list(classes or sorted(table[columns[0]].unique()))
        _check_values(table[columns[0]], names, name)
        return names, (table[columns[0]].to_numpy()[:, None] == np.array(names)[None, :]).astype(np.int8)
    values = list(classes or ("0", "1"))
    if len(values) != 2:
        raise FoldwiseError(f"competition.options.classes={values}: a {task} task has two, the second the positive one")
    for column in columns:
        _check_values(table[column], values, name)
    return columns, (table[columns] == values[1]).to_numpy(np.int8)


def _check_values(column: pd.Series, valid: list[str], name: str) -> None:
    wrong = column.index[~column.isin(valid)]
    if len(wrong):
        value = column.iloc[wrong[0]]
        raise FoldwiseError(
            f"{name}, row {wrong[0] + 1}: the label {column.name!r} is {value!r}, which is no class; "
            f"{choices(value, valid)}"
        )


def _number(text: str, column: str, where: str) -> float:
    if text in ("", "na", "NA", "nan", "NaN"):
        return float("nan")
    try:
        number = float(text)
    except ValueError:
        number = float("inf")
    if abs(number) == float("inf"):
        raise FoldwiseError(f"{where}: {column} is {text!r}, expected a number")
    return number


def _image(folder: Path, id_: str, where: str, side: int | None, channels: str) -> np.ndarray:
    """Return (h, w, c), uint8 or float32; colours in RGB order."""
    path = next((p for suffix in SUFFIXES if (p := folder / f"{id_}{suffix}").is_file()), None)
    if path is None:
        raise FoldwiseError(f"{where}: no image of {id_!r} in {folder}; tried the suffixes {', '.join(SUFFIXES[1:])}")
    mode = {
        "grey": cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH,
        "colour": cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH,
    }
    # decoded from memory: cv2.imread would print a warning of its own for a damaged file
    data = np.frombuffer(path.read_bytes(), np.uint8)
    try:
        image = cv2.imdecode(data, mode.get(channels, cv2.IMREAD_UNCHANGED)) if data.size else None
    except cv2.error:  # a size that OpenCV refuses
        image = None
    if image is None:
        raise FoldwiseError(f"{where}: {path.name} does not decode as an image ({data.size} bytes)")
    if side is not None:
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    image = image[:, :, None] if image.ndim == 2 else image
    if image.shape[2] >= 3:
        image = image[:, :, [2, 1, 0, *range(3, image.shape[2])]]  # OpenCV decodes to BGR
    return image if image.dtype == np.uint8 else image.astype(np.float32)
