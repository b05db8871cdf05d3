"""Blends of a regression: arithmetic by themselves, least squares on the simplex; methods of probabilities refused."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from helpers.blends import how, rows_of
from scipy.optimize import minimize
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from foldwise import blends
from foldwise.blends import compare_methods, fast_selection, nested, plain_selection
from foldwise.blends.convex import minimise
from foldwise.blends.convex_loss import loss, values_of
from foldwise.blends.fast_selection import select
from foldwise.blends.methods import METHODS, check_task
from foldwise.errors import ConfigError
from foldwise.scoring import objective
from foldwise.scoring.metrics import METRICS
from foldwise.scoring.rows import Problem
from foldwise.scoring.scale import weighted

PROBLEM = Problem("regression", metric="rmse")


def drawn_values(n=120, m=5, k=1, seed=0, scale=1.0, shift=0.0):
    """Members that see y through noise and a bias of their own."""
    rng = np.random.default_rng(seed)
    y = rng.normal(0, 1, (n, k))
    sd = np.linspace(0.4, 1.2, m)[:, None, None]
    p = y + rng.normal(0, 1, (m, n, k)) * sd + rng.normal(0, 0.1, (m, 1, 1))
    return rows_of(shift + scale * p, shift + scale * y, np.arange(n) % 5)


def test_the_mean_is_arithmetic_whatever_the_average_is():
    rows = rows_of(np.array([[[-3.0]], [[10.0]], [[200.0]]]))
    for average in ("logit", "arithmetic"):
        assert weighted(rows, np.full(3, 1 / 3), average, "regression")[0, 0] == pytest.approx(69)
        assert blends.mean(replace(PROBLEM, average=average), rows, rows).probabilities[0, 0] == pytest.approx(69)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-6, 5.0), (1e6, -1e7)])
@pytest.mark.parametrize("k", [1, 3])
def test_convex_weights_are_least_squares_on_the_simplex(k, scale, shift):
    rows = drawn_values(k=k, scale=scale, shift=shift)
    weights, gap = minimise(values_of(rows, "logit", "regression"))
    assert gap <= 1e-9
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    errors = ((rows.stack - rows.y) / scale).reshape(rows.m, -1)

    def cost(w):
        return float(((w @ errors) ** 2).mean())

    theirs = minimize(
        cost,
        np.full(rows.m, 1 / rows.m),
        method="SLSQP",
        bounds=[(0, 1)] * rows.m,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-14, "maxiter": 1000},
    ).x
    assert cost(weights) <= cost(theirs) + 1e-9
    assert weights == pytest.approx(theirs, abs=1e-3)


def test_where_no_weight_is_at_its_bound_it_is_the_least_squares_of_numpy():
    """With the sum of weights put in, the last weight is 1 minus the others: plain least squares."""
    rows = drawn_values(m=3)
    weights, _ = minimise(values_of(rows, "arithmetic", "regression"))
    assert weights.min() > 0.01
    p, y = rows.stack[:, :, 0], rows.y[:, 0]
    free = np.linalg.lstsq((p[:2] - p[2]).T, y - p[2], rcond=None)[0]
    assert weights == pytest.approx([*free, 1 - free.sum()], abs=1e-4)


def test_convex_of_two_by_hand():
    # errors of the first 1 1, of the second -3 1: w (1, 1) + (1 - w) (-3, 1); the first entry is 0 at w = 3/4
    rows = rows_of(np.array([[[1.0], [1.0]], [[-3.0], [1.0]]]), np.zeros((2, 1)))
    found = blends.convex(PROBLEM, rows, rows)
    assert found.weights == pytest.approx([0.75, 0.25], abs=1e-6)
    assert found.probabilities[:, 0] == pytest.approx([0, 1], abs=1e-5)


def test_by_output_weighs_each_target_by_itself():
    rows = drawn_values(n=400, m=3, k=2)
    p = rows.stack.copy()
    p[0, :, 1] += 50  # the best member of the first target is useless for the second
    rows = rows_of(p, rows.labels, rows.fold)
    found = nested.blend(PROBLEM, rows, rows.unlabelled(), how("by_output", options={"shrinkage": 0}))
    own = [
        minimise(values_of(replace(rows, stack=p[:, :, c : c + 1], labels=rows.y[:, c : c + 1]), "logit", "regression"))
        for c in (0, 1)
    ]
    for c in (0, 1):
        assert found.about["weights"][str(c)] == pytest.approx(own[c][0].tolist())
        assert found.probabilities[:, c] == pytest.approx(np.tensordot(own[c][0], p[:, :, c], 1))
    assert own[1][0][0] < 0.01 < own[0][0][0]


def test_the_linear_stacker_is_ridge_on_standardised_values():
    rows = drawn_values(k=2, m=4, scale=100, shift=1000)
    other = drawn_values(k=2, m=4, seed=1, scale=100, shift=1000)
    found = nested.blend(PROBLEM, rows, other.unlabelled(), how("linear", options={"strength": 3.0})).probabilities
    for c in (0, 1):
        scaler = StandardScaler().fit(rows.stack[:, :, c].T)
        model = Ridge(3.0).fit(scaler.transform(rows.stack[:, :, c].T), rows.y[:, c])
        assert found[:, c] == pytest.approx(model.predict(scaler.transform(other.stack[:, :, c].T)))
    # nearly without a penalty it is the least squares of numpy with an intercept
    found = nested.blend(PROBLEM, rows, other.unlabelled(), how("linear", options={"strength": 1e-9})).probabilities
    design = [np.column_stack([one.stack[:, :, 0].T, np.ones(len(one))]) for one in (rows, other)]
    by_hand = design[1] @ np.linalg.lstsq(design[0], rows.y[:, 0], rcond=None)[0]
    assert found[:, 0] == pytest.approx(by_hand)


def test_a_linear_stacker_takes_columns():
    rows = drawn_values(n=200, m=1)
    seen = np.random.default_rng(3).normal(size=200)
    rows = rows_of(rows.stack, rows.y + 5 * seen[:, None], rows.fold, seen=seen)
    scores = [
        objective.score_of(
            PROBLEM, rows, nested.nested(PROBLEM, rows, how("linear", options={"columns": columns}))
        ).value
        for columns in ([], ["seen"])
    ]
    assert scores[1] < 0.5 < 4 < scores[0]


@pytest.mark.parametrize("start", [0, 3])
@pytest.mark.parametrize("small", [False, True])
def test_the_fast_selection_is_the_plain_one(start, small):
    parts = {"N_LIKELY": 3, "ROUNDS_AHEAD": 4, "TILE_MEMBERS": 7, "BLOCK_ENTRIES": 32} if small else {"N_LIKELY": 32}
    for seed in range(4):
        rows = drawn_values(m=9, k=2, seed=seed, scale=10.0 ** (3 * seed - 4), shift=seed)
        with patch.multiple(fast_selection, **parts):
            found = select(values_of(rows, "logit", "regression"), 15, start)
        assert found.tolist() == plain_selection.select(PROBLEM, rows, 15, start).tolist()


def test_no_loss_is_below_its_bound():
    values = values_of(drawn_values(n=500, m=12, k=2), "logit", "regression")
    mean, total = (function([values.row(j) for j in range(6)], axis=0) for function in (np.mean, np.sum))
    guessed = fast_selection.Guess(values, mean, np.arange(12), np.arange(4)).next_rounds(total, 7, 3)
    for step, bounds in zip(guessed, fast_selection.LossBound(values, mean).of_rounds(guessed), strict=True):
        losses = np.array([loss(values, (step.total + values.row(j)) / step.size) for j in range(12)])
        assert (bounds <= losses).all()
        assert bounds == pytest.approx(losses, rel=1e-3)  # of a square the bound is the loss, but for rounding


@pytest.mark.parametrize("metric", ["mae", "r2", "rmse"])
def test_greedy_selection_goes_by_the_objective(metric):
    rows, problem = drawn_values(n=150, m=6, seed=4), replace(PROBLEM, metric=metric)
    found = nested.blend(problem, rows, rows, how("greedy"))
    alone = objective.costs_alone(problem, rows)
    assert objective.cost_in_sample(problem, rows.y, found.probabilities) <= min(alone)
    single = nested.blend(problem, rows, rows, how("single"))
    assert single.weights.argmax() == int(np.argmin(alone))


def test_scores_are_nested_and_the_labels_of_a_fold_change_no_blend_of_it():
    rows = drawn_values(m=4, k=2)
    flipped = rows.y.copy()
    flipped[rows.fold == 1] *= -1
    for name in ("single", "mean", "greedy", "convex", "by_output", "linear"):
        one, other = (nested.nested(PROBLEM, replace(rows, labels=y), how(name)) for y in (rows.y, flipped))
        assert (one[rows.fold == 1] == other[rows.fold == 1]).all()
        if name not in ("mean", "single"):
            assert (one[rows.fold == 0] != other[rows.fold == 0]).any()


def test_methods_are_compared_on_values():
    rows = drawn_values(n=300, m=4)
    chosen, reports, predictions = compare_methods.compare(PROBLEM, rows, how("compare"))
    assert (predictions == nested.nested(PROBLEM, rows, chosen)).all()
    assert [one["method"] for one in reports] == ["single", "mean", "mean of the best", "greedy", "convex", "linear"]
    best = min(reports, key=lambda one: one["nested_score"])
    assert best["nested_score"] < reports[0]["nested_score"]
    assert chosen.name != "single"
    with pytest.raises(ConfigError, match=r"methods=rank: no such method of task=regression; .*single"):
        compare_methods.compare(PROBLEM, rows, how("compare"), methods=["mean", "rank"])


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"files"}))
def test_every_method_blends_values_or_is_refused(name):
    if "regression" in METHODS[name].tasks:
        check_task(how(name), "regression")
        rows = drawn_values(k=2)
        p = nested.nested(PROBLEM, rows, how(name))
        assert np.isfinite(METRICS["rmse"].value(rows.y, p, "regression"))
    else:
        with pytest.raises(ConfigError, match=f"ensemble={name}: it does not blend the values of a regression; choose"):
            check_task(how(name), "regression")


@pytest.mark.parametrize(
    ("settings", "task", "message"),
    [
        (how("mean", calibrate="platt"), "regression", "ensemble.calibrate=platt: .* set ensemble.calibrate=none"),
        (how("mean", clip=0.01), "regression", "ensemble.clip=0.01: .* set ensemble.clip=null"),
        (how("mean", cap_by="scan"), "regression", "ensemble.cap_by=scan: it changes probabilities"),
        (how("files", options={"how": "geometric"}), "regression", "how=geometric: .* one of mean, median, rank"),
        (how("linear"), "multiclass", "ensemble=linear: it does not blend probabilities of classes; choose one of"),
    ],
)
def test_what_needs_probabilities_or_values_is_refused(settings, task, message):
    with pytest.raises(ConfigError, match=message):
        check_task(settings, task)


@pytest.mark.parametrize("way", ["mean", "median", "rank"])
def test_files_of_values_are_blended(way):
    rows = rows_of(np.array([[[-10.0], [3.0], [50.0]], [[-20.0], [5.0], [70.0]], [[-60.0], [10.0], [0.0]]]))
    found = blends.files(PROBLEM, rows, rows, how=way).probabilities[:, 0]
    # rank: mean ranks 1, 7/3 and 8/3 of the sorted means (-20 -15 ...): the lowest, the middle and the highest level
    levels = np.sort(rows.stack[:, :, 0], axis=1).mean(axis=0)
    expected = {"mean": [-30, 6, 40], "median": [-20, 5, 50], "rank": levels}[way]
    assert found == pytest.approx(expected)
