"""Greedy selection of members with replacement (Caruana et al. 2004) by log loss, or the squared error of a
regression: what `plain_selection` does, fast.

Read `plain_selection` first: each round tries every member and takes the best. Here most members of a round are ruled
out without computing their loss. Let s be the sum of the size - 1 members taken, and v_j what member j adds: the blend
would be (s + v_j) / size. Log loss f is convex and a sum over entries. With r the mean member, c = (s + r) / size,
g the gradient at c and h half a lower bound of the curvature at all blends that can be reached,

    f((s + v_j) / size)  >=  f(c) + g (v_j - r) / size + h (v_j - r)**2 / size**2    (summed over the entries)

for every member (a Taylor expansion with the remainder bounded from below). The right side takes two products with the
matrix of members and no logarithm. Members are then tried by rising bound until the next bound is above the lowest loss
found: none of the others can win, so the choice is exact. The products take as long as memory needs to deliver the
matrix, for one round as for eight. So the next rounds are first guessed among a few likely members, one pass over the
matrix bounds all these rounds, and they are checked in turn; where another member wins than was guessed, the rounds
after it are guessed anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Annotated

import numpy as np
from pydantic import Field

from foldwise.blends import plain_selection
from foldwise.blends.blended import Blended
from foldwise.blends.convex_loss import (
    CACHE_BYTES,
    N_THREADS,
    TILE_ENTRIES,
    Values,
    least_curvature,
    loss,
    loss_with,
    slope,
    values_of,
)
from foldwise.processes import one_thread
from foldwise.scoring.metrics import usual_metric
from foldwise.scoring.rows import Problem, Rows
from foldwise.scoring.scale import weighted

Rounds = Annotated[int, Field(ge=1)]
ROUNDS_AHEAD = 8  # rounds that are guessed at most before all members are bounded
N_LIKELY = 32  # members among which they are guessed, with those already taken
CURVATURE_DECAY = 0.7  # expected decay of a member's curvature term from one try to the next: blends get smoother
BLOCK_ENTRIES = 512  # float32 products are added up over so many entries at most
ROUNDING = 3.2e-5  # of the product of two norms: BLOCK_ENTRIES products and their factors, each rounded by 2**-24
TILE_MEMBERS = 50  # of one product, which is then so small that OpenBLAS copies no factor
SQUARES_BYTES = 256e6  # of a larger matrix the squares are not kept
EQUAL_LOSS = 1e-13  # losses that differ by less are equal: 12 and 4 of two members are 3 and 1 of them
PARALLEL_SIZE = 1_000_000  # numbers in the matrix from which on two threads are faster than one


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
    if problem.metric == usual_metric(problem.task):  # RMSE falls as the squared error does
        choose = partial(select, values_of(train, problem.average, problem.task))
    else:
        choose = partial(plain_selection.select, problem, train)
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
    excluded = ~np.isfinite(alone)
    order = np.argsort(alone, kind="stable")
    rank = np.argsort(order, kind="stable")
    first = order[: min(start, rounds, len(alone) - int(excluded.sum())) or 1]
    counts = np.bincount(first, minlength=len(alone)).astype(np.float64)
    total = np.sum([values.row(int(j)) for j in first], axis=0)
    best_loss, best_counts = loss(values, total / len(first)), counts.copy()
    mean = values.matrix.mean(axis=0).astype(np.float64)
    bound, guess = LossBound(values, mean), Guess(values, mean, rank, order[:1])
    max_ahead = max(1, min(ROUNDS_AHEAD, int(CACHE_BYTES / (4 * total.nbytes))))  # a round keeps such vectors
    size, ahead = len(first) + 1, 1
    while size <= rounds:
        guessed = guess.next_rounds(total, size, min(ahead, rounds - size + 1))
        for step, bounds in zip(guessed, bound.of_rounds(guessed), strict=True):
            bounds[excluded] = np.inf
            expected_winner = step.winner
            for j in _by_rising_bound(bounds):
                if bounds[j] > step.best[0]:
                    break
                step.try_member(values, rank, j)
            counts[step.winner] += 1
            size, total = step.size + 1, step.total + values.row(step.winner)
            if step.best[0] < best_loss - EQUAL_LOSS:
                best_loss, best_counts = step.best[0], counts.copy()
            if step.winner != expected_winner:
                break  # the rounds after it were guessed with another winner
        ahead = min(2 * ahead, max_ahead)
        near = np.argpartition(bounds, min(N_LIKELY, len(bounds)) - 1)[:N_LIKELY]
        guess.members = np.union1d(near[~excluded[near]], np.flatnonzero(counts))
    return best_counts


@dataclass
class Round:
    """A round of the selection: the sum of the members taken, and the members whose loss was computed so far."""

    total: np.ndarray  # (d,) the sum
    size: int  # members with the one that is to be added
    mean_loss: float  # the loss if that were the mean member
    gradient: np.ndarray  # (d,) of that loss
    tried: dict[int, float] = field(default_factory=dict)
    best: tuple[float, int, int] = (np.inf, 0, -1)  # loss, rank alone, member

    @property
    def winner(self) -> int:
        return self.best[2]

    def try_member(self, values: Values, rank: np.ndarray, j: int) -> None:
        """Compute the loss with member j added; of equal losses the member of lower rank is the better one."""
        if j not in self.tried:
            self.tried[j] = loss_with(values, self.total, values.row(j), self.size)
            self.best = min(self.best, (self.tried[j], int(rank[j]), j))


class Guess:
    """Rounds played among a few likely members, to guess whom the rounds among all members will take."""

    def __init__(self, values: Values, mean: np.ndarray, rank: np.ndarray, members: np.ndarray) -> None:
        self.values, self.mean, self.rank, self.members = values, mean, rank, members
        self.curvature = np.zeros(values.rows.m)  # by how much a member's loss was above the linear term, times size**2

    def next_rounds(self, total: np.ndarray, size: int, n: int) -> list[Round]:
        """Return n rounds from the sum `total` (d,) of size - 1 members on."""
        rounds = []
        for _ in range(n):
            centre = (total + self.mean) / size
            gradient = slope(self.values, centre) / self.values.n
            step = Round(total, size, loss(self.values, centre), gradient)
            single = gradient.astype(np.float32)
            products = np.array([self.values.matrix[j] @ single for j in self.members], np.float64)
            linear = step.mean_loss + (products - float(gradient @ self.mean)) / size
            expected = linear + CURVATURE_DECAY * self.curvature[self.members] / size**2
            for i in np.argsort(expected):
                if expected[i] > step.best[0]:
                    break
                j = int(self.members[i])
                step.try_member(self.values, self.rank, j)
                self.curvature[j] = (step.tried[j] - linear[i]) * size**2
            rounds.append(step)
            total, size = total + self.values.row(step.winner), size + 1
        return rounds


class LossBound:
    """The lower bound of the module's first lines, for the addition of each member in several rounds.

    It is a line in v_j, another one for each round, and h v_j**2. The products are made in float32: what rounding may
    hide is taken off.
    """

    def __init__(self, values: Values, mean: np.ndarray) -> None:
        self.values, self.mean, matrix = values, mean, values.matrix
        self.squared = matrix**2 if matrix.nbytes <= SQUARES_BYTES else None
        ones = np.ones((matrix.shape[1], 1))
        self.norms = np.sqrt(self._products(0 * ones, ones)[1][:, 0]) * (1 + ROUNDING)
        # the range of each entry; that of probabilities is known
        ends = (0, 1) if values.kind == "log" else (matrix.min(axis=0), matrix.max(axis=0))
        self.range = tuple(np.asarray(end, np.float64) for end in ends)

    def of_rounds(self, rounds: list[Round]) -> np.ndarray:
        """Return a lower bound of the loss of each round with each member added, (rounds, m)."""
        low, high = (
            extreme.reduce([(step.total + end) / step.size for step in rounds])
            for extreme, end in zip((np.minimum, np.maximum), self.range, strict=True)
        )
        h = least_curvature(self.values, low, high) / (2 * self.values.n)
        bent = h * self.mean
        sizes = np.array([[step.size] for step in rounds])
        lines = np.empty((len(rounds), len(h)), np.float32)
        constant, norms = np.empty((2, len(rounds), 1))
        for i, step in enumerate(rounds):
            lines[i] = line = step.gradient / step.size - bent * (2 / step.size**2)
            constant[i], norms[i] = step.mean_loss - step.gradient @ self.mean / step.size, np.sqrt(line @ line)
        products, squares = (found.T for found in self._products(lines.T, h[:, None]))
        squares = squares / sizes**2
        constant += bent @ self.mean / sizes**2
        return np.asarray(constant + products + squares - ROUNDING * (norms * self.norms + squares))

    def _products(self, lines: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Multiply the members and lines (d, c), and their squares and weights (d, 1): (m, c) and (m, 1)."""
        matrix = self.values.matrix
        m, d = matrix.shape
        lines, weights = (np.ascontiguousarray(vectors, np.float32) for vectors in (lines, weights))

        def multiply(tile: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
            values = matrix[tile]
            squared = values**2 if self.squared is None else self.squared[tile]
            return _in_blocks(values, lines[tile[1]]), _in_blocks(squared, weights[tile[1]])

        tiles = [
            (slice(first, first + TILE_MEMBERS), slice(start, start + TILE_ENTRIES))
            for start in range(0, d, TILE_ENTRIES)
            for first in range(0, m, TILE_MEMBERS)
        ]
        products, squares = np.zeros((m, lines.shape[1])), np.zeros((m, 1))
        run = _pool().map if matrix.size >= PARALLEL_SIZE else map
        for (members, _), (one, other) in zip(tiles, run(multiply, tiles), strict=True):
            products[members] += one
            squares[members] += other
        return products, squares


def _in_blocks(values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Multiply (m, d) and (d, c) in float32, BLOCK_ENTRIES entries at a time, and add these products up in float64."""
    (m, d), c = values.shape, vectors.shape[1]
    n = d // BLOCK_ENTRIES
    rest = slice(n * BLOCK_ENTRIES, d)
    blocks = values[:, : n * BLOCK_ENTRIES].reshape(m, n, BLOCK_ENTRIES).transpose(1, 0, 2)
    products = blocks @ vectors[: n * BLOCK_ENTRIES].reshape(n, BLOCK_ENTRIES, c)
    return products.sum(axis=0, dtype=np.float64) + values[:, rest] @ vectors[rest]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(N_THREADS)


def _by_rising_bound(bounds: np.ndarray) -> Iterator[int]:
    """Yield positions by rising bound, sorting no more than are needed."""
    few = np.argpartition(bounds, min(N_LIKELY, len(bounds) - 1))[:N_LIKELY]
    few = few[np.argsort(bounds[few], kind="stable")]
    yield from few.tolist()
    if len(bounds) > N_LIKELY:
        yield from np.argsort(bounds, kind="stable")[N_LIKELY:].tolist()
