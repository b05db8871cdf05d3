"""Curves, counts and calibration against numbers worked out by hand."""

import numpy as np
import pytest

from foldwise.report import curves, recipes, samples
from foldwise.report.page import strip, time_text

Y = np.array([1, 1, 0, 1, 0, 0])
P = np.array([0.9, 0.8, 0.7, 0.6, 0.3, 0.1])


def test_roc_by_hand():
    """Falling thresholds pass 1, 1, 0, 1, 0, 0."""
    x, y = curves.ranking(Y, P)["roc"]
    steps = [(0, 0), (0, 0.3333), (0, 0.6667), (0.3333, 0.6667), (0.3333, 1), (0.6667, 1), (1, 1)]
    assert list(zip(x, y, strict=True)) == steps


def test_precision_recall_by_hand():
    """Precision 1 up to two hits, 2/3 after the first miss, 3/4 at the last hit, and the share of ones at the end."""
    recall, precision = curves.ranking(Y, P)["precision_recall"]
    points = set(zip(recall, precision, strict=True))
    assert {(1.0, 0.5), (1.0, 0.75), (0.6667, 0.6667), (0.6667, 1.0), (0.0, 1.0)} <= points
    assert curves.ranking(Y, P)["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)


def test_the_figures_of_a_ranking_are_those_of_scikit_learn():
    """Probabilities of two digits, so that many are equal."""
    from sklearn import metrics

    rng = np.random.default_rng(0)
    y = rng.integers(2, size=500)
    p = np.clip(0.3 * y + rng.uniform(0, 0.7, 500), 0, 1).round(2)
    found = curves.ranking(y, p)
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(y, p), abs=1e-12)
    assert found["average_precision"] == pytest.approx(metrics.average_precision_score(y, p), abs=1e-12)


def test_a_long_curve_keeps_its_ends_and_few_points():
    x = np.linspace(0, 1, 5001)
    a, b = curves.reduced(x, x**2)
    assert len(a) <= 80
    assert (a[0], b[0], a[-1], b[-1]) == (0, 0, 1, 1)
    assert np.interp(0.5, a, b) == pytest.approx(0.25, abs=1e-3)


def test_counts_above_thresholds_count_equal_probabilities():
    counts = curves.counts_above(Y, P)
    assert len(counts["true_positive"]) == 101
    assert [counts["true_positive"][t] for t in (0, 60, 61, 90, 91, 100)] == [3, 3, 2, 1, 0, 0]
    assert [counts["false_positive"][t] for t in (0, 30, 70, 71)] == [3, 2, 1, 0]


def test_confusion_of_classes_with_a_least_probability():
    counts = curves.confusion_at(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([0.9, 0.55, 1.0]), 2)
    assert len(counts) == 21
    assert counts[0] == [[1, 0, 0], [1, 1, 0]]
    assert counts[11] == [[1, 0, 0], [1, 1, 0]]  # .55 reaches .55
    assert counts[12] == [[1, 0, 0], [0, 1, 1]]
    assert counts[20] == [[0, 0, 1], [0, 1, 1]]


def test_calibration_by_hand():
    """Two rows in [.8, .9) with a share of .5, two at .1 with a share of 0, and one at 1 that is right."""
    found = curves.reliability(np.array([1, 0, 0, 0, 1]), np.array([0.8, 0.89, 0.1, 0.1, 1.0]))
    assert found["bins"] == [[0.1, 0.0, 2], [0.845, 0.5, 2], [1.0, 1.0, 1]]
    assert found["expected_calibration_error"] == pytest.approx((2 * 0.1 + 2 * 0.345 + 0) / 5)


def test_histogram_puts_one_into_the_last_bin():
    found = curves.histogram(np.array([1, 0, 0]), np.array([1.0, 0.0, 0.05]))
    assert found["positive"] == [0] * 19 + [1]
    assert found["negative"] == [1, 1] + [0] * 18


def test_scatter_keeps_the_ends_of_the_truth():
    y = np.arange(1000.0)
    found = curves.scatter(y, y + 1)
    assert len(found["points"][0]) == 300
    assert (found["points"][0][0], found["points"][1][-1], found["n"]) == (0.0, 1000.0, 1000)
    assert sum(found["residuals"]["counts"]) == 1000


def test_a_flat_recipe_has_no_keys_of_the_data():
    assert recipes.flat({"data_key": "x", "model": {"name": "mlp", "options": {"hidden": [2, 1]}}}) == {
        "model.name": "mlp",
        "model.options.hidden": "[2, 1]",
    }


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (90, "1.5 min"), (5400, "1.5 h")])
def test_time(seconds, text):
    assert time_text(seconds) == text


def test_the_strip_is_not_squeezed_by_a_run_far_off():
    rows = [{"low": 0.4 + i / 100, "high": 0.5 + i / 100} for i in range(19)] + [{"low": 90.0, "high": 99.0}]
    low, high = strip(rows, 0.69)
    assert low == pytest.approx(0.4)
    assert 0.69 <= high < 2


def test_two_bands_lie_side_by_side_in_their_range():
    image = np.zeros((2, 2, 2), np.float32)
    image[..., 0], image[..., 1] = -30, -10
    image[0, 0, 1] = 5  # above the range
    sheet = samples.sheet(image, [[-40.0, 0.0], [-20.0, 0.0]])
    assert sheet.tolist() == [[64, 64, 255, 128], [64, 64, 128, 128]]


def test_nine_views_are_rows_of_four():
    views = np.full((9, 3, 5, 1), 255, np.uint8)
    sheet = samples.sheet(views, samples.grey_ranges(views))
    assert sheet.shape == (9, 20)
    assert sheet[6:].sum() == 255 * 3 * 5  # one of the third row; the others are empty


def test_a_colour_photograph_stays_one_in_colour():
    picture = np.random.default_rng(0).integers(0, 256, (300, 150, 3), np.uint8)
    assert samples.sheet(picture, samples.grey_ranges(picture[None])).shape == (96, 48, 3)
    assert samples.data_uri(picture).startswith("data:image/jpeg;base64,/9j/")
