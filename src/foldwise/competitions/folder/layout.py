"""The submission of a folder competition: which column of the sample is answered by what."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from foldwise.competitions.folder import long_form
from foldwise.competitions.folder.tables import MISSING
from foldwise.errors import FoldwiseError, choices
from foldwise.settings import ONE_CLASS, Task

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
TRUTH_VALUES = ("false", "true")


@dataclass(frozen=True)
class Layout:
    """The options of the reader that decide how a submission looks."""

    sample: str = "sample_submission.csv"
    task: Task | None = None  # None: one column of classes for several targets
    classes: Sequence[str] | None = None
    separator: str | None = None
    empty_label: str | None = None
    kept_columns: Sequence[str] = ()


def lay_out(predictions: pd.DataFrame, sample: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Return predictions (id, a column for each target) with the columns of the sample submission.

    A column that has a target's name receives its probabilities or values. One column for several classes receives
    the likeliest one's name, and one for several labels those above .5, joined as in the labels file. A column for a
    binary target receives a class's name where the sample's holds names. A sample with a row for each image and target
    receives such rows.

    Raises FoldwiseError, naming the columns, where the sample cannot be answered so.
    """
    import pandas as pd

    between = layout.separator or long_form.SEPARATOR
    if layout.task in long_form.TASKS and long_form.is_long(sample, list(predictions.columns[1:]), between):
        return long_form.lengthen(predictions, sample, between)
    key, *columns = sample.columns
    absent = [column for column in layout.kept_columns if column not in columns]
    if absent:
        raise FoldwiseError(
            f"competition.options.kept_columns={list(layout.kept_columns)}: {layout.sample} has no column "
            f"{absent[0]!r}; {choices(absent[0], columns)}"
        )
    answered = [column for column in columns if column not in layout.kept_columns]
    answers = _answers(predictions, sample, answered, layout)
    if layout.kept_columns:
        rows = sample.drop_duplicates(key).set_index(key).reindex(predictions["id"])
        answers |= {column: rows[column].to_numpy() for column in layout.kept_columns}
    return pd.DataFrame({key: predictions["id"]} | {column: answers[column] for column in columns})


def _answers(predictions: pd.DataFrame, sample: pd.DataFrame, columns: list[str], layout: Layout) -> dict[str, object]:
    """Return the values of the columns that predictions answer."""
    targets = list(predictions.columns[1:])
    if len(columns) == 1:
        column = columns[0]
        if len(targets) == 1:
            return {column: _one_target(predictions[targets[0]], sample[column], layout)}
        if layout.task == "multilabel" and layout.separator is not None:
            return {column: _joined(predictions[targets], layout)}
        if layout.task not in ("multilabel", "regression"):
            if column in targets and _are_numbers(sample[column]) and not _given(sample[column]) <= set(targets):
                return {column: predictions[column]}  # the probability of one class
            return {column: _class_names(predictions[targets], sample[column], layout)}
    elif len(targets) == 1 and layout.task == "binary" and sorted(columns) == sorted(layout.classes or ("0", "1")):
        negative, positive = layout.classes or ("0", "1")
        return {negative: 1 - predictions[targets[0]], positive: predictions[targets[0]]}
    listed = [one for one in layout.classes or () if one not in targets]  # classes that no training row has
    known = {*targets, *(listed if layout.task in ONE_CLASS else ())}
    if not set(targets) <= set(columns) or not set(columns) <= known:
        raise FoldwiseError(_unanswerable(columns, targets, layout))
    return {column: predictions[column] if column in targets else 0.0 for column in columns}


def _one_target(p: pd.Series, sample: pd.Series, layout: Layout) -> pd.Series | np.ndarray:
    """Return probabilities or values, or in a binary task the class's name where the sample holds names."""
    names = {name for name in layout.classes or () if not NUMBER.fullmatch(name)}
    if layout.task not in (None, "binary") or (_are_numbers(sample) and not names & set(sample)):
        return p
    given = sorted(_given(sample) | (names & set(sample)))
    if {one.lower() for one in given} <= {*TRUTH_VALUES}:
        style = next(style for style in (str.lower, str.upper, str.title) if style(given[0]) == given[0])
        return np.where(p > 0.5, style("true"), style("false"))
    classes = list(layout.classes or ())
    unknown = [one for one in given if one not in classes]
    if unknown:
        raise FoldwiseError(
            f"{layout.sample}: the column {sample.name!r} holds the name {unknown[0]!r}, which is no class; "
            + (
                choices(unknown[0], classes)
                if classes
                else f"name both classes, as in competition.options.classes=[OTHER,{unknown[0]}], the second being the "
                "one that 1 stands for"
            )
        )
    return np.where(p > 0.5, classes[1], classes[0])


def _class_names(p: pd.DataFrame, sample: pd.Series, layout: Layout) -> pd.Series:
    """Return the likeliest class of each row; log or refuse where the sample holds something else."""
    known = [*p.columns, *(layout.classes or ())]
    folded = {_folded(name): name for name in known}
    for value in sorted(_given(sample) - set(known)):
        if _folded(value) in folded:
            raise FoldwiseError(
                f"{layout.sample}: the column {sample.name!r} holds {value!r}, the labels {folded[_folded(value)]!r}: "
                "write them in one way, in the labels file or in the sample"
            )
    if not _are_numbers(sample) or not _given(sample) or _are_numbers(p.columns):
        return p.idxmax(axis=1)
    log.warning(
        "%s: the column %r holds numbers, and will hold names of classes such as %r",
        layout.sample,
        sample.name,
        p.columns[0],
    )
    return p.idxmax(axis=1)


def _joined(p: pd.DataFrame, layout: Layout) -> list[str]:
    """Return the labels above .5 of each row; without any, the name of the empty set, or else the likeliest label."""
    names = np.array(p.columns, object)
    separator = layout.separator or " "
    rows = p.to_numpy()
    empty = layout.empty_label
    texts = []
    for row in rows:
        above = names[row > 0.5]
        texts.append(separator.join(above) if len(above) else names[row.argmax()] if empty is None else empty)
    return texts


def _unanswerable(columns: list[str], targets: list[str], layout: Layout) -> str:
    """Return why the sample's columns cannot be answered, and what repairs that."""
    text = (
        f"{layout.sample} has the columns {', '.join(columns)}; expected one column, or the targets "
        f"{', '.join(targets)}"
    )
    extra = [column for column in columns if column not in targets]
    lacking = [target for target in targets if target not in columns]
    spelled = {_folded(target): target for target in lacking}
    other = [column for column in extra if _folded(column) in spelled]
    if other:
        return (
            f"{text}; {other[0]!r} and the label {spelled[_folded(other[0])]!r} are spelled in two ways: write them in "
            "one, in the labels file or in the sample"
        )
    if len(columns) == 1 and layout.task == "multilabel":
        return f"{text}; labels that are joined in one column need competition.options.separator=' ' or another"
    if len(lacking) == len(targets) and layout.task in ONE_CLASS:
        return (
            f"{text}; for one column with the name of the likeliest class, the others keep the sample's values by "
            f"competition.options.kept_columns=[{','.join(extra[1:])}]"
        )
    if extra and lacking:
        return f"{text}; {extra[0]!r} is none of them: {choices(extra[0], lacking)}"
    if extra and layout.task in ONE_CLASS:
        classes = ",".join([*targets, *extra])
        return (
            f"{text}; {extra[0]!r} has no training row: as a class, competition.options.classes=[{classes}] answers it "
            f"with the probability 0; as a constant column, competition.options.kept_columns=[{extra[0]}] keeps the "
            "sample's values"
        )
    if extra:
        return f"{text}; competition.options.kept_columns=[{extra[0]}] keeps the sample's values of {extra[0]!r}"
    return f"{text}; no column asks for {', '.join(map(repr, lacking))}"


def _given(values: pd.Series) -> set[str]:
    """Return the values of a column of the sample that are not missing."""
    return {str(value) for value in values.unique()} - {*MISSING}


def _are_numbers(values: pd.Series | pd.Index) -> bool:
    return all(NUMBER.fullmatch(str(value)) or str(value) in MISSING for value in values.unique())


def _folded(name: str) -> str:
    """Return what two spellings of a name have in common."""
    return re.sub(r"[\W_]+", "", name).casefold()
