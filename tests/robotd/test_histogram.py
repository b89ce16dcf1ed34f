"""The histogram of spans: its percentiles are as good as it says, and it never grows."""

import sys
from array import array

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robotd.histogram import BUCKETS, CELLS, RELATIVE_ERROR, Histogram

# These judge values, not speed: a busy machine must not fail one.
AT_ANY_LOAD = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SPANS = st.lists(st.integers(0, (1 << 24) - 1), min_size=1, max_size=200)


def counted(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@AT_ANY_LOAD
@given(SPANS, st.sampled_from([0.5, 0.99, 0.999, 1.0]))
def test_a_percentile_is_within_the_error_it_promises(values: list[int], part: float) -> None:
    ordered = sorted(values)
    # The value at the rank that the histogram looks for: `part` of all do not exceed it.
    exact = next(v for n, v in enumerate(ordered, 1) if n >= part * len(ordered))
    said = counted(values).percentile(part)
    assert abs(said - exact) <= RELATIVE_ERROR * exact
    assert RELATIVE_ERROR <= 0.05


@AT_ANY_LOAD
@given(SPANS)
def test_count_and_maximum_are_exact(values: list[int]) -> None:
    histogram = counted(values)
    assert (histogram.count, histogram.maximum) == (len(values), max(values))


@AT_ANY_LOAD
@given(SPANS, SPANS)
def test_what_came_since_is_what_was_added_since(before: list[int], after: list[int]) -> None:
    earlier, later = counted(before), counted(before + after)
    window, alone = later.since(earlier), counted(after)
    assert window.count == alone.count
    for part in (0.5, 0.99):
        assert window.percentile(part) == pytest.approx(
            alone.percentile(part), rel=2 * RELATIVE_ERROR
        )
    assert abs(window.maximum - max(after)) <= RELATIVE_ERROR * max(after) + 0.5


@AT_ANY_LOAD
@given(SPANS, SPANS)
def test_two_runs_merge_into_one(one: list[int], other: list[int]) -> None:
    merged, both = counted(one).merged(counted(other)), counted(one + other)
    assert (merged.count, merged.maximum) == (both.count, both.maximum)
    assert merged.percentile(0.99) == both.percentile(0.99)


def test_nothing_is_zero_and_what_cannot_be_is_refused() -> None:
    empty = Histogram()
    assert (empty.count, empty.maximum, empty.percentile(0.99)) == (0, 0, 0.0)
    assert empty.since(Histogram()).maximum == 0
    with pytest.raises(ValueError, match="earlier"):
        empty.since(counted([5]))
    with pytest.raises(ValueError, match="cells"):
        Histogram(array("Q", [0]))


def test_spans_out_of_reach_are_counted_at_the_ends() -> None:
    histogram = counted([-4, 1 << 40])
    assert histogram.count == 2
    assert histogram.maximum == 1 << 40  # exact, however long
    assert histogram.percentile(0.5) == 0.0


def test_it_counts_in_the_memory_it_was_given_and_in_no_more() -> None:
    memory = array("Q", bytes(8 * 2 * CELLS))
    second = Histogram(memoryview(memory)[CELLS:])
    size = sys.getsizeof(memory)
    for value in range(0, 100_000, 7):
        second.add(value)
    assert sys.getsizeof(memory) == size
    assert sum(memory[CELLS : CELLS + BUCKETS]) == second.count
    assert not any(memory[:CELLS])
