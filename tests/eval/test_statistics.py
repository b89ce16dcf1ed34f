"""What a count proves: intervals, pairs and the choice of a checkpoint."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.evaluation.statistics import choose, mcnemar_p, paired, wilson


def test_wilson_says_how_little_ten_episodes_prove() -> None:
    """Policies facts C: the interval of 10 of 10 is 72-100 %."""
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-3)
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(45, 50)
    assert low == pytest.approx(0.786, abs=2e-3)
    assert high == pytest.approx(0.957, abs=2e-3)


def test_mcnemars_exact_p_is_the_binomials() -> None:
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(5, 5) == 1.0
    assert mcnemar_p(0, 6) == pytest.approx(2 / 2**6)
    assert mcnemar_p(1, 9) == pytest.approx(2 * 11 / 2**10)
    assert mcnemar_p(9, 1) == mcnemar_p(1, 9)


def _pairs(both: int, only_first: int, only_second: int, neither: int) -> list[tuple[bool, bool]]:
    return (
        [(True, True)] * both
        + [(True, False)] * only_first
        + [(False, True)] * only_second
        + [(False, False)] * neither
    )


def test_pairs_that_do_not_go_together_are_as_uncertain_as_unpaired_episodes() -> None:
    """Without correlation Newcombe's paired interval is his unpaired one: both Wilson intervals, squared and added."""
    pairs = _pairs(18, 12, 12, 8)  # phi = 0: 18 * 8 == 12 * 12
    found = paired([a for a, _ in pairs], [b for _, b in pairs])
    low, high = wilson(30, 50)
    assert found.difference == 0.0
    assert found.ci95 == pytest.approx(
        (-math.hypot(0.6 - low, high - 0.6), math.hypot(0.6 - low, high - 0.6)), abs=1e-12
    )


def test_the_paired_interval_is_newcombes_tenth() -> None:
    """His table of 41 pairs, 14 both, 5 and 0 one alone: 0.122, 0.011 to 0.226."""
    pairs = _pairs(14, 0, 5, 22)
    found = paired([a for a, _ in pairs], [b for _, b in pairs])
    assert found.difference == pytest.approx(5 / 41)
    assert found.ci95 == pytest.approx((0.011, 0.226), abs=1e-3)


def test_the_same_seeds_make_a_comparison_sharper() -> None:
    together, apart = _pairs(30, 0, 6, 14), _pairs(18, 12, 18, 2)  # 60 and 72 % both times
    sharp, blunt = (paired([a for a, _ in x], [b for _, b in x]) for x in (together, apart))
    assert sharp.difference == pytest.approx(blunt.difference) == pytest.approx(0.12)
    assert sharp.ci95[1] - sharp.ci95[0] < 0.7 * (blunt.ci95[1] - blunt.ci95[0])
    assert sharp.ci95[0] > 0 > blunt.ci95[0]
    assert sharp.p_value == pytest.approx(2 / 2**6) and blunt.p_value > 0.3


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_paired_interval_holds_its_difference_and_turns_with_the_order(
    pairs: list[tuple[bool, bool]],
) -> None:
    there = paired([a for a, _ in pairs], [b for _, b in pairs])
    back = paired([b for _, b in pairs], [a for a, _ in pairs])
    low, high = there.ci95
    assert -1.0 <= low <= there.difference + 1e-12 and there.difference - 1e-12 <= high <= 1.0
    assert back.difference == -there.difference
    assert back.ci95 == pytest.approx((-high, -low), abs=1e-9)
    assert back.p_value == there.p_value


def test_the_earliest_checkpoint_inside_the_bests_interval_is_taken() -> None:
    """Policies facts 3.5: the last checkpoint is not the best; a later one must have been shown to be better."""
    assert choose([(6, 10), (10, 10), (8, 10)]) == 1  # 60 % lies below 72 %
    assert choose([(8, 10), (10, 10), (8, 10)]) == 0  # 80 % does not
    assert choose([(40, 50), (50, 50), (50, 50)]) == 1
    assert choose([(0, 10)]) == 0
    low, _ = wilson(10, 10)
    assert math.ceil(low * 10) == 8  # the two sides of the first two lines
    with pytest.raises(ValueError):
        choose([(0, 0)])
