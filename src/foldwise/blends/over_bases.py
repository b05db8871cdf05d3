"""A second level over a column that stands on several blends: its first level is chosen, and not the mean of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from foldwise.blends.averages import mean
from foldwise.blends.bases import Answers, Column, base_answers, member_logits, spread, tuned
from foldwise.blends.blended import Blended
from foldwise.blends.column_pool import FEATURES, Near, Pool, codes_of, column_values
from foldwise.blends.numeric_columns import numeric_columns
from foldwise.blends.paths import Path, Ridge, Trees, fitted, log_loss, size
from foldwise.scoring.compare_runs import standard_error
from foldwise.scoring.metrics import row_losses
from foldwise.scoring.out_of_fold import folds_of
from foldwise.scoring.rows import Problem, Rows
from foldwise.scoring.scale import logit, normalise, sigmoid
from foldwise.settings import ONE_CLASS

SHARES = (0.25, 0.5, 0.0, 0.75, 1.0)  # of the trees; the first that is as good as the best but for a standard error
LINE = Ridge()
TREES = Trees()
CERTAIN_STACK = 2  # standard errors by which the stack must beat the mean to take its place without the column


def stack(
    problem: Problem,
    train: Rows,
    other: Rows,
    *,
    final: Literal["line", "mean"] = "line",  # mean: of the line and boosted trees, of those that are near the best
) -> Blended:
    """Fit a logistic regression to several blends of the members and to how the members of a row differ.

    The blends are the logit mean, greedy selections on both scales, a ridge logistic regression and boosted trees.
    What they say of training rows is learned on the other folds; all penalties and rounds are chosen inside folds.

    final: mean: boosted trees are fitted to the same, and the logits of both are averaged; one whose log loss inside
        the folds is above that of the other by more than a standard error of the paired difference is left out.
    """
    paths: tuple[Path, ...] = (LINE,) if final == "line" else (LINE, TREES)
    found = [first_level(train, base_answers(train, [other], c), [other], c, paths) for c in range(train.k)]
    p = sigmoid(np.column_stack([others[0] for _, others in found]))
    return Blended(normalise(p) if problem.task in ONE_CLASS else p)


def first_level(train: Rows, answers: Answers, others: list[Rows], c: int, paths: tuple[Path, ...] = (LINE,)) -> Column:
    """Return the logits of the stack for one output: of training rows from the other folds, (n,), and of others."""
    x = np.column_stack([answers.train, spread(member_logits(train, c))])
    other_x = [
        np.column_stack([one, spread(member_logits(rows, c))]) for one, rows in zip(answers.others, others, strict=True)
    ]
    y, fold = train.y[:, c], folds_of(train)
    found = [tuned(path, x, y, fold, other_x) for path in paths]
    losses = [row_losses(y[:, None], sigmoid(own)[:, None]) for own, _ in found]
    near = [found[i] for i in _near_the_best(losses)]
    several = [np.mean([others[i] for _, others in near], axis=0) for i in range(len(others))]
    return np.mean([own for own, _ in near], axis=0), several


def _near_the_best(losses: list[np.ndarray]) -> list[int]:
    """Return which losses (n,) have a mean above the lowest by no more than a standard error of the difference."""
    lowest = min(losses, key=lambda loss: float(loss.mean()))
    return [i for i, loss in enumerate(losses) if (loss - lowest).mean() <= standard_error(loss - lowest)]


def neighbours_of_bases(
    problem: Problem,
    train: Rows,
    other: Rows,
    near: Near,
    *,
    checked: bool,
    certain: float,
    columns: Sequence[str] = (),
) -> Blended:
    """Predict rows from several blends and from the labels and beliefs of the rows near them in a column.

    A line and boosted trees are fitted to the blends, the stack of them, and what the column says, the trees to further
    numeric `columns` too; the share of the trees, the penalty and the rounds are chosen inside folds, all on training
    rows.

    checked: where this beats the logit mean of the members by no more than `certain` standard errors inside the folds,
    the stack, or else the mean, is returned.
    """
    fold, test = folds_of(train), problem.test
    train = replace(train, fold=fold)
    others = [other, *([] if test is None else [test.scored_rows()])]
    values = np.concatenate([column_values(rows, near.column) for rows in (train, *others)])
    counted = np.concatenate([np.ones(len(train), bool), *(rows.is_scored for rows in others)])
    extra = np.concatenate(numeric_columns(columns, (train, *others)))
    n, k = len(train), train.k
    inside, outside, blind_inside, blind_outside = (np.empty((size, k)) for size in (n, len(other), n, len(other)))
    about: dict[str, Any] = {"shares_of_trees": []}
    for c in range(k):
        answers = base_answers(train, others, c)
        own, several = first_level(train, answers, others, c)
        blind_inside[:, c], blind_outside[:, c] = sigmoid(own), sigmoid(several[0])
        features = _Features(
            np.column_stack([np.concatenate([answers.train, *answers.others]), np.concatenate([own, *several])]),
            np.concatenate([spread(member_logits(rows, c)) for rows in (train, *others)]),
            values,
            counted,
            near,
            extra,
        )
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


@dataclass(frozen=True)
class _Features:
    """The features of rows for one output, by the labels that are known."""

    blends: np.ndarray  # (N, b) logits of several blends, and of the stack
    spread: np.ndarray  # (N, 5) of the members
    values: np.ndarray  # (N,) of the column
    counted: np.ndarray  # (N,) bool: rows that statistics are computed over
    near: Near
    extra: np.ndarray  # (N, e) of further columns

    def of(self, rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the features of the line and of the trees for rows at some positions.

        labels: (N,), NaN where unknown; those of `rows` are hidden.
        """
        pool = Pool(self.values, self.blends[:, -1], labels, self.counted, self.near)
        found = dict(zip(FEATURES, pool.features(rows).T, strict=True))
        missing = np.isnan(self.values[rows])
        alone = (found["log_same"] == 0) & ~missing
        names = ("log_same", "n_known", "known_log_odds")
        line = np.column_stack(
            [
                self.blends[rows],
                pool.evidence(rows),
                *(found[name] for name in names),
                missing,
                alone,
                alone * self.blends[rows, -1],
            ]
        )
        beliefs = [found[name] for name in ("same_belief", "same_median", "near_belief", "radius_belief")]
        others = [found[name] for name in ("same_logit", "log_radius")]
        return line, np.column_stack([line, self.spread[rows], *others, *beliefs, self.extra[rows]])


def _second_level(
    features: _Features, y: np.ndarray, fold: np.ndarray, at_other: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return probabilities of training rows from the other folds, and of other rows, and the share of the trees.

    The labels of a fold are hidden whenever it is predicted from the other folds: in the features of all rows.
    """
    labels = np.concatenate([y, np.full(len(features.values) - len(y), np.nan)])
    everyone = np.arange(len(y))
    paths: tuple[Path, Path] = (LINE, TREES)
    inside = [np.empty((size(path), len(y))) for path in paths]
    for one in np.unique(fold):
        held_out, rest = np.flatnonzero(fold == one), np.flatnonzero(fold != one)
        known = labels.copy()
        known[held_out] = np.nan
        rest_x = _by_fold(features, rest, known, fold)
        own_x = features.of(held_out, known)
        for path, every, learned, own in zip(paths, inside, rest_x, own_x, strict=True):
            every[:, held_out] = fitted(path, learned, y[rest])(own)
    x, other_x = _by_fold(features, everyone, labels, fold), features.of(at_other, labels)
    mine, theirs = [], []
    for path, every, own, outside in zip(paths, inside, x, other_x, strict=True):
        best = int(np.argmin([round(log_loss(y, p), 12) for p in every]))
        mine.append(logit(every[best]))
        theirs.append(logit(fitted(path, own, y)(outside)[best]))
    mixed = [sigmoid((1 - share) * mine[0] + share * mine[1]) for share in SHARES]
    losses = [row_losses(y[:, None], p[:, None]) for p in mixed]
    near = _near_the_best(losses)[0]
    share = SHARES[near]
    return mixed[near], sigmoid((1 - share) * theirs[0] + share * theirs[1]), share


def _by_fold(
    features: _Features, rows: np.ndarray, labels: np.ndarray, fold: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of training rows, in which the labels of a row's own fold are hidden."""
    found: list[np.ndarray] = []
    for one in np.unique(fold[rows]):
        part = fold[rows] == one
        own = features.of(rows[part], labels)
        found = found or [np.empty((len(rows), x.shape[1])) for x in own]
        for every, x in zip(found, own, strict=True):
            every[part] = x
    return found[0], found[1]
