"""Stage `folds`: assign every training row to a fold."""

from __future__ import annotations

import pandas as pd

from foldwise.data.folds import read_folds
from foldwise.settings import Settings
from foldwise.stages.prepare import prepare


def folds(settings: Settings) -> pd.DataFrame:
    """Return the folds of the prepared data: columns id, repeat, fold; a row for each sample and repeat."""
    return read_folds(prepare(settings), settings.split)
