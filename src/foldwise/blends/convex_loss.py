"""The loss of a weighted mean as a convex function of the mean: log loss on either scale, or the squared error.

A blend is b = w @ V, where row j of V holds what member j contributes. Per entry of b:

log      -log b             V: the probability of the true label; the arithmetic mean
softplus log(1 + exp(-b))   V: the logit of the true label; the logit mean of binary outputs
softmax  log sum_c exp b_c  V: log p_c - log p_true for each class c; the logit mean of classes
squared  b**2               V: the error of a value of a regression, in units of the RMSE of the best member

All four are convex in b, so a gradient bounds the loss of every other blend from below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from foldwise.scoring.rows import Average, Rows
from foldwise.scoring.scale import CLIP, EPSILON, logit, normalise, sigmoid, softmax
from foldwise.settings import ONE_CLASS, Task

Kind = Literal["log", "softplus", "softmax", "squared"]

N_FACTORS = 16  # probabilities of at least EPSILON whose product is still a float64
TILE_ENTRIES = 65_536  # entries of one block of a product of members
CACHE_BYTES = 256e6  # of members' rows in float64 that are kept
N_THREADS = 2


@dataclass(frozen=True)
class Values:
    """What each member contributes to the entries of a blend: float32 for all, float64 for a row on request."""

    rows: Rows
    average: Average
    task: Task
    kind: Kind
    n: int  # entries over which the loss is averaged
    k: int  # of softmax: classes, d = n * k
    truth: (
        np.ndarray
    )  # log: 1 - y; softplus: 2 y - 1; softmax, and log of classes: the number of the true class; squared: y
    matrix: np.ndarray  # (m, d) float32
    alone: np.ndarray  # (m,) the loss of each member by itself
    unit: float = 1.0  # squared: what errors are divided by
    cache: dict[int, np.ndarray] = field(default_factory=dict)

    def row(self, j: int) -> np.ndarray:
        """What member j contributes, float64 (d,)."""
        if j in self.cache:
            return self.cache[j]
        one = _contribution(self, j)
        if (len(self.cache) + 1) * one.nbytes <= CACHE_BYTES:
            self.cache[j] = one
        return one


def values_of(rows: Rows, average: Average, task: Task) -> Values:
    """Return the values of labelled rows."""
    n, k, y = len(rows), rows.k, rows.y
    kind: Kind
    unit = 1.0
    if task == "regression":
        kind, entries, truth = "squared", n * k, y.ravel()
        unit = min(float(np.sqrt(((rows.member(j) - y) ** 2).mean())) for j in range(rows.m)) or 1.0
    elif task in ONE_CLASS:
        kind, entries, truth = "log" if average == "arithmetic" else "softmax", n, y.argmax(axis=1)
    elif average == "arithmetic":
        kind, entries, truth = "log", n * k, (1 - y).ravel()
    else:
        kind, entries, truth = "softplus", n * k, (2 * y - 1).ravel()
    width = n * k if kind == "softmax" else entries
    matrix, alone = np.empty((rows.m, width), np.float32), np.empty(rows.m)
    values = Values(rows, average, task, kind, entries, k, truth, matrix, alone, unit)

    def fill(j: int) -> None:
        one = _contribution(values, j)
        matrix[j], alone[j] = one, loss(values, one)

    if width < TILE_ENTRIES:  # threads would wait for each other's small steps
        for j in range(rows.m):
            fill(j)
    else:
        with ThreadPoolExecutor(N_THREADS) as pool:
            list(pool.map(fill, range(rows.m)))
    return values


def _contribution(values: Values, j: int) -> np.ndarray:
    p = values.rows.member(j)
    if values.kind == "squared":
        return np.asarray((p.ravel() - values.truth) / values.unit)
    if values.task in ONE_CLASS:
        at = np.arange(len(p)), values.truth
        p = normalise(p)
        if values.kind == "log":
            return np.maximum(p[at], EPSILON)
        logs = np.log(np.clip(p, CLIP, 1 - CLIP))
        return np.asarray((logs - logs[at][:, None]).ravel())
    if values.kind == "log":
        true = p.ravel() - values.truth  # p, or p - 1
        np.abs(true, out=true)
        return np.maximum(true, EPSILON, out=true)
    return np.asarray(logit(p).ravel() * values.truth)


def loss(values: Values, blend: np.ndarray) -> float:
    """Return the mean loss of a blend (d,)."""
    if values.kind == "squared":
        return float(blend @ blend) / values.n
    if values.kind == "log":
        return -_sum_of_logs(blend) / values.n
    if values.kind == "softplus":
        return float(np.log1p(np.exp(-abs(blend))).sum() - np.minimum(blend, 0).sum()) / values.n
    b = blend.reshape(-1, values.k)
    top = b.max(axis=1)
    return float((top + np.log(np.exp(b - top[:, None]).sum(axis=1))).sum()) / values.n


def loss_with(values: Values, total: np.ndarray, row: np.ndarray, size: int) -> float:
    """Return the loss of the mean of `size` rows, given the sum of all but one and that one."""
    if values.kind == "log":  # log (a / size) = log a - log size: one pass less over the entries
        return float(np.log(size)) - _sum_of_logs(total + row) / values.n
    return loss(values, (total + row) / size)


def slope(values: Values, blend: np.ndarray) -> np.ndarray:
    """Return the gradient of the sum of losses with respect to the blend, (d,): divide by n for the mean."""
    if values.kind == "squared":
        return 2 * blend
    if values.kind == "log":
        return -1 / blend
    if values.kind == "softplus":
        return -sigmoid(-blend)
    return np.asarray(softmax(blend.reshape(-1, values.k)).ravel())


def least_curvature(values: Values, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return a lower bound (d,) of the second derivative of each entry's loss at blends from low to high, (d,) each;
    0 where none is known.
    """
    if values.kind == "squared":
        return np.full_like(low, 2.0)
    if values.kind == "log":
        return 1 / high**2  # falls
    if values.kind == "softplus":
        p = sigmoid(np.maximum(abs(low), abs(high)))  # p (1 - p) falls on both sides of 0
        return np.asarray(p * (1 - p))
    return np.zeros_like(low)


def hessian(values: Values, blend: np.ndarray, members: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    """Return the second derivative of the sum of losses with respect to the weights of some members, (a, a).

    It is that of the members' values in float32, block by block: hundreds of members of a million entries.

    dtype: of the products of a block, which are added up in float64.
    """

    def of_block(at: slice) -> np.ndarray:
        v: np.ndarray = values.matrix[members, at].astype(dtype)
        b = blend[at]
        if values.kind == "squared":
            return 2 * (v @ v.T)
        if values.kind == "log":
            v /= b
            return np.asarray(v @ v.T)
        if values.kind == "softplus":
            p = sigmoid(b)
            return np.asarray((v * (p * (1 - p)).astype(dtype)) @ v.T)
        p = softmax(b.reshape(-1, values.k)).astype(dtype)  # (rows, k)
        weighted = v * p.ravel()
        mean = weighted.reshape(len(v), -1, values.k).sum(axis=2)  # (a, rows)
        return np.asarray(weighted @ v.T - mean @ mean.T)

    total = np.zeros((len(members), len(members)))
    for one in _of_blocks(values, of_block, in_threads=dtype == np.float32):
        total += one
    return total


def single_blend(values: Values, weights: np.ndarray) -> np.ndarray:
    """Return the blend (d,) of the members' values in float32, added up in float64."""
    members = np.flatnonzero(weights)
    parts = _of_blocks(values, lambda at: weights[members] @ values.matrix[members, at], in_threads=True)
    return np.concatenate(list(parts))


def single_products(values: Values, slopes: np.ndarray) -> np.ndarray:
    """Return the products (m,) of the members' values in float32 and slopes (d,), added up in float64."""
    parts = _of_blocks(values, lambda at: values.matrix[:, at] @ slopes[at], in_threads=True)
    return np.asarray(sum(parts))


def _of_blocks(values: Values, function: Callable[[slice], np.ndarray], *, in_threads: bool) -> Iterator[np.ndarray]:
    """Yield what a function returns for each block of the entries, of whole rows, in their order."""
    step = values.k * (TILE_ENTRIES // values.k)
    blocks = [slice(start, start + step) for start in range(0, values.matrix.shape[1], step)]
    if not in_threads:
        yield from map(function, blocks)
        return
    with ThreadPoolExecutor(N_THREADS) as pool:
        yield from pool.map(function, blocks)


def _sum_of_logs(p: np.ndarray) -> float:
    """Sum the logs of probabilities of at least EPSILON: a log of products costs a sixteenth of the logs."""
    whole = len(p) - len(p) % N_FACTORS
    products = np.multiply.reduce(p[:whole].reshape(N_FACTORS, -1), axis=0)
    return float(np.log(products).sum() + np.log(p[whole:]).sum())
