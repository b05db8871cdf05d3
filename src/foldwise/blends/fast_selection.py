"""Greedy selection of members with replacement (Caruana et al. 2004), most candidates of a round ruled out by a bound.

The bound needs products with all members, which take as long as the memory does to deliver them, for one round as for
eight. So a few members that came out best play rounds ahead among themselves, and the products of all these rounds
at once show whether a member of all would have been taken instead; from there it is played anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Annotated

import numpy as np
from pydantic import Field

from foldwise.blends.blended import Blended
from foldwise.blends.convex_loss import (
    ENTRIES,
    KEPT,
    THREADS,
    Values,
    least_curvature,
    loss,
    loss_with,
    one_thread,
    slope,
    values_of,
)
from foldwise.blends.plain_selection import select_by
from foldwise.scoring.rows import Problem, Rows
from foldwise.scoring.scale import weighted

Rounds = Annotated[int, Field(ge=1)]
AHEAD = 8  # rounds that are played at most before all members are asked
TEAM = 32  # members that play them, beside those taken
FADES = 0.7  # what is left, from one try of a member to the next, of its loss by curvature: blends get smoother
BLOCK = 512  # float32 products are added up over so many entries at most
SLACK = 3.2e-5  # of the product of two norms: rounding of BLOCK products and of their factors, 2**-24 each
MEMBERS = 50  # of a product: with BLOCK and AHEAD it is small enough for OpenBLAS to copy no factor
SMALL = 256e6  # bytes of a matrix of which the squares are kept, too
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
    barred = ~np.isfinite(alone)
    order = np.argsort(alone, kind="stable")
    place = np.argsort(order, kind="stable")
    first = order[: min(start, rounds, len(alone) - int(barred.sum())) or 1]
    counts = np.bincount(first, minlength=len(alone)).astype(np.float64)
    total = np.sum([values.row(int(j)) for j in first], axis=0)
    best_loss, best_counts = loss(values, total / len(first)), counts.copy()
    mean = values.matrix.mean(axis=0).astype(np.float64)
    screen, team = Screen(values, mean), Team(values, mean, place, order[:1])
    most = max(1, min(AHEAD, int(KEPT / (4 * total.nbytes))))  # each round keeps some vectors of as many entries
    size, ahead = len(first) + 1, 1
    while size <= rounds:
        played = team.play(total, size, min(ahead, rounds - size + 1))
        for step, bounds in zip(played, screen.bounds(played), strict=True):
            bounds[barred] = np.inf
            guess = step.winner
            for j in _rising(bounds):
                if bounds[j] > step.best[0]:
                    break
                step.attempt(values, place, j)
            counts[step.winner] += 1
            size, total = step.size + 1, step.total + values.row(step.winner)
            if step.best[0] < best_loss - EQUAL:
                best_loss, best_counts = step.best[0], counts.copy()
            if step.winner != guess:
                break  # what follows was played with another winner
        ahead = min(2 * ahead, most)
        best = np.argpartition(bounds, min(TEAM, len(bounds)) - 1)[:TEAM]
        team.members = np.union1d(best[~barred[best]], np.flatnonzero(counts))
    return best_counts


@dataclass
class Round:
    """A round of the selection: the sum of the members taken, and the candidates computed so far."""

    total: np.ndarray  # (d,)
    size: int  # members with the one that is to be added
    level: float  # the loss if that were the mean member
    gradient: np.ndarray  # (d,) of that loss
    tried: dict[int, float] = field(default_factory=dict)
    best: tuple[float, int, int] = (np.inf, 0, -1)  # loss, place among those of equal loss, member

    @property
    def winner(self) -> int:
        return self.best[2]

    def attempt(self, values: Values, place: np.ndarray, j: int) -> None:
        if j not in self.tried:
            self.tried[j] = loss_with(values, self.total, values.row(j), self.size)
            self.best = min(self.best, (self.tried[j], int(place[j]), j))


class Team:
    """A few members that play rounds among themselves, to guess who of all will be taken."""

    def __init__(self, values: Values, mean: np.ndarray, place: np.ndarray, members: np.ndarray) -> None:
        self.values, self.mean, self.place, self.members = values, mean, place, members
        self.curved = np.zeros(values.rows.m)  # how far a member's loss was above the line, times size**2

    def play(self, total: np.ndarray, size: int, rounds: int) -> list[Round]:
        played = []
        for _ in range(rounds):
            centre = (total + self.mean) / size
            gradient = slope(self.values, centre) / self.values.n
            step = Round(total, size, loss(self.values, centre), gradient)
            single = gradient.astype(np.float32)
            products = np.array([self.values.matrix[j] @ single for j in self.members], np.float64)
            lines = step.level + (products - float(gradient @ self.mean)) / size
            likely = lines + FADES * self.curved[self.members] / size**2
            for i in np.argsort(likely):
                if likely[i] > step.best[0]:
                    break
                j = int(self.members[i])
                step.attempt(self.values, self.place, j)
                self.curved[j] = (step.tried[j] - lines[i]) * size**2
            played.append(step)
            total, size = total + self.values.row(step.winner), size + 1
        return played


class Screen:
    """Bound from below the loss that the addition of each member can give, to compute few of them.

    With f convex, c the blend that the mean member r would make, d the gradient there and h half a lower bound of the
    curvature at all blends that the rounds can reach, adding v_j to size - 1 members gives at least

        f(c) + d (v_j - r) / size + h (v_j - r)**2 / size**2    (summed over the entries)

    which is a line in v_j, another one for each round, and h v_j**2. The products are made in float32: what that may
    hide is taken off.
    """

    def __init__(self, values: Values, mean: np.ndarray) -> None:
        self.values, self.mean, matrix = values, mean, values.matrix
        self.squared = matrix**2 if matrix.nbytes <= SMALL else None
        ones = np.ones((matrix.shape[1], 1))
        self.norms = np.sqrt(self._products(0 * ones, ones)[1][:, 0]) * (1 + SLACK)
        # the range of each entry; that of probabilities is known
        ends = (0, 1) if values.kind == "log" else (matrix.min(axis=0), matrix.max(axis=0))
        self.range = tuple(np.asarray(end, np.float64) for end in ends)

    def bounds(self, played: list[Round]) -> np.ndarray:
        """Return a lower bound of the loss of each round with each member added, (rounds, m)."""
        low, high = (
            extreme.reduce([(step.total + end) / step.size for step in played])
            for extreme, end in zip((np.minimum, np.maximum), self.range, strict=True)
        )
        h = least_curvature(self.values, low, high) / (2 * self.values.n)
        bent = h * self.mean
        sizes = np.array([[step.size] for step in played])
        lines = np.empty((len(played), len(h)), np.float32)
        known, norms = np.empty((2, len(played), 1))
        for i, step in enumerate(played):
            lines[i] = line = step.gradient / step.size - bent * (2 / step.size**2)
            known[i], norms[i] = step.level - step.gradient @ self.mean / step.size, np.sqrt(line @ line)
        products, squares = (found.T for found in self._products(lines.T, h[:, None]))
        squares = squares / sizes**2
        known += bent @ self.mean / sizes**2
        return np.asarray(known + products + squares - SLACK * (norms * self.norms + squares))

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
            (slice(first, first + MEMBERS), slice(start, start + ENTRIES))
            for start in range(0, d, ENTRIES)
            for first in range(0, m, MEMBERS)
        ]
        products, squares = np.zeros((m, lines.shape[1])), np.zeros((m, 1))
        run = _pool().map if matrix.size >= LARGE else map
        for (members, _), (one, other) in zip(tiles, run(multiply, tiles), strict=True):
            products[members] += one
            squares[members] += other
        return products, squares


def _in_blocks(values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Multiply (m, d) and (d, c) in float32, BLOCK entries at a time, and add these products up in float64."""
    (m, d), c = values.shape, vectors.shape[1]
    n = d // BLOCK
    rest = slice(n * BLOCK, d)
    blocks = values[:, : n * BLOCK].reshape(m, n, BLOCK).transpose(1, 0, 2)
    products = blocks @ vectors[: n * BLOCK].reshape(n, BLOCK, c)
    return products.sum(axis=0, dtype=np.float64) + values[:, rest] @ vectors[rest]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS)


def _rising(bounds: np.ndarray) -> Iterator[int]:
    """Yield positions by rising bound, sorting no more than are asked for."""
    few = np.argpartition(bounds, min(TEAM, len(bounds) - 1))[:TEAM]
    few = few[np.argsort(bounds[few], kind="stable")]
    yield from few.tolist()
    if len(bounds) > TEAM:
        yield from np.argsort(bounds, kind="stable")[TEAM:].tolist()
