"""Rows with their values of a column, and what the rows of equal or near value say of a row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from foldwise.scoring.rows import Rows
from foldwise.scoring.scale import logit

IMPURE = 0.03  # share of rows whose label is not that of the others of equal value: what bounds each one's evidence

FEATURES = (
    "logit",  # of the first level
    "log_same",  # log(1 + number of other counted rows of the same value); their
    "same_logit",  # mean logit
    "same_belief",  # mean belief
    "same_median",  # median belief, with the row itself
    "n_known",  # number of known labels
    "known_log_odds",  # smoothed log odds of those
    "near_belief",  # distance-weighted belief of the nearest rows
    "radius_belief",  # mean belief of the rows within the radius
    "log_radius",  # log(1 + their number)
)


@dataclass(frozen=True)
class Near:
    """Which rows are near in a column."""

    column: str | list[str]  # of the table; rows are equal where all of several are
    nearest: int  # how many rows near in the column are weighted
    radius: float | None  # in units of the column; None: a 200th of its range


@dataclass(frozen=True)
class Pool:
    """Rows with their values of a column, over which the features of a row are computed, for one output.

    A row's belief is its label where that is known, else its prediction.
    """

    values: np.ndarray  # (N,) the column as numbers; NaN where missing, which is a value of its own
    logits: np.ndarray  # (N,) of the first level
    labels: np.ndarray  # (N,) NaN where a row has none
    counted: np.ndarray  # (N,) bool, the rows that statistics are computed over
    near: Near

    @cached_property
    def _codes(self) -> np.ndarray:
        return codes_of(self.values)

    @cached_property
    def _line(self) -> np.ndarray:
        """Positions of the counted rows that have a value, by rising value."""
        line = np.flatnonzero(self.counted & ~np.isnan(self.values))
        return line[np.argsort(self.values[line], kind="stable")]

    def features(self, rows: np.ndarray) -> np.ndarray:
        """Return FEATURES of the rows at some positions, (len(rows), 10); the labels of all these rows are hidden.

        So the rows of a fold, taken together, never see a label of their fold.
        """
        from scipy import special

        p = special.expit(self.logits)
        hidden = np.zeros(len(self.values), bool)
        hidden[rows] = True
        labels = np.where(hidden, np.nan, self.labels)
        belief = np.where(np.isnan(labels), p, labels)
        no_value = np.isnan(self.values[rows])
        columns = {
            "logit": self.logits[rows],
            **self._same_value(rows, p, labels, belief),
            **self._near(rows, belief),
        }
        for name in ("near_belief", "radius_belief"):
            columns[name] = np.where(np.isnan(columns[name]) | no_value, p[rows], columns[name])
        columns["log_radius"][no_value] = 0.0
        return np.stack([columns[name] for name in FEATURES], axis=1)

    def evidence(self, rows: np.ndarray) -> np.ndarray:
        """Return what the other counted rows of equal value say if nearly all have one label, (len(rows), 3).

        That is the sum of their log odds, less the log odds of all rows: of those whose label is known (the labels
        of `rows` are hidden, as in `features`), of the others, by their predictions, and of both. The log odds of each
        row, and each sum, are bounded by those of `IMPURE`, as one row in so many has another label than the rest.
        """
        from scipy import special

        labels = self.labels.copy()
        labels[rows] = np.nan
        known = ~np.isnan(labels)
        rate = float(np.clip(labels[known].mean(), 0.01, 0.99)) if known.any() else 0.5
        belief = np.where(known, labels, special.expit(self.logits))
        odds = bounded(belief) - logit(np.array(rate))
        found = []
        for part in (known, ~known):
            amounts = np.where(part & self.counted, odds, 0.0)
            found.append(np.bincount(self._codes, amounts)[self._codes[rows]] - amounts[rows])
        return bounded(special.expit(np.stack([*found, found[0] + found[1]], axis=1)))

    def _same_value(
        self, rows: np.ndarray, p: np.ndarray, labels: np.ndarray, belief: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the features over the counted rows of the same value, the row itself left out but for the median."""
        codes, counted = self._codes, self.counted
        n_codes, at = codes.max() + 1, codes[rows]

        def total(amounts: np.ndarray) -> np.ndarray:
            sums = np.bincount(codes[counted], amounts[counted], n_codes)[at]
            return np.asarray(sums - np.where(counted[rows], amounts[rows], 0))

        size = total(np.ones(len(codes)))
        alone = size < 0.5
        divisor = np.where(alone, 1, size)
        known = ~np.isnan(labels)
        n_known, n_positive = total(known.astype(float)), total(np.where(known, labels, 0.0))
        least = 0.5 / max(known.sum(), 1)  # where all known labels are the same, their odds are bounded
        rate = float(np.clip(labels[known].mean(), least, 1 - least)) if known.any() else 0.5
        median = medians(belief[counted], codes[counted], n_codes)[at]
        return {
            "log_same": np.log1p(size),
            "same_logit": np.where(alone, self.logits[rows], total(self.logits) / divisor),
            "same_belief": np.where(alone, p[rows], total(belief) / divisor),
            "same_median": np.where(np.isnan(median), p[rows], median),
            "n_known": n_known,
            "known_log_odds": np.log((n_positive + rate) / (n_known - n_positive + 1 - rate)),
        }

    def _near(self, rows: np.ndarray, belief: np.ndarray) -> dict[str, np.ndarray]:
        """Return the features over the counted rows near in the column, NaN where there is no such row.

        In the order of their values, the nearest of a row are among as many before and after its place.
        """
        line = self._line
        line_values, line_belief, own = self.values[line], belief[line], self.values[rows]
        span = line_values[-1] - line_values[0] if len(line) else 0.0
        radius = self.near.radius or max(span / 200, 1e-12)
        window = np.searchsorted(line_values, own)[:, None] + np.arange(-self.near.nearest - 1, self.near.nearest + 1)
        inside = (window >= 0) & (window < len(line))  # (r, 2 nearest + 2)
        window = np.clip(window, 0, max(len(line) - 1, 0))
        inside &= line[window] != rows[:, None]
        distance = np.where(inside, abs(line_values[window] - own[:, None]), np.inf)
        order = np.argsort(distance, axis=1, kind="stable")[:, : self.near.nearest]
        distance = np.take_along_axis(distance, order, axis=1)
        weights = np.where(np.isfinite(distance), 1 / (distance + radius / 10), 0)
        near = np.take_along_axis(line_belief[window], order, axis=1)
        first = np.searchsorted(line_values, own - radius, "left")
        last = np.searchsorted(line_values, own + radius, "right")
        sums = np.concatenate([[0.0], np.cumsum(line_belief)])
        itself = np.isin(rows, line)
        count = last - first - itself
        with np.errstate(invalid="ignore", divide="ignore"):
            near_belief = (weights * near).sum(axis=1) / weights.sum(axis=1)
            radius_belief = (sums[last] - sums[first] - np.where(itself, belief[rows], 0)) / count
        return {
            "near_belief": near_belief,
            "radius_belief": np.where(count > 0, radius_belief, np.nan),
            "log_radius": np.log1p(np.maximum(count, 0)),
        }


def column_values(rows: Rows, name: str | list[str]) -> np.ndarray:
    """Return a column as numbers (n,): text is hashed, so that equal text is an equal number wherever it is.

    Of several columns the rows are equal where all columns are, such as those of a person's zone; a value that is
    missing in one is missing.
    """
    import pandas as pd

    if not isinstance(name, str):
        table = rows.table[name]
        joined = pd.util.hash_pandas_object(table.astype(str), index=False).to_numpy().astype(np.float64)
        return np.where(table.isna().any(axis=1).to_numpy(), np.nan, joined)
    column = rows.table[name]
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(np.float64)
    hashed = pd.util.hash_array(column.astype(str).to_numpy(object)).astype(np.float64)
    return np.where(column.isna().to_numpy(), np.nan, hashed)


def bounded(p: np.ndarray) -> np.ndarray:
    """Return the log odds of a row's label, where the others' label is 1 with probability p.

    >>> bounded(np.array([0.5, 1.0])).round(3).tolist()
    [0.0, 3.476]
    """
    return logit(IMPURE + (1 - 2 * IMPURE) * p)


def medians(amounts: np.ndarray, codes: np.ndarray, n: int) -> np.ndarray:
    """Return the median of the amounts (r,) of each of the codes 0 to n - 1, NaN of one that no amount has.

    >>> medians(np.array([3.0, 1.0, 2.0]), np.array([0, 0, 2]), 3).tolist()
    [2.0, nan, 2.0]
    """
    order = np.lexsort((amounts, codes))
    sizes = np.bincount(codes, minlength=n)
    first = np.cumsum(sizes) - sizes
    some = sizes > 0
    low, high = (order[(first + middle)[some]] for middle in ((np.maximum(sizes, 1) - 1) // 2, sizes // 2))
    found = np.full(n, np.nan)
    found[some] = (amounts[low] + amounts[high]) / 2
    return found


def codes_of(values: np.ndarray) -> np.ndarray:
    """Number the values (n,); each missing one is of its own."""
    missing = np.isnan(values)
    codes = np.unique(np.where(missing, 0, values), return_inverse=True)[1]
    return np.where(missing, codes.max() + 1 + np.arange(len(values)), codes)
