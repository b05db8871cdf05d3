"""Honest comparisons: which method the data calls for, what noise must not gain, and intervals that cover."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from helpers.blends import SIGMOID, drawn, how, rows_of

from foldwise import blends
from foldwise.blends import calibration, compare_methods, nested, over_bases, paths
from foldwise.blends.methods import METHODS
from foldwise.scoring import compare_runs, metrics
from foldwise.scoring.rows import Problem

COMPARE = how("compare")


def chosen_of(rows, *methods, column=None):
    settings, reports, _ = compare_methods.compare(
        Problem("binary", column=column), rows, COMPARE, methods=list(methods)
    )
    return next(r["method"] for r in reports if r["chosen"]), {r["method"]: r for r in reports}, settings


def test_equal_members_call_for_the_mean():
    name, reports, settings = chosen_of(drawn(n=600, m=6, seed=1), "mean", "greedy", "convex", "logistic")
    assert name == "mean"
    assert settings.name == "mean"
    assert reports["mean"]["gain"] > 0
    assert reports["mean"]["gain_interval"][0] > 0


def test_one_good_member_among_bad_ones_calls_for_it_alone():
    rng = np.random.default_rng(2)
    p, bad = SIGMOID(rng.normal(0, 2, (1, 600, 1))), SIGMOID(rng.normal(0, 2, (5, 600, 1)))
    y = (rng.random((600, 1)) < p[0]).astype(float)
    rows = rows_of(np.concatenate([p, bad]), y, np.arange(600) % 5)
    name, reports, _ = chosen_of(rows, "single", "mean", "greedy")
    assert name == "single"
    assert reports["mean"]["gain"] < 0


def test_overconfident_members_call_for_calibration_or_stacking():
    rows = drawn(n=900, m=3, seed=4)
    stack = SIGMOID(4 * np.log(rows.stack / (1 - rows.stack)))
    name, reports, _ = chosen_of(rows_of(stack, rows.labels, rows.fold), "mean", "calibrated mean", "convex")
    assert name == "calibrated mean"
    assert reports["calibrated mean"]["gain_interval"][0] > 0


def test_many_members_of_which_most_are_bad_call_for_selection():
    rng = np.random.default_rng(3)
    z = rng.normal(0, 2, (400, 1))
    y = (rng.random((400, 1)) < SIGMOID(z)).astype(float)
    good, bad = SIGMOID(z + rng.normal(0, 1.5, (4, 400, 1))), SIGMOID(rng.normal(0, 2, (12, 400, 1)))
    rows = rows_of(np.concatenate([bad, good]), y, np.arange(400) % 4)
    assert chosen_of(rows, "single", "mean", "power", "rank", "greedy")[0] == "greedy"


def test_outputs_that_different_members_know_call_for_weights_of_their_own():
    rng = np.random.default_rng(4)
    z = rng.normal(0, 2, (400, 2))
    y = (rng.random((400, 2)) < SIGMOID(z)).astype(float)
    blind = rng.normal(0, 2, (2, 400, 2))
    p = SIGMOID(np.stack([np.where([True, False], z, blind[0]), np.where([True, False], blind[1], z)]))
    rows = rows_of(p, y, np.arange(400) % 4)
    settings, _, _ = compare_methods.compare(
        Problem("multilabel"), rows, COMPARE, methods=["single", "mean", "greedy", "by_output"]
    )
    assert settings.name == "by_output"


def test_members_that_share_an_error_call_for_stacking():
    """One member sees the signal through an error that another sees alone: weights of one sign cannot take it off."""
    rng = np.random.default_rng(5)
    z, error = rng.normal(0, 2, (2, 400, 1))
    y = (rng.random((400, 1)) < SIGMOID(z)).astype(float)
    rows = rows_of(SIGMOID(np.stack([z + error - 1, error])), y, np.arange(400) % 4)
    assert chosen_of(rows, "single", "mean", "calibrated mean", "convex", "logistic")[0] == "logistic"


def test_members_that_tell_only_together_call_for_trees():
    rng = np.random.default_rng(6)
    z = rng.normal(0, 1, (2, 600, 1))
    y = (rng.random((600, 1)) < SIGMOID(4 * np.sign(z[0] * z[1]))).astype(float)
    assert chosen_of(rows_of(SIGMOID(z), y, np.arange(600) % 3), "mean", "logistic", "boosted")[0] == "boosted"


def grouped(seed, tells):
    """Rows in groups of 6 with a value of their own; where it tells, a group has one label."""
    rng = np.random.default_rng(seed)
    group = np.arange(600) // 6
    label = (rng.random(100) < 0.5)[group] if tells else rng.random(600) < 0.5
    z = np.where(label, 1.0, -1.0) + rng.normal(0, 1.5, (3, 600))
    fold = rng.permutation(600) % 5
    angle = rng.permutation(100)[group] / 10
    return rows_of(SIGMOID(z)[:, :, None], label[:, None].astype(float), fold, angle=angle)


@pytest.mark.slow
def test_a_column_that_tells_calls_for_the_neighbours_and_one_that_does_not_costs_little():
    name, reports, _ = chosen_of(grouped(0, True), "mean", "neighbours", column="angle")
    assert name == "neighbours"
    assert reports["neighbours"]["nested_score"] < 2 / 3 * reports["mean"]["nested_score"]
    name, reports, _ = chosen_of(grouped(0, False), "logistic", "neighbours", column="angle")
    assert name == "logistic"


CHEAP = [
    how("mean"),
    how("rank"),
    how("greedy", average="arithmetic"),
    how("convex", average="arithmetic"),
    how("mean", best=2),
    how("mean", best="auto"),
    how("mean", calibrate="platt"),
]


SLOW = [
    how("power"),
    how("by_output", options={"column": "zone", "shrinkage": 20}),
    how("logistic"),
    how("boosted", options={"rounds": 5, "leaf": 10}),
    how("neighbours", options={"rounds": 5, "leaf": 10, "checked": False}),  # checked, it is the mean nearly always
]


INSIDE = [  # what is chosen inside the folds, of several blends and of paths
    how("stack"),
    how("stack", options={"final": "mean"}),
    how("logistic", options={"strength": "auto"}),
    how("logistic", options={"strength": "auto", "positive": True}),
    how("boosted", options={"rounds": "auto", "seeds": 1}),
    how("neighbours", options={"base": "auto"}),
    how("neighbours", options={"base": "auto", "checked": False}),
]


def noise_problem(seed, sd=0.01, m=5, n=150, n_folds=2, n_angles=40):
    """Members that say 1/2, but for a little noise, and columns, all of which have nothing to do with the labels."""
    rng = np.random.default_rng(seed)
    p = SIGMOID(rng.normal(0, sd, (m, n, 1)))
    y = (rng.random((n, 1)) < 0.5).astype(float)
    return rows_of(p, y, np.arange(n) % n_folds, angle=rng.integers(0, n_angles, n), zone=rng.integers(0, 2, n))


def gains(score, methods, n_problems, **size):
    """Return the mean gain of each method over the best single run on some problems, in standard errors."""
    found = []
    for seed in range(n_problems):
        rows = noise_problem(seed, **size)
        found.append(
            metrics.log_loss(rows.y, score(rows, how("single")))
            - np.array([metrics.log_loss(rows.y, score(rows, chosen)) for chosen in methods])
        )
    found = np.array(found)
    return found.mean(axis=0) / (found.std(axis=0, ddof=1) / np.sqrt(n_problems) + 1e-12)


NOISE = Problem("binary", column="angle")


@pytest.mark.slow
@pytest.mark.parametrize("methods", [CHEAP, *([chosen] for chosen in SLOW)], ids=lambda several: several[0].name)
def test_noise_gains_nothing_by_any_method(methods):
    assert gains(lambda rows, chosen: nested.nested(NOISE, rows, chosen), methods, 200).max() < 2.5


@pytest.fixture
def small_trees(monkeypatch):
    """Trees of two or five rounds, which are nested like larger ones and cost little."""
    small = {"rounds": (2, 5), "leaf": 10, "seeds": 1}
    fields = {field.name: small.get(field.name, field.default) for field in dataclasses.fields(paths.Trees)}
    monkeypatch.setattr(paths.Trees.__init__, "__defaults__", tuple(fields.values()))
    monkeypatch.setattr(over_bases, "TREES", paths.Trees())
    assert over_bases.TREES.rounds == (2, 5)


SMALL_NOISE = {"m": 3, "n": 100, "n_folds": 3, "n_angles": 25}


@pytest.mark.slow
def test_noise_gains_nothing_by_what_is_chosen_inside_the_folds(small_trees):
    found = gains(lambda rows, chosen: nested.nested(NOISE, rows, chosen), INSIDE, 40, **SMALL_NOISE)
    assert found.max() < 2.5


@pytest.mark.slow
def test_noise_would_gain_by_what_is_chosen_inside_the_folds_of_rows_that_it_is_scored_on(small_trees):
    learned = [chosen for chosen in INSIDE if chosen.name in ("logistic", "boosted")]
    found = gains(
        lambda rows, chosen: nested.blend(NOISE, rows, rows, chosen).probabilities, learned, 20, **SMALL_NOISE
    )
    assert found.min() > 2.5


@pytest.mark.slow
def test_noise_would_gain_if_scored_where_it_was_fitted():
    learned = [how("mean", calibrate="platt"), *SLOW[1:4]]
    flattered = gains(lambda rows, chosen: nested.blend(NOISE, rows, rows, chosen).probabilities, learned, 40)
    assert flattered.min() > 2.5


def test_every_method_that_a_yaml_may_name_has_its_traits():
    assert set(METHODS) | {"compare"} == set(blends.__all__)
    assert [name for name, method in METHODS.items() if method.is_risky] == ["minmax", "pushout"]


def test_no_method_is_left_out_of_the_noise():
    tried = {chosen.name for chosen in [*CHEAP, *SLOW, *INSIDE]} | {"single"}
    traits = {name: method for name, method in METHODS.items() if "binary" in method.tasks}
    assert tried == {name for name, method in traits.items() if method.is_scored and not method.is_risky}


@pytest.mark.slow
def test_the_interval_covers_the_truth_in_95_of_100_experiments():
    rng = np.random.default_rng(0)
    covered = 0
    truth = None
    for _ in range(1000):
        z = rng.normal(0, 1.5, 200)
        y = (rng.random(200) < SIGMOID(z)).astype(float)
        losses = metrics.row_losses(y[:, None], SIGMOID(0.8 * z)[:, None])
        if truth is None:
            big = rng.normal(0, 1.5, 4_000_000)
            p, q = SIGMOID(big), SIGMOID(0.8 * big)
            truth = -(p * np.log(q) + (1 - p) * np.log1p(-q)).mean()
        low, high = metrics.bootstrap_interval(losses)
        covered += low <= truth <= high
    assert 930 <= covered <= 970


def test_paired_differences_by_hand():
    a, b = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.5, 1.5, 3.5, 3.5])
    found = compare_runs.difference(a, b)
    assert found["difference"] == pytest.approx(0.25)
    # gaps .5 .5 -.5 .5: sd .5, standard error .25
    assert found["standard_error"] == pytest.approx(0.25)
    # two groups with sums of deviations .5 and -.5: sqrt(.5 * 2 / 1) / 4
    assert compare_runs.standard_error(a - b, np.array([0, 0, 1, 1])) == pytest.approx(0.25)
    assert compare_runs.standard_error(a - b, np.array([0, 1, 1, 0])) == pytest.approx(np.sqrt(0.5 * 2) / 4)


def test_drop_one_is_negative_for_a_run_that_predicts_the_opposite():
    rows = drawn(n=400, m=3, seed=5)
    poor = rows_of(np.concatenate([rows.stack, 1 - rows.stack[:1]]), rows.labels, rows.fold)
    dropped = compare_runs.drop_one(poor, Problem("binary"))
    assert dropped.argmin() == 3  # the mean is better without the one that says the opposite
    assert dropped[3] < 0
    assert compare_runs.correlations(poor, Problem("binary"))[0, 3] == pytest.approx(-1)
    assert dropped.argmax() == 0  # alone against its opposite


def test_the_table_names_the_run_that_adds_most():
    """One run sees the signal, three see noise: whatever its place, the last line of the table names it."""
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, (300, 1))
    y = (rng.random((300, 1)) < SIGMOID(z)).astype(float)
    noise = list(SIGMOID(rng.normal(0, 1, (3, 300, 1))))
    for place in range(4):
        rows = rows_of(np.stack([*noise[:place], SIGMOID(z), *noise[place:]]), y)
        names = ["noise-1", "noise-2", "noise-3"]
        lines = compare_runs.table([*names[:place], "signal", *names[place:]], rows, Problem("binary")).splitlines()
        assert lines[-1] == "adds most to the mean of these: signal"


def test_drop_one_and_add_one_by_hand():
    # arithmetic means of .9, .6 and .3 for a one: all .6; without the first .45; with it twice (.9 * 2 + .6 + .3) / 4
    rows = rows_of(np.array([0.9, 0.6, 0.3]).reshape(3, 1, 1), np.ones((1, 1)))
    problem = Problem("binary", average="arithmetic")
    assert compare_runs.drop_one(rows, problem) == pytest.approx(np.log([0.6 / 0.45, 1, 0.6 / 0.75]))
    assert compare_runs.add_one(rows, problem) == pytest.approx(np.log([0.675 / 0.6, 1, 0.525 / 0.6]))


def test_calibration_curves_by_hand():
    # the odds of the truth are the square of the odds that are said: temperature 2
    z = np.repeat([-1.0, 0.0, 1.0], 4000)
    rng = np.random.default_rng(0)
    y = (rng.random(12000) < SIGMOID(2 * z))[:, None].astype(float)
    for kind in calibration.KINDS:
        curve = calibration.fit_curve(kind, SIGMOID(z)[:, None], y, "binary")
        assert curve(SIGMOID(np.array([[1.0]])))[0, 0] == pytest.approx(SIGMOID(2.0), abs=0.02)


def test_logistic_fit_is_that_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 3)), rng.random(300) < 0.4
    found = calibration.logistic_fit(x, y.astype(float), np.zeros(3), strength=0.5)
    expected = LogisticRegression(C=2.0, fit_intercept=False, tol=1e-10, max_iter=1000).fit(x, y).coef_[0]
    assert found == pytest.approx(expected, abs=1e-5)


def test_zones_have_curves_of_their_own_drawn_to_that_of_all():
    zone = np.repeat(["a", "b"], 2000)
    y = np.r_[np.tile([1.0, 0, 0, 0], 500), np.tile([1.0, 1, 1, 0], 500)][:, None]
    half = np.full((4000, 1), 0.5)
    free = calibration.fit_curve_by("platt", half, y, "binary", zone, 0)
    tied = calibration.fit_curve_by("platt", half, y, "binary", zone, 1e9)
    assert free(half, zone)[[0, -1], 0] == pytest.approx([0.25, 0.75], abs=0.01)
    assert tied(half, zone)[[0, -1], 0] == pytest.approx([0.5, 0.5], abs=0.01)
    assert free(half[:1], np.array(["c"]))[0, 0] == pytest.approx(0.5, abs=0.01)  # a zone never seen


def test_caps_and_floors_by_hand():
    p = np.array([[0.9], [0.9], [0.6], [0.3]])
    scan = np.array(["s", "s", "s", "t"])
    # .9 + .9 + .6 = 2.4 is scaled to 1.2; .3 is left alone
    assert calibration.cap(p, scan, 1.2)[:, 0] == pytest.approx([0.45, 0.45, 0.3, 0.3])
    assert calibration.clip(np.array([[0.001], [0.999]]), 0.01, 0.02, "binary")[:, 0] == pytest.approx([0.01, 0.98])


def test_a_floor_is_chosen_where_errors_are_expensive():
    rng = np.random.default_rng(0)
    y = (rng.random((1000, 1)) < 0.5).astype(float)
    wrong = rng.random((1000, 1)) < 0.01
    p = np.where((y == 1) ^ wrong, 1 - 1e-7, 1e-7)  # sure, and wrong in one of a hundred
    rows = rows_of(p[None], y, np.arange(1000) % 5)
    blended = nested.blend(Problem("binary"), rows, rows.unlabelled(), how("mean", clip="auto"))
    assert 0.003 <= blended.about["floor"] <= 0.03
    before, after = (
        metrics.log_loss(y, nested.nested(Problem("binary"), rows, s)) for s in (how("mean"), how("mean", clip="auto"))
    )
    assert after < before / 2


def test_the_cap_on_threats_in_a_scan_helps_where_the_truth_has_one():
    rng = np.random.default_rng(0)
    y = np.zeros((300, 10))
    y[np.arange(300), rng.integers(0, 10, 300)] = 1  # one threat in each scan
    p = SIGMOID(2.5 * y - 0.5 + rng.normal(0, 1, y.shape)).reshape(1, -1, 1)
    rows = rows_of(p, y.reshape(-1, 1), np.repeat(np.arange(300) % 5, 10), scan=np.repeat(np.arange(300), 10))
    plain, capped = how("mean"), how("mean", cap_by="scan")
    assert nested.blend(Problem("binary"), rows, rows.unlabelled(), capped).about["cap"] <= 1.5
    scores = [metrics.log_loss(rows.y, nested.nested(Problem("binary"), rows, s)) for s in (plain, capped)]
    assert scores[1] < scores[0] - 0.01


def test_ranks_of_files_keep_the_levels_of_the_predictions():
    from foldwise.blends.files import ranked

    stack = np.array([[0.1, 0.2, 0.9], [0.3, 0.4, 0.5]])[:, :, None]
    assert ranked(stack)[:, 0] == pytest.approx([0.2, 0.3, 0.7])  # one order: the mean of each level
    assert pd.Series(ranked(stack)[:, 0]).is_monotonic_increasing
