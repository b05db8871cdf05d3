"""The one way in which anything is fitted to labels: on the other folds, for the fold that is held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from foldwise.scoring.metrics import group_codes

if TYPE_CHECKING:
    from foldwise.scoring.rows import Rows


N_INNER = 5  # folds that are made where there is only one


def out_of_fold_predictions(rows: Rows, predict: Callable[[Rows, Rows], np.ndarray]) -> np.ndarray:
    """Predict each fold's rows, their labels withheld, from the rows of the other folds: (n, k).

    predict: (labelled rows of the other folds, unlabelled rows of the fold) -> (rows of the fold, k).
    """
    fold_of = folds_of(rows)
    rows = replace(rows, fold=fold_of)
    result = np.empty((len(rows), rows.k))
    for fold in np.unique(fold_of):
        held_out = fold_of == fold
        result[held_out] = predict(rows.only(~held_out), rows.only(held_out).unlabelled())
    return result


def folds_of(rows: Rows) -> np.ndarray:
    """Return the folds of rows (n,); where there is only one, groups (or else rows) are dealt to five."""
    if rows.fold is not None and len(np.unique(rows.fold)) > 1:
        return rows.fold
    return np.asarray(group_codes(len(rows), rows.groups) % N_INNER)


def with_predictions(rows: Rows, p: np.ndarray) -> Rows:
    """Return the rows with predictions p (n, k) as the only member: what is learned from a blend sees no more."""
    return replace(rows, stack=p[None], at=np.arange(len(p)))
