"""Tables with a row for each image and label: wide inside, long again in the submission."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from foldwise.competitions.folder.labels import sorted_names
from foldwise.competitions.folder.tables import check_classes, refuse_rows
from foldwise.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

SEPARATOR = "_"
TASKS = ("multilabel", "regression")  # that have several values for each image
BIT = r"[01](\.0+)?|true|false"


def widen(
    table: pd.DataFrame,
    id_column: str,
    value_column: str,
    classes: Sequence[str] | None,
    separator: str,
    name: str,
    task: str = "multilabel",
) -> tuple[pd.DataFrame, list[str]]:
    """Turn rows such as `ID_1_epidural, 0` into a row for each image with a column for each label; name the columns.

    Rows such as `ID_1, epidural`, whose values are no numbers, name the labels that an image has. The first row of an
    image gives its place, its number and its other columns. A row that is given twice with one value is left out.

    Raises FoldwiseError where a row is given twice with two values, or an image lacks a label.
    """
    refuse_rows(table, table[value_column] == "", name, f"the label {value_column!r} is missing")
    if task == "multilabel" and not table[value_column].str.fullmatch(BIT, case=False).all():
        wide = _gather(table, id_column, value_column, classes, name)
        return wide, list(classes or sorted_names(table[value_column].unique()))
    images, labels = split_ids(table[id_column], classes, separator, name)
    order = list(classes or sorted_names(labels.unique()))
    keys = table.assign(image=images, label=labels, value=table[value_column])[["image", "label", "value"]]
    copies = keys.duplicated()
    if copies.any():
        log.info("%s: %d rows that are given twice are left out", name, int(copies.sum()))
        keys = keys[~copies]
    refuse_rows(
        keys,
        keys.duplicated(["image", "label"]),
        name,
        lambda row: (
            f"{value_column} of {table[id_column].loc[keys.index[row]]!r} is {keys['value'].iloc[row]!r}, in a row "
            "before it another value"
        ),
    )
    wide = keys.pivot(index="image", columns="label", values="value").reindex(columns=order)
    first = keys.drop_duplicates("image")
    wide = wide.loc[first["image"]].set_axis(first.index)
    lacking = wide.isna().any(axis=1)
    refuse_rows(
        wide,
        lacking,
        name,
        lambda row: (
            f"{first['image'].iloc[row]!r} has no row for the label "
            f"{next(label for label in order if wide[label].isna().iloc[row])!r}; expected one for each of "
            f"{', '.join(order)}"
        ),
    )
    return _with_first(wide, first["image"], table, id_column, value_column), order


def split_ids(ids: pd.Series, classes: Sequence[str] | None, separator: str, name: str) -> tuple[pd.Series, pd.Series]:
    """Return the image and the label of ids such as `ID_1_epidural`.

    A label is what follows the last separator, or one of the classes, which may contain it.

    Raises FoldwiseError, naming the rows, where an id ends with no label.
    """
    if classes:
        endings = sorted((f"{separator}{one}" for one in classes), key=len, reverse=True)
        cut = ids.map(lambda id_: next((len(id_) - len(end) for end in endings if id_.endswith(end)), -1))
    else:
        cut = ids.map(lambda id_: id_.rfind(separator))
    expected = " or ".join(f"{separator}{one}" for one in (classes or ["LABEL"]))
    refuse_rows(ids.to_frame(), cut < 1, name, lambda row: f"the id {ids.iloc[row]!r} does not end with {expected}")
    images = [id_[:at] for id_, at in zip(ids, cut, strict=True)]
    labels = [id_[at + len(separator) :] for id_, at in zip(ids, cut, strict=True)]
    import pandas as pd

    return pd.Series(images, ids.index), pd.Series(labels, ids.index)


def _gather(
    table: pd.DataFrame, id_column: str, label_column: str, classes: Sequence[str] | None, name: str
) -> pd.DataFrame:
    """Turn rows that each name one label of an image into a row for each image with a 0/1 column for each label."""
    import pandas as pd

    order = list(classes or sorted_names(table[label_column].unique()))
    check_classes(table, label_column, order, name)
    present = pd.crosstab(table[id_column], table[label_column]).clip(upper=1).astype(str)
    first = table[~table[id_column].duplicated()]
    wide = present.loc[first[id_column]].reindex(columns=order, fill_value="0").set_axis(first.index)
    return _with_first(wide, first[id_column], table, id_column, label_column)


def _with_first(
    wide: pd.DataFrame, images: pd.Series, table: pd.DataFrame, id_column: str, value_column: str
) -> pd.DataFrame:
    """Add the ids, and the other columns of the first row of each image."""
    others = [column for column in table if column not in (id_column, value_column, *wide.columns)]
    return wide.rename_axis(columns=None).assign(
        **{id_column: images} | {column: table.loc[wide.index, column] for column in others}
    )


def lengthen(predictions: pd.DataFrame, sample: pd.DataFrame, separator: str) -> pd.DataFrame:
    """Return a row for each image and target, with the two columns of the sample."""
    import pandas as pd

    targets = list(predictions.columns[1:])
    ids = np.repeat(predictions["id"].to_numpy(object), len(targets)) + separator
    labels = np.tile(np.array(targets, object), len(predictions))
    values = predictions[targets].to_numpy().ravel()
    return pd.DataFrame({sample.columns[0]: ids + labels, sample.columns[1]: values})


def is_long(sample: pd.DataFrame, targets: Sequence[str], separator: str) -> bool:
    """Tell whether a sample submission has a row for each image and target.

    >>> import pandas as pd
    >>> sample = pd.DataFrame({"id": ["a_x", "a_y"], "value": 0})
    >>> is_long(sample, ["x", "y"], "_"), is_long(sample, ["x", "y", "z"], "_"), is_long(sample, ["x"], "_")
    (True, False, False)
    """
    if len(targets) < 2 or sample.shape[1] != 2 or sample.empty or len(sample) % len(targets):
        return False
    ids = sample.iloc[:, 0]
    return all(int(ids.str.endswith(separator + target).sum()) >= len(sample) // len(targets) for target in targets)


def looks_long(ids: pd.Series, separator: str = SEPARATOR) -> bool:
    """Tell whether each image has the same few labels at the ends of its ids.

    >>> import pandas as pd
    >>> looks_long(pd.Series(["a_x", "a_y", "b_x", "b_y"])), looks_long(pd.Series(["a_1", "b_2"]))
    (True, False)
    """
    parts = ids.drop_duplicates().str.rsplit(separator, n=1, expand=True)
    if parts.shape[1] != 2 or parts.isna().any(axis=None):
        return False
    n_labels, n_images = parts[1].nunique(), parts[0].nunique()
    return 1 < n_labels < 100 and n_images > 1 and n_labels * n_images == len(parts)


def check_options(task: str, columns: Sequence[str]) -> None:
    """Raise ConfigError where the task or the columns are not those of a table in long form."""
    if task not in TASKS:
        raise ConfigError(
            f"competition.options.task={task}: competition.options.label_form=long has several values for each image; "
            "expected task=multilabel or task=regression"
        )
    if len(columns) != 1:
        raise ConfigError(
            f"competition.options.label_columns={list(columns)}: expected one column of values with "
            "competition.options.label_form=long"
        )
