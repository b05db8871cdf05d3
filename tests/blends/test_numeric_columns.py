"""Columns of the data as features: gaps are marked, in training and other rows alike."""

import numpy as np
import pytest
from helpers.blends import how, rows_of

from foldwise.blends.nested import blend
from foldwise.blends.numeric_columns import numeric_columns
from foldwise.errors import FoldwiseError
from foldwise.scoring.rows import Problem


def test_a_gap_is_zero_and_marked_in_all_parts_where_any_has_one():
    p = np.full((1, 2, 1), 0.5)
    first = rows_of(p, angle=[1.0, 2.0], size=[3, 4])
    second = rows_of(p, angle=[np.nan, 5.0], size=[6, 7])
    one, other = numeric_columns(["size", "angle"], (first, second))
    assert one.tolist() == [[3, 1, 0], [4, 2, 0]]
    assert other.tolist() == [[6, 0, 1], [7, 5, 0]]
    assert [part.shape for part in numeric_columns([], (first, second))] == [(2, 0), (2, 0)]


@pytest.mark.parametrize(
    ("name", "message"),
    [("anlge", "anlge: the data has no such column; .*angle"), ("place", "place: is not numeric; .*angle")],
)
def test_a_column_that_is_none_or_no_number_is_named(name, message):
    rows = rows_of(np.full((1, 2, 1), 0.5), angle=[1.0, 2.0], place=["a", "b"])
    with pytest.raises(FoldwiseError, match=message):
        numeric_columns([name], (rows, rows))


@pytest.mark.parametrize("name", ["logistic", "boosted", "neighbours", "neighbours auto"])
def test_a_column_that_tells_the_label_helps_test_rows_with_gaps_too(name):
    """Members know nothing, one column is above 0 for the label 1, and that of the neighbours tells nothing."""
    rng = np.random.default_rng(0)
    y = (np.arange(120) // 4 % 2)[:, None].astype(float)
    told, nothing = y[:, 0] - 0.5 + rng.normal(0, 0.1, 120), rng.normal(size=120)
    rows = rows_of(0.5 + 0.01 * rng.normal(size=(2, 120, 1)), y, np.arange(120) % 4, told=told, angle=nothing)
    told = np.array([-0.5, 0.5, np.nan])
    other = rows_of(np.full((2, 3, 1), 0.5), told=told, angle=[0.0, 0.1, 0.2])
    options = {"columns": ["told"]}
    if name.startswith("neighbours"):
        options |= {"column": "angle", "checked": False, "base": "auto" if "auto" in name else "mean"}
    found = blend(Problem("binary"), rows, other, how(name.split()[0], options=options)).probabilities[:, 0]
    assert found[0] < 0.2
    assert found[1] > 0.8
    assert np.isfinite(found[2])
