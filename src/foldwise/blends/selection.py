"""Greedy selection of members with replacement (Caruana et al. 2004), with most candidates ruled out by a bound."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Annotated

import numpy as np
from pydantic import Field

from foldwise.blends.rows import Blended, Problem, Rows
from foldwise.blends.search import select_by
from foldwise.blends.values import (
    THREADS,
    Values,
    least_curvature,
    loss,
    loss_with,
    one_thread,
    slope,
    values_of,
    weighted,
)

Rounds = Annotated[int, Field(ge=1)]
BLOCK = 2048  # float32 products are added up over so many entries at most
SLACK = 2e-5  # of the product of two norms: rounding of BLOCK products in 8 lanes stays below BLOCK / 8 * 2**-24
SMALL = 256e6  # bytes of a matrix of which the squares are kept, too
GROWTH = 1.25  # of a blend until distances are made anew
FEW = 16
EQUAL = 1e-13  # losses that differ by less are equal: 12 and 4 of two members are 3 and 1 of them
LARGE = 1_000_000  # numbers from which on two threads are faster than one


def greedy(
    problem: Problem,
    train: Rows,
    other: Rows,
    *,
    rounds: Rounds = 50,
    start: Annotated[int, Field(ge=0)] = 0,  # begin with the n best members, each taken once
    bags: Annotated[int, Field(ge=1)] = 1,  # average the weights over random subsets of the members
    share: Annotated[float, Field(gt=0, le=1)] = 0.5,  # of the members in a bag
    seed: Annotated[int, Field(ge=0)] = 0,  # of the bags
) -> Blended:
    """Add the member that improves the blend most, `rounds` times; keep the best blend on the way."""
    if problem.metric == "log_loss":
        choose = partial(select, values_of(train, problem.average, problem.task))
    else:
        choose = partial(select_by, problem, train)
    if bags == 1:
        counts = choose(rounds, start)
        weights = counts / counts.sum()
    else:
        rng = np.random.default_rng(seed)
        size = max(1, round(share * train.m))
        weights = np.zeros(train.m)
        for _ in range(bags):
            bag = np.sort(rng.choice(train.m, size, replace=False))
            counts = choose(rounds, start, bag)
            weights += counts / counts.sum() / bags
    return Blended(weighted(other, weights, problem.average, problem.task), weights)


def select(values: Values, rounds: int, start: int = 0, members: np.ndarray | None = None) -> np.ndarray:
    """Return how often each member is taken, (m,); only `members` may be, all by default.

    In each round the member whose addition gives the lowest loss is added; of equals the one that is better
    alone, then the one that comes first. What is returned is the state of lowest loss within `rounds` members.
    """
    with one_thread():
        return _select(values, rounds, start, members)


def _select(values: Values, rounds: int, start: int, members: np.ndarray | None) -> np.ndarray:
    alone = values.alone.copy()
    if members is not None:
        alone[np.setdiff1d(np.arange(len(alone)), members)] = np.inf
    order = np.argsort(alone, kind="stable")
    first = order[: min(start, rounds, int(np.isfinite(alone).sum())) or 1]
    counts = np.bincount(first, minlength=len(alone)).astype(np.float64)
    total = np.sum([values.row(int(j)) for j in first], axis=0)
    now = loss(values, total / len(first))
    best_loss, best_counts = now, counts.copy()
    screen = Screen(values)
    place = np.argsort(order, kind="stable")
    for size in range(len(first) + 1, rounds + 1):
        bounds = screen.bounds(total / (size - 1), now, size)
        bounds[~np.isfinite(alone)] = np.inf
        winner, winner_loss = -1, np.inf
        for j in _rising(bounds):
            if bounds[j] > winner_loss:
                break
            trial = loss_with(values, total, values.row(j), size)
            if trial < winner_loss or (trial == winner_loss and place[j] < place[winner]):
                winner, winner_loss = j, trial
        counts[winner] += 1
        total += values.row(winner)
        now = winner_loss
        if now < best_loss - EQUAL:
            best_loss, best_counts = now, counts.copy()
    return best_counts


class Screen:
    """Bound from below the loss that the addition of each member can give, to compute few of them.

    With f convex, d its gradient and h a lower bound of its curvature at all blends that a round can reach,
    adding v_j to a blend b of size - 1 members gives at least

        f(b) + d (v_j - b) / size + q_j / size**2,    q_j = half the sum of h (v_j - b)**2

    q_j is at least half min(h / w) (D_j - |b - r|)**2 (where D_j is the larger) with D_j = |v_j - r| and |b - r|
    in the norm of weights w, so that the D_j need to be made anew only now and then, for r = b and w = h.
    The products are made in float32: what that may hide is taken off.
    """

    def __init__(self, values: Values) -> None:
        self.values, self.matrix = values, values.matrix
        # of each entry; of probabilities one range for all, as the curvature of hard rows would set off from the rest
        axis = 0 if values.kind == "softplus" else None
        self.range = tuple(np.asarray(end(axis=axis), np.float64) for end in (self.matrix.min, self.matrix.max))
        self.squared = self.matrix**2 if self.matrix.nbytes <= SMALL else None
        ones = np.ones(self.matrix.shape[1])
        self.norms = np.sqrt(np.maximum(self._of_squares(np.zeros_like(ones), ones), 0)) * (1 + SLACK)
        self.size = 0

    def bounds(self, blend: np.ndarray, now: float, size: int) -> np.ndarray:
        """Return a lower bound (m,) of the loss of the blend of `size` with each member added to `blend`."""
        gradient = slope(self.values, blend) / self.values.n
        curvature = least_curvature(self.values, blend, size, *self.range) / self.values.n
        products = _product(self.matrix, gradient) - SLACK * float(np.linalg.norm(gradient)) * self.norms
        linear = now + (products - float(gradient @ blend)) / size
        if not curvature.any():
            return linear
        if size > GROWTH * self.size:
            self.size, self.centre = size, blend
            # where the curvature may soon fall steeply it counts less, so that the least of h / w stays near 1
            later = least_curvature(self.values, blend, size / GROWTH, *self.range) / self.values.n
            self.weights = np.maximum(np.minimum(curvature, 2 * later), curvature.max() * 1e-6)
            spread = float(np.sqrt(self.weights @ blend**2)) + np.sqrt(self.weights.max()) * self.norms
            squares = self._of_squares(blend, self.weights) - 4 * SLACK * spread**2
            self.distances = np.sqrt(np.maximum(squares, 0))
        apart = np.maximum(self.distances - np.sqrt(self.weights @ (blend - self.centre) ** 2), 0)
        return np.asarray(linear + 0.5 * float((curvature / self.weights).min()) * apart**2 / size**2)

    def _of_squares(self, centre: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return sum_i weights_i (v_ji - centre_i)**2 for every member, (m,)."""
        crossed = _product(self.matrix, weights * centre)
        squares = (
            _product(self.matrix, weights, squared=True) if self.squared is None else _product(self.squared, weights)
        )
        return np.asarray(squares - 2 * crossed + float(weights @ centre**2))


def _product(matrix: np.ndarray, vector: np.ndarray, squared: bool = False) -> np.ndarray:
    """Multiply in float32 in blocks so short that rounding stays below SLACK; add the blocks in float64.

    squared: the squares of the matrix, of which only a block is held.
    """
    single, result = vector.astype(np.float32), np.zeros(len(matrix))

    def add(part: slice) -> None:
        for at in range(0, len(single), BLOCK):
            block = matrix[part, at : at + BLOCK]
            result[part] += (block**2 if squared else block) @ single[at : at + BLOCK]

    half = len(matrix) // 2
    if matrix.size < LARGE:
        add(slice(None))
    else:
        list(_pool().map(add, (slice(half), slice(half, None))))
    return result


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS)


def _rising(bounds: np.ndarray) -> Iterator[int]:
    """Yield positions by rising bound, sorting no more than are asked for."""
    few = np.argpartition(bounds, min(FEW, len(bounds) - 1))[:FEW]
    few = few[np.argsort(bounds[few], kind="stable")]
    yield from few.tolist()
    if len(bounds) > FEW:
        yield from np.argsort(bounds, kind="stable")[FEW:].tolist()
