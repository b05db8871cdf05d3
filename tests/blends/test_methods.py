"""Blends: what is learned from labels is learned where it may be, and scored where it was not."""

import sys
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from helpers.blends import SIGMOID, drawn, drawn_for, how, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from foldwise import blends
from foldwise.blends import convex_loss, fast_selection, nested
from foldwise.blends.convex import minimise
from foldwise.blends.convex_loss import loss, values_of
from foldwise.blends.fast_selection import select
from foldwise.blends.neighbours import FEATURES, Near, Pool, column_values, group_folds
from foldwise.errors import FoldwiseError
from foldwise.scoring import metrics
from foldwise.scoring.rows import Problem
from foldwise.scoring.scale import weighted

convex = sys.modules["foldwise.blends.convex"]  # the package's name for it is the function's


def test_arithmetic_and_logit_means_by_hand():
    rows = rows_of(np.array([[[0.9]], [[0.5]]]))
    halves = np.array([0.5, 0.5])
    assert weighted(rows, halves, "arithmetic", "binary")[0, 0] == pytest.approx(0.7)
    # logits ln 9 and 0, mean ln 3: 3 / 4
    assert weighted(rows, halves, "logit", "binary")[0, 0] == pytest.approx(0.75)


def test_logit_mean_of_classes_is_the_normalised_geometric_mean():
    rows = rows_of(np.array([[[0.8, 0.1, 0.1]], [[0.2, 0.4, 0.4]]]))
    # sqrt(.16) = .4, sqrt(.04) = .2 twice: .5, .25, .25
    assert weighted(rows, np.array([0.5, 0.5]), "logit", "multiclass")[0] == pytest.approx([0.5, 0.25, 0.25])


def test_label_free_methods_by_hand():
    rows = rows_of(np.array([0.95, 0.3, 0.05, 0.92, 0.5, 0.08, 0.91, 0.4, 0.01]).reshape(3, 3, 1))
    problem = Problem("binary")
    # all above .8: the highest; all below .2: the lowest; else the logit mean of .3, .5, .4: odds (3/7 * 2/3)**(1/3)
    found = blends.minmax(problem, rows, rows).probabilities[:, 0]
    odds = (3 / 7 * 2 / 3) ** (1 / 3)
    assert found == pytest.approx([0.95, odds / (1 + odds), 0.01])
    assert blends.pushout(problem, rows, rows).probabilities[:, 0] == pytest.approx([0.999, 0.4, 0.001])
    pair = rows_of(np.array([[[0.9]], [[0.3]]]))
    # sqrt((.81 + .09) / 2) = .67082, sqrt((.01 + .49) / 2) = .5
    assert blends.power(problem, pair, pair).probabilities[0, 0] == pytest.approx(0.6708204 / 1.1708204)


def naive_selection(values, rounds, start):
    """Restate Caruana's selection with every candidate computed in every round."""
    matrix = np.stack([values.row(j) for j in range(values.rows.m)])
    order = np.argsort(values.alone, kind="stable")
    first = order[: min(start, rounds) or 1]
    counts = np.bincount(first, minlength=len(matrix)).astype(float)
    best = convex_loss.loss(values, matrix[first].mean(axis=0)), counts.copy()
    for size in range(len(first) + 1, rounds + 1):
        trials = [loss(values, (counts @ matrix + matrix[j]) / size) for j in order]
        counts[order[int(np.argmin(trials))]] += 1
        if min(trials) < best[0] - 1e-13:
            best = min(trials), counts.copy()
    return best[1]


SMALL_PARTS = {  # a guess among few is often wrong; products have several tiles and blocks
    **{"N_LIKELY": 3, "ROUNDS_AHEAD": 4, "TILE_MEMBERS": 7},
    **{"BLOCK_ENTRIES": 32, "TILE_ENTRIES": 100, "PARALLEL_SIZE": 0},
}


@settings(max_examples=40)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["logit", "arithmetic"]),
    st.sampled_from(["binary", "multilabel", "multiclass"]),
    st.integers(0, 3),
    st.booleans(),
)
def test_selection_is_that_of_a_straightforward_implementation(seed, average, task, start, small):
    rng = np.random.default_rng(seed)
    m, n, k = rng.integers(2, 30), rng.integers(20, 200), 1 if task == "binary" else 3
    p = SIGMOID(rng.normal(0, 2, (n, k)) + rng.normal(0, rng.uniform(0.1, 2), (m, n, k)))
    y = (rng.random((n, k)) < p.mean(axis=0)).astype(float)
    if task == "multiclass":
        p, y = p / p.sum(axis=2, keepdims=True), np.eye(k)[rng.integers(0, k, n)]
    values = values_of(rows_of(p, y), average, task)
    parts = (
        {
            "N_LIKELY": 3,
            "ROUNDS_AHEAD": 4,
            "TILE_MEMBERS": 7,
            "BLOCK_ENTRIES": 32,
            "TILE_ENTRIES": 100,
            "PARALLEL_SIZE": 0,
        }
        if small
        else {"N_LIKELY": 32}
    )
    with patch.multiple(fast_selection, **parts):
        taken = select(values, 25, start)
    found, expected = (counts / counts.sum() for counts in (taken, naive_selection(values, 25, start)))
    if found != pytest.approx(expected):  # two candidates of one round may differ by no more than rounding
        matrix = np.stack([values.row(j) for j in range(m)])
        assert abs(loss(values, found @ matrix) - loss(values, expected @ matrix)) < 1e-12


@pytest.mark.parametrize("average", ["logit", "arithmetic"])
@pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass"])
def test_no_loss_is_below_its_bound_which_knows_of_curvature(average, task):
    values = values_of(drawn_for(task, 700, 12, 5), average, task)
    curved = (values.kind != "softmax") * 1.0
    mean, total = (function([values.row(j) for j in range(6)], axis=0) for function in (np.mean, np.sum))
    guessed = fast_selection.Guess(values, mean, np.arange(12), np.arange(4)).next_rounds(total, 7, 3)
    for step, bounds in zip(guessed, fast_selection.LossBound(values, mean).of_rounds(guessed), strict=True):
        losses = np.array([loss(values, (step.total + values.row(j)) / step.size) for j in range(12)])
        lines = step.mean_loss + np.array([step.gradient @ (values.row(j) - mean) / step.size for j in range(12)])
        assert (bounds <= losses).all()
        assert (bounds >= lines + 0.3 * curved * (losses - lines) - 1e-5).all()


@pytest.mark.parametrize("name", ["mean", "greedy", "convex"])
def test_predictions_in_a_file_are_blended_as_those_in_memory(name, tmp_path, monkeypatch):
    rows = drawn(n=300, m=12, seed=2)
    stack = np.lib.format.open_memmap(tmp_path / "stack.npy", "w+", np.float32, rows.stack.shape)
    stack[:] = rows.stack
    in_memory = replace(rows, stack=stack.astype(np.float64))
    expected = nested.nested(Problem("binary"), in_memory, how(name))
    monkeypatch.setattr(fast_selection, "SQUARES_BYTES", 0)  # no squares are kept,
    monkeypatch.setattr(convex_loss, "CACHE_BYTES", 0)  # nor rows in float64
    assert nested.nested(Problem("binary"), replace(rows, stack=stack), how(name)) == pytest.approx(expected, abs=1e-12)


def test_selection_of_equals_takes_the_first_of_them():
    rows = drawn(m=1)
    twins = rows_of(np.concatenate([rows.stack * 0 + 0.5, rows.stack, rows.stack]), rows.labels)
    taken = select(values_of(twins, "logit", "binary"), 10)
    assert taken[1] > 0
    assert taken[2] == 0


@pytest.mark.parametrize("average", ["logit", "arithmetic"])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_convex_weights_lose_to_no_member_and_not_to_greedy(average, task):
    for seed in range(5):
        rows = drawn_for(task, 150, 12, seed)
        values = values_of(rows, average, task)
        weights, gap = minimise(values)
        assert weights.sum() == pytest.approx(1)
        assert (weights >= 0).all()
        assert gap <= 1e-9
        counts = select(values, 50)
        found, greedy = (
            metrics.log_loss(rows.y, weighted(rows, w, average, task), task) for w in (weights, counts / counts.sum())
        )
        assert found <= greedy + 1e-12
        assert found <= values.alone.min() + 1e-12


def test_convex_weights_are_those_of_an_independent_solver():
    from scipy.optimize import minimize

    rows = drawn(n=200, m=5, seed=3)
    values = values_of(rows, "arithmetic", "binary")
    matrix = np.stack([values.row(j) for j in range(5)])
    found = minimize(
        lambda w: -np.log(w @ matrix).mean(),
        np.full(5, 0.2),
        jac=lambda w: -(matrix / (w @ matrix)).mean(axis=1),
        bounds=[(0, 1)] * 5,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(5)},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert minimise(values)[0] == pytest.approx(found.x, abs=1e-4)


@pytest.mark.parametrize("average", ["logit", "arithmetic"])
@pytest.mark.parametrize("task", ["binary", "multilabel", "multiclass"])
def test_the_minimum_of_many_entries_is_that_of_few(average, task):
    """The way in float32, from a part of the rows on, ends at the minimum of scipy, and at that of float64 alone."""
    from scipy.optimize import minimize as theirs

    rows = drawn_for(task, 1500, 8, 2)
    values = values_of(rows, average, task)
    with patch.multiple(convex, LARGE=0, PART=300), patch.object(convex_loss, "TILE_ENTRIES", 512):
        weights, gap = minimise(values)
    assert gap <= 1e-9
    matrix = np.stack([values.row(j) for j in range(8)])
    expected, _ = minimise(values)
    assert weights @ matrix == pytest.approx(expected @ matrix, abs=1e-6)
    found = theirs(
        lambda w: loss(values, w @ matrix),
        np.full(8, 1 / 8),
        jac=lambda w: matrix @ convex_loss.slope(values, w @ matrix) / values.n,
        bounds=[(0, 1)] * 8,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(8)},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert loss(values, weights @ matrix) <= found.fun + 1e-9
    assert weights == pytest.approx(found.x, abs=1e-4)


def test_what_float32_says_of_many_entries_is_what_float64_says():
    values = values_of(drawn_for("multiclass", 1500, 8, 3), "logit", "multiclass")
    matrix, weights = np.stack([values.row(j) for j in range(8)]), np.arange(8) / 28
    with patch.object(convex_loss, "TILE_ENTRIES", 512):
        blend = convex_loss.single_blend(values, weights)
        slopes = convex_loss.slope(values, blend)
        products = convex_loss.single_products(values, slopes)
        curved = convex_loss.hessian(values, blend, np.arange(8), np.float32)
    assert blend == pytest.approx(weights @ matrix, abs=1e-6)
    assert products == pytest.approx(matrix @ slopes, abs=1e-4)
    assert curved == pytest.approx(convex_loss.hessian(values, blend, np.arange(8)), rel=1e-4)


def test_best_keeps_the_members_of_lowest_loss():
    labels = np.ones((6, 1))
    rows = rows_of(np.stack([np.full((6, 1), p) for p in (0.5, 0.9, 0.7)]), labels, np.arange(6) % 3)
    blended = nested.blend(Problem("binary"), rows, rows.unlabelled(), how("mean", best=2))
    assert blended.weights.tolist() == [0, 0.5, 0.5]


def test_the_number_of_best_members_is_chosen_inside_the_folds():
    """Three good members and nine that say nothing: of 1, 2, 3, 5, 8 and 12 the three best are the best blend."""
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, (300, 1))
    y = (rng.random((300, 1)) < SIGMOID(z)).astype(float)
    good, bad = SIGMOID(z + rng.normal(0, 1.5, (3, 300, 1))), SIGMOID(rng.normal(0, 2, (9, 300, 1)))
    rows = rows_of(np.concatenate([bad, good]), y, np.arange(300) % 5)
    blended = nested.blend(Problem("binary"), rows, rows.unlabelled(), how("mean", best="auto"))
    assert blended.about == {"best": 3}
    assert blended.weights == pytest.approx([0] * 9 + [1 / 3] * 3)
    three = nested.blend(Problem("binary"), rows, rows.unlabelled(), how("mean", best=3))
    assert (blended.probabilities == three.probabilities).all()
    # each number is scored on folds that its members were not chosen on
    scores = [
        metrics.log_loss(y, nested.nested(Problem("binary"), rows, how("mean", best=n))) for n in (12, 8, 5, 3, 2, 1)
    ]
    assert int(np.argmin(scores)) == 3
    # one fold alone is dealt to five; equal members are all taken
    equal = rows_of(np.tile(good[:1], (4, 1, 1)), y)
    assert nested.blend(Problem("binary"), equal, equal.unlabelled(), how("mean", best="auto")).about == {"best": 4}


@settings(max_examples=20)
@given(hnp.arrays(np.float64, (3, 20, 1), elements=st.floats(0.02, 0.98)), st.sampled_from(["mean", "greedy"]))
def test_weights_sum_to_one_and_greedy_never_loses_to_its_members(predictions, name):
    rows = rows_of(predictions, np.tile([[1.0], [0.0]], (10, 1)), np.arange(20) % 4)
    for average in ("logit", "arithmetic"):
        blended = nested.blend(Problem("binary"), rows, rows, how(name, average=average))
        assert blended.weights.sum() == pytest.approx(1)
        if name == "greedy":
            losses = [metrics.log_loss(rows.y, p) for p in predictions]
            assert metrics.log_loss(rows.y, blended.probabilities) <= min(losses) + 1e-12


EVERY = [
    *(how(name) for name in blends.__all__ if name not in ("neighbours", "boosted", "by_output", "compare", "files")),
    how("mean", best=2),
    how("mean", best="auto"),
    how("greedy", options={"bags": 3, "start": 2}),
    how("boosted", options={"rounds": 10, "leaf": 5}),
    how("by_output", options={"column": "zone", "shrinkage": 10}),
    how("neighbours", options={"column": "angle", "rounds": 10, "leaf": 5, "checked": False}),
    how("logistic", options={"strength": "auto"}),
    how("logistic", options={"strength": "auto", "positive": True}),
    how("boosted", options={"rounds": "auto", "leaf": 5, "seeds": 1}),
    *(how("mean", calibrate=kind) for kind in ("auto", "temperature", "platt", "beta", "isotonic")),
    how("mean", calibrate="platt", calibrate_by="zone", shrinkage=5, cap_by="scan", clip="auto"),
    how("logistic", calibrate="temperature", clip="auto", options={"columns": ["angle"]}),
]
SLOW = [
    how("logistic", best="auto", clip="auto"),
    how("stack", options={"final": "mean"}),
    *(how("neighbours", options={"column": "angle", "base": "auto", "checked": checked}) for checked in (False, True)),
    how("neighbours", options={"column": "angle", "base": "auto", "checked": False, "columns": ["angle"]}),
]


def sees_held_out_labels(chosen, rows, fold=1):
    """Whether the answers for a fold change with the labels of that fold."""
    problem = Problem("binary", test=drawn(n=20, seed=9).unlabelled(), column="angle")
    before = nested.nested(problem, rows, chosen)
    labels = rows.labels.copy()
    labels[rows.fold == fold] = 1 - labels[rows.fold == fold]
    after = nested.nested(problem, replace(rows, labels=labels), chosen)
    return bool((before[rows.fold == fold] != after[rows.fold == fold]).any())


@pytest.mark.parametrize(
    "chosen",
    [*EVERY, *(pytest.param(method, marks=pytest.mark.slow) for method in SLOW)],
    ids=lambda s: f"{s.name}-{s.calibrate}-{s.clip}",
)
def test_the_nested_score_never_sees_the_labels_that_it_is_scored_on(chosen):
    assert not sees_held_out_labels(chosen, drawn())


@pytest.mark.slow
def test_a_leak_that_is_planted_is_found(monkeypatch):
    rows = drawn()

    def leaky(rows, answer):
        result = np.empty((len(rows), rows.k))
        for fold in range(5):
            result[rows.fold == fold] = answer(rows, rows.only(rows.fold == fold))
        return result

    monkeypatch.setattr(nested, "out_of_fold_predictions", leaky)
    assert sees_held_out_labels(how("logistic"), rows)
    assert sees_held_out_labels(how("mean", calibrate="platt"), rows)
    assert sees_held_out_labels(how("stack"), rows)
    assert sees_held_out_labels(how("neighbours", options={"base": "auto", "checked": False}), rows)
    assert sees_held_out_labels(how("neighbours", options={"column": "angle", "rounds": 2, "checked": False}), rows)


@pytest.mark.parametrize("tells", [True, False])
def test_the_column_is_used_only_where_it_wins_inside_the_folds(tells):
    """Twins of one value and label: a coin for each pair, which no member knows, or for each row."""
    rng = np.random.default_rng(0)
    pair = rng.permutation(200) % 100
    y = rng.integers(0, 2, 100)[pair] if tells else rng.integers(0, 2, 200)
    rows = rows_of(rng.uniform(0.4, 0.6, (2, 200, 1)), y[:, None], np.arange(200) % 5, angle=pair / 7)
    problem, quick = Problem("binary", column="angle"), {"rounds": 5, "nearest": 3}
    plain, checked, free = (
        nested.blend(problem, rows, rows.unlabelled(), chosen)
        for chosen in (
            how("mean"),
            how("neighbours", options=quick),
            how("neighbours", options={**quick, "checked": False}),
        )
    )
    assert checked.about["wins"] is tells
    assert checked.weights is None
    expected = free if tells else plain
    assert (checked.probabilities == expected.probabilities).all()
    assert (free.probabilities != plain.probabilities).any()
    # whichever is taken, the labels of a held-out fold change no bit of its answers
    assert not sees_held_out_labels(how("neighbours", options=quick), rows)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_features_are_finite_where_all_known_labels_are_the_same(label):
    labels = np.array([label, label, label, np.nan])
    pool = Pool(np.array([1.0, 1.0, 2.0, 1.0]), np.zeros(4), labels, np.ones(4, bool), Near("angle", 2, 0.1))
    found = dict(zip(FEATURES, pool.features(np.array([3])).T, strict=True))
    assert found["known_log_odds"] == pytest.approx((2 * label - 1) * np.log((2 + 5 / 6) / (1 / 6)))
    assert all(np.isfinite(values).all() for values in found.values())


def test_a_leak_planted_in_the_neighbours_is_found(monkeypatch):
    """Features of a fold that show the labels of the fold: what the training rows' own features must not do."""
    rows = drawn()
    values, logits = rows.table["angle"].to_numpy(), np.zeros(90)
    known, counted = rows.y[:, 0].copy(), np.ones(90, bool)
    fold = np.flatnonzero(rows.fold == 1)

    def made(labels):
        return Pool(values, logits, labels, counted, Near("angle", 5, None)).features(fold)

    flipped = known.copy()
    flipped[fold] = 1 - flipped[fold]
    learned = [
        FEATURES.index(name) for name in FEATURES if name not in ("logit", "log_same", "same_logit", "log_radius")
    ]
    assert (made(known)[:, learned] == made(flipped)[:, learned]).all()
    others = known.copy()
    others[rows.fold != 1] = 1 - others[rows.fold != 1]
    assert (made(known)[:, learned] != made(others)[:, learned]).any()  # so the comparison above can fail


def test_neighbour_features_by_hand():
    values = np.array([1.0, 1.0, 1.0, 2.0, np.nan])
    p = np.array([0.5, 0.6, 0.9, 0.2, 0.7])
    known = np.array([np.nan, 1.0, np.nan, 0.0, 1.0])
    x = Pool(values, np.log(p / (1 - p)), known, np.ones(5, bool), Near("angle", 2, 0.5)).features(np.array([0, 4]))
    assert x.shape == (2, 10)
    first, last = (dict(zip(FEATURES, row, strict=True)) for row in x)
    # row 0 shares its value with rows 1 (a known 1) and 2 (a prediction of .9)
    assert first["log_same"] == pytest.approx(np.log(3))
    assert first["same_belief"] == pytest.approx(0.95)  # (1 + .9) / 2
    assert first["same_median"] == pytest.approx(0.9)  # the median of .5, 1, .9
    assert first["n_known"] == 1
    assert first["known_log_odds"] == pytest.approx(np.log(1.5 / 0.5))  # one 1, no 0; half of all known are 1
    assert first["near_belief"] == pytest.approx(0.95)  # both nearest are at distance 0
    assert first["radius_belief"] == pytest.approx(0.95)
    # a missing value has no neighbours: all that is known of it is its own prediction
    assert [last[name] for name in ("same_belief", "same_median", "near_belief", "radius_belief")] == pytest.approx(
        [0.7] * 4
    )
    assert [last[name] for name in ("log_same", "n_known", "log_radius")] == [0, 0, 0]


@pytest.mark.parametrize("name", ["greedy", "convex", "logistic"])
def test_fitting_noise_looks_good_only_when_it_is_not_nested(name):
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 1)) < 0.5).astype(float)
    rows = rows_of(rng.uniform(0.2, 0.8, size=(60, 80, 1)), labels, np.arange(80) % 5)
    chosen = how(name, average="arithmetic")
    flattering = metrics.log_loss(labels, nested.blend(Problem("binary"), rows, rows, chosen).probabilities)
    honest = metrics.log_loss(labels, nested.nested(Problem("binary"), rows, chosen))
    assert flattering < 0.67 < 0.69 < honest  # ln 2 = .693 is what noise deserves


def test_several_columns_are_equal_where_all_are():
    person, zone = np.array(["p", "p", "q", "p", "q", None], object), np.array([1, 1, 1, 2, 1, 1])
    rows = rows_of(np.full((1, 6, 1), 0.5), person=person, zone=zone)
    values = column_values(rows, ["person", "zone"])
    assert [int(np.flatnonzero(values == value)[0]) for value in values[:5]] == [0, 0, 2, 3, 2]
    assert np.isnan(values[5])
    assert (values == column_values(rows.only(np.arange(6)), ["person", "zone"]))[:5].all()
    fold = group_folds(replace(rows, fold=np.arange(6) % 2), ["person", "zone"])
    assert fold[0] == fold[1]
    assert fold[2] == fold[4]
    with pytest.raises(FoldwiseError, match=r"column=\['person', 'no'\]: the data has no such column; it has id, pers"):
        blends.neighbours(Problem("binary"), rows, rows, column=["person", "no"])


def test_person_and_zone_tell_what_neither_tells_alone():
    """A label of each person's each zone, on three scans; of a person, and of a zone, half are threats."""
    rng = np.random.default_rng(0)
    person, zone, _ = (part.ravel() for part in np.meshgrid(np.arange(40), np.arange(4), np.arange(3), indexing="ij"))
    label = (rng.random((40, 4)) < 0.5)[person, zone].astype(float)[:, None]
    p = SIGMOID(np.where(label > 0, 1, -1) + rng.normal(0, 2, label.shape))
    rows = rows_of(p[None], label, rng.permutation(480) % 3, person=person, zone=zone)
    scores = {}
    for column in ("person", "zone", ["person", "zone"]):
        chosen = how("neighbours", options={"column": column, "rounds": 20, "leaf": 10})
        scores[str(column)] = metrics.log_loss(label, nested.nested(Problem("binary"), rows, chosen))
    assert scores["['person', 'zone']"] < 2 / 3 * min(scores["person"], scores["zone"])
