"""A folder of images and a CSV: tasks, file types, channels, groups; refusals name the file and the row."""

import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers.raw_files import folder_files, grey_image, left_in, write_files, write_folder, write_images

from foldwise.competitions.folder import reader
from foldwise.errors import FoldwiseError
from foldwise.stages.prepare import prepare

KAGGLE = ("competition=faces", "source=kaggle", "competition.options.label_columns=[label]")


@pytest.fixture
def kaggle(settings) -> Callable:
    """Settings of a folder competition with some options."""
    return lambda **options: settings(*KAGGLE, *(f"competition.options.{name}={v}" for name, v in options.items()))


@pytest.fixture
def prepared(kaggle) -> Callable:
    """Prepare the given CSVs with a grey image for each row."""

    def prepare_files(files: dict[str, str] | None = None, suffix: str = ".png", **options: Any):
        one = kaggle(**options)
        write_folder(one.raw_dir, files, suffix)
        return prepare(one)

    return prepare_files


@pytest.fixture
def prepared_image(kaggle) -> Callable:
    """Prepare a folder in which every image is the given one; return the first as it was read."""

    def prepare_image(image: np.ndarray, suffix: str = ".png", **options: Any) -> np.ndarray:
        one = kaggle(**options)
        write_files(one.raw_dir, folder_files())
        write_images(one.raw_dir / "images", dict.fromkeys([f"{i}{suffix}" for i in NAMES], image))
        return np.array(prepare(one).train.images[0])

    return prepare_image


NAMES = ("t0", "t1", "t2", "t3", "u0", "u1")


# Tasks


def test_binary(prepared) -> None:
    data = prepared()
    assert (data.task, data.targets) == ("binary", ["label"])
    assert data.train.table["id"].tolist() == ["t0", "t1", "t2", "t3"]
    assert data.test.table["id"].tolist() == ["u0", "u1"]
    assert data.labels.tolist() == [[0.0], [1.0], [0.0], [1.0]]
    assert data.train.images[:, 0, 0, 0].tolist() == [5, 15, 25, 35]
    assert data.test.images[:, 0, 0, 0].tolist() == [45, 55]
    assert list(data.test.table) == ["id"]


def test_binary_with_named_classes(prepared) -> None:
    data = prepared(folder_files(["ship", "iceberg", "iceberg", "ship"]), classes="[ship,iceberg]")
    assert data.labels.tolist() == [[0.0], [1.0], [1.0], [0.0]]


def test_multiclass(prepared) -> None:
    data = prepared(folder_files(["dog", "cat", "emu", "cat"]), task="multiclass")
    assert (data.task, data.targets) == ("multiclass", ["cat", "dog", "emu"])
    assert data.labels.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]]


def test_multiclass_in_a_given_order(prepared) -> None:
    data = prepared(folder_files(["dog", "cat", "emu", "cat"]), task="multiclass", classes="[emu,dog,cat]")
    assert data.targets == ["emu", "dog", "cat"]
    assert data.labels.argmax(axis=1).tolist() == [1, 2, 0, 2]


def test_multilabel(prepared) -> None:
    train = "id,red,round\nt0,0,1\nt1,1,1\nt2,0,0\n"
    files = {"train.csv": train, "sample_submission.csv": "id,red,round\nu0,0,0\n"}
    data = prepared(files, task="multilabel", label_columns="[red,round]")
    assert (data.task, data.targets) == ("multilabel", ["red", "round"])
    assert data.labels.tolist() == [[0, 1], [1, 1], [0, 0]]


def test_groups_and_auxiliary_columns(prepared) -> None:
    files = {
        "train.csv": "id,label,person,age\nt0,0,ann,31\nt1,1,ann,NA\nt2,1,bob,4.5\n",
        "test.csv": "id,age\nu1,7\nu0,8\n",
        "sample_submission.csv": "id,label\nu0,0\nu1,0\n",
    }
    data = prepared(files, group_column="person", auxiliary="[age]")
    assert data.train.table["group"].tolist() == ["ann", "ann", "bob"]
    assert data.auxiliary == ["age"]
    assert data.train.table["age"].tolist()[::2] == [31.0, 4.5]
    assert np.isnan(data.train.table["age"][1])
    assert data.test.table["age"].tolist() == [8.0, 7.0]  # by id, not by position


def test_a_competition_costs_one_yaml(settings, tmp_path: Path) -> None:
    (tmp_path / "conf" / "competition").mkdir(parents=True)
    (tmp_path / "conf" / "competition" / "mine.yaml").write_text(
        "name: mine\nreader: folder\noptions: {label_columns: [label], task: multiclass}\n"
    )
    one = settings("competition=mine", "source=kaggle", config_dir=tmp_path / "conf")
    write_folder(one.raw_dir, folder_files("abca"))
    assert one.raw_dir == tmp_path / "data" / "raw" / "mine"
    assert prepare(one).targets == ["a", "b", "c"]


def test_names_of_files_columns_and_folders(kaggle) -> None:
    one = kaggle(labels="y.csv", sample="s.csv", images="pics/a", test_images="pics/b", id_column="file", side=2)
    write_files(one.raw_dir, {"y.csv": "label,file\n0,1.png\n1,2.jpeg\n", "s.csv": "name,p\n1.png,0.5\n"})
    write_images(one.raw_dir / "pics" / "a", {"1.png": grey_image(10), "2.jpeg": grey_image(20)})
    write_images(one.raw_dir / "pics" / "b", {"1.png": grey_image(30), "2.png": grey_image(40)})
    with pytest.raises(FoldwiseError, match=r"s.csv, row 1: the test id '1.png' is also in train"):
        prepare(one)
    (one.raw_dir / "pics" / "b" / "2.png").rename(one.raw_dir / "pics" / "b" / "3.png")
    write_files(one.raw_dir, {"s.csv": "name,p\n3,0.5\n"})
    data = prepare(one)
    assert data.train.table["id"].tolist() == ["1.png", "2.jpeg"]  # an id may have its suffix, or not
    assert (data.train.images[0] == 10).all()
    assert (data.test.images[0] == 40).all()


# Images


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".tif", ".tiff"])
def test_file_types(prepared, suffix: str) -> None:
    data = prepared(suffix=suffix)
    assert (data.train.images.shape, data.train.images.dtype) == ((4, 6, 6, 1), np.uint8)
    assert (data.train.images[3] == 35).all()


def colours(dtype: str = "u1", channels: int = 3) -> np.ndarray:
    """Red, green, blue (and alpha) are 200, 100, 50 (and 255) everywhere."""
    scale = 256 if dtype == "u2" else 1
    return np.broadcast_to(np.array([200, 100, 50, 255][:channels], dtype) * scale, (6, 5, channels)).astype(dtype)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(
    ("image", "channels", "expected", "dtype"),
    [
        (colours(), "colour", [200, 100, 50], "u1"),
        (colours(), "as_is", [200, 100, 50], "u1"),
        (colours(), "grey", [124], "u1"),  # .299 * 200 + .587 * 100 + .114 * 50
        (colours("u2"), "colour", [51200, 25600, 12800], "f4"),
        (colours(channels=4), "as_is", [200, 100, 50, 255], "u1"),
        (colours(channels=4), "colour", [200, 100, 50], "u1"),
        (grey_image(7), "grey", [7], "u1"),
        (grey_image(7), "as_is", [7], "u1"),
        (grey_image(7), "colour", [7, 7, 7], "u1"),
        (np.full((6, 5), 40000, "u2"), "grey", [40000], "f4"),
        (np.full((6, 5), 40000, "u2"), "as_is", [40000], "f4"),
        (np.full((6, 5), 40000, "u2"), "colour", [40000] * 3, "f4"),
    ],
)
def test_channels(prepared_image, image: np.ndarray, channels: str, expected: list, dtype: str, suffix: str) -> None:
    read = prepared_image(image, suffix, channels=channels)
    assert read.dtype == dtype
    assert read.shape == (*image.shape[:2], len(expected))
    assert read[0, 0].tolist() == expected
    assert (read == read[0, 0]).all()


def test_floating_point_tiff(prepared_image) -> None:
    image = prepared_image(np.full((6, 5), -12.5, np.float32), ".tif", channels="as_is")
    assert (image.dtype, image.shape) == (np.float32, (6, 5, 1))
    assert (image == -12.5).all()


def test_rows_are_rows(prepared_image) -> None:
    image = prepared_image(np.arange(30, dtype=np.uint8).reshape(6, 5), channels="grey")
    assert image[:, :, 0].tolist()[:2] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


@pytest.mark.parametrize("channels", ["grey", "colour"])
def test_resizing_averages_areas(prepared_image, channels: str) -> None:
    quarters = np.kron([[10, 20], [30, 40]], np.ones((4, 3))).astype(np.uint8)  # 8 x 6
    image = prepared_image(quarters, side=2, channels=channels)
    assert image[:, :, 0].tolist() == [[10, 20], [30, 40]]
    assert prepared_image(quarters, side=1, channels=channels)[0, 0, 0] == 25


def test_resizing_makes_one_size_of_several(kaggle) -> None:
    one = kaggle(side=3)
    write_files(one.raw_dir, folder_files())
    write_images(one.raw_dir / "images", {f"{name}.png": grey_image(i, 3 + i) for i, name in enumerate(NAMES)})
    data = prepare(one)
    assert data.train.images.shape == (4, 3, 3, 1)
    assert (data.train.images[3] == 3).all()


# Submissions and truth


def test_a_submission_of_probabilities() -> None:
    predictions = pd.DataFrame({"id": ["u0", "u1"], "label": [0.25, 0.75]})
    sample = pd.DataFrame(columns=["file", "target"])
    assert reader.submission(predictions, sample).to_csv(index=False) == "file,target\nu0,0.25\nu1,0.75\n"


def test_a_submission_of_class_names() -> None:
    predictions = pd.DataFrame({"id": ["u0", "u1"], "cat": [0.25, 0.5], "dog": [0.5, 0.25], "emu": [0.25, 0.25]})
    sample = pd.DataFrame(columns=["id", "kind"])
    assert reader.submission(predictions, sample).to_csv(index=False) == "id,kind\nu0,dog\nu1,cat\n"


def test_a_submission_with_a_column_for_each_target_follows_the_sample() -> None:
    predictions = pd.DataFrame({"id": ["u0"], "cat": [0.25], "dog": [0.5], "emu": [0.125]})
    sample = pd.DataFrame(columns=["id", "emu", "cat", "dog"])
    assert reader.submission(predictions, sample).to_csv(index=False) == "id,emu,cat,dog\nu0,0.125,0.25,0.5\n"
    with pytest.raises(FoldwiseError, match=r"has the columns emu, cat; expected one column, or the targets cat, dog"):
        reader.submission(predictions, sample[["id", "emu", "cat"]])


@pytest.mark.parametrize(
    ("targets", "options", "labels", "expected"),
    [
        (["label"], {}, ["1", "0"], [[1], [0]]),
        (["label"], {"classes": ("ship", "berg")}, ["berg", "ship"], [[1], [0]]),
        (["01", "1"], {"task": "multiclass"}, ["1", "01"], [[0, 1], [1, 0]]),
        (["a", "b", "c"], {"task": "multiclass"}, ["c", "a"], [[0, 0, 1], [1, 0, 0]]),
    ],
)
def test_truth(targets: list[str], options: dict[str, Any], labels: list[str], expected: list) -> None:
    solution = pd.DataFrame({"id": ["u0", "u1"], "label": labels, "Usage": ["Public", "Private"]})
    assert reader.truth(solution, targets, side=3, **options).tolist() == expected


# Damaged files


def damaged_png(raw_dir: Path) -> None:
    (raw_dir / "images" / "t2.png").write_bytes(b"no image at all")


def cut_png(raw_dir: Path) -> None:
    path = raw_dir / "images" / "t2.png"
    path.write_bytes(path.read_bytes()[:-20])


def empty_png(raw_dir: Path) -> None:
    (raw_dir / "images" / "t2.png").write_bytes(b"")


def huge_png(raw_dir: Path) -> None:
    """A hundred bytes that claim to be 100,000 x 100,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0))
    (raw_dir / "images" / "t2.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def missing_png(raw_dir: Path) -> None:
    (raw_dir / "images" / "t2.png").unlink()


def missing_test_png(raw_dir: Path) -> None:
    (raw_dir / "images" / "u1.png").unlink()


def wide_png(raw_dir: Path) -> None:
    cv2.imwrite(str(raw_dir / "images" / "t2.png"), np.zeros((6, 9), np.uint8))


def deep_png(raw_dir: Path) -> None:
    cv2.imwrite(str(raw_dir / "images" / "u1.png"), np.zeros((6, 6), np.uint16))


def nan_tiff(raw_dir: Path) -> None:
    image = np.zeros((6, 6), np.float32)
    image[2, 3] = np.nan
    for name in NAMES:
        (raw_dir / "images" / f"{name}.png").unlink()
        cv2.imwrite(str(raw_dir / "images" / f"{name}.tif"), image if name == "t2" else 0 * grey_image(0).astype("f4"))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (damaged_png, "train.csv, row 3: t2.png does not decode as an image (15 bytes)"),
        (cut_png, "train.csv, row 3: t2.png does not decode as an image"),
        (empty_png, "train.csv, row 3: t2.png does not decode as an image (0 bytes)"),
        (huge_png, "train.csv, row 3: t2.png does not decode as an image"),
        (missing_png, "train.csv, row 3: no image of 't2' in "),
        (missing_test_png, "sample_submission.csv, row 2: no image of 'u1' in "),
        (wide_png, "train.csv, row 3: expected an image of shape (6, 6, 1) and type uint8 like those before it"),
        (deep_png, "sample_submission.csv, row 2: expected an image of shape (6, 6, 1) and type uint8 like"),
        (nan_tiff, "train.csv, row 3: NaN or infinite pixel at (2, 3, 0) of the image of 't2'"),
    ],
)
def test_bad_images_are_refused_by_row_and_nothing_is_left(kaggle, damage: Callable, expected: str) -> None:
    one = kaggle()
    damage(write_folder(one.raw_dir))
    with pytest.raises(FoldwiseError, match=re.escape(expected)):
        prepare(one)
    assert left_in(one.prepared_dir) == []


def replaced(name: str, text: str) -> dict[str, str]:
    return folder_files() | {name: text}


def train_rows(*rows: str) -> dict[str, str]:
    return replaced("train.csv", "\n".join(["id,label", *rows]) + "\n")


BAD: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "empty train": (replaced("train.csv", ""), {}, "train.csv: the file is empty"),
    "no train rows": (replaced("train.csv", "id,label\n"), {}, "train.csv: there is no row below the header"),
    "no test rows": (
        replaced("sample_submission.csv", "id,label\n"),
        {},
        "sample_submission.csv: there is no row below",
    ),
    "empty sample": (replaced("sample_submission.csv", ""), {}, "sample_submission.csv: the file is empty"),
    "no id column": (
        replaced("train.csv", "name,label\nt0,1\n"),
        {},
        "train.csv: the column 'id' is missing; Valid choices: name, label",
    ),
    "no label column": (
        replaced("train.csv", "id,lable\nt0,1\n"),
        {},
        "train.csv: the column 'label' is missing; did you mean 'lable'?",
    ),
    "no group column": (folder_files(), {"group_column": "person"}, "train.csv: the column 'person' is missing"),
    "no auxiliary column": (folder_files(), {"auxiliary": "[age]"}, "train.csv: the column 'age' is missing"),
    "duplicate id": (train_rows("t0,0", "t1,1", "t0,1"), {}, "train.csv, row 3: duplicate id 't0' in train"),
    "test id in train": (
        train_rows("t0,0", "u1,1"),
        {},
        "sample_submission.csv, row 2: the test id 'u1' is also in train",
    ),
    "duplicate test id": (
        replaced("sample_submission.csv", "id,label\nu0,0\nu0,0\n"),
        {},
        "sample_submission.csv, row 2: duplicate id 'u0' in test",
    ),
    "no label": (train_rows("t0,0", "t1,", "t2,1"), {}, "train.csv, row 2: the label 'label' is missing"),
    "label 2": (train_rows("t0,0", "t1,2"), {}, "train.csv, row 2: the label 'label' is '2', which is no class; "),
    "no class": (
        train_rows("t0,cat", "t1,dgo"),
        {"task": "multiclass", "classes": "[cat,dog]"},
        "train.csv, row 2: the label 'label' is 'dgo', which is no class; did you mean 'dog'?",
    ),
    "three classes": (
        train_rows("t0,a", "t1,b", "t2,c"),
        {"classes": "[a,b,c]"},
        "competition.options.classes=['a', 'b', 'c']: a binary task has two",
    ),
    "two label columns": (
        replaced("train.csv", "id,label,y\nt0,0,1\n"),
        {"label_columns": "[label,y]"},
        "competition.options.label_columns=['label', 'y']: a binary task has one label column",
    ),
    "one class": (train_rows("t0,0", "t1,0"), {}, "the class 'label' cannot be learned: no row has it"),
    "long row": (train_rows("t0,0", "t1,1,5"), {}, "train.csv: cannot be read as a CSV: .*Expected 2 fields in line 3"),
}


@pytest.mark.parametrize(("files", "options", "expected"), BAD.values(), ids=BAD)
def test_bad_tables_are_refused_by_row_and_nothing_is_left(
    kaggle, prepared, files: dict[str, str], options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(FoldwiseError, match=re.escape(expected).replace(r"\.\*", ".*")):
        prepared(files, **options)
    assert left_in(kaggle().prepared_dir) == []


@pytest.mark.parametrize(
    ("test_csv", "expected"),
    [
        ("id,age\nu0,5\n", "sample_submission.csv, row 2: 'u1' is not in test.csv, which gives age"),
        ("id,age\nu0,5\nu1,x\n", "sample_submission.csv, row 2: age is 'x', expected a number"),
        ("id,age\nu0,5\nu1,1e999\n", "sample_submission.csv, row 2: age is '1e999', expected a number"),
        ("id,age\nu0,5\nu1,5\nu1,6\n", "test.csv: duplicate id 'u1'"),
        ("id,ega\nu0,5\n", "test.csv: the column 'age' is missing"),
        (None, "test.csv is missing; the folder holds images, sample_submission.csv, train.csv"),
    ],
)
def test_bad_auxiliary_columns_are_refused(kaggle, prepared, test_csv: str | None, expected: str) -> None:
    one = kaggle(auxiliary="[age]")
    write_folder(one.raw_dir, replaced("train.csv", "id,label,age\nt0,0,1\nt1,1,2\n"))
    if test_csv is not None:
        write_files(one.raw_dir, {"test.csv": test_csv})
    with pytest.raises(FoldwiseError, match=re.escape(expected)):
        prepare(one)
    assert left_in(one.prepared_dir) == []


def test_training_images_alone_need_no_sample_submission(kaggle) -> None:
    one = kaggle()
    write_files(one.raw_dir, {"train.csv": "id,label\nt0,0\nt1,1\nt2,0\nt3,1\n"})
    write_images(one.raw_dir / "images", {f"t{i}.png": grey_image(60 * i) for i in range(4)})
    data = prepare(one)
    assert len(data.train.table) == 4
    assert len(data.test.table) == 0


@pytest.mark.parametrize("name", ["sample_submission.csv.zip", "test", "images/t9.png"])
def test_what_may_be_a_test_set_needs_its_sample_submission(kaggle, name: str) -> None:
    one = kaggle()
    write_files(one.raw_dir, {"train.csv": "id,label\nt0,0\nt1,1\nt2,0\nt3,1\n"})
    write_images(one.raw_dir / "images", {f"t{i}.png": grey_image(60 * i) for i in range(4)})
    (one.raw_dir / name).write_bytes(b"")
    with pytest.raises(FoldwiseError, match=r"sample_submission.csv is missing; .*set competition.options.test=none"):
        prepare(one)


@pytest.mark.parametrize("name", ["train.csv", "sample_submission.csv"])
def test_a_missing_table_is_named(kaggle, name: str) -> None:
    one = kaggle()
    (write_folder(one.raw_dir) / name).unlink()
    with pytest.raises(FoldwiseError, match=rf"{name} is missing; the folder holds images, "):
        prepare(one)
    assert left_in(one.prepared_dir) == []
