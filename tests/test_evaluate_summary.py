"""Intervals and gaps against closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from revisage.lab.evaluate.summary import largest_gap, summarise


def test_the_interval_is_that_of_the_normal_law_for_many_values() -> None:
    values = np.random.default_rng(0).gamma(4, 1, 5000)
    found = summarise(values)
    error = values.std() / math.sqrt(len(values))
    assert found.interval is not None
    assert found.mean == pytest.approx(values.mean())
    assert found.interval[0] == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert found.interval[1] == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_intervals_hold_the_true_mean_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        low, high = summarise(rng.normal(3, 1, 60)).interval or (math.nan, math.nan)
        inside += low <= 3 <= high
    assert 0.89 < inside / 200 < 0.99


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30), st.floats(-50, 50), st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_intervals_move_and_stretch_with_the_values(values: list[float], shift: float, factor: float) -> None:
    one, other = summarise(np.array(values)), summarise(np.array(values) * factor + shift)
    assert one.interval is not None
    assert other.interval is not None
    np.testing.assert_allclose(other.interval, np.array(one.interval) * factor + shift, atol=1e-8)
    assert one.interval[0] <= one.mean + 1e-9
    assert one.interval[1] >= one.mean - 1e-9


def test_missing_values_do_not_count() -> None:
    values = np.array([1.0, np.nan, 2.0, 3.0])
    assert summarise(values) == summarise(np.array([1.0, 2.0, 3.0]))
    assert summarise(values).n == 3
    assert summarise(np.array([np.nan])).entry() == {"mean": None, "ci95": None, "n": 0}
    assert summarise(np.array([2.0])).entry() == {"mean": 2.0, "ci95": None, "n": 1}
    assert summarise(np.array([2.0, np.inf])).entry() == {"mean": None, "ci95": None, "n": 2}


def test_the_largest_gap_is_between_the_outermost_groups() -> None:
    rng = np.random.default_rng(0)
    groups = {"b": rng.normal(0, 1, 400), "a": rng.normal(2, 1, 400), "c": rng.normal(1, 1, 400)}
    gap = largest_gap(groups)
    assert gap is not None
    assert (gap.low, gap.high) == ("b", "a")
    assert gap.gap.mean == pytest.approx(groups["a"].mean() - groups["b"].mean())
    error = math.sqrt(2 / 400)
    assert gap.gap.interval is not None
    np.testing.assert_allclose(
        gap.gap.interval, gap.gap.mean + np.array([-1.96, 1.96]) * error, atol=0.25 * error
    )
    assert gap.chance < gap.gap.interval[0]


def test_labels_that_mean_nothing_stay_within_chance_19_times_of_20() -> None:
    rng = np.random.default_rng(3)
    beyond = 0
    for _ in range(40):
        gap = largest_gap({str(i): rng.normal(0, 1, 30) for i in range(4)})
        assert gap is not None
        beyond += gap.gap.mean > gap.chance
    assert beyond <= 6  # of 40 with a chance of 1/20: more than six once in some three hundred tries


def test_one_group_alone_has_no_gap() -> None:
    assert largest_gap({"a": np.arange(5.0), "b": np.array([np.nan, 1.0])}) is None
