"""Numeric columns of the data as features of a second level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foldwise.errors import FoldwiseError, choices
from foldwise.scoring.rows import Rows


def numeric_columns(columns: Sequence[str], parts: Sequence[Rows]) -> list[np.ndarray]:
    """Return the columns of each part: float64 (n, e). A missing value is 0, and marked in a column of its own.

    Raises FoldwiseError for a column that the data does not have, or whose values are no numbers.
    """
    for name in columns:
        numeric = list(parts[0].table.select_dtypes(["number", "bool"]))
        if name not in numeric:
            what = "is not numeric" if name in parts[0].table else "the data has no such column"
            raise FoldwiseError(f"ensemble.options.columns: {name}: {what}; {choices(name, numeric)}")
    found = [
        np.stack([rows.table[name].to_numpy(np.float64) for name in columns], axis=1)
        if columns
        else np.empty((len(rows), 0))
        for rows in parts
    ]
    missing = [np.isnan(values) for values in found]
    marked = np.any([one.any(axis=0) for one in missing], axis=0)
    return [
        np.hstack([np.where(gaps, 0.0, values), gaps[:, marked]]) for values, gaps in zip(found, missing, strict=True)
    ]
