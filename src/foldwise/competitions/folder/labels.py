"""The labels of a folder competition: from the cells of a table to one column for each target."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from foldwise.competitions.folder.tables import MISSING, check_classes, numbers, refuse_rows
from foldwise.errors import ConfigError, FoldwiseError, choices
from foldwise.settings import ONE_CLASS, Task

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

MOST_LABELS = 100_000_000  # rows times classes
NOT_A_NUMBER = ("NaN", "nan", "<NA>")
NUMBER = r"[+-]?\d+(\.\d+)?"
WHOLE = r"([+-]?\d+)\.0+"
TRUTH = {"false": "0", "no": "0", "off": "0", "true": "1", "yes": "1", "on": "1"}
BETWEEN_LABELS = (" ", "|", ";", ",", "/", "+")


@dataclass(frozen=True)
class Labels:
    """What is learned.

    targets: names of the k columns.
    values: int8 (n, k) of 0 and 1; float64 (n, k) in a regression.
    ordered: whether the order of the classes is known, because they are numbers or were listed.
    """

    targets: list[str]
    values: np.ndarray
    ordered: bool = True


def encode(
    table: pd.DataFrame,
    task: Task,
    columns: Sequence[str],
    classes: Sequence[str] | None,
    name: str,
    separator: str | None = None,
    empty_label: str | None = None,
) -> Labels:
    """Return the targets and the labels of the rows of a table of text.

    columns: one column; several of a multilabel task, of a regression, or of one-hot classes.
    name: of the file, for messages.
    separator, empty_label: of several labels in one cell.

    Raises FoldwiseError that counts the rows whose label is missing or no class, and ConfigError where the options do
    not go with each other or with the columns.
    """
    columns = list(columns)
    if separator is not None and task == "multilabel":
        return _several_in_a_cell(table, columns, classes, name, separator, empty_label)
    if task not in ("binary", "multiclass", "ordinal", "multilabel", "regression"):
        raise ConfigError(f"competition.options.task={task}: a folder of images does not know this task")
    for column in columns:
        refuse_rows(table, table[column] == "", name, f"the label {column!r} is missing")
    if task == "regression":
        return Labels(columns, np.stack([_values(table, column, name) for column in columns], axis=1))
    if task in ONE_CLASS:
        if len(columns) > 1:
            return _one_hot(table, columns, classes, name)
        return _named_classes(table, task, columns[0], classes, name)
    if task == "binary" and len(columns) != 1:
        raise FoldwiseError(
            f"competition.options.label_columns={columns}: a binary task has one label column; several are classes of "
            "task=multiclass (one 1 in each row) or of task=multilabel"
        )
    bits = np.stack([_bits(table, column, classes, task, name) for column in columns], axis=1)
    if task == "multilabel" and len(columns) > 1 and (bits.sum(axis=1) == 1).all():
        log.warning(
            "%s: each row has exactly one 1 in the columns %s; if a row has one label only, set "
            "competition.options.task=multiclass, whose probabilities sum to 1",
            name,
            ", ".join(columns),
        )
    return Labels(columns, bits)


def _values(table: pd.DataFrame, column: str, name: str) -> np.ndarray:
    """Return the numbers of a column, float64 (n,)."""
    refuse_rows(table, table[column].isin(MISSING), name, f"the label {column!r} is missing")
    return numbers(table, column, name)


def _named_classes(table: pd.DataFrame, task: Task, column: str, classes: Sequence[str] | None, name: str) -> Labels:
    """Return one column of 0 and 1 for each class that a cell may name."""
    cells = _without_zeros(table[column])
    names = list(classes or [])
    if not names:
        are_missing = cells.isin(NOT_A_NUMBER)  # what programs write for a missing number; NA may be a name
        if are_missing.any() and cells[~are_missing].str.fullmatch(NUMBER).all():
            what = f"the label {column!r} is missing"
            found = cells[are_missing].iloc[0]
            refuse_rows(
                table, are_missing, name, what, f"; {found!r} is a class where competition.options.classes lists it"
            )
        names = sorted_names(cells.unique())
        _point_out_names(names, column, name)
    if len(cells) * len(names) > MOST_LABELS:
        raise FoldwiseError(
            f"{name}: {len(names):,} classes of {len(cells):,} rows are more than {MOST_LABELS:,} labels, which are "
            f"kept one by one; does {column!r} hold ids, or numbers for task=regression?"
        )
    cells = _matched(cells, names)
    check_classes(table.assign(**{column: cells}), column, names, name)
    ordered = classes is not None or all(re.fullmatch(NUMBER, one) for one in names)
    if task == "ordinal" and not ordered:
        raise ConfigError(
            f"competition.options.task=ordinal: the classes are names without an order; list them from the lowest to "
            f"the highest, competition.options.classes=[{','.join(names)}] in your order"
        )
    return Labels(names, (cells.to_numpy()[:, None] == np.array(names)[None, :]).astype(np.int8), ordered)


def _one_hot(table: pd.DataFrame, columns: list[str], classes: Sequence[str] | None, name: str) -> Labels:
    """Return the columns of 0 and 1 of which each row has one 1, in the order of `classes`."""
    if classes is not None and sorted(classes) != sorted(columns):
        raise ConfigError(
            f"competition.options.classes={list(classes)}: the classes of one-hot labels are their columns, "
            f"{', '.join(columns)}"
        )
    names = list(classes or columns)
    bits = np.stack([_bits(table, column, None, "multiclass", name) for column in names], axis=1)
    ones = bits.sum(axis=1)
    refuse_rows(
        table,
        ones != 1,
        name,
        lambda row: f"{ones[row]} of the columns {', '.join(names)} are 1, expected one",
        "; a row of several labels is a task for competition.options.task=multilabel",
    )
    return Labels(names, bits)


def _several_in_a_cell(
    table: pd.DataFrame,
    columns: list[str],
    classes: Sequence[str] | None,
    name: str,
    separator: str,
    empty_label: str | None,
) -> Labels:
    """Return one column of 0 and 1 for each label that a cell may list."""
    if len(columns) != 1:
        raise ConfigError(
            f"competition.options.separator={separator!r}: expected one label column, whose cells list the labels; "
            f"received {', '.join(columns)}"
        )
    cells = table[columns[0]]
    if empty_label != "":
        refuse_rows(
            table,
            cells == "",
            name,
            f"the label {columns[0]!r} is missing",
            "; rows without any label are accepted with competition.options.empty_label=''",
        )
    lists = [split_cell(cell, separator, empty_label) for cell in _without_zeros(cells)]
    if classes:
        names = list(classes)
        known = set(names)
        wrong = np.array([not known.issuperset(one) for one in lists])

        def explain(row: int) -> str:
            unknown = next(label for label in lists[row] if label not in known)
            return f"the label {columns[0]!r} has {unknown!r}, which is no class; {choices(unknown, names)}"

        refuse_rows(table, wrong, name, explain)
    else:
        names = sorted_names({label for one in lists for label in one})
        _point_out_names(names, columns[0], name, separator)
    place = {label: k for k, label in enumerate(names)}
    values = np.zeros((len(lists), len(names)), np.int8)
    for row, labels in enumerate(lists):
        values[row, [place[label] for label in labels]] = 1
    return Labels(names, values)


def learnable(labels: Labels, task: Task, name: str) -> Labels:
    """Return the labels without the classes that no row has; the submission gives those the probability 0.

    Raises FoldwiseError where every row, or no row, has a label.
    """
    if task == "regression":
        return labels
    counts = labels.values.sum(axis=0)
    if task in ONE_CLASS:
        absent = [target for target, count in zip(labels.targets, counts, strict=True) if not count]
        if absent:
            listed = ", ".join(map(repr, absent))
            log.warning("%s: no row has the class %s, which is answered with the probability 0", name, listed)
        kept = counts > 0
        names = [target for target, keep in zip(labels.targets, kept, strict=True) if keep]
        labels, counts = replace(labels, targets=names, values=labels.values[:, kept]), counts[kept]
    for target, count in zip(labels.targets, counts, strict=True):
        if count in (0, len(labels.values)):
            state = "no row has it" if count == 0 else "every row has it"
            raise FoldwiseError(f"the class {target!r} cannot be learned: {state} in the training data")
    return labels


def split_cell(cell: str, separator: str, empty_label: str | None = None) -> list[str]:
    """Return the labels that a cell lists.

    >>> split_cell("rust  scab", " "), split_cell("a | b", "|"), split_cell("healthy", " ", "healthy")
    (['rust', 'scab'], ['a', 'b'], [])
    """
    parts = [part.strip() for part in (cell.split() if separator == " " else cell.split(separator))]
    return [part for part in parts if part and part != empty_label]


def sorted_names(names: Sequence[str] | set[str] | np.ndarray) -> list[str]:
    """Return class names in their order: numbers by value, names as text.

    >>> sorted_names(["10", "9", "0"]), sorted_names(["10", "9", "b"])
    (['0', '9', '10'], ['10', '9', 'b'])
    """
    given = [str(name) for name in names]
    if all(re.fullmatch(NUMBER, name) for name in given):
        return sorted(given, key=lambda name: (float(name), name))
    return sorted(given)


def _without_zeros(cells: pd.Series) -> pd.Series:
    """Write whole numbers that are written as 1.0 as 1, where all cells are numbers."""
    if cells.str.fullmatch(WHOLE).any() and cells[~cells.isin(MISSING)].str.fullmatch(rf"{WHOLE}|[+-]?\d+").all():
        return cells.str.replace(rf"^{WHOLE}$", r"\1", regex=True)
    return cells


def _matched(cells: pd.Series, names: list[str]) -> pd.Series:
    """Write cells as the class that they mean: 1.0 as 1, yes as True; those that are a class stay."""
    meant = {_canonical(name): name for name in names}
    if len(meant) < len(names):
        return cells
    mapping = {cell: meant.get(_canonical(cell), cell) for cell in cells.unique() if cell not in names}
    return cells.map(lambda cell: mapping.get(cell, cell)) if mapping else cells


def _canonical(text: str) -> str:
    whole = re.fullmatch(WHOLE, text)
    return whole.group(1) if whole else TRUTH.get(text.lower(), text)


def _bits(table: pd.DataFrame, column: str, classes: Sequence[str] | None, task: Task, name: str) -> np.ndarray:
    """Return a column of 0 and 1, int8 (n,): of numbers, of truth values, or of two classes, the second being 1."""
    values = list(classes or ("0", "1"))
    if len(values) != 2:
        raise FoldwiseError(f"competition.options.classes={values}: a {task} task has two, the second the positive one")
    cells = table[column]
    refuse_rows(table, cells.isin(MISSING) & ~cells.isin(values), name, f"the label {column!r} is missing")
    if classes and not cells.isin(values).any() and cells.map(_canonical).isin(["0", "1"]).all():
        values, classes = ["0", "1"], None  # the classes are the names of 0 and 1, as the sample submission writes them
    matched = _matched(cells, values)
    found = [str(cell) for cell in cells.unique()]
    hint = ""
    if classes is None and task == "multilabel" and not set(matched.unique()) & {"0", "1"}:
        between = next((one for one in BETWEEN_LABELS if any(one in cell for cell in found)), ",")
        hint = f"; several labels in one cell need competition.options.separator={between!r}"
    elif classes is None and task == "binary" and len(found) == 2:
        hint = (
            f"; two classes with names need competition.options.classes=[{','.join(sorted(found))}], the second being "
            "the positive one"
        )
    check_classes(table.assign(**{column: matched}), column, values, name, hint)
    return (matched == values[1]).to_numpy(np.int8)


def _point_out_names(names: list[str], column: str, file: str, separator: str | None = None) -> None:
    """Log what is suspicious about class names: those that differ only in case, or look like several labels."""
    alike = Counter(name.casefold() for name in names)
    same = [name for name in names if alike[name.casefold()] > 1]
    if same:
        log.warning("%s: the classes %s differ only in case; are they one?", file, ", ".join(map(repr, same)))
    for between in BETWEEN_LABELS:
        if between == separator:
            continue
        composed = [split_cell(name, between) for name in names if len(split_cell(name, between)) > 1]
        parts = Counter(part for parts in composed for part in set(parts))
        if composed and all(part in names or count > 1 for part, count in parts.items()):
            log.warning(
                "%s: cells of %r such as %r look like several labels: competition.options.task=multilabel "
                "competition.options.separator=%r makes them so",
                file,
                column,
                between.join(composed[0]),
                between,
            )
            return
