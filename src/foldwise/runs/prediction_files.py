"""Files of predictions that were made elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.errors import FoldwiseError
from foldwise.settings import ONE_CLASS, Task
from foldwise.storage import clear_csv_errors

SUFFIXES = (".csv", ".parquet")
SUM_TOLERANCE = 1e-3  # of the sum of a multiclass row, which files round


def read_predictions(path: Path, ids: pd.Series, targets: list[str], task: Task) -> pd.DataFrame:
    """Read a CSV or parquet of predictions: id first, the targets, and `fold` where it is there; in the order of ids.

    Raises FoldwiseError, naming the file, where it is not one prediction for each of the ids: in [0, 1], or a finite
    number in a regression.
    """
    table = _table(path)
    key = "id" if "id" in table else table.columns[0]
    table = table.rename(columns={key: "id"})
    table["id"] = table["id"].astype(str)
    values = [name for name in table if name not in ("id", "fold", "repeat")]
    if len(targets) == 1 and targets[0] not in table and len(values) == 1:
        table = table.rename(columns={values[0]: targets[0]})
    absent = [target for target in targets if target not in table]
    if absent:
        raise FoldwiseError(
            f"{path}: the column {absent[0]!r} is missing; expected id, {', '.join(targets)}; it has {', '.join(table)}"
        )
    twice = table["id"][table["id"].duplicated()]
    if len(twice):
        raise FoldwiseError(f"{path}: duplicate id {twice.iloc[0]!r}")
    wanted, given = set(ids), set(table["id"])
    if given - wanted:
        raise FoldwiseError(
            f"{path}: {len(given - wanted)} of its ids are not in the data, for example {min(given - wanted)!r}"
        )
    if wanted - given:
        raise FoldwiseError(f"{path}: {len(wanted - given)} ids are missing, for example {min(wanted - given)!r}")
    table = table.set_index("id", drop=False).loc[ids].reset_index(drop=True)
    numbers = table[targets].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    p = numbers.to_numpy()
    wrong = ~np.isfinite(p).all(axis=1) if task == "regression" else ~((p >= 0) & (p <= 1)).all(axis=1)
    if task in ONE_CLASS:
        wrong |= abs(p.sum(axis=1) - 1) > SUM_TOLERANCE
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        expected = "probabilities in [0, 1]" + (" that sum to 1" if task in ONE_CLASS else "")
        expected = "finite numbers" if task == "regression" else expected
        raise FoldwiseError(
            f"{path}: the prediction for {table['id'].iloc[row]!r} is {p[row].tolist()}, expected {expected} and none "
            "missing"
        )
    if task in ONE_CLASS:
        numbers = numbers.div(numbers.sum(axis=1), axis=0)
    table[targets] = numbers
    return table


def _table(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix != ".csv":
        raise FoldwiseError(f"{path}: expected a .csv or a .parquet file")
    with clear_csv_errors(str(path)):
        return pd.read_csv(path, converters={0: str, "id": str})
