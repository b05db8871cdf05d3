"""Metrics of a regression and of ordered classes: literal values, scikit-learn, and which metric fits which task."""

import numpy as np
import pytest
from helpers.blends import rows_of
from sklearn import metrics as sk

from foldwise.errors import ConfigError
from foldwise.scoring import breakdown, compare_runs, decisions, metrics, objective
from foldwise.scoring.metrics import METRICS
from foldwise.scoring.rows import Problem
from foldwise.stages import score

Y = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 60.0]])
P = np.array([[2.0, 10.0], [2.0, 30.0], [2.0, 50.0]])


def value(metric, y=Y, p=P):
    return METRICS[metric].value(y, p, "regression")


def test_values_by_hand():
    # errors 1 0, 0 10, -1 -10
    assert value("mae") == pytest.approx(22 / 6)
    assert value("rmse") == pytest.approx((202 / 6) ** 0.5)
    # of the first target SS_res 2 and SS_tot 2: 0; of the second 200 and 400 + 100 + 900 = 1400
    assert value("r2") == pytest.approx((0 + 1 - 200 / 1400) / 2)
    # ln(3/2), ln(11/11), ...: a negative answer counts as 0
    assert value("rmsle", np.array([[1.0], [0.0]]), np.array([[2.0], [-5.0]])) == pytest.approx(
        (np.log(1.5) ** 2 / 2) ** 0.5
    )
    assert METRICS["r2"].lower_is_better is False


@pytest.mark.parametrize("metric", ["mae", "rmse", "r2", "rmsle"])
def test_the_weighted_statistic_counts_rows_as_often_as_they_are_there(metric):
    rng = np.random.default_rng(0)
    y, p = rng.gamma(2, 10, (30, 2)), rng.gamma(2, 10, (30, 2))
    weights = rng.integers(1, 4, 30)
    at = np.repeat(np.arange(30), weights)
    found = METRICS[metric].statistic(y, p, "regression")
    assert found(weights.astype(float)) == pytest.approx(value(metric, y[at], p[at]))


@pytest.mark.parametrize("metric", ["mae", "rmse", "r2", "rmsle"])
def test_every_metric_of_values_has_an_interval_and_a_paired_difference(metric):
    rng = np.random.default_rng(0)
    y = rng.gamma(2, 10, (200, 1))
    good, bad = y + rng.normal(0, 1, y.shape), y + rng.normal(0, 3, y.shape)
    rows = rows_of(np.stack([good, bad]), y, np.arange(200) % 5)
    problem = Problem("regression", metric=metric)
    one, other = (objective.score_of(problem, rows, rows.member(j)) for j in range(2))
    low, high = objective.interval(one)
    assert low < one.value < high
    assert compare_runs.gain(other, one)["interval"][0] > 0
    # the standard error of a mean of 200 |normal| of sd 1 is sqrt(1 - 2 / pi) / sqrt(200) = .0426
    if metric == "mae":
        assert high - low == pytest.approx(2 * 1.96 * 0.0426, rel=0.2)


def test_r2_is_not_defined_of_one_value():
    constant = np.ones((3, 1))
    assert objective.value_or_none("r2", constant, constant, "regression") is None
    assert objective.for_humans(Y, P, "regression") == {"mae": value("mae"), "r2": value("r2")}


@pytest.mark.parametrize(
    ("metric", "task", "message"),
    [
        ("log_loss", "regression", "set competition.metric=rmse, or another: rmsle, mae, rmse, r2"),
        ("kappa", "regression", "kappa does not score; set competition.metric=rmse"),
        ("r2", "binary", "the task is binary, which R2 does not score; set competition.metric=log_loss"),
        ("rmse", "ordinal", "or another: log_loss, auc, accuracy, f1, kappa"),
    ],
)
def test_a_metric_of_another_task_is_refused_with_the_choices(metric, task, message):
    with pytest.raises(ConfigError, match=message):
        metrics.check_metric(metric, task)


def test_every_task_has_its_usual_metric_and_those_of_before_keep_theirs():
    for task in ("binary", "multiclass", "multilabel"):
        for metric in ("log_loss", "auc", "accuracy", "f1", "kappa", "rmsle", "mae", "rmse"):
            metrics.check_metric(metric, task)
    for task in ("regression", "ordinal"):
        metrics.check_metric(metrics.usual_metric(task), task)


def test_the_breakdown_shows_the_rmse_of_the_rows_of_a_value():
    import pandas as pd

    table = pd.DataFrame({"site": ["a", "a", "b"]})
    y, p = np.array([[1.0], [3.0], [5.0]]), np.array([[2.0], [3.0], [9.0]])
    parts = breakdown.breakdown(table, "site", y, metrics.usual_losses(y, p, "regression"), "regression")
    assert [part["value"] for part in parts] == ["a", "b", "all"]
    assert [part["rmse"] for part in parts] == pytest.approx([0.5**0.5, 4, (17 / 3) ** 0.5])
    assert [part["constant"] for part in parts] == pytest.approx([1, 0, (8 / 3) ** 0.5])
    assert breakdown.show("site", {"run": parts}, 80).startswith("RMSE, and its share of what a constant scores")


def test_the_table_of_runs_has_the_columns_of_values():
    report = {
        **{"model": "mlp", "run_key": "0123456789ab", "rmse": 2.5, "rmse_interval": [2.25, 2.75]},
        **{"fold_rmse": [2.0, 3.0], "mae": 1.5, "r2": 0.75, "seconds": 60.0},
    }
    header, row = score.show([report], 140).splitlines()
    assert " ".join(header.split()) == "run RMSE 95 % interval folds, sd MAE R2 minutes"
    assert row.split()[1:] == ["2.5000", "2.250-2.750", "0.707", "1.5000", "0.7500", "1.0"]
    measured = report | {"metric": "r2", "score": 0.75, "score_interval": [0.7, 0.8], "metrics": {"r2": 0.75}}
    header, row = score.show([measured], 140).splitlines()
    assert " ".join(header.split()) == "run R2 95 % interval RMSE MAE minutes"
    assert row.split()[1:] == ["0.7500", "0.700-0.800", "2.5000", "1.5000", "1.0"]


def test_kappa_of_ordered_classes_is_that_of_scikit_learn():
    truth, answers = [0, 1, 2, 3, 4, 2, 1, 0, 3, 4], [0, 2, 2, 3, 3, 1, 1, 0, 4, 4]
    y, said = np.eye(5)[truth], np.eye(5)[answers]
    # 4 rows are one step off; by chance (10 * 60 + 10 * 60 - 2 * 20 * 20) / 10 = 40: 1 - 4 / 40
    assert METRICS["kappa"].value(y, said, "ordinal") == pytest.approx(0.9)
    assert sk.cohen_kappa_score(truth, answers, weights="quadratic") == pytest.approx(0.9)
    matrix = sk.confusion_matrix(truth, answers)
    assert metrics.kappa_of_confusion(matrix.astype(float), "ordinal") == pytest.approx(0.9)


def test_ordered_classes_are_decided_by_cuts_of_the_expected_class():
    # expected classes 1 and 1.1; the likeliest are 0 and 2
    p = np.array([[0.4, 0.2, 0.4], [0.3, 0.3, 0.4]])
    for metric in ("accuracy", "f1", "kappa"):
        cuts = decisions.untuned(metric, 3, "ordinal")
        assert cuts == [0.5, 1.5]
        assert decisions.decide(p, cuts, "ordinal").argmax(axis=1).tolist() == [1, 1]
    assert decisions.decide(p, decisions.untuned("accuracy", 3, "multiclass"), "multiclass").argmax(1).tolist() == [
        0,
        2,
    ]
    # the expected class is shrunk to the middle: 0 to .8, 1 to 1, 2 to 1.2; cuts at the halves would decide 1 always
    y = np.eye(3)[np.arange(30) % 3]
    shrunk = np.array([[0.4, 0.4, 0.2], [0.25, 0.5, 0.25], [0.2, 0.4, 0.4]])[np.arange(30) % 3]
    cuts = decisions.learn("kappa", y, shrunk, "ordinal")
    assert 0.8 < cuts[0] <= 1 < cuts[1] <= 1.2
    assert (decisions.decide(shrunk, cuts, "ordinal") == y).all()
    rows = rows_of(shrunk[None], y, np.arange(30) // 6)
    assert objective.score_of(Problem("ordinal", metric="kappa"), rows, shrunk).value == 1.0
    found = objective.for_humans(y, shrunk, "ordinal")
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["confusion_matrix"] == [[0, 10, 0], [0, 10, 0], [0, 10, 0]]


@pytest.mark.parametrize("metric", ["kappa", "accuracy"])
def test_cuts_are_learned_on_the_other_folds(metric):
    """Fold 1 has its labels turned round: cuts that saw them would be others."""
    rng = np.random.default_rng(0)
    expected = rng.random(200) * 2
    p = np.stack([1 - expected / 2, 0 * expected, expected / 2], axis=1)
    fold = np.arange(200) % 2
    classes = np.where(fold == 0, (expected > 0.4).astype(int) + (expected > 1.7), 2 - (expected > 1))
    rows = rows_of(p[None], np.eye(3)[classes], fold)
    found = objective.score_of(Problem("ordinal", metric=metric), rows, p)
    decided = np.empty(200, int)
    for k in (0, 1):
        cuts = decisions.learn(metric, rows.y[fold != k], p[fold != k], "ordinal")
        decided[fold == k] = decisions.decide(p[fold == k], cuts, "ordinal").argmax(axis=1)
    theirs = {
        "kappa": lambda: sk.cohen_kappa_score(classes, decided, weights="quadratic"),
        "accuracy": lambda: sk.accuracy_score(classes, decided),
    }[metric]()
    assert found.value == pytest.approx(theirs)
