"""The log loss or the RMSE for each value of a column, such as the zone of a body: which rows a score is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.errors import ConfigError, choices
from foldwise.scoring import metrics

if TYPE_CHECKING:
    import pandas as pd

    from foldwise.settings import Metric as MetricName
    from foldwise.settings import Task


MANY = 50  # different numbers in a column, from which on it is cut into tenths of its rows
Part = dict[str, Any]  # value, n_rows, log_loss or rmse, constant


def breakdown(table: pd.DataFrame, column: str, labels: np.ndarray, losses: np.ndarray, task: Task) -> list[Part]:
    """Return `value`, `n_rows`, `log_loss` and `constant` of the rows of each value of a column, and of all rows.

    table: n rows; labels (n, k); losses (n,) as `metrics.usual_losses` gives them. constant is the log loss of the best
    constant prediction for those rows: their own frequencies. In a regression `rmse` replaces `log_loss`, and the
    constant prediction is the mean. A column of more than 50 different numbers is cut into tenths of its rows. Rows
    without a value are a part of their own; the last part, whose value is "all", holds all rows.

    Raises ConfigError for a column that the table does not have.
    """
    if column not in table:
        raise ConfigError(f"by={column}: the data has no such column; {choices(column, list(table))}")
    values = parted(table[column].reset_index(drop=True))
    rows = list(values.groupby(values, dropna=False, observed=True).groups.items())
    parts = [_part(_name(value), np.asarray(at), labels, losses, task) for value, at in rows]
    return [*parts, _part("all", np.arange(len(losses)), labels, losses, task)]


def parted(values: pd.Series) -> pd.Series:
    """Return a column as it is, or the tenth of each row where it holds more than 50 different numbers."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MANY:
        return pd.qcut(values, 10, duplicates="drop")
    return values


def show(column: str, parts_of: dict[str, list[Part]], width: int) -> str:
    """Return a table of the log loss of each value, a column for each name that was scored as far as the width allows.

    In brackets: the share of the constant's loss.
    """
    parts = next(iter(parts_of.values()))
    names = [name for i, name in enumerate(parts_of) if 40 + 18 * i <= max(width, 60)]
    loss: MetricName = "rmse" if "rmse" in parts[0] else "log_loss"
    cells = [["", "rows", "constant", *(name[:16] for name in names)]]
    for i, part in enumerate(parts):
        found = [parts_of[name][i][loss] for name in names]
        has_share = part["constant"] > 1e-9  # of one class alone it is 0
        shares = [metrics.as_text(one) + (f" ({one / part['constant']:.2f})" if has_share else "") for one in found]
        cells.append([str(part["value"]), str(part["n_rows"]), metrics.as_text(part["constant"]), *shares])
    cells[0][0] = column
    widths = [max(len(row[c]) for row in cells) for c in range(len(cells[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]
    title = f"{metrics.METRICS[loss].label}, and its share of what a constant scores, by value:"
    return "\n".join([title, *("  " + line for line in lines)])


def _part(value: Any, at: np.ndarray, labels: np.ndarray, losses: np.ndarray, task: Task) -> Part:
    truth = np.asarray(labels, np.float64)[at]
    constant = metrics.usual_losses(truth, np.broadcast_to(truth.mean(axis=0), truth.shape), task).mean()
    return {
        "value": value,
        "n_rows": len(at),
        metrics.usual_metric(task): metrics.usual_value(losses[at].mean(), task),
        "constant": metrics.usual_value(constant, task),
    }


def _name(value: Any) -> Any:
    """Return a value of a column as JSON has it."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value != value:
        return "missing"
    return value if isinstance(value, (int, float, bool, str)) else str(value)
