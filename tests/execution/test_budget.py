"""What of a blend fits a given time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldwise.errors import ConfigError
from foldwise.execution.budget import members_in_time, seconds_of
from foldwise.execution.prediction import timing


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("80m", 4800), ("9h", 32400), ("1h30m", 5400), ("45s", 45), ("5400", 5400), ("1.5h", 5400), ("0.5", 0.5)],
)
def test_times(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "80 m", "m", "80min", "-5m", "0m", "0", "1h30", "soon"])
def test_other_words_are_no_times(text):
    with pytest.raises(ConfigError, match=r"predict\.budget="):
        seconds_of(text)


SECONDS = {"fast": 10.0, "good": 60.0, "slow": 90.0, "harmful": 20.0}
WORSE = {"fast": 0.002, "good": 0.03, "slow": 0.009, "harmful": -0.001}


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        (180, ["fast", "good", "slow", "harmful"]),
        (179, ["fast", "good", "slow"]),  # without the last the mean is better
        (159, ["fast", "good"]),  # per second: .0002, .0005, .0001
        (69, ["good"]),  # per second: .0002, .0005
        (1, ["good"]),  # the last one stays
    ],
)
def test_members_are_left_out_in_order(left, kept):
    assert members_in_time(SECONDS, lambda names: {name: WORSE[name] for name in names}, left) == kept


def test_of_harmless_members_the_slowest_goes_first():
    assert members_in_time({"a": 1, "b": 5, "c": 3}, lambda names: dict.fromkeys(names, 0.0), 8) == ["a", "c"]


def test_what_members_add_is_asked_of_those_that_are_left():
    asked = []

    def worse(names):
        asked.append(names)
        return {name: float(len(name)) for name in names}

    assert members_in_time({"aaa": 5, "b": 5, "cc": 5}, worse, 5) == ["aaa"]
    assert asked == [["aaa", "b", "cc"], ["aaa", "cc"]]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-1, 1)), min_size=1, max_size=8), st.floats(0, 500))
def test_what_is_kept_fits_or_is_alone(members, left):
    seconds = {str(i): one for i, (one, _) in enumerate(members)}
    worse = {str(i): one for i, (_, one) in enumerate(members)}
    kept = members_in_time(seconds, lambda names: {name: worse[name] for name in names}, left)
    assert kept == [name for name in seconds if name in kept]
    assert len(kept) == 1 or sum(seconds[name] for name in kept) <= left
    if sum(seconds.values()) <= left:
        assert kept == list(seconds)


def test_the_first_batch_belongs_to_the_start():
    assert timing(10.0, [(15.0, 32)]) == {"start": 0.0, "image": 5 / 32}
    assert timing(10.0, [(15.0, 32), (16.0, 32)]) == {"start": 4.0, "image": 1 / 32}
    # a first batch that is no slower than the others leaves no start
    assert timing(0.0, [(1.0, 10), (3.0, 10)]) == {"start": 0.0, "image": 0.2}
