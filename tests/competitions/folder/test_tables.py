"""Tables of every layout are read by options alone, and what is wrong with them is known before an image is read."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.raw_files import folder_files, grey_image, left_in, write_files, write_folder, write_images

from foldwise.competitions.folder import reader
from foldwise.data.dataset import Dataset
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.runs import submission
from foldwise.settings import Settings
from foldwise.stages.prepare import prepare, prepared

KAGGLE = ("competition=faces", "source=kaggle", "competition.options.label_columns=[label]")
Files = dict[str, str]


@pytest.fixture
def folder(settings) -> Callable[..., Settings]:
    """Write the CSVs, with a grey image for each row's id or for `names`, and return settings with the options."""

    def write(files: Files, names: list[str] | None = None, metric: str = "log_loss", **options: Any) -> Settings:
        given = [f"competition.options.{name}={value}" for name, value in options.items()]
        one = settings(*KAGGLE, f"competition.metric={metric}", *given)
        if names is None:
            write_folder(one.raw_dir, files)
        else:
            write_files(one.raw_dir, files)
            for number, name in enumerate(names):
                path = one.raw_dir / name
                write_images(path.parent, {path.name: grey_image(10 * number + 5)})
        return one

    return write


def csvs(train: str, sample: str = "id,label/u0,0.5/u1,0.5", **others: str) -> Files:
    """Tables whose rows are separated by slashes."""
    texts = {"train": train, "sample_submission": sample} | others
    return {f"{name}.csv": text.replace("/", "\n") + "\n" for name, text in texts.items()}


def submitted(settings: Settings, data: Dataset, **predictions: list) -> bytes:
    table = pd.DataFrame({"id": data.test.table["id"]} | predictions)
    return submission.write(settings, data, table, "s", {}).read_bytes()


# Forms of the files


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (lambda text: text.encode("utf-16"), b"id,label\nu1,0.25\nu0,0.75\n"),
        (lambda text: text.replace(",", ";").encode(), b"id;label\nu1;0.25\nu0;0.75\n"),
        (lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(), b"id,label\r\nu1,0.25\r\nu0,0.75\r\n"),
        (
            lambda text: "".join(f"{i - 1 if i else ''},{row}\n" for i, row in enumerate(text.splitlines())).encode(),
            b",id,label\n0,u1,0.25\n1,u0,0.75\n",
        ),
    ],
    ids=["UTF-16", "semicolons", "byte order mark", "an index"],
)
def test_a_submission_has_the_form_of_the_sample(folder, form: Callable[[str], bytes], expected: bytes) -> None:
    files = csvs("id,label/t0,0/t1,1/t2,1.0", "id,label/u1,0/u0,0")
    one = folder(files)
    for name, text in files.items():
        (one.raw_dir / name).write_bytes(form(text))
    data = prepare(one)
    assert data.labels.tolist() == [[0], [1], [1]]
    assert data.test.table["id"].tolist() == ["u1", "u0"]
    assert submitted(one, data, label=[0.25, 0.75]) == expected


def test_numbers_in_yaml_are_names_of_classes(folder) -> None:
    numbers, text = (folder(csvs("id,label/t0,0/t1,1"), classes=classes) for classes in ("[0,1]", "['0','1']"))
    assert numbers.competition.options["classes"] == text.competition.options["classes"] == ("0", "1")
    assert prepare(numbers).labels.tolist() == [[0], [1]]
    assert prepare(text).data_key == prepare(numbers).data_key


# Forms of labels


def test_labels_joined_in_a_cell_and_in_the_submission(folder) -> None:
    files = csvs("id,label/t0,rust scab/t1,healthy/t2,scab", "id,label/u0,healthy/u1,healthy")
    one = folder(files, task="multilabel", separator="' '", empty_label="healthy")
    data = prepare(one)
    assert (data.targets, data.labels.tolist()) == (["rust", "scab"], [[1, 1], [0, 0], [0, 1]])
    assert submitted(one, data, rust=[0.75, 0.25], scab=[0.75, 0.25]) == b"id,label\nu0,rust scab\nu1,healthy\n"


def test_one_hot_columns_of_one_label(folder) -> None:
    files = csvs("id,a,b,c/t0,1,0,0/t1,0,1,0/t2,0,0,1", "id,c,a,b/u0,0,0,0/u1,0,0,0")
    one = folder(files, task="multiclass", label_columns="[a,b,c]")
    data = prepare(one)
    assert (data.task, data.targets) == ("multiclass", ["a", "b", "c"])
    expected = b"id,c,a,b\nu0,0.125,0.5,0.375\nu1,0.5,0.25,0.25\n"
    assert submitted(one, data, a=[0.5, 0.25], b=[0.375, 0.25], c=[0.125, 0.5]) == expected
    same = folder(files, task="multiclass", label_columns="[a,b,c]", label_form="one_hot")
    assert prepare(same).labels.tolist() == data.labels.tolist()
    with pytest.raises(ConfigError, match=r"label_form=one_hot: expected task=multiclass and a column for each class"):
        prepare(folder(files, task="multilabel", label_columns="[a,b,c]", label_form="one_hot"))


LONG = "ID,label/t0_any,1/t0_sub,0/t1_sub,1/t1_any,1/t2_any,0/t2_sub,0"
LONG_SAMPLE = "ID,label/u1_any,0/u1_sub,0/u0_any,0/u0_sub,0"


def long_options(**more: Any) -> dict[str, Any]:
    return {"task": "multilabel", "id_column": "ID", "label_form": "long"} | more


def test_a_row_for_each_image_and_label(folder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    names = [f"images/{name}.png" for name in ("t0", "t1", "t2", "u0", "u1")]
    one = folder(csvs(f"{LONG}/t0_any,1", LONG_SAMPLE), names, **long_options())
    data = prepare(one)
    assert data.targets == ["any", "sub"]
    assert data.train.table["id"].tolist() == ["t0", "t1", "t2"]
    assert data.labels.tolist() == [[1, 0], [1, 1], [0, 0]]
    assert data.test.table["id"].tolist() == ["u1", "u0"]
    assert "train.csv: 1 rows that are given twice are left out" in caplog.text
    expected = b"ID,label\nu1_any,0.5\nu1_sub,0.25\nu0_any,0.75\nu0_sub,0.125\n"
    assert submitted(one, data, any=[0.5, 0.75], sub=[0.25, 0.125]) == expected


def test_a_table_of_ones_own_goes_with_a_sample_in_long_form(folder) -> None:
    names = [f"images/{name}.png" for name in ("t0", "t1", "u0", "u1")]
    one = folder(csvs("id,any,sub/t0,1,0/t1,0,1", LONG_SAMPLE), names, task="multilabel", label_columns="[any,sub]")
    assert prepare(one).test.table["id"].tolist() == ["u1", "u0"]


def test_labels_that_contain_the_separator(folder) -> None:
    names = [f"images/{name}.png" for name in ("t0", "t1", "u0")]
    files = csvs("ID,label/t0_a_b,1/t0_b,0/t1_a_b,0/t1_b,1", "ID,label/u0_a_b,0/u0_b,0")
    data = prepare(folder(files, names, **long_options(classes="[b,a_b]")))
    assert (data.targets, data.labels.tolist()) == (["b", "a_b"], [[0, 1], [1, 0]])


def test_a_row_for_each_label_that_an_image_has(folder) -> None:
    names = [f"images/{name}.png" for name in ("t0", "t1", "t2", "u0")]
    files = csvs("ID,label/t0,cat/t0,dog/t1,dog/t2,cat/t0,cat", "ID,cat,dog/u0,0,0")
    data = prepare(folder(files, names, **long_options()))
    assert data.train.table["id"].tolist() == ["t0", "t1", "t2"]
    assert (data.targets, data.labels.tolist()) == (["cat", "dog"], [[1, 1], [0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        (LONG.replace("t0_any,1", "t0_any,"), long_options(), "train.csv, row 1: the label 'label' is missing"),
        ("ID,label/t0,cat/t1,cta", long_options(classes="[cat,dog]"), "row 2: the label 'label' is 'cta', which is no"),
        (f"{LONG}/t1_sub,0", long_options(), "train.csv, row 7: label of 't1_sub' is '0', in a row before it another"),
        (LONG.replace("/t1_sub,1", ""), long_options(), "train.csv, row 3: 't1' has no row for the label 'sub'"),
        (f"{LONG}/t3,0", long_options(), "train.csv, row 7: the id 't3' does not end with _LABEL"),
        (LONG, long_options(task="binary"), "task=binary: competition.options.label_form=long has several values"),
        (f"{LONG}/t0_any,1", {"id_column": "ID"}, "ids such as 't0_any' have an image and a label; a row for each"),
        (LONG, {"id_column": "ID"}, "the ids look like IMAGE_LABEL, which needs competition.options.label_form=long"),
    ],
)
def test_bad_rows_of_the_long_form(folder, rows: str, options: dict[str, Any], expected: str) -> None:
    one = folder(csvs(rows, LONG_SAMPLE), ["images/t0.png"], **options)
    with pytest.raises(FoldwiseError, match=re.escape(expected)):
        prepare(one)


CLASS_FOLDERS = [f"imgs/train/{name}.png" for name in ("c0/a", "c1/b", "c1/deep/c")] + ["imgs/test/d.png"]
DRIVERS = "subject,classname,img/p1,c0,a.png/p2,c1,b.png/p2,c1,c.png/p3,c1,unused.png"


def test_labels_from_the_folders_and_groups_from_a_second_table(folder) -> None:
    one = folder(
        csvs("", "img,c0,c1/d.png,0,0", drivers=DRIVERS),
        CLASS_FOLDERS,
        task="multiclass",
        labels="null",
        images="imgs/train",
        test_images="imgs/test",
        join="[drivers.csv,img]",
        group_column="subject",
    )
    (one.raw_dir / "imgs/train/c0/Thumbs.db").write_text("")
    (one.raw_dir / "imgs/train/c0/.DS_Store").write_text("")
    data = prepare(one)
    assert data.train.table["id"].tolist() == ["c0/a.png", "c1/b.png", "c1/deep/c.png"]
    assert data.train.table["group"].tolist() == ["p1", "p2", "p2"]
    assert (data.targets, data.labels.tolist()) == (["c0", "c1"], [[1, 0], [0, 1], [0, 1]])
    assert data.train.images[:, 0, 0, 0].tolist() == [5, 15, 25]
    assert submitted(one, data, c0=[0.25], c1=[0.75]) == b"img,c0,c1\nd.png,0.25,0.75\n"


def test_no_class_folders(folder) -> None:
    one = folder(csvs("id,label/t0,0"), labels="null")
    with pytest.raises(FoldwiseError, match=r"expected a sub-folder of images for each class.* it holds t0.png, u0.pn"):
        prepare(one)


def test_numbers_and_weights_of_a_regression(folder) -> None:
    files = csvs("id,x,y,w/t0,0.5,1,1/t1,-2,3,0.25/t2,1e-3,2,2", "id,y,x/u0,0,0")
    options = {"task": "regression", "label_columns": "[x,y]", "weight_column": "w"}
    one = folder(files, metric="rmse", **options)
    data = prepare(one)
    assert (data.task, data.targets) == ("regression", ["x", "y"])
    assert data.labels.tolist() == [[0.5, 1], [-2, 3], [0.001, 2]]
    assert data.train.table["weight"].tolist() == [1, 0.25, 2]
    assert submitted(one, data, x=[-1.5], y=[700.0]) == b"id,y,x\nu0,700.0,-1.5\n"


def test_ordered_classes(folder) -> None:
    files = csvs("id,label/t0,No/t1,Mild/t2,Severe", "id,label/u0,No")
    one = folder(files, task="ordinal", metric="kappa", classes="[No,Mild,Severe]")
    data = prepare(one)
    assert (data.task, data.targets) == ("ordinal", ["No", "Mild", "Severe"])
    assert data.labels.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert submitted(one, data, No=[0.25], Mild=[0.5], Severe=[0.25]) == b"id,label\nu0,Mild\n"


# Further columns


def test_columns_of_a_second_table(folder) -> None:
    files = csvs(
        "id,label/t0,0/t1,1/t2,0",
        meta="name,age,sex,site,w/u1,7,f,X,/t1,,f,Y,2/t0,31,m,X,0.5/u0,8,m,Z,/t2,4,f,X,1/t9,1,x,X,1",
    )
    data = prepare(
        folder(
            files,
            join="[meta.csv,name]",
            auxiliary="[age]",
            categories="[sex,site]",
            group_column="site",
            weight_column="w",
        )
    )
    train, test = data.train.table, data.test.table
    np.testing.assert_array_equal(train["age"], [31, np.nan, 4])
    assert test["age"].tolist() == [8, 7]
    assert data.structure.categories == {"sex": 2, "site": 3}
    assert (train["sex"].tolist(), test["sex"].tolist()) == ([2, 1, 1], [2, 1])  # f, m
    assert (train["site"].tolist(), test["site"].tolist()) == ([1, 2, 1], [3, 1])  # X, Y, Z
    assert '"category_names": {' in (data.path / "dataset.json").read_text()
    assert train["group"].tolist() == ["X", "Y", "X"]
    assert train["weight"].tolist() == [0.5, 2, 1]


@pytest.mark.parametrize(
    ("meta", "options", "expected"),
    [
        ("name,age/t0,1/t1,2/u0,3", {}, "sample_submission.csv, row 2: 'u1' is not in meta.csv, which gives age; its"),
        ("name,age/u0,1/u1,2", {}, "train.csv, row 1: 't0' is not in meta.csv, which gives age; its name are 'u0', 'u"),
        ("name,age/t0,1/t1,2/t1,3/u0,3/u1,3", {}, "meta.csv, row 3: duplicate name 't1', with another age"),
        ("name,ega/t0,1", {}, "meta.csv: the column 'age' is missing; Valid choices: name, ega"),
        (
            "name,age/t0,1",
            {"join": "null"},
            "train.csv: the column 'age' is missing; Valid choices: id, label; a",
        ),
        ("name,age/t0,1,5/t1,2,5", {}, "meta.csv: cannot be read as a CSV"),
    ],
)
def test_bad_second_tables(folder, meta: str, options: dict[str, Any], expected: str) -> None:
    options = {"join": "[meta.csv,name]", "auxiliary": "[age]"} | options
    with pytest.raises(FoldwiseError, match=re.escape(expected)):
        prepare(folder(csvs("id,label/t0,0/t1,1", meta=meta), **options))


def test_an_id_and_a_column_called_id(folder) -> None:
    names = [f"images/{name}.png" for name in ("t0", "t1", "t2", "u0")]
    files = csvs("file,label,id/t0,0,ann/t1,1,bob/t2,1,ann", "file,label/u0,0")
    data = prepare(folder(files, names, id_column="file", group_column="id"))
    assert data.train.table["id"].tolist() == ["t0", "t1", "t2"]
    assert data.train.table["group"].tolist() == ["ann", "bob", "ann"]


def test_groups_of_the_long_form(folder) -> None:
    names = [f"images/{name}.png" for name in ("t0", "t1", "u0", "u1")]
    files = csvs("ID,label,who/t0_any,1,ann/t0_sub,0,ann/t1_any,0,bob/t1_sub,1,bob", LONG_SAMPLE)
    data = prepare(folder(files, names, **long_options(group_column="who")))
    assert data.train.table["group"].tolist() == ["ann", "bob"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"group_pattern": r"'^(p\d+)_'"}, ["p1", "p1", "p2"]),
        ({"group_pattern": r"'p\d'"}, ["p1", "p1", "p2"]),
        ({"group_pattern": "'^.'", "group_column": "site"}, ["X", "Y", "X"]),
    ],
)
def test_groups_by_a_pattern(folder, options: dict[str, str], expected: list[str]) -> None:
    data = prepare(folder(csvs("id,label,site/p1_a,0,X1/p1_b,1,Y2/p2_a,0,X3"), **options))
    assert data.train.table["group"].tolist() == expected


@pytest.mark.parametrize(
    ("train", "options", "expected"),
    [
        ("id,label/p1_a,0/x,1/y,0", {"group_pattern": "p1"}, "row 2: competition.options.group_pattern=p1 finds nothi"),
        ("id,label/p1_a,0/x,1", {"group_pattern": "'(p1'"}, "group_pattern=(p1: no regular expression: "),
        ("id,label,g/a,0,1/b,1,/c,1,", {"group_column": "g"}, "row 2: the group 'g' of 'b' is missing (2 such rows: 2"),
        ("id,label,w/a,0,1/b,1,0", {"weight_column": "w"}, "row 2: the weight 'w' is '0', expected a number above 0"),
        ("id,label,w/a,0,1/b,1,NA", {"weight_column": "w"}, "row 2: the weight 'w' is 'NA', expected a number above 0"),
        ("id,label/a,0/,1", {}, "train.csv, row 2: the id is missing"),
        ("id,label/a,0/a,1/b,1/b,1", {}, "train.csv, row 2: duplicate id 'a' in train (2 such rows: 2, 4)"),
        ("id,label/a,0/u0,1/u1,0", {}, "row 1: the test id 'u0' is also in train (2 such rows: 1, 2)"),
    ],
)
def test_bad_rows_are_counted(folder, train: str, options: dict[str, Any], expected: str) -> None:
    one = folder(csvs(train), **options)
    with pytest.raises(FoldwiseError, match=re.escape(expected)):
        prepare(one)
    assert left_in(one.prepared_dir) == []


# Images of rows


def test_several_images_of_a_row_are_views(folder) -> None:
    names = [f"images/{name}.png" for name in ("al", "ar", "bl", "br", "cl", "cr")]
    files = csvs("id,label,left,right/t0,0,al,ar/t1,1,bl,br", "id,label/u0,0", test="id,left,right/u0,cl,cr")
    data = prepare(folder(files, names, image_columns="[left,right]"))
    assert data.train.images.shape == (2, 2, 6, 6, 1)
    assert data.train.images[:, :, 0, 0, 0].tolist() == [[5, 15], [25, 35]]
    assert data.test.images[:, :, 0, 0, 0].tolist() == [[45, 55]]


def test_several_rows_of_an_image_and_parts_of_it(folder) -> None:
    box = "file,x,y,w,h"
    files = csvs(
        f"id,label,{box}/t0,0,a,0,0,2,3/t1,1,a,2,0,2,3/t2,1,a,0,3,2,3",
        "id,label/u0,0",
        test=f"id,{box}/u0,a,2,3,2,3",
    )
    one = folder(files, [], image_columns="[file]", crop_columns="[x,y,w,h]", group_column="file")
    write_images(one.raw_dir / "images", {"a.png": np.kron([[10, 20], [30, 40]], np.ones((3, 2))).astype(np.uint8)})
    data = prepare(one)
    assert data.train.images.shape == (3, 3, 2, 1)
    assert [np.unique(image).tolist() for image in data.train.images] == [[10], [20], [30]]
    assert np.unique(data.test.images).tolist() == [40]
    assert data.train.table["group"].tolist() == ["a", "a", "a"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("t1,1,a,2,0,0,3", "train.csv, row 2: the box x, y, w, h is [2.0, 0.0, 0.0, 3.0], expected numbers, a width"),
        ("t1,1,a,2,,4,3", "train.csv, row 2: the box x, y, w, h is [2.0, nan, 4.0, 3.0], expected numbers"),
        ("t1,1,a,2,y,4,3", "train.csv, row 2: y is 'y', expected a number"),
        ("t1,1,,2,1,4,3", "train.csv, row 2: the name of an image is missing in file"),
    ],
)
def test_bad_boxes(folder, row: str, expected: str) -> None:
    header = "id,label,file,x,y,w,h"
    files = csvs(f"{header}/t0,0,a,0,0,2,3/{row}", "id,label/u0,0", test="id,file,x,y,w,h/u0,a,0,0,1,1")
    with pytest.raises(FoldwiseError, match=re.escape(expected)):
        prepare(folder(files, ["images/a.png"], image_columns="[file]", crop_columns="[x,y,w,h]"))


def test_without_a_test_set(folder) -> None:
    one = folder({"train.csv": "id,label\nt0,0\nt1,1\n"}, test="none")
    records = reader.read(one.raw_dir, **one.competition.options)
    assert [record.id for record in records.train] == ["t0", "t1"]
    assert (list(records.test), records.sample_submission, records.test_ids) == ([], None, [])
    empty = folder({"train.csv": "id,label\nt0,0\nt1,1\n", "sample_submission.csv": "id,label\n"})
    with pytest.raises(FoldwiseError, match=r"hidden needs competition\.options\.test=none"):
        prepare(empty)


def test_test_images_with_the_ids_of_training_images(folder) -> None:
    names = [f"images/{name}.png" for name in ("train/0", "train/1", "test/0")]
    files = csvs("id,label/0,0/1,1", "id,label/0,0.5")
    options = {"images": "images/train", "test_images": "images/test"}
    with pytest.raises(FoldwiseError, match=r"'0' is also in train; if these are other images, .*train_prefix=train_"):
        prepare(folder(files, names, **options))
    data = prepare(folder(files, names, train_prefix="train_", **options))
    assert (data.train.table["id"].tolist(), data.test.table["id"].tolist()) == (["train_0", "train_1"], ["0"])
    assert data.train.images[:, 0, 0, 0].tolist() == [5, 15]
    assert data.test.images[:, 0, 0, 0].tolist() == [25]


# Before any image is read

EARLY: dict[str, tuple[Files, dict[str, Any], str]] = {
    "a class more": (
        csvs("id,label/t0,ant/t1,bee", "id,ant,bee,UNK/u0,0,0,0"),
        {"task": "multiclass"},
        "'UNK' has no training row: as a class, competition.options.classes=[ant,bee,UNK] answers it",
    ),
    "another spelling": (
        csvs("id,label/t0,ant/t1,bee", "id,Ant,bee/u0,0,0"),
        {"task": "multiclass"},
        "'Ant' and the label 'ant' are spelled in two ways",
    ),
    "names in a column of a binary task": (
        csvs("id,label/t0,0/t1,1", "id,label/u0,benign"),
        {},
        "the column 'label' holds the name 'benign', which is no class",
    ),
    "grades by name": (
        csvs("id,label/t0,No/t1,Mild", "id,label/u0,No"),
        {"task": "multiclass", "metric": "kappa"},
        "kappa depends on the order of the classes, and Mild, No were sorted as text",
    ),
    "one class": (csvs("id,label/t0,0/t1,0"), {}, "the class 'label' cannot be learned: no row has it"),
    "a test id of the training rows": (csvs("id,label/t0,0/u0,1"), {}, "the test id 'u0' is also in train"),
    "an auxiliary column": (
        csvs("id,label,age/t0,0,1/t1,1,1", test="id,age/u0,1/u1,old"),
        {"auxiliary": "[age]"},
        "sample_submission.csv, row 2: age is 'old', expected a number",
    ),
}


@pytest.mark.parametrize(("files", "options", "expected"), EARLY.values(), ids=EARLY)
def test_what_tables_tell_is_known_before_an_image_is_read(
    folder, monkeypatch: pytest.MonkeyPatch, files: Files, options: dict[str, Any], expected: str
) -> None:
    one = folder(files, **options)
    decoded: list[Any] = []
    monkeypatch.setattr("foldwise.competitions.folder.samples.read_images", lambda *args: decoded.append(args))
    with pytest.raises(FoldwiseError, match=re.escape(expected)):
        prepare(one)
    assert not decoded
    assert left_in(one.prepared_dir) == []


def test_a_class_without_rows_is_answered_with_zero(folder) -> None:
    one = folder(csvs("id,label/t0,ant/t1,bee", "id,ant,bee,UNK/u0,0,0,0"), task="multiclass", classes="[ant,bee,UNK]")
    data = prepare(one)
    assert data.targets == ["ant", "bee"]
    assert submitted(one, data, ant=[0.25], bee=[0.75]) == b"id,ant,bee,UNK\nu0,0.25,0.75,0.0\n"


def test_grades_in_their_order_go_with_kappa(folder) -> None:
    files = csvs("id,label/t0,No/t1,Mild", "id,label/u0,No")
    one = folder(files, task="multiclass", metric="kappa", classes="[No,Mild]")
    assert prepare(one).targets == ["No", "Mild"]
    numbers = folder(csvs("id,label/t0,10/t1,9/t2,0", "id,label/u0,0"), task="multiclass", metric="kappa")
    assert prepare(numbers).targets == ["0", "9", "10"]


def test_data_that_were_prepared_for_another_metric_are_checked_too(folder) -> None:
    files = csvs("id,label/t0,No/t1,Mild", "id,label/u0,No")
    prepare(folder(files, task="multiclass"))
    one = folder(files, task="multiclass", metric="kappa")
    for stage in (prepare, prepared):
        with pytest.raises(FoldwiseError, match="kappa depends on the order of the classes"):
            stage(one)


def test_a_decision_is_written_as_a_name(folder, tmp_path: Path) -> None:
    files = csvs("id,label/t0,0/t1,1", "id,label/u0,benign/u1,benign")
    one = folder(files, classes="[benign,malignant]")
    data = prepare(one)
    assert data.labels.tolist() == [[0], [1]]
    assert submitted(one, data, label=[0.75, 0.25]) == b"id,label\nu0,malignant\nu1,benign\n"
    assert (tmp_path / "submissions" / "s_probabilities.csv").is_file()


def test_files_of_usual_form_log_nothing(folder, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    one = folder(folder_files())
    reader.read(one.raw_dir, **one.competition.options)
    assert not caplog.records
