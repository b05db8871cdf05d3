"""Prepared data: streamed, checked sample by sample, memory-mapped."""

import json
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.raw_files import write_sample

from foldwise.data import dataset
from foldwise.data.records import Record, Records
from foldwise.data.structure import Mirror, Structure, structure_from
from foldwise.errors import FoldwiseError


def image(value: float, shape: tuple[int, ...] = (2, 3, 1), dtype: str = "f4") -> np.ndarray:
    return np.full(shape, value, dtype)


def record(id_: str, label: Any = None, pixels: np.ndarray | None = None, **columns: Any) -> Record:
    columns |= {} if label is None else {"y": label}
    return Record(id_, image(1) if pixels is None else pixels, columns, f"raw.json, record {id_}")


def records(train: list[Record] | None = None, test: list[Record] | None = None, **options: Any) -> Records:
    train = [record("a", 0), record("b", 1)] if train is None else train
    test = [record("c"), record("d")] if test is None else test
    return Records("binary", ["y"], iter(train), iter(test), **options)


def ids_key(path: Path, *args: Any) -> str:
    dataset.write(records(*args), path, "key")
    return dataset.read(path).ids_key


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 3, 1), "u1"), ((2, 3, 2), "f4"), ((4, 2, 3, 1), "f4"), ((1, 1, 4), "u2")]
)
def test_what_is_written_is_read(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    train = [record("a", 0, image(5, shape, dtype), angle=1.5), record("b", 1, image(6, shape, dtype), angle=2.5)]
    test = [record("c", None, image(7, shape, dtype), angle=float("nan"))]
    dataset.write(records(train, test, auxiliary=["angle"]), tmp_path, "key")
    data = dataset.read(tmp_path)
    assert isinstance(data.train.images, np.memmap)
    assert (data.train.images.shape, data.train.images.dtype) == ((2, *shape), dtype)
    assert data.train.images[:, 0, 0, 0].ravel()[0] == 5
    assert (data.train.images[1] == 6).all()
    assert (data.test.images[0] == 7).all()
    assert list(data.train.table) == ["id", "angle", "y"]
    assert list(data.test.table) == ["id", "angle"]
    assert data.test.table["angle"].isna().all()
    assert (data.task, data.targets, data.auxiliary, data.data_key) == ("binary", ["y"], ["angle"], "key")
    assert data.labels.dtype == np.float32
    assert data.labels.tolist() == [[0.0], [1.0]]
    about = json.loads((tmp_path / "dataset.json").read_text())
    assert (about["n_train"], about["n_test"]) == (2, 1)


def test_the_header_counts_the_rows_once_they_are_known(tmp_path: Path) -> None:
    train = [record(f"r{i}", i % 2, image(i, (1, 1, 1))) for i in range(1234)]
    dataset.write(records(train, [record("t", None, image(0, (1, 1, 1)))]), tmp_path, "key")
    images = dataset.read(tmp_path).train.images
    assert images.shape == (1234, 1, 1, 1)
    assert images.ravel().tolist() == list(range(1234))


def test_memory_stays_flat_as_the_data_grow(tmp_path: Path) -> None:
    def many(prefix: str, n: int, labelled: bool) -> Iterator[Record]:
        for i in range(n):
            yield record(f"{prefix}{i}", i % 2 if labelled else None, image(i, (160, 160, 1)))  # 100 kB

    tracemalloc.start()
    dataset.write(Records("binary", ["y"], many("a", 100, True), many("b", 30, False)), tmp_path, "key")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6  # of 13 MB written
    assert dataset.read(tmp_path).train.images.nbytes == 100 * 160 * 160 * 4


@pytest.mark.parametrize("labels", [(True, False, 1), (1.0, 0.0, 1), (np.int8(1), np.uint8(0), np.bool_(True))])
def test_labels_are_stored_as_integers(tmp_path: Path, labels: tuple[Any, ...]) -> None:
    dataset.write(records([record(f"r{i}", label) for i, label in enumerate(labels)]), tmp_path, "key")
    column = dataset.read(tmp_path).train.table["y"]
    assert column.dtype == np.int64
    assert column.tolist() == [1, 0, 1]


def test_the_ids_key_is_of_ids_labels_and_groups(tmp_path: Path) -> None:
    plain = ids_key(tmp_path / "0")
    assert ids_key(tmp_path / "1", [record("a", 0, image(9)), record("b", 1, image(8))]) == plain
    others = [
        [record("b", 1), record("a", 0)],
        [record("a", 1), record("b", 0)],
        [record("a", 0), record("e", 1)],
        [record("a", 0, group="g"), record("b", 1, group="g")],
        [record("a", 0, group="g"), record("b", 1, group="h")],
    ]
    keys = {ids_key(tmp_path / f"train{i}", train) for i, train in enumerate(others)}
    keys.add(ids_key(tmp_path / "test", None, [record("c")]))
    assert len(keys - {plain}) == 6


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        ([record("a", 0), record("a", 1)], None, "raw.json, record a: duplicate id 'a' in train"),
        (None, [record("c"), record("c")], "raw.json, record c: duplicate id 'c' in test"),
        (None, [record("c"), record("b")], "raw.json, record b: the test id 'b' is also in train"),
        ([record("a", 0), record("b")], None, "record b: the label 'y' of 'b' is missing"),
        ([record("a", 0), record("b", float("nan"))], None, "record b: the label 'y' of 'b' is missing"),
        ([record("a", 0), record("b", 2)], None, "record b: the label 'y' of 'b' is 2, expected 0 or 1"),
        ([record("a", 0), record("b", "1")], None, "record b: the label 'y' of 'b' is '1', expected 0 or 1"),
        ([record("a", 0), record("b", 0.5)], None, "record b: the label 'y' of 'b' is 0.5, expected 0 or 1"),
        ([record("a", 0), record("b", [1])], None, r"record b: the label 'y' of 'b' is \[1\], expected 0 or 1"),
        ([record("a", 0), record("b", 0)], None, "the class 'y' cannot be learned: no row has it"),
        ([record("a", 1), record("b", 1)], None, "the class 'y' cannot be learned: every row has it"),
        ([], None, "no train rows were found"),
        (None, [], "no test rows were found"),
        ([record("a", 0), record("b", 1, image(np.nan))], None, "record b: NaN or infinite pixel at (0, 0, 0) .* 'b'"),
        (None, [record("c", None, image(-np.inf))], "record c: NaN or infinite pixel at (0, 0, 0) .* 'c'"),
        ([record("a", 0), record("b", 1, image(1, (3, 3, 1)))], None, "record b: expected .* (2, 3, 1) .* (3, 3, 1)"),
        ([record("a", 0), record("b", 1, image(1, dtype="u1"))], None, "record b: expected .* float32 .* uint8"),
        (None, [record("c", None, image(1, (8, 8, 1)))], "record c: expected .* (2, 3, 1) .* (8, 8, 1)"),
        (None, [record("c", None, image(1, dtype="u1"))], "record c: expected .* float32 .* uint8"),
    ],
)
def test_bad_samples_are_refused(
    tmp_path: Path, train: list[Record] | None, test: list[Record] | None, expected: str
) -> None:
    pattern = expected if "\\" in expected else re.escape(expected).replace(r"\.\*", ".*")
    with pytest.raises(FoldwiseError, match=pattern):
        dataset.write(records(train, test), tmp_path / "new", "key")
    assert not (tmp_path / "new" / "dataset.json").exists()


def test_one_bad_pixel_is_found_where_it_is(tmp_path: Path) -> None:
    pixels = image(1)
    pixels[1, 2, 0] = np.inf
    with pytest.raises(FoldwiseError, match=r"NaN or infinite pixel at \(1, 2, 0\) of the image of 'b'"):
        dataset.write(records([record("a", 0), record("b", 1, pixels)]), tmp_path, "key")


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["c", "x"], "1 are not in test, 1 test ids are absent, for example 'x'"),
        (["c"], "0 are not in test, 1 test ids are absent, for example 'd'"),
        (["c", "d", "e"], "1 are not in test, 0 test ids are absent, for example 'e'"),
        (["c", "d", "d"], "some ids are duplicates"),
    ],
)
def test_a_sample_of_other_ids_is_refused(tmp_path: Path, ids: list[str], expected: str) -> None:
    write_sample(tmp_path / "sample.csv", "id,y", ids)
    with pytest.raises(FoldwiseError, match=rf"sample.csv: its ids are not the test ids: .*{expected}"):
        dataset.write(records(sample_submission=tmp_path / "sample.csv"), tmp_path / "new", "key")


def test_an_empty_sample_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sample.csv").write_text("")
    with pytest.raises(FoldwiseError, match=r"sample.csv: the file is empty"):
        dataset.write(records(sample_submission=tmp_path / "sample.csv"), tmp_path / "new", "key")


def test_the_sample_is_kept_to_the_byte_in_its_own_order(tmp_path: Path) -> None:
    write_sample(tmp_path / "sample.csv", "id,y", ["d", "c"])
    dataset.write(records(sample_submission=tmp_path / "sample.csv"), tmp_path / "new", "key")
    assert (tmp_path / "new" / "sample_submission.csv").read_bytes() == b"id,y\r\nd,0.5\r\nc,0.5\r\n"
    assert pd.read_parquet(tmp_path / "new" / "test.parquet")["id"].tolist() == ["c", "d"]


# One image for several rows


def scans(prefix: str, n: int, labelled: bool) -> list[Record]:
    """n images of four views, each answering three rows; the first of them carries it."""
    rows = []
    for i, k in np.ndindex(n, 3):
        columns = {"zone": k + 1} | ({"y": (i + k) % 2} if labelled else {})
        id_ = f"{prefix}{i}_{k}"
        rows.append(Record(id_, None if k else image(i, (4, 2, 3, 1)), columns, f"raw.json, record {id_}"))
    return rows


def three_rows(**options: Any) -> Records:
    structure = {
        "rows_per_image": 3,
        "categories": {"zone": 3},
        "mirror": {"slots": [0, 3, 2, 1], "outputs": [1, 0, 2], "categories": {"zone": [2, 1, 3]}},
        "regions": {"top": {"slots": [0, 1], "outputs": [0, 1]}, "legs": {"slots": [2, 3], "outputs": [2]}},
    }
    return records(scans("s", 2, True), scans("t", 1, False), structure=structure_from(structure | options))


def test_one_image_may_answer_several_rows(tmp_path: Path) -> None:
    given = three_rows()
    dataset.write(given, tmp_path, "key")
    data = dataset.read(tmp_path)
    assert (data.train.images.shape, data.test.images.shape) == ((2, 4, 2, 3, 1), (1, 4, 2, 3, 1))
    assert data.train.images[:, 0, 0, 0, 0].tolist() == [0, 1]
    assert data.train.table["id"].tolist() == ["s0_0", "s0_1", "s0_2", "s1_0", "s1_1", "s1_2"]
    assert data.structure == given.structure
    assert data.structure.categories == {"zone": 3}
    assert data.structure.mirror == Mirror([0, 3, 2, 1], [1, 0, 2], {"zone": [2, 1, 3]})


def test_data_without_structure_say_nothing_of_it(tmp_path: Path) -> None:
    dataset.write(records(), tmp_path, "key")
    about = json.loads((tmp_path / "dataset.json").read_text())
    assert sorted(about) == ["auxiliary", "data_key", "ids_key", "n_test", "n_train", "targets", "task"]
    data = dataset.read(tmp_path)
    assert data.structure == Structure()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"rows_per_image": 1}, "record s0_1: expected an image for 's0_1': one image answers 1 rows"),
        ({"rows_per_image": 2}, "record s0_2: expected an image for 's0_2': one image answers 2 rows"),
        ({"rows_per_image": 6}, "record s1_0: expected no image for 's1_0': one image answers 6 rows"),
        ({"categories": {"zone": 2}}, "mirror.categories.zone: expected .* 1 to 2 .*, received [2, 1, 3]"),
        ({"categories": {"zone": 2}, "mirror": None}, "train: zone of 's0_2' is 3, expected 1 to 2"),
        ({"categories": {"zones": 3}, "mirror": None}, "train: the category 'zones' is missing; the columns are id,"),
        ({"mirror": {"slots": [0, 1, 2]}}, "mirror.slots: expected an order of the numbers 0 to 3 .* [0, 1, 2]"),
        ({"mirror": {"slots": [1, 2, 3, 0]}}, "mirror.slots: .* undoes itself .* received [1, 2, 3, 0]"),
        ({"mirror": {"slots": [0, 1, 2, 3]}}, "mirror.outputs: expected .* 0 to 2 .*, received None"),
        ({"regions": {"a": {"slots": [4], "outputs": [0]}}}, "regions.a.slots: expected .* 0 to 3, received [4]"),
        ({"regions": {"a": {"slots": [0]}}}, "regions.a.outputs: expected different numbers of 0 to 2, received []"),
        ({"regions": {"a": {"slots": [0], "outputs": [0]}}}, "regions: expected each output .* received [0]"),
    ],
)
def test_a_structure_that_does_not_fit_is_refused(tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(FoldwiseError, match=re.escape(expected).replace(r"\.\*", ".*")):
        dataset.write(three_rows(**options), tmp_path, "key")


def test_an_image_without_all_its_rows_is_refused(tmp_path: Path) -> None:
    given = three_rows()
    given.train = list(given.train)[:-1]
    with pytest.raises(FoldwiseError, match=r"train: the last image has 2 rows; expected 3 rows for each"):
        dataset.write(given, tmp_path, "key")


def values(*labels: Any, task: str = "regression", **columns: Any) -> Records:
    train = [
        record(f"r{i}", label, **{name: given[i] for name, given in columns.items()}) for i, label in enumerate(labels)
    ]
    return Records(task, ["y"], iter(train), iter([record("t")]))


def test_numbers_of_a_regression_are_kept_as_they_are(tmp_path: Path) -> None:
    dataset.write(values(0.1, -3, np.float32(1e6)), tmp_path, "key")
    data = dataset.read(tmp_path)
    assert data.task == "regression"
    assert data.labels.dtype == np.float64
    assert data.labels.tolist() == [[0.1], [-3.0], [1e6]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((1.0, float("nan"), 2.0), "record r1: the label 'y' of 'r1' is missing"),
        ((1.0, 2.0, float("inf")), "record r2: the label 'y' of 'r2' is inf, expected a finite number"),
        ((1.0, "dog"), "record r1: the label 'y' of 'r1' is 'dog', expected a finite number"),
        ((2.5, 2.5), "the target 'y' cannot be learned: it is 2.5 in every training row"),
    ],
)
def test_numbers_that_nothing_can_be_learned_from_are_refused(tmp_path: Path, labels: tuple, message: str) -> None:
    with pytest.raises(FoldwiseError, match=re.escape(message)):
        dataset.write(values(*labels), tmp_path, "key")


def test_ordered_classes_are_one_hot_like_others(tmp_path: Path) -> None:
    train = [Record(f"r{i}", image(1), {f"{g}": int(g == i % 3) for g in range(3)}, "w") for i in range(6)]
    dataset.write(Records("ordinal", ["0", "1", "2"], iter(train), iter([record("t")])), tmp_path, "key")
    data = dataset.read(tmp_path)
    assert (data.task, data.targets) == ("ordinal", ["0", "1", "2"])
    assert data.labels.argmax(axis=1).tolist() == [0, 1, 2, 0, 1, 2]


def test_weights_of_rows_are_kept_or_refused(tmp_path: Path) -> None:
    dataset.write(values(0, 1, task="binary", weight=[2, 0.5]), tmp_path, "key")
    assert dataset.read(tmp_path).row_weights.tolist() == [2.0, 0.5]
    for weight in (0, -1, float("nan"), float("inf"), "heavy"):
        with pytest.raises(FoldwiseError, match=r"record r1: the weight of 'r1' is .*, expected a number above 0"):
            dataset.write(values(0, 1, task="binary", weight=[1, weight]), tmp_path, "key")
    rows = [record("a", 0, weight=1), record("b", 1)]
    with pytest.raises(FoldwiseError, match="1 training rows have no weight, for example 'b'"):
        dataset.write(records(rows), tmp_path, "key")
    of_an_input = [record("a", 0, weight=-1), record("b", 1, weight=0)]
    test = [record("c", weight=5)]
    dataset.write(records(of_an_input, test, auxiliary=["weight"]), tmp_path, "key")
    assert dataset.read(tmp_path).row_weights is None
    per_image = [record("a", 0, weight=1), Record("b", None, {"y": 1, "weight": 2}, "row b")]
    with pytest.raises(FoldwiseError, match="row b: the weight of 'b' is 2, that of the row before it 1"):
        dataset.write(records(per_image, structure=Structure(rows_per_image=2)), tmp_path, "key")
