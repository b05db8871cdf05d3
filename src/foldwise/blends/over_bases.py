"""A second level over a column that stands on several blends: its first level is chosen, and not the mean of all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from foldwise.blends.averages import mean
from foldwise.blends.bases import Answers, base_answers, member_logits, spread
from foldwise.blends.blended import Blended
from foldwise.blends.column_pool import Pool, codes_of, column_values
from foldwise.blends.paths import Path, Ridge, Trees, chosen, fitted, log_loss
from foldwise.scoring.compare_runs import standard_error
from foldwise.scoring.metrics import row_losses
from foldwise.scoring.out_of_fold import folds_of
from foldwise.scoring.rows import Problem, Rows
from foldwise.scoring.scale import logit, normalise, sigmoid
from foldwise.settings import ONE_CLASS

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the trees in the second level: the line alone comes first
LINE = Ridge()
TREES = Trees(learning_rate=0.1, leaf=30, seeds=1)
CERTAIN_STACK = 2  # standard errors by which the stack must beat the mean to take its place without the column


def stack(problem: Problem, train: Rows, other: Rows) -> Blended:
    """Fit a logistic regression to several blends of the members and to how the members of a row differ.

    The blends are the logit mean, greedy selections on both scales, a ridge logistic regression and boosted trees.
    What they say of training rows is learned on the other folds; all penalties and rounds are chosen inside folds.
    """
    found = [first_level(train, base_answers(train, [other], c), [other], c) for c in range(train.k)]
    p = sigmoid(np.column_stack([others[0] for _, others in found]))
    return Blended(normalise(p) if problem.task in ONE_CLASS else p)


def first_level(train: Rows, answers: Answers, others: list[Rows], c: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the logits of the stack for one output: of training rows from the other folds, (n,), and of others."""
    x = np.column_stack([answers.train, spread(member_logits(train, c))])
    other_x = [
        np.column_stack([one, spread(member_logits(rows, c))]) for one, rows in zip(answers.others, others, strict=True)
    ]
    y = train.y[:, c]
    best, p = chosen(LINE, x, y, folds_of(train))
    answer = fitted(LINE, x, y)
    return logit(p), [logit(answer(one)[best]) for one in other_x]


def neighbours_of_bases(
    problem: Problem,
    train: Rows,
    other: Rows,
    *,
    column: str | list[str],
    nearest: int,
    radius: float | None,
    checked: bool,
    certain: float,
) -> Blended:
    """Predict rows from several blends and from the labels and beliefs of the rows near them in a column.

    A line and boosted trees are fitted to the blends, the stack of them, and what the column says; the share of the
    trees, the penalty and the rounds are chosen inside folds. All that is chosen here is chosen on training rows.

    checked: where this beats the logit mean of the members by no more than `certain` standard errors inside the folds,
    the stack, or else the mean, is returned.
    """
    fold, test = folds_of(train), problem.test
    train = replace(train, fold=fold)
    others = [other, *([] if test is None else [test.scored_rows()])]
    values = np.concatenate([column_values(rows, column) for rows in (train, *others)])
    counted = np.concatenate([np.ones(len(train), bool), *(rows.is_scored for rows in others)])
    n, k = len(train), train.k
    inside, outside, blind_inside, blind_outside = (np.empty((size, k)) for size in (n, len(other), n, len(other)))
    about: dict[str, Any] = {"shares_of_trees": []}
    for c in range(k):
        answers = base_answers(train, others, c)
        own, several = first_level(train, answers, others, c)
        blind_inside[:, c], blind_outside[:, c] = sigmoid(own), sigmoid(several[0])
        plain = np.column_stack(
            [
                np.concatenate([answers.train, *answers.others]),
                np.concatenate([own, *several]),
                np.concatenate([spread(member_logits(rows, c)) for rows in (train, *others)]),
            ]
        )
        features = _Features(plain, values, np.concatenate([own, *several]), counted, nearest, radius)
        inside[:, c], outside[:, c], share = _second_level(features, train.y[:, c], fold, n + np.arange(len(other)))
        about["shares_of_trees"].append(share)
    if problem.task in ONE_CLASS:
        inside, outside, blind_inside, blind_outside = map(normalise, (inside, outside, blind_inside, blind_outside))
    if not checked:
        return Blended(outside, about=about)
    logit_mean = replace(problem, average="logit")
    means = mean(logit_mean, train, train).probabilities
    groups = train.groups if train.groups is not None else codes_of(values[:n])
    losses = {
        name: row_losses(train.y, p, problem.task)
        for name, p in (("second_level", inside), ("stack", blind_inside), ("logit_mean", means))
    }
    gaps = {name: losses["logit_mean"] - losses[name] for name in ("second_level", "stack")}
    errors = {name: standard_error(gap, groups) for name, gap in gaps.items()}
    wins = bool(gaps["second_level"].mean() > certain * errors["second_level"])
    about |= {name: float(loss.mean()) for name, loss in losses.items()}
    about |= {"standard_error": errors["second_level"], "wins": wins}
    if wins:
        return Blended(outside, about=about)
    if gaps["stack"].mean() > CERTAIN_STACK * errors["stack"]:
        return Blended(blind_outside, about=about)
    return replace(mean(logit_mean, train, other), weights=None, about=about)


class _Features:
    """The features of rows for one output, by the labels that are known."""

    def __init__(
        self,
        plain: np.ndarray,  # (N, f) that need no labels of other rows
        values: np.ndarray,  # (N,) of the column
        logits: np.ndarray,  # (N,) of the first level
        counted: np.ndarray,  # (N,) bool
        nearest: int,
        radius: float | None,
    ) -> None:
        self.plain, self.values, self.logits, self.counted = plain, values, logits, counted
        self.nearest, self.radius = nearest, radius

    def of(self, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the features of rows at some positions; labels (N,), NaN where unknown, those of `rows` hidden."""
        pool = Pool(self.values, self.logits, labels, self.counted, self.nearest, self.radius)
        found, evidence = pool.features(rows), pool.evidence(rows)
        beliefs = logit(np.clip(found[:, [3, 4, 7, 8]], 0.01, 0.99))
        missing = np.isnan(self.values[rows])
        return np.column_stack(
            [self.plain[rows], evidence, evidence.sum(axis=1), found[:, [1, 2, 5, 6, 9]], beliefs, missing]
        )


def _second_level(
    features: _Features, y: np.ndarray, fold: np.ndarray, at_other: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return probabilities of training rows from the other folds, and of other rows, and the share of the trees.

    The labels of a fold are hidden whenever it is predicted from the other folds: in the features of all rows.
    """
    labels = np.concatenate([y, np.full(len(features.values) - len(y), np.nan)])
    folds = np.unique(fold)
    x = np.empty((len(y), 0))
    lines, trees = np.empty((len(LINE.strengths), len(y))), np.empty((len(TREES.rounds), len(y)))
    for one in folds:
        held_out = np.flatnonzero(fold == one)
        known = labels.copy()
        known[held_out] = np.nan
        own = features.of(held_out, known)
        x = np.empty((len(y), own.shape[1])) if not x.shape[1] else x
        x[held_out] = own
        rest = np.flatnonzero(fold != one)
        rest_x = np.empty((len(y), own.shape[1]))
        for two in folds[folds != one]:
            part = np.flatnonzero(fold == two)
            rest_x[part] = features.of(part, known)
        lines[:, held_out] = fitted(LINE, rest_x[rest], y[rest])(own)
        trees[:, held_out] = fitted(TREES, rest_x[rest], y[rest])(own)
    other_x = features.of(at_other, labels)
    picked = []
    for path, every in ((LINE, lines), (TREES, trees)):
        best = int(np.argmin([round(log_loss(y, p), 12) for p in every]))
        picked.append((logit(every[best]), logit(_answer(path, x, y, other_x)[best])))
    (line, other_line), (tree, other_tree) = picked
    mixed = [sigmoid((1 - share) * line + share * tree) for share in SHARES]
    best = int(np.argmin([round(log_loss(y, p), 12) for p in mixed]))
    share = SHARES[best]
    return mixed[best], sigmoid((1 - share) * other_line + share * other_tree), share


def _answer(path: Path, x: np.ndarray, y: np.ndarray, other_x: np.ndarray) -> np.ndarray:
    return fitted(path, x, y)(other_x)
