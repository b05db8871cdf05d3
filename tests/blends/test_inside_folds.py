"""Stacks whose penalties and rounds are chosen inside the folds, and the second level that stands on several blends."""

import sys
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from helpers.blends import SIGMOID, drawn, how, rows_of

from foldwise.blends import bases, column_pool, nested, over_bases, paths
from foldwise.blends.column_pool import Near, Pool
from foldwise.errors import ConfigError
from foldwise.scoring import metrics
from foldwise.scoring.rows import Problem


def test_the_path_of_penalties_is_that_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 2, (300, 4)), (rng.random(300) < 0.4).astype(float)
    found = paths.Ridge().fit(x, y)(x)
    scaled = StandardScaler().fit_transform(x)
    for strength, p in zip(paths.STRENGTHS, found, strict=True):
        expected = LogisticRegression(C=1 / strength, tol=1e-10, max_iter=1000).fit(scaled, y).predict_proba(scaled)
        assert p == pytest.approx(expected[:, 1], abs=1e-4)


def test_positive_weights_are_those_of_an_independent_solver():
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    x = rng.normal(0, 2, (200, 1)) + rng.normal(0, 1, (200, 4))
    y = (rng.random(200) < SIGMOID(1.5 * x[:, 0] - x[:, 1])).astype(float)
    found = paths.Ridge((30.0, 3.0), positive=True).fit(x, y)
    for strength, p in zip((30.0, 3.0), found(x), strict=True):

        def cost(t, strength=strength):
            z, sd = x @ t[:4] + t[4], x.std()  # weights of logits; the penalty is that of weights times their sd
            apart = strength * sd**2 * ((t[:4] - 1 / 4) ** 2).sum() + 1e-3 * t[4] ** 2
            return (np.logaddexp(0, z) - y * z).sum() + apart / 2

        theirs = minimize(cost, np.full(5, 0.2), method="SLSQP", bounds=[(0, 9)] * 4 + [(-9, 9)], tol=1e-12).x
        assert theirs[1] == pytest.approx(0, abs=1e-9)  # else the bound were not tested
        assert p == pytest.approx(SIGMOID(x @ theirs[:4] + theirs[4]), abs=1e-4)


def test_labels_of_one_class_have_their_smoothed_share():
    x = np.arange(6.0).reshape(3, 2)
    for path in (paths.Ridge(), paths.Trees()):
        # (3 + 1/2) / (3 + 1)
        assert (paths.fitted(path, x, np.ones(3))(x) == 0.875).all()


@pytest.mark.parametrize(("signal", "strongest"), [(0.0, True), (3.0, False)])
def test_noise_calls_for_a_strong_penalty_and_a_signal_for_a_weak_one(signal, strongest):
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1, (300, 30))
    y = (rng.random(300) < SIGMOID(signal * x[:, 0])).astype(float)
    best, p = paths.chosen(paths.Ridge(), x, y, np.arange(300) % 5)
    assert (paths.STRENGTHS[best] >= 1000) is strongest
    every = paths.inside_folds(paths.Ridge(), x, y, np.arange(300) % 5)
    assert (p == every[best]).all()
    assert paths.log_loss(y, p) == min(paths.log_loss(y, one) for one in every)


def test_a_fit_on_all_folds_but_two_serves_both():
    paths._kept.clear()
    rows, fit = drawn(n=100, m=3, seed=11), paths.Ridge.fit
    chosen = how("logistic", options={"strength": "auto"})
    with patch.object(paths.Ridge, "fit", autospec=True, side_effect=fit) as called:
        nested.nested(Problem("binary"), rows, chosen)
    assert called.call_count == 5 + 10  # four folds of five, and three of five: 25 without memory
    assert len({sent.args[1].tobytes() for sent in called.call_args_list}) == 15


def test_what_is_remembered_depends_on_features_and_labels():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 2)), (np.arange(50) % 2).astype(float)
    first = paths.fitted(paths.Ridge(), x, y)
    assert paths.fitted(paths.Ridge(), x.copy(), y.copy()) is first
    assert paths.fitted(paths.Ridge(), x, 1 - y) is not first
    assert paths.fitted(paths.Ridge(), x + 1, y) is not first
    assert paths.fitted(paths.Ridge(strengths=(1.0,)), x, y) is not first


LIGHTGBM = how("boosted", options={"rounds": "auto", "trees": "lightgbm", "leaf": 5})


def test_lightgbm_grows_the_trees_and_the_same_ones_each_time():
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = (rng.random(300) < SIGMOID(2 * np.sign(x[:, 0] * x[:, 1]))).astype(float)
    path = paths.Trees(rounds=(3, 10), seeds=1, share=1.0, library="lightgbm")
    once, again = path.fit(x, y)(x), path.fit(x, y)(x)
    assert (once == again).all()
    theirs = lightgbm.LGBMClassifier(
        n_estimators=10, max_depth=2, num_leaves=4, learning_rate=0.15, min_child_samples=20, max_bin=63, verbosity=-1
    ).fit(x, y)
    assert once[1] == pytest.approx(theirs.predict_proba(x)[:, 1], abs=1e-9)
    assert once[0] == pytest.approx(theirs.predict_proba(x, num_iteration=3)[:, 1], abs=1e-9)
    seeds = paths.Trees(rounds=(10,), seeds=2, library="lightgbm").fit(x, y)(x)
    assert (seeds != paths.Trees(rounds=(10,), seeds=1, library="lightgbm").fit(x, y)(x)).any()


def test_stacks_of_lightgbm_are_nested_and_take_a_set_number_of_rounds():
    pytest.importorskip("lightgbm")
    rows = drawn(n=150, m=4, seed=5)
    problem = Problem("binary")
    p = nested.nested(problem, rows, LIGHTGBM)
    flipped = rows.y.copy()
    flipped[rows.fold == 1] = 1 - flipped[rows.fold == 1]
    other = nested.nested(problem, replace(rows, labels=flipped), LIGHTGBM)
    assert (p[rows.fold == 1] == other[rows.fold == 1]).all()
    assert (p[rows.fold != 1] != other[rows.fold != 1]).any()
    set_rounds = how("boosted", options={"rounds": 7, "trees": "lightgbm", "leaf": 5})
    assert (nested.nested(problem, rows, set_rounds) != p).any()


def test_the_mean_of_a_stack_is_that_of_the_ways_that_are_near_the_best():
    loss = np.arange(10.0)
    shifted = loss + np.tile([0.0, 0.3], 5)  # .15 more on average, standard error .05
    noisy = loss + np.tile([-1.0, 1.2], 5)  # .1 more on average, standard error .37
    assert over_bases._near_the_best([loss, shifted, noisy]) == [0, 2]
    # where members tell only together, trees over the same answers beat the line, which is left out
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1, (2, 400, 1))
    y = (rng.random((400, 1)) < SIGMOID(4 * np.sign(z[0] * z[1]))).astype(float)
    rows, problem = rows_of(SIGMOID(z), y, np.arange(400) % 3), Problem("binary")
    line, mean = (
        metrics.log_loss(y, nested.nested(problem, rows, how("stack", options={"final": final})))
        for final in ("line", "mean")
    )
    assert mean < line


def test_a_missing_lightgbm_is_installed_by_one_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    rows = drawn(n=60, m=2)
    with pytest.raises(ConfigError, match=r"trees=lightgbm: .* is not installed; pip install 'foldwise\[lightgbm\]'"):
        nested.nested(Problem("binary"), rows, LIGHTGBM)


def test_clusters_join_members_that_are_alike():
    rng = np.random.default_rng(0)
    families = rng.normal(size=(200, 3))
    x = families[:, [0, 1, 2, 0, 1, 2, 0]] + rng.normal(0, 0.1, (200, 7))
    averages = bases.clusters(x, 3)
    assert averages.sum(axis=0) == pytest.approx([1, 1, 1])
    assert sorted(tuple(np.flatnonzero(column)) for column in averages.T) == [(0, 3, 6), (1, 4), (2, 5)]
    assert (bases.clusters(x, 7) == np.eye(7)).all()
    assert np.isfinite(bases.clusters(np.hstack([x, np.ones((200, 2))]), 3)).all()  # members that say nothing


def test_evidence_by_hand():
    # rows 0 to 2 share a value, with known labels of 1 and 0 and a prediction; row 3 is alone, row 4 has no value
    values = np.array([1.0, 1.0, 1.0, 2.0, np.nan])
    labels = np.array([np.nan, 1.0, np.nan, 0.0, np.nan])
    pool = Pool(values, np.log([1.0, 1.0, 4.0, 1.0, 1.0]), labels, np.ones(5, bool), Near("angle", 2, None))
    found = pool.evidence(np.array([0, 3, 4]))
    bound = lambda z: float(column_pool.bounded(SIGMOID(np.array(z))))  # noqa: E731
    one = np.log(0.97 / 0.03)  # a known 1; half of the known labels are 1, when that of row 3 is hidden all are
    share = np.log(0.99 / 0.01)
    two = np.log((0.03 + 0.94 * 0.8) / (0.97 - 0.94 * 0.8))  # a prediction of .8
    assert found[0] == pytest.approx([bound(one - share), bound(two - share), bound(one + two - 2 * share)])
    assert found[1:] == pytest.approx(np.zeros((2, 3)))


AUTO = {"logistic": {"strength": "auto"}, "boosted": {"rounds": "auto"}, "stack": {}, "neighbours": {"base": "auto"}}


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
@pytest.mark.parametrize("name", AUTO)
def test_several_outputs_are_probabilities(name, task):
    rows = drawn(n=120, m=3, k=3, seed=2)
    if task == "multiclass":
        p = rows.stack / rows.stack.sum(axis=2, keepdims=True)
        rows = rows_of(p, np.eye(3)[p.mean(axis=0).argmax(axis=1)], rows.fold, angle=rows.table["angle"])
    problem = Problem(task, column="angle")
    blended = nested.blend(problem, rows, rows.unlabelled(), how(name, options=AUTO[name]))
    assert blended.probabilities.shape == (120, 3)
    assert ((blended.probabilities >= 0) & (blended.probabilities <= 1)).all()
    if task == "multiclass":
        assert blended.probabilities.sum(axis=1) == pytest.approx(np.ones(120))


@pytest.mark.parametrize("name", AUTO)
def test_training_rows_of_one_fold_are_dealt_to_five(name):
    rows = drawn(n=80, m=3, seed=3)
    one = replace(rows, fold=np.zeros(80, int))
    p = nested.blend(Problem("binary", column="angle"), one, rows.unlabelled(), how(name, options=AUTO[name]))
    assert np.isfinite(p.probabilities).all()


def test_answers_for_rows_do_not_depend_on_the_rows_beside_them():
    """A stack has learned all that it knows from training rows: it says of one row what it says among many."""
    rows = drawn(n=200, m=4, seed=4)
    train, other = rows.only(np.arange(150)), rows.only(np.arange(150, 200)).unlabelled()
    for name in ("logistic", "boosted", "stack"):
        chosen = how(name, options=AUTO[name])
        together, alone = (
            nested.blend(Problem("binary"), train, part, chosen).probabilities
            for part in (other, other.only(np.array([7])))
        )
        assert alone[0] == pytest.approx(together[7], abs=1e-12)


@pytest.fixture(scope="module")
def library():
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[2]))
    try:
        from benchmarks.library import make_library
    finally:
        sys.path.pop(0)
    return make_library


def test_the_library_is_like_the_real_one(library):
    made = library(0, generated=50)
    train, test = made.train, made.test
    assert (train.m, len(train)) == (94, 1604)
    losses = [metrics.log_loss(train.y, train.member(j)) for j in range(94)]
    assert (min(losses), max(losses)) == pytest.approx((0.176, 0.464), abs=0.01)
    angle, y = train.table["inc_angle"], train.y[:, 0]
    assert (angle.isna().sum(), y[angle.isna()].max()) == (133, 0)
    parts = train.table.assign(y=y).groupby("inc_angle")["y"].agg(["size", "mean"])
    assert 800 < len(parts) < 950  # 878 in the real data
    several = parts[parts["size"] > 1]
    assert several["mean"].isin([0, 1]).mean() > 0.9  # 211 of 217
    assert parts["mean"][parts["size"] == 1].mean() == pytest.approx(0.24, abs=0.05)
    real = test.table["inc_angle"][test.is_scored]
    assert real.isin(set(angle)).mean() == pytest.approx(1950 / 3424, abs=0.08)


@pytest.mark.slow
def test_many_members_are_stacked_without_overfitting_and_the_angle_is_used_better(library):
    made = library(1, n=600, share=0.3, generated=20)
    problem, rows = made.problem, made.train
    scores = {
        key: metrics.log_loss(rows.y, nested.nested(problem, rows, how(name, options=options)))
        for key, name, options in (
            ("ridge", "logistic", {}),
            ("tuned", "logistic", {"strength": "auto"}),
            ("stack", "stack", {}),
            ("greedy", "greedy", {}),
            ("mean", "neighbours", {"base": "mean"}),
            ("auto", "neighbours", {"base": "auto"}),
        )
    }
    assert scores["tuned"] < 0.95 * scores["ridge"]
    assert scores["stack"] < 0.95 * scores["greedy"]
    assert scores["auto"] < 0.95 * scores["mean"]


@pytest.mark.slow
def test_an_angle_that_tells_nothing_is_not_used(library):
    made = library(2, n=500, share=0.15, tells=False, generated=20)
    train = made.train.only(~made.train.table["inc_angle"].isna().to_numpy())  # those are all of one label
    blended = nested.blend(made.problem, train, train.unlabelled(), how("neighbours", options={"base": "auto"}))
    assert blended.about["wins"] is False
    assert blended.about["second_level"] > blended.about["stack"] - blended.about["standard_error"]
