"""The arithmetic that is done for nothing does nothing."""

import copy
from typing import Any

from daemon.control.arm import FollowerArm
from daemon.control.warm import rehearse

from .conftest import Bench


def known(arm: FollowerArm) -> dict[str, Any]:
    """Everything that the arm remembers, but for its line and its calibration."""
    apart = ("link", "joint_map", "variant", "beliefs")
    remembered = {name: value for name, value in vars(arm).items() if name not in apart}
    beliefs = [{name: getattr(one, name) for name in one.__slots__} for one in arm.beliefs]
    return copy.deepcopy({**remembered, "beliefs": beliefs})


def test_a_rehearsed_tick_changes_nothing_and_sends_nothing(bench: Bench) -> None:
    bench.raised()
    (arm,) = bench.core.arms
    sent: list[bytes] = []
    arm.open_bus().port.write = sent.append  # type: ignore[method-assign]
    before = known(arm)
    rehearse(bench.core.arms, 1 / 120)
    assert known(arm) == before
    assert sent == []
