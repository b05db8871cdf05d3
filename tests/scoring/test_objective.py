"""Metrics besides log loss: literal values, decisions learned where they may be, and one direction everywhere."""

import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from helpers.blends import SIGMOID, drawn, drawn_for, how, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from foldwise.blends import compare_methods, nested, plain_selection
from foldwise.blends.convex_loss import values_of
from foldwise.blends.fast_selection import select
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.runs import recipe
from foldwise.runs.report import score_of as reported_score
from foldwise.scoring import compare_runs, decisions, metrics, objective
from foldwise.scoring.metrics import METRICS, Metric
from foldwise.scoring.out_of_fold import out_of_fold_predictions
from foldwise.scoring.rows import Problem
from foldwise.settings import Metric as MetricName
from foldwise.stages import score

Y = np.array([[1], [1], [1], [0], [0]], float)
P = np.array([[0.9], [0.4], [0.6], [0.7], [0.1]])


def test_values_by_hand():
    said = decisions.decide(P, [0.5], "binary")
    assert said[:, 0].tolist() == [1, 0, 1, 1, 0]
    value = lambda metric, answers: METRICS[metric].value(Y, answers, "binary")  # noqa: E731
    assert value("auc", P) == pytest.approx(4 / 6)  # of 6 pairs, .4 < .7 and .6 < .7 are the wrong ones
    assert value("accuracy", said) == pytest.approx(3 / 5)
    assert value("f1", said) == pytest.approx(2 / 3)
    # 3 of 5 agree; by chance 3/5 3/5 + 2/5 2/5 = 13/25: (15 - 13) / (25 - 13)
    assert value("kappa", said) == pytest.approx(1 / 6)
    # ln(1.9 / 2), ln(1.4 / 2), ln(1.6 / 2), ln 1.7, ln 1.1: squares .002631 .127217 .049793 .281568 .009084
    assert value("rmsle", P) == pytest.approx(0.306690, abs=2e-6)  # the root of .470293 / 5
    assert value("log_loss", P) == metrics.log_loss(Y, P)
    # errors .1 .6 .4 .7 .1, squares .01 .36 .16 .49 .01
    assert value("mae", P) == pytest.approx(1.9 / 5)
    assert value("rmse", P) == pytest.approx((1.03 / 5) ** 0.5)


def test_mae_and_rmse_are_those_of_raw_numbers():
    y, answers = np.array([[10.0], [-20.0], [3.0]]), np.array([[13.0], [-24.0], [3.0]])
    assert METRICS["mae"].value(y, answers, "binary") == pytest.approx(7 / 3)
    assert METRICS["rmse"].value(y, answers, "binary") == pytest.approx((25 / 3) ** 0.5)
    score = objective.score_answers("rmse", y, answers, "binary", None)
    assert 0 <= objective.interval(score)[0] < score.value < objective.interval(score)[1] <= 4


def test_every_metric_of_the_settings_has_an_entry():
    assert set(METRICS) == set(get_args(MetricName))


def mcc(y, answers, task):
    return float(sk.matthews_corrcoef(y[:, 0], answers[:, 0]))


def mcc_of_confusion(matrices, task):
    (tn, fp), (fn, tp) = np.moveaxis(matrices, (-2, -1), (0, 1))
    return (tp * tn - fp * fn) / np.sqrt(np.maximum((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn), 1e-300))


def test_a_metric_is_one_entry(monkeypatch):
    """Its value, its interval, its thresholds, the ranking by it and the choice of a method by it."""
    entry = Metric("MCC", lower_is_better=False, counts_decisions=True, value=mcc, of_confusion=mcc_of_confusion)
    monkeypatch.setitem(METRICS, "mcc", entry)
    # decisions 1 0 1 1 0 of P: 2 true positives, 1 true negative, 1 false of each: (2 - 1) / sqrt(3 * 3 * 2 * 2)
    assert entry.value(Y, decisions.decide(P, [0.5], "binary"), "binary") == pytest.approx(1 / 6)
    assert decisions.learn("mcc", Y, P, "binary") == [pytest.approx(0.25)]  # then only .7 is wrong
    problem, rows = Problem("binary", metric="mcc"), drawn(n=300, m=1, seed=2, skill=3.0)
    rows = rows_of(np.concatenate([1 - rows.stack, rows.stack]), rows.labels, rows.fold)
    bad, good = (objective.score_of(problem, rows, rows.member(j)) for j in range(2))
    low, high = objective.interval(good)
    assert 0.3 < low < good.value < high < 0.9
    assert objective.cost("mcc", good.value) == -good.value < objective.cost("mcc", bad.value)
    assert compare_runs.gain(bad, good)["interval"][0] > 0
    assert nested.best_first(problem, rows)[0] == 1
    assert compare_methods.compare(problem, rows, how("compare"), methods=["single", "mean"])[0].name == "single"
    assert "difference of MCC" in compare_runs.table(["a", "b"], rows, problem)


def test_a_metric_that_lacks_something_fails_loudly(monkeypatch):
    with pytest.raises(ValueError, match="MCC: expected of_confusion if, and only if, it counts decisions"):
        Metric("MCC", lower_is_better=False, counts_decisions=True, value=mcc)
    with pytest.raises(ValueError, match="MCC: expected of_confusion"):
        Metric("MCC", lower_is_better=False, counts_decisions=False, value=mcc, of_confusion=mcc_of_confusion)
    with pytest.raises(ValueError, match="MCC has none of per_row, of_weights and of_confusion"):
        Metric("MCC", lower_is_better=False, counts_decisions=False, value=mcc)
    with pytest.raises(TypeError, match="value"):
        Metric("MCC", lower_is_better=False, counts_decisions=True, of_confusion=mcc_of_confusion)
    rows = drawn(n=20)
    with pytest.raises(KeyError, match="mcc"):  # a name alone is no metric
        objective.score_of(Problem("binary", metric="mcc"), rows, rows.member(0))
    with pytest.raises(ValueError, match="auc counts no decisions"):
        decisions.learn("auc", Y, P, "binary")


def test_quadratic_kappa_of_ordered_classes_by_hand():
    truth, said = np.eye(3)[[0, 1, 2, 2]], np.eye(3)[[0, 1, 1, 2]]
    # one step of squared distance 1; by chance rows (1, 1, 2) and columns (1, 2, 1): (2 + 4 + 1 + 1 + 8 + 4) / 4 = 5
    assert METRICS["kappa"].value(truth, said, "multiclass") == pytest.approx(1 - 1 / 5)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from(["binary", "multilabel", "multiclass"]), st.sampled_from(list(METRICS)))
def test_the_weighted_statistic_is_scikit_learns(seed, task, metric):
    """With all weights 1 it is the reported value; weights count rows as often as they say."""
    rng = np.random.default_rng(seed)
    n, k = 40, 1 if task == "binary" else 3
    p = np.round(rng.random((n, k)), 1) * 0.98 + 0.01  # with ties
    y = np.eye(3)[np.arange(n) % 3] if task == "multiclass" else (np.arange(n)[:, None] % (k + 2) < 1).astype(float)
    y = np.tile(y, (1, k)) if y.shape[1] != k else y
    answers = decisions.decide(p, decisions.untuned(metric, k, task), task) if METRICS[metric].counts_decisions else p
    found = METRICS[metric].statistic(y, answers, task)
    assert found(np.ones(n)) == pytest.approx(METRICS[metric].value(y, answers, task), abs=1e-12)
    weights = rng.integers(0, 4, n)
    weights[:12] = 1
    drawn_rows = np.repeat(np.arange(n), weights)
    expected = METRICS[metric].value(y[drawn_rows], answers[drawn_rows], task)
    assert found(weights.astype(float)) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from(["accuracy", "f1", "kappa"]))
def test_no_threshold_beats_the_one_that_is_learned(seed, metric):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 25))
    y, p = (rng.random((n, 1)) < 0.4).astype(float), np.round(rng.random((n, 1)), 1)
    y[:2] = [[0], [1]]
    scikit = {
        "accuracy": sk.accuracy_score,
        "f1": lambda a, b: sk.f1_score(a, b, zero_division=0),
        "kappa": sk.cohen_kappa_score,
    }[metric]
    (threshold,) = decisions.learn(metric, y, p, "binary")
    tried = [scikit(y[:, 0], p[:, 0] >= t) for t in np.arange(-0.05, 1.1, 0.1)]
    assert scikit(y[:, 0], p[:, 0] >= threshold) == pytest.approx(max(tried), abs=1e-12)


def test_thresholds_and_cuts_by_hand():
    # F1 of the 1, 2, ... likeliest: 1/2, 2/5, 2/3, 6/7, 3/4: the four from .4 on; half-way to .1
    assert decisions.learn("f1", Y, P, "binary") == [pytest.approx(0.25)]
    # accuracy is 3/5 or 4/5 above .1, too
    assert decisions.learn("accuracy", Y, P, "binary") == [pytest.approx(0.25)]
    half = np.full((4, 1), 0.5)
    assert decisions.learn("accuracy", np.zeros((4, 1)), half, "binary") == [decisions.NONE_ABOVE]
    # expected classes .2 .3 | .8 .9 | 1.1 1.2 of three classes: cuts at the halves would give 0 0 1 1 1 1
    expected = np.array([0.2, 0.3, 0.8, 0.9, 1.1, 1.2])
    p = np.stack([1 - expected / 2, 0 * expected, expected / 2], axis=1)
    y = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    cuts = decisions.learn("kappa", y, p, "multiclass")
    assert 0.3 < cuts[0] <= 0.8
    assert 0.9 < cuts[1] <= 1.1
    assert (decisions.decide(p, cuts, "multiclass") == y).all()
    assert decisions.untuned("kappa", 3, "multiclass") == [0.5, 1.5]


def test_of_other_classes_the_likeliest_is_taken():
    p = np.array([[0.4, 0.35, 0.25], [0.1, 0.2, 0.7]])
    assert decisions.learn("f1", np.eye(3)[[1, 2]], p, "multiclass") == []
    assert decisions.decide(p, [], "multiclass").tolist() == [[1, 0, 0], [0, 0, 1]]


def test_thresholds_are_learned_on_the_other_folds():
    """In fold 1 the labels stand on their head: a threshold that saw them would be another."""
    rng = np.random.default_rng(0)
    p = rng.random((200, 1))
    fold = np.arange(200) % 2
    y = np.where(fold[:, None] == 0, p > 0.3, p < 0.7).astype(float)
    rows = rows_of(p[None], y, fold)
    problem = Problem("binary", metric="accuracy")
    (other,) = decisions.learn("accuracy", y[fold == 0], p[fold == 0], "binary")
    assert other == pytest.approx(0.3, abs=0.02)
    found = objective.score_of(problem, rows, p)
    expected = (y[fold == 1] == (p[fold == 1] >= other)).mean(axis=1)
    assert (found.rows[fold == 1] == expected).all()
    flipped = y.copy()
    flipped[fold == 1] = 1 - flipped[fold == 1]
    after = objective.score_of(problem, replace(rows, labels=flipped), p)
    assert (after.rows[fold == 1] == 1 - found.rows[fold == 1]).all()  # the decisions are the same


def test_the_interval_of_a_metric_covers_and_groups_widen_it():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1.5, (400, 1))
    y = (rng.random((400, 1)) < SIGMOID(z)).astype(float)
    for metric in ("auc", "f1", "kappa", "rmsle"):
        rows = rows_of(SIGMOID(z)[None], y, np.arange(400) % 5)
        one = objective.score_of(Problem("binary", metric=metric), rows, SIGMOID(z))
        low, high = objective.interval(one)
        assert low < one.value < high
        tenfold = np.repeat(np.arange(400), 10)  # the same rows ten times, as groups: no more is known than before
        many = rows_of(SIGMOID(z)[tenfold][None], y[tenfold], tenfold % 5, group=tenfold)
        grouped = objective.interval(objective.score_of(Problem("binary", metric=metric), many, SIGMOID(z)[tenfold]))
        assert grouped == pytest.approx([low, high], abs=0.03 * (high - low) + 0.01)
    # Hanley and McNeil's standard error of an AUC of .8 of 200 and 200 rows is .022: the interval is 4 of them wide
    auc = objective.score_of(Problem("binary", metric="auc"), rows, SIGMOID(z))
    assert np.subtract(*objective.interval(auc)[::-1]) == pytest.approx(4 * 0.021, abs=0.02)


def test_log_loss_is_scored_as_before():
    rows = drawn(n=120, m=2, seed=3)
    p, q = rows.member(0), rows.member(1)
    losses = metrics.row_losses(rows.y, p), metrics.row_losses(rows.y, q)
    one, other = (objective.score_of(Problem("binary"), rows, x) for x in (p, q))
    assert one.value == float(losses[0].mean())
    assert objective.interval(one) == metrics.bootstrap_interval(losses[0])
    assert compare_runs.score_difference(one, other) == compare_runs.difference(*losses)
    assert compare_runs.gain(one, other) == compare_runs.difference(*losses)
    assert compare_runs.cost_difference(one, other) == (
        (losses[0] - losses[1]).mean(),
        compare_runs.standard_error(losses[0] - losses[1]),
    )


@pytest.mark.parametrize(
    ("metric", "sign"), [("auc", -1), ("accuracy", -1), ("f1", -1), ("kappa", -1), ("rmsle", 1), ("mae", 1)]
)
def test_the_direction_is_known_everywhere(metric, sign):
    rows = drawn(n=300, m=1, seed=2, skill=3.0)
    rows = rows_of(np.concatenate([1 - rows.stack, rows.stack, 0 * rows.stack + 0.5]), rows.labels, rows.fold)
    problem = Problem("binary", metric=metric)
    good, bad = (objective.score_of(problem, rows, rows.member(j)) for j in (1, 0))
    assert objective.cost(metric, good.value) == sign * good.value < sign * bad.value
    assert compare_runs.gain(bad, good)["difference"] == pytest.approx(sign * (bad.value - good.value))
    assert compare_runs.gain(bad, good)["interval"][0] > 0
    assert compare_runs.cost_difference(bad, good)[0] > compare_runs.cost_difference(bad, good)[1] > 0
    assert nested.best_first(problem, rows)[0] == 1
    assert nested.blend(problem, rows, rows.unlabelled(), how("single")).weights.tolist() == [0, 1, 0]
    assert compare_runs.drop_one(rows, problem)[1] > 0
    chosen, reports, _ = compare_methods.compare(problem, rows, how("compare"), methods=["single", "mean"])
    by_name = {report["method"]: report for report in reports}
    assert by_name["mean"]["gain"] < 0
    assert chosen.name == "single"
    assert by_name["single"]["nested_score"] == pytest.approx(good.value)


def test_the_objective_chooses_another_member_than_log_loss():
    """The second orders the rows rightly but says 1/2 of all: the best AUC and F1, and a poor log loss."""
    z = np.random.default_rng(0).normal(0, 2, 300)
    y = (z > 0).astype(float)
    noisy = SIGMOID(np.where(y, 2, -2) * np.where(np.arange(300) % 20, 1, -1) + 0.1 * z)
    rows = rows_of(np.stack([noisy, 0.5 + 0.01 * np.tanh(z)])[:, :, None], y[:, None], np.arange(300) % 5)
    best = {metric: nested.best_first(Problem("binary", metric=metric), rows)[0] for metric in METRICS}
    by_value = {"log_loss": 0, "rmsle": 0, "mae": 0, "rmse": 0, "r2": 0}
    assert best == by_value | {"auc": 1, "accuracy": 1, "f1": 1, "kappa": 1}


@pytest.mark.parametrize("average", ["logit", "arithmetic"])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_the_plain_search_by_log_loss_is_the_fast_one(average, task):
    for seed in range(3):
        rows = drawn_for(task, 120, 7, seed)
        for start, members in ((0, None), (3, None), (0, np.array([1, 4, 6]))):
            found = plain_selection.select(Problem(task, average), rows, 12, start, members)
            assert found.tolist() == select(values_of(rows, average, task), 12, start, members).tolist()


def test_greedy_selection_by_the_objective_beats_that_by_log_loss_in_sample():
    rows = drawn(n=150, m=8, seed=6, skill=0.6)
    for metric in ("auc", "f1", "kappa", "accuracy", "rmsle", "mae", "rmse"):
        problem = Problem("binary", metric=metric)
        costs = [
            objective.cost_in_sample(problem, rows.y, nested.blend(p, rows, rows, how("greedy")).probabilities)
            for p in (problem, Problem("binary"))
        ]
        assert costs[0] <= costs[1] + 1e-12
        assert costs[0] <= min(objective.costs_alone(problem, rows)) + 1e-12


def test_a_metric_that_is_not_defined_says_so():
    with pytest.raises(FoldwiseError, match=r"competition.metric=auc: not defined where"):
        METRICS["auc"].value(np.ones((2, 1)), np.full((2, 1), 0.5), "binary")


def test_the_rows_of_a_fold_are_predicted_without_labels():
    rows = drawn(n=10)

    def predict(train, other):
        assert other.labels is None
        assert len(train) == 8
        return np.full((len(other), 1), train.y.sum())

    found = out_of_fold_predictions(rows, predict)
    assert found[:, 0].tolist() == [rows.y.sum() - rows.y[rows.fold == i % 5].sum() for i in range(10)]


def test_the_table_of_runs_shows_the_objective_first():
    report = {
        **{"model": "mlp", "run_key": "0123456789ab", "log_loss": 0.25, "log_loss_interval": [0.2, 0.3]},
        **{"fold_log_loss": [0.2, 0.3], "accuracy": 0.9, "f1": 0.8, "auc": 0.95, "seconds": 60.0},
        **{"metric": "f1", "score": 0.85, "score_interval": [0.8, 0.9], "metrics": {"f1": 0.85, "kappa": 0.7}},
    }
    header, row = score.show([json.loads(json.dumps(report))], 140).splitlines()
    assert " ".join(header.split()) == "run F1 95 % interval kappa log loss accuracy AUC minutes"
    assert row.split()[1:] == ["0.8500", "0.800-0.900", "0.7000", "0.2500", "0.9000", "0.9500", "1.0"]
    assert reported_score(report) == 0.85
    assert reported_score({"log_loss": 0.25}) == 0.25


def test_the_objective_leaves_the_run_key_alone(settings):
    names = set()
    for words in ((), ("competition.metric=auc", "competition.shown=[f1,kappa]")):
        one = settings("competition=faces", *words)
        names.add(recipe.run_name(recipe.make_recipe(one, "data", "split")))
    assert len(names) == 1
    with pytest.raises(ConfigError, match=r"competition.metric=acu: .*auc"):
        settings("competition=faces", "competition.metric=acu")
