"""Prepared data: images in a memory-mapped array, everything else in a table, one row a sample."""

from __future__ import annotations

import hashlib
import logging
import math
import numbers
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from foldwise.data import checksums, structure
from foldwise.data.csv_files import read_csv
from foldwise.data.records import Record, Records
from foldwise.data.structure import Structure
from foldwise.errors import FoldwiseError
from foldwise.settings import Task
from foldwise.storage import content_key, read_json, readable, write_json

if TYPE_CHECKING:
    from pandas import DataFrame  # in a dataclass `pd.DataFrame` would make dataclasses look into pandas


log = logging.getLogger(__name__)

VERSION = 1  # of the layout of prepared data; enters the data key
OWN_COLUMNS = ("id", "repeat", "fold", "group", "scored", "weight")  # of the tables of data and of predictions


@dataclass
class Split:
    """The training or the test samples: an array of images, and a table with a row for each sample.

    If one image answers several rows, they are consecutive: image i answers the rows from i * rows_per_image on.
    """

    images: np.ndarray  # (n / rows_per_image, [v,] h, w, c), memory-mapped
    table: DataFrame  # n rows: id, target columns, group?, scored?, weight? (training rows), auxiliary columns

    @property
    def angles(self) -> np.ndarray | None:
        """The degrees of the view in each slot, float32 (n, v), NaN in empty slots; None if the views have none.

        The columns `angle_0`, `angle_1`, ... hold them.
        """
        views = self.images.shape[1] if self.images.ndim == 5 else 0
        names = [f"angle_{i}" for i in range(views)]
        if not names or not set(names) <= set(self.table):
            return None
        return self.table[names].to_numpy(np.float32)

    @property
    def groups(self) -> np.ndarray | None:
        """The group of each row (n,), where rows have one: a person, a scene."""
        return self.table["group"].to_numpy() if "group" in self.table else None


@dataclass
class Dataset:
    """The prepared data of a competition, as `read` opens them.

    task: binary (one target column), multiclass (one of several), ordinal (the same, the classes in their order),
        multilabel (any of several) or regression (numbers).
    targets: names of the k target columns, 0 or 1, or numbers of a regression, which only the training table has.
    auxiliary: names of numeric columns that a model may take as inputs.
    path: the folder of the prepared data.
    data_key: hash of the reader, its options and the raw files; a run is on these data alone.
    ids_key: hash of the ids, labels, groups and raw files: runs can be compared only if they share it.
    structure: what views, rows and categories mean to each other.
    category_names: by the name of a category, what its numbers from 1 on stand for.
    ordered: whether the order of several classes is known; false where names were sorted as text.
    """

    train: Split
    test: Split
    task: Task
    targets: list[str]
    auxiliary: list[str]
    path: Path
    data_key: str
    ids_key: str
    structure: Structure = field(default_factory=Structure)
    ordered: bool = True
    category_names: dict[str, list[str]] = field(default_factory=dict)

    @property
    def labels(self) -> np.ndarray:
        """The training labels (n, k): float32, or float64 for the numbers of a regression."""
        return self.train.table[self.targets].to_numpy(np.float64 if self.task == "regression" else np.float32)

    @property
    def row_weights(self) -> np.ndarray | None:
        """The weights of the training rows in the loss, float64 (n,), which the column `weight` holds; None without.

        A column of that name that is an auxiliary input (the weight of a patient) is none.
        """
        if "weight" not in self.train.table or "weight" in self.auxiliary:
            return None
        return self.train.table["weight"].to_numpy(np.float64)


class ImageWriter:
    """Append images to an .npy file whose number of rows becomes known only at the end.

    like: an image whose shape and type all must have; by default the first one.
    """

    def __init__(self, path: Path, like: np.ndarray | None = None) -> None:
        self.n, self.like = 0, like
        self._file = path.open("wb")

    def append(self, image: np.ndarray, where: str) -> None:
        """Write an image; raise FoldwiseError, naming `where`, if its shape or type is another than the first's."""
        like = self.like = image if self.like is None else self.like
        if image.shape != like.shape or image.dtype != like.dtype:
            raise FoldwiseError(
                f"{where}: expected an image of shape {like.shape} and type {like.dtype} like those before it, "
                f"received {image.shape} {image.dtype}"
            )
        if self.n == 0:
            self._write_header(like)
        self._file.write(np.ascontiguousarray(image).data)
        self.n += 1

    def close(self) -> None:
        """Write the final number of rows into the header."""
        if self.like is not None:
            self._write_header(self.like)
        self._file.close()

    def _write_header(self, like: np.ndarray) -> None:
        # numpy pads the header so that a longer first axis still fits: it can be written again in place
        self._file.seek(0)
        header = {"descr": like.dtype.str, "fortran_order": False, "shape": (self.n, *like.shape)}
        np.lib.format.write_array_header_1_0(self._file, header)


def write(records: Records, path: Path, data_key: str, source_key: str = "") -> None:
    """Stream `records` into the folder `path`, checking every sample.

    Raises FoldwiseError for an empty split, a duplicate id, a NaN or infinite pixel, a missing label, a
    label that is not 0 or 1 (in a regression, no finite number), a target that is the same in all rows, a weight that
    is not above 0, images of different shapes, a test id that is also in train, an image that is missing or given
    twice, and a structure that does not fit the images.
    """
    path.mkdir(parents=True, exist_ok=True)
    writer = ImageWriter(path / "train.npy")
    train = pd.DataFrame(_stream(records.train, writer, records, "train", set()))
    like = writer.like
    if records.test_ids == []:
        test = write_no_test(path, train.drop(columns=[*records.targets, "weight"], errors="ignore"), like)
    else:
        test = write_test(records, path, like, set(train["id"]))
    _check_weights(train, records)
    _check_inputs(train, test, records)
    (_check_values if records.task == "regression" else _check_classes)(train, records)
    structure.check(records.structure, like.shape if like is not None else ())
    structure.check_categories(records.structure.categories, {"train": train, "test": test})
    if records.sample_submission is not None:
        _copy_sample(records, path, list(test["id"]))
    for picture in records.pictures:
        shutil.copy(picture, path)
    train.to_parquet(path / "train.parquet", index=False)
    write_json(
        path / "dataset.json",
        {
            "task": records.task,
            "targets": records.targets,
            "auxiliary": records.auxiliary,
            "data_key": data_key,
            "ids_key": _ids_key(train, test, records.targets, source_key),
            "n_train": len(train),
            "n_test": len(test),
            **structure.as_values(records.structure),
            **({} if records.ordered else {"ordered": False}),
            **({"category_names": records.category_names} if records.category_names else {}),
        },
    )
    checksums.write(path)


def _is_flat(image: np.ndarray) -> bool:
    """Tell whether an image has one value everywhere; the first pixels alone tell it of most."""
    some = image.flat[:64]
    return bool((some == some[0]).all() and (image == some[0]).all())


def check_names(records: Records) -> None:
    """Raise FoldwiseError where a column of the tables would stand for two things."""
    targets, inputs = records.targets, [*records.auxiliary, *records.structure.categories]
    for name in targets:
        kind = "target" if records.task == "regression" else "class"
        if name in OWN_COLUMNS:
            raise FoldwiseError(
                f"the {kind} {name!r} has the name of a column of foldwise's own tables ({', '.join(OWN_COLUMNS)}); "
                "rename it in the labels file"
            )
        if targets.count(name) > 1:
            raise FoldwiseError(f"the {kind} {name!r} is listed twice; expected different names")
        if name in inputs:
            raise FoldwiseError(f"{name!r} is a {kind} and an input of the model; it would be learned from itself")
    if "id" in inputs:
        raise FoldwiseError("an auxiliary column or a category is called 'id', as the column of ids is; rename it")


def write_test(records: Records, path: Path, like: np.ndarray | None, other_ids: Iterable[str] = ()) -> DataFrame:
    """Stream the test records into `test.npy` and `test.parquet` in the folder `path`; return their table.

    like: an image whose shape and type all must have.
    other_ids: ids of training rows, which no test row may have.

    Raises FoldwiseError as `write` does.
    """
    writer = ImageWriter(path / "test.npy", like=like)
    table = pd.DataFrame(_stream(records.test, writer, replace(records, targets=[]), "test", set(other_ids)))
    table.to_parquet(path / "test.parquet", index=False)
    return table


def write_no_test(path: Path, columns: DataFrame, like: np.ndarray | None) -> DataFrame:
    """Write a test split of no rows, with the columns of a table and images like `like`; return its table."""
    ImageWriter(path / "test.npy", like=like).close()
    table = columns.iloc[:0]
    table.to_parquet(path / "test.parquet", index=False)
    return table


def read(path: Path) -> Dataset:
    """Open the prepared data in `path`; images are memory-mapped, not read.

    Raises Damaged, naming the file, where one is missing or cannot be read, or where tables and arrays do not fit.
    """
    about = read_json(path / "dataset.json", repair(path))
    train, test = read_split(path, "train"), read_split(path, "test")
    names: tuple[str, ...] = ("task", "targets", "auxiliary", "data_key", "ids_key")
    with readable(path / "dataset.json", repair(path)):
        values = {name: about[name] for name in names}
        values |= {name: about[name] for name in ("ordered", "category_names") if name in about}  # else the defaults
        known = structure.structure_from(about)
        for name, split in (("train", train), ("test", test)):
            wanted = len(split.images) * known.rows_per_image
            if len(split.table) not in (wanted, about.get(f"n_{name}")) and len(split.images):
                raise ValueError(f"{name}.parquet has {len(split.table)} rows, {name}.npy images of {wanted}")
    return Dataset(train, test, path=path, structure=known, **values)


def read_split(path: Path, name: str) -> Split:
    """Open `<name>.npy` and `<name>.parquet` in a folder; raise Damaged where one of them cannot be read."""
    with readable(path / f"{name}.npy", repair(path)):
        images = np.load(path / f"{name}.npy", mmap_mode="r")
    with readable(path / f"{name}.parquet", repair(path)):
        return Split(images, pd.read_parquet(path / f"{name}.parquet"))


def repair(path: Path) -> str:
    """Return how prepared data in a folder are made again, for messages."""
    return f"`rm -r {path}` removes that folder, and `foldwise prepare` with the same settings makes it again"


def _stream(
    samples: Iterable[Record], writer: ImageWriter, records: Records, split: str, other: set[str]
) -> Iterator[dict[str, Any]]:
    """Check the samples of a split and write their images; yield the rows of its table.

    records: their task, targets (none of test rows) and structure.
    other: ids of the training data, which test rows must not have.
    """
    seen: set[str] = set()
    rows_per_image = records.structure.rows_per_image
    number = float if records.task == "regression" else int
    weighted = split == "train" and "weight" not in records.auxiliary
    weight = None
    flat: list[str] = []
    for record in samples:
        if record.id in seen:
            raise FoldwiseError(f"{record.where}: duplicate id {record.id!r} in {split}")
        if record.id in other:
            raise FoldwiseError(f"{record.where}: the {split} id {record.id!r} is also in train")
        if (record.image is not None) != (len(seen) % rows_per_image == 0):
            expected = "an image" if record.image is None else "no image"
            raise FoldwiseError(
                f"{record.where}: expected {expected} for {record.id!r}: one image answers {rows_per_image} rows, and "
                "the first of them carries it"
            )
        if record.image is not None and record.image.dtype.kind == "f" and not np.isfinite(record.image).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(record.image))[0])
            raise FoldwiseError(f"{record.where}: NaN or infinite pixel at {at} of the image of {record.id!r}")
        for target in records.targets:
            _check_label(record, target, records.task)
        if weighted:
            weight = _checked_weight(record, None if len(seen) % rows_per_image == 0 else weight)
        if record.image is not None:
            writer.append(record.image, record.where)
            flat += [record.id] if _is_flat(record.image) else []
        seen.add(record.id)
        yield {"id": record.id, **record.columns} | {name: number(record.columns[name]) for name in records.targets}
    if writer.n == 0:
        raise FoldwiseError(f"no {split} rows were found")
    if flat:
        log.warning("%s: %d of %d images have one value everywhere, such as %r", split, len(flat), writer.n, flat[0])
    if len(seen) % rows_per_image:
        raise FoldwiseError(
            f"{split}: the last image has {len(seen) % rows_per_image} rows; expected {rows_per_image} rows for each"
        )
    writer.close()


def _check_label(record: Record, target: str, task: Task) -> None:
    label = record.columns.get(target)
    if label is None or label != label:
        raise FoldwiseError(f"{record.where}: the label {target!r} of {record.id!r} is missing")
    if task == "regression":
        if not isinstance(label, numbers.Real) or not math.isfinite(label):
            raise FoldwiseError(
                f"{record.where}: the label {target!r} of {record.id!r} is {label!r}, expected a finite number"
            )
    elif label not in (0, 1):
        raise FoldwiseError(f"{record.where}: the label {target!r} of {record.id!r} is {label!r}, expected 0 or 1")


def _checked_weight(record: Record, same: float | None) -> float | None:
    """Return the weight of a training row in the loss, None where it has none; `same`: of a row of the same image."""
    weight = record.columns.get("weight")
    if weight is None:
        return None
    if not isinstance(weight, numbers.Real) or not math.isfinite(weight) or weight <= 0:
        raise FoldwiseError(f"{record.where}: the weight of {record.id!r} is {weight!r}, expected a number above 0")
    if same is not None and weight != same:
        raise FoldwiseError(
            f"{record.where}: the weight of {record.id!r} is {weight}, that of the row before it {same}; rows that one "
            "image answers share a weight"
        )
    return float(weight)


def _check_inputs(train: pd.DataFrame, test: pd.DataFrame, records: Records) -> None:
    """Raise FoldwiseError for an infinite auxiliary value; log a column that is missing in every training row."""
    for name in records.auxiliary:
        for split, table in (("train", train), ("test", test)):
            values = table[name].to_numpy(np.float64) if name in table else np.empty(0)
            infinite = np.abs(values) > np.finfo(np.float32).max  # as models take them
            if infinite.any():
                id_ = table["id"].iloc[int(infinite.argmax())]
                raise FoldwiseError(
                    f"{split}: the auxiliary column {name!r} of {id_!r} is {values[infinite.argmax()]:g}, expected a "
                    "finite number, or none"
                )
        if name in train and train[name].isna().all():
            log.warning("the auxiliary column %r is missing in every training row: nothing is learned from it", name)


def _check_weights(train: pd.DataFrame, records: Records) -> None:
    if "weight" in train and "weight" not in records.auxiliary and train["weight"].isna().any():
        lacking = train["id"][train["weight"].isna()]
        raise FoldwiseError(f"{len(lacking)} training rows have no weight, for example {lacking.iloc[0]!r}")


def _check_values(train: pd.DataFrame, records: Records) -> None:
    for target in records.targets:
        if train[target].nunique() == 1:
            raise FoldwiseError(
                f"the target {target!r} cannot be learned: it is {train[target].iloc[0]:g} in every training row"
            )


def _check_classes(train: pd.DataFrame, records: Records) -> None:
    counts = train[records.targets].sum()
    absent = [target for target in records.targets if counts[target] == 0]
    constant = [target for target in records.targets if counts[target] == len(train)]
    if absent or constant:
        state = "no row has it" if absent else "every row has it"
        raise FoldwiseError(f"the class {(absent or constant)[0]!r} cannot be learned: {state} in the training data")


def _copy_sample(records: Records, path: Path, test_ids: list[str]) -> None:
    """Copy the sample submission into the folder of the data; raise FoldwiseError unless its ids are the test ids."""
    sample = records.sample_submission
    assert sample is not None
    # where a reader states the test ids, the sample's rows may be others: several for each
    given = list(read_csv(sample)[0].iloc[:, 0]) if records.test_ids is None else records.test_ids
    if sorted(given) != sorted(test_ids):
        extra, lacking = set(given) - set(test_ids), set(test_ids) - set(given)
        example = f"for example {sorted(extra or lacking)[0]!r}" if extra or lacking else "some ids are duplicates"
        raise FoldwiseError(
            f"{sample.name}: its ids are not the test ids: {len(extra)} are not in test, "
            f"{len(lacking)} test ids are absent, {example}"
        )
    (path / "sample_submission.csv").write_bytes(sample.read_bytes())


def _ids_key(train: pd.DataFrame, test: pd.DataFrame, targets: list[str], source_key: str) -> str:
    columns = ["id", *targets, *(["group"] if "group" in train else [])]
    hashes = [pd.util.hash_pandas_object(table, index=False) for table in (train[columns], test[["id"]])]
    return content_key(
        [columns, *(hashlib.sha256(h.to_numpy().tobytes()).hexdigest() for h in hashes), *filter(None, [source_key])]
    )
