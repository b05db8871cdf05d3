"""Labels in the forms that hosts use become one 0/1 column a class, in the right order; wrong cells are counted."""

import logging
import re
from typing import Any

import pandas as pd
import pytest

from foldwise.competitions.folder.labels import encode, learnable
from foldwise.errors import FoldwiseError


def labels(cells: list[str] | dict[str, list[str]], task: str, **options: Any):
    """The labels of a table with one column `y`, or the given columns."""
    columns = cells if isinstance(cells, dict) else {"y": cells}
    options = {"classes": None, "columns": list(columns)} | options
    return encode(pd.DataFrame(columns), task, name="train.csv", **options)


@pytest.mark.parametrize(
    ("cells", "options"),
    [
        (["0", "1"], {}),
        (["0.0", "1.0"], {}),
        (["False", "True"], {}),
        (["FALSE", "true"], {}),
        (["no", "yes"], {}),
        (["0", "1"], {"classes": ["0", "1"]}),
        (["0.0", "1"], {"classes": ["0", "1"]}),
        (["no", "yes"], {"classes": ["False", "True"]}),  # as YAML reads classes: [no, yes]
        (["ship", "berg"], {"classes": ["ship", "berg"]}),
        (["NA", "nan"], {"classes": ["NA", "nan"]}),
        (["0", "1"], {"classes": ["benign", "malignant"]}),  # the names of 0 and 1
    ],
)
def test_binary(cells: list[str], options: dict) -> None:
    assert labels(cells, "binary", **options).values.tolist() == [[0], [1]]


@pytest.mark.parametrize(
    ("cells", "targets", "ordered"),
    [
        ([str(i) for i in (10, 9, 0, 2, 1)], ["0", "1", "2", "9", "10"], True),
        (["10.0", "9.0", "0.0"], ["0", "9", "10"], True),
        (["-1", "10", "2"], ["-1", "2", "10"], True),
        (["1.5", "10.0", "2.0"], ["1.5", "2.0", "10.0"], True),
        (["01", "1", "2"], ["01", "1", "2"], True),
        (["NA", "None", "nan", "1e5"], ["1e5", "NA", "None", "nan"], False),
        (["1", "NA", "10"], ["1", "10", "NA"], False),
        (["b", "a", "10"], ["10", "a", "b"], False),
    ],
)
def test_classes_sort_by_value_where_all_are_numbers(cells: list[str], targets: list[str], ordered: bool) -> None:
    found = labels(cells, "multiclass")
    assert (found.targets, found.ordered) == (targets, ordered)
    assert (found.values.sum(axis=1) == 1).all()


def test_classes_in_a_given_order_are_ordered() -> None:
    found = labels(["Mild", "No", "Mild"], "ordinal", classes=["No", "Mild"])
    assert (found.targets, found.ordered, found.values.tolist()) == (["No", "Mild"], True, [[0, 1], [1, 0], [0, 1]])
    with pytest.raises(FoldwiseError, match=r"list them .* competition.options.classes=\[Mild,No\] in your order"):
        labels(["Mild", "No"], "ordinal")


def test_one_hot_columns_are_one_label() -> None:
    cells = {"a": ["1", "0", "0.0"], "b": ["0", "1", "0.0"], "c": ["0", "0", "1.0"]}
    found = labels(cells, "multiclass")
    assert (found.targets, found.ordered) == (["a", "b", "c"], True)
    assert found.values.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    found = labels(cells, "ordinal", classes=["c", "a", "b"])
    assert found.values.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_one_1_in_each_row_of_several_labels_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    labels({"a": ["1", "0"], "b": ["0", "1"]}, "multilabel")
    assert "each row has exactly one 1 in the columns a, b; if a row has one label only" in caplog.text
    caplog.clear()
    labels({"a": ["1", "1"], "b": ["0", "1"]}, "multilabel")
    assert not caplog.records


@pytest.mark.parametrize(
    ("cells", "separator", "options", "targets", "expected"),
    [
        (["rust scab", "scab", "rust"], " ", {}, ["rust", "scab"], [[1, 1], [0, 1], [1, 0]]),
        (["a | b", "b", "a|a"], "|", {}, ["a", "b"], [[1, 1], [0, 1], [1, 0]]),
        (["rust  scab", "healthy"], " ", {"empty_label": "healthy"}, ["rust", "scab"], [[1, 1], [0, 0]]),
        (["16 0", "", "2"], " ", {"empty_label": ""}, ["0", "2", "16"], [[1, 0, 1], [0, 0, 0], [0, 1, 0]]),
        (["rust scab", "healthy"], " ", {}, ["healthy", "rust", "scab"], [[0, 1, 1], [1, 0, 0]]),
        (["b", "a b"], " ", {"classes": ["b", "a"]}, ["b", "a"], [[1, 0], [1, 1]]),
    ],
)
def test_several_labels_in_a_cell(cells: list[str], separator: str, options: dict, targets: list, expected: list):
    found = labels(cells, "multilabel", separator=separator, **options)
    assert (found.targets, found.values.tolist()) == (targets, expected)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["Dog", "dog", "cat"], "the classes 'Dog', 'dog' differ only in case"),
        (["rust", "scab", "rust scab"], "such as 'rust scab' look like several labels: .*separator=' '"),
        (["a|b", "a", "b"], "such as 'a|b' look like several labels: .*separator='|'"),
        (["Black-grass, wild", "Maize"], None),
        (["New York", "New Jersey", "Ohio"], None),
    ],
)
def test_suspicious_names_are_pointed_out(cells: list, expected: str | None, caplog: pytest.LogCaptureFixture) -> None:
    labels(cells, "multiclass")
    assert bool(caplog.records) == (expected is not None)
    assert re.search((expected or "").replace("|", r"\|"), caplog.text)


def test_regression() -> None:
    found = labels({"x": ["0.5", "1e-3", "-2"], "y": ["1", "2", "3"]}, "regression")
    assert (found.targets, found.values.dtype) == (["x", "y"], float)
    assert found.values.tolist() == [[0.5, 1], [0.001, 2], [-2, 3]]


def test_a_comma_may_be_the_decimal_sign() -> None:
    assert labels({"x": ["0,5", "-2", "1,125"]}, "regression").values.tolist() == [[0.5], [-2], [1.125]]
    with pytest.raises(FoldwiseError, match=r"train\.csv, row 2: x is '1,125', expected a number"):
        labels({"x": ["2", "1,125"]}, "regression")  # or a thousand and more


def test_a_class_without_rows_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    found = learnable(labels(["a", "b", "a"], "multiclass", classes=["a", "UNK", "b"]), "multiclass", "train.csv")
    assert (found.targets, found.values.tolist()) == (["a", "b"], [[1, 0], [0, 1], [1, 0]])
    assert "no row has the class 'UNK', which is answered with the probability 0" in caplog.text


MANY = ["1", *["x"] * 9]
WRONG: dict[str, tuple[Any, str, dict[str, Any], str]] = {
    "missing": (["0", "", "1", ""], "binary", {}, "train.csv, row 2: the label 'y' is missing (2 such rows: 2, 4)"),
    "NaN": (["0.0", "NaN", "1.0"], "binary", {}, "train.csv, row 2: the label 'y' is missing"),
    "NaN among numbers": (
        ["0", "1", "2", "nan"],
        "multiclass",
        {},
        "row 4: the label 'y' is missing; 'nan' is",
    ),
    "NaN of a regression": (["0.5", "NaN"], "regression", {}, "train.csv, row 2: the label 'y' is missing"),
    "infinite": (["0.5", "inf"], "regression", {}, "train.csv, row 2: y is 'inf', expected a number"),
    "no number": (["0.5", "high"], "regression", {}, "train.csv, row 2: y is 'high', expected a number"),
    "two names": (["ship", "berg"], "binary", {}, "need competition.options.classes=[berg,ship], the second being the"),
    "a third value": (MANY, "binary", {}, "row 2: the label 'y' is 'x', which is no class; Valid choices: 0, 1"),
    "all are counted": (MANY, "multiclass", {"classes": ["1"]}, "(9 such rows: 2, 3, 4, 5, 6, ...)"),
    "names in a multilabel column": (["a b", "b"], "multilabel", {}, "need competition.options.separator=' '"),
    "two ones": (
        {"a": ["1", "1"], "b": ["0", "1"]},
        "multiclass",
        {},
        "train.csv, row 2: 2 of the columns a, b are 1, expected one",
    ),
    "no one": ({"a": ["1", "0"], "b": ["0", "0"]}, "multiclass", {}, "row 2: 0 of the columns a, b are 1"),
    "classes of one-hot": (
        {"a": ["1"], "b": ["0"]},
        "multiclass",
        {"classes": ["x", "y"]},
        "the classes of one-hot labels are their columns, a, b",
    ),
    "an unknown label": (
        ["rust scab", "rust scba"],
        "multilabel",
        {"separator": " ", "classes": ["rust", "scab"]},
        "train.csv, row 2: the label 'y' has 'scba', which is no class; did you mean 'scab'?",
    ),
    "an empty cell": (["a b", ""], "multilabel", {"separator": " "}, "row 2: the label 'y' is missing; rows without"),
}


@pytest.mark.parametrize(("cells", "task", "options", "expected"), WRONG.values(), ids=WRONG)
def test_wrong_labels_are_refused_by_row(cells: Any, task: str, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(FoldwiseError, match=re.escape(expected)):
        labels(cells, task, **options)


@pytest.mark.parametrize(
    ("cells", "task", "expected"),
    [
        (["0", "0"], "binary", "the class 'y' cannot be learned: no row has it"),
        (["1", "1"], "binary", "the class 'y' cannot be learned: every row has it"),
        (["a", "a"], "multiclass", "the class 'a' cannot be learned: every row has it"),
    ],
)
def test_what_cannot_be_learned_is_refused(cells: list[str], task: str, expected: str) -> None:
    with pytest.raises(FoldwiseError, match=expected):
        learnable(labels(cells, task), task, "train.csv")


def test_nothing_is_logged_of_usual_labels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    labels(["0", "1"], "binary")
    labels(["cat", "dog", "Great Dane"], "multiclass")
    assert not caplog.records
