"""What `bench record` says of a dataset is what is wrong with it."""

import numpy as np
import pytest

from bench.recording.judge import Verdict, judge_episode
from bench.recording.scene import Scene, all_positions, count_in, number_in, positions

TAKEN = list(range(100, 120))
NONE = [False] * 10


def test_numbers_survive_being_painted_and_dimmed() -> None:
    scene = Scene()
    for number in (0, 1, 299, 43690, 65535):
        picture = scene.picture(number)
        assert number_in(picture) == number
        dull = (picture.astype(np.int32) * 3 // 4 + 30).astype(np.uint8)
        assert number_in(dull) == number


def test_a_count_is_read_back_from_what_the_joints_became() -> None:
    units = np.asarray(all_positions(), dtype=np.float32) * 0.0879 - 180.0
    for count in (0, 999, 1000, 123_456):
        state = [tick * 0.0879 - 180.0 for tick in positions(count)]
        assert count_in(state, units) == count


LATE = [*range(100, 105), 104, *range(106, 110)]
SAID = [row == 5 for row in range(10)]


@pytest.mark.parametrize(
    ("shown", "flagged", "verdict"),
    [
        (range(100, 110), NONE, Verdict(10)),
        # One picture dropped: all after it show the next one's.
        ([*range(100, 104), *range(105, 111)], NONE, Verdict(10, lost=1, shifted=6)),
        # A repeat is a picture lost; one that does not say so is a shift too.
        (LATE, SAID, Verdict(10, lost=1, repeated=1)),
        (LATE, NONE, Verdict(10, lost=1, shifted=1, repeated=1, unsaid=1)),
        # The video ends before the rows do.
        ([*range(100, 108), -1, -1], NONE, Verdict(10, lost=4)),
    ],
)
def test_what_is_wrong_with_an_episode_is_counted(
    shown: list[int], flagged: list[bool], verdict: Verdict
) -> None:
    assert judge_episode(list(shown), range(100, 110), flagged, TAKEN) == verdict
