"""Stage `folds`: assign every training row to a fold."""

from __future__ import annotations

import pandas as pd

from foldwise.data.folds import write_folds
from foldwise.settings import Settings
from foldwise.stages.prepare import prepare


def folds(settings: Settings) -> pd.DataFrame:
    """Return the folds of the prepared data: columns id, repeat, fold; a row for each sample and repeat."""
    return write_folds(prepare(settings), settings.split)


def show(table: pd.DataFrame, width: int) -> str:
    """Return the rows of each fold, a line for each repeat."""
    sizes = table.groupby("repeat")["fold"].value_counts(sort=False).unstack().sort_index(axis=1)
    lines = [
        f"repeat {repeat}: {', '.join(map(str, counts))}"
        for repeat, counts in zip(sizes.index, sizes.to_numpy(), strict=True)
    ]
    return "\n".join([f"{sizes.shape[1]} folds of {table['id'].nunique()} rows; rows held out by each:", *lines])
