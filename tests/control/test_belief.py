"""A position is believed when a motor could have brought the joint there, and not otherwise."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.control.belief import ACCEPT_AGAIN_S, Belief

TICK_NS = 8_333_333


def fed(belief: Belief, readings: list[int], start: int = 0) -> list[bool]:
    return [
        belief.judge(ticks, (start + number) * TICK_NS) for number, ticks in enumerate(readings)
    ]


@given(
    start=st.integers(500, 3_500),
    steps=st.lists(st.integers(-65, 65), min_size=1, max_size=60),  # 12 rad/s at 120 Hz
    lost=st.sets(st.integers(0, 59)),
)
def test_whatever_a_motor_can_do_is_believed_with_any_readings_lost(
    start: int, steps: list[int], lost: set[int]
) -> None:
    belief, at = Belief(), start
    assert belief.judge(at, 0)
    for number, step in enumerate(steps):
        at = min(max(at + step, 0), 4_095)
        if number not in lost:
            assert belief.judge(at, (number + 1) * TICK_NS)


@given(jump=st.integers(150, 3_000), sign=st.sampled_from((-1, 1)), count=st.integers(1, 30))
def test_a_jump_is_doubted_however_often_it_is_told_and_the_true_reading_is_believed_again(
    jump: int, sign: int, count: int
) -> None:
    belief = Belief()
    here = 2_048 - sign * 500
    assert all(fed(belief, [here] * 5))
    wrong = min(max(here + sign * jump, 0), 4_095)
    assert not any(fed(belief, [wrong] * count, start=5))
    assert belief.doubts == count
    assert fed(belief, [here], start=5 + count) == [True]
    assert belief.doubts == 0


def test_a_moving_joint_is_found_again_after_doubted_readings() -> None:
    belief = Belief()
    path = [1_000 + 25 * number for number in range(30)]  # 4.6 rad/s
    assert all(fed(belief, path[:10]))
    assert not any(fed(belief, [each + 1_024 for each in path[10:18]], start=10))
    assert all(fed(belief, path[18:], start=18))


def test_a_count_outside_the_turn_is_never_believed() -> None:
    belief = Belief()
    assert fed(belief, [2_000]) == [True]
    assert not any(fed(belief, [2_000 + 4_096] * 400, start=1))


def test_a_joint_that_stands_elsewhere_for_a_second_is_where_it_says() -> None:
    belief = Belief()
    assert fed(belief, [1_000]) == [True]
    ticks = round(ACCEPT_AGAIN_S * 1e9 / TICK_NS)
    told = fed(belief, [2_500] * (ticks + 3), start=1)
    assert not any(told[:ticks])
    assert told[-1]
