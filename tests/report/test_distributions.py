"""Training against test data, by hand and by SciPy."""

import numpy as np
import pytest
from helpers.report_pages import make_data

from foldwise.report import distributions


def test_the_distance_is_that_of_kolmogorov_and_smirnov():
    from scipy import stats

    rng = np.random.default_rng(0)
    one, other = rng.normal(size=300), rng.normal(0.3, 1, size=200)
    found = distributions.numbers(one, other, "x")
    expected = stats.ks_2samp(one, other)
    assert found["distance"] == pytest.approx(expected.statistic, abs=1e-12)
    assert found["differs"] == (expected.pvalue < 0.01)
    assert sum(found["train"]) == pytest.approx(1, abs=1e-3)
    assert len(found["test"]) == 24


def test_missing_numbers_are_counted_apart():
    found = distributions.numbers(np.array([1.0, np.nan]), np.array([1.0, 1.0]), "x")
    assert found["missing"] == [0.5, 0.0]
    assert (found["distance"], found["differs"]) == (0.0, False)
    assert distributions.numbers(np.array([np.nan]), np.array([1.0]), "x") is None


def test_columns_and_brightness_are_compared(tmp_path):
    found = distributions.distributions(make_data(tmp_path / "data"))
    assert {one["name"] for one in found} == {
        "angle",
        *(f"{what} of channel {channel}" for what in ("mean pixel", "spread of pixels") for channel in (1, 2)),
    }
    assert [one["distance"] for one in found] == sorted((one["distance"] for one in found), reverse=True)
