"""The predictions of all members for some rows, with the labels, folds and columns of those rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from foldwise.settings import Metric, Task


Average = Literal["logit", "arithmetic"]


@dataclass(frozen=True)
class Rows:
    """n rows of m members and k outputs. The stack may be a memory-mapped file: rows are copied on access."""

    stack: np.ndarray  # (m, N, k) probabilities, of which these rows are `at`
    at: np.ndarray  # (n,) positions in the stack
    table: pd.DataFrame  # n rows: id, auxiliary columns, group?, scored?
    labels: np.ndarray | None = None  # (n, k); None where a method must not or cannot use them
    fold: np.ndarray | None = None  # (n,) the fold whose models predicted the row

    def __len__(self) -> int:
        return len(self.at)

    @property
    def m(self) -> int:
        return len(self.stack)

    @property
    def k(self) -> int:
        return int(self.stack.shape[2])

    @property
    def y(self) -> np.ndarray:
        """The labels, float64 (n, k), of rows that have them."""
        assert self.labels is not None
        return np.asarray(self.labels, np.float64)

    @property
    def groups(self) -> np.ndarray | None:
        """The group of each row (n,), where rows have one."""
        return self.table["group"].to_numpy() if "group" in self.table else None

    @cached_property
    def _all(self) -> bool:
        return len(self.at) == self.stack.shape[1] and _is_range(self.at)

    def member(self, j: int) -> np.ndarray:
        """The probabilities of one member, float64 (n, k)."""
        one = self.stack[j]
        return np.asarray(one if self._all else one[self.at], np.float64)

    def predictions(self) -> np.ndarray:
        """The probabilities of all members, float64 (m, n, k), in memory."""
        return np.stack([self.member(j) for j in range(self.m)])

    def only(self, rows: np.ndarray) -> Rows:
        """These rows alone; `rows` is a mask or positions."""
        labels, fold = (None if a is None else a[rows] for a in (self.labels, self.fold))
        return replace(self, at=self.at[rows], table=self.table.iloc[_positions(rows)], labels=labels, fold=fold)

    def of_members(self, members: np.ndarray) -> Rows:
        """The same rows, predicted by some members alone."""
        return self if np.array_equal(members, np.arange(self.m)) else replace(self, stack=self.stack[members])

    def of_output(self, c: int) -> Rows:
        """The same rows with one of the outputs alone."""
        labels = None if self.labels is None else self.labels[:, c : c + 1]
        return replace(self, stack=self.stack[:, :, c : c + 1], labels=labels)

    def unlabelled(self) -> Rows:
        """The same rows without their labels and folds."""
        return replace(self, labels=None, fold=None)

    @property
    def is_scored(self) -> np.ndarray:
        """Whether the host scores a row, (n,): generated rows must enter no statistic."""
        return self.table["scored"].to_numpy(bool) if "scored" in self.table else np.ones(len(self), bool)

    def scored_rows(self) -> Rows:
        """The rows that the host scores."""
        return self.only(self.is_scored) if "scored" in self.table else self


@dataclass(frozen=True)
class Problem:
    """What all methods know besides the rows."""

    task: Task
    average: Average = "logit"  # the scale on which weighted members are averaged
    test: Rows | None = None  # unlabelled rows that statistics may use, those that are scored
    column: str | None = None  # of the table, whose repeated values may tell the label
    metric: Metric = "log_loss"  # what members, methods and settings are chosen by


def make_rows(
    predictions: np.ndarray, table: pd.DataFrame, labels: np.ndarray | None = None, fold: np.ndarray | None = None
) -> Rows:
    """Return all rows of predictions (m, n, k)."""
    return Rows(predictions, np.arange(predictions.shape[1]), table, labels, fold)


def _is_range(at: np.ndarray) -> bool:
    return len(at) == 0 or bool(at[0] == 0 and at[-1] == len(at) - 1 and (np.diff(at) == 1).all())


def _positions(rows: np.ndarray) -> np.ndarray:
    return np.flatnonzero(rows) if rows.dtype == bool else rows
