"""An observation is a dataset row of the same tick: LeRobot's names, units and formulas."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from config.schema import Arm, Config
from drivers.calibration import NormMode, load_robot_calibration, normalize
from policies.border import Border, load_calibrations, robot_features
from policies.observation import NotObservedError, build_observation
from robotd.clock import NS_PER_MS
from robotd.frames import Frame

from .conftest import FEATURE_NAMES, JOINTS

DEADLINE_NS = 10**10
STALE_NS = 200 * NS_PER_MS
TICKS = (2000, 2100, 2200, 1900, 2500, 2600)


def tick(ticks: tuple[int, ...] = TICKS) -> dict[str, Any]:
    return {"deadline_ns": DEADLINE_NS, "handover_version": 3, "present_position_ticks": ticks}


def frame(stamp_ns: int, value: int) -> Frame:
    return Frame(0, stamp_ns, 0, 4, 2, bytes([value]) * 24)


def environment(stamp_ns: int) -> dict[str, Any]:
    return {"stamp_ns": stamp_ns, "values": tuple(range(7))}


@pytest.mark.parametrize("units", ["degrees", "range_m100_100"])
def test_the_state_is_what_lerobot_computes_from_the_same_ticks(config: Config, units: Any) -> None:
    border = Border(config, load_calibrations(config), units)
    calibration = load_robot_calibration("sim")
    body = NormMode(units)
    expected = [
        normalize(calibration[name], ticks, NormMode.RANGE_0_100 if name == "gripper" else body)
        for name, ticks in zip(JOINTS, TICKS, strict=True)
    ]
    state = border.state(TICKS)
    assert state.dtype == np.float32
    np.testing.assert_array_equal(state, np.float32(expected))


def test_actions_become_radians_of_the_model(config: Config) -> None:
    border = Border(config, load_calibrations(config))
    actions = np.array([[10.0, -20.0, 30.0, -40.0, 50.0, 25.0]])
    offset = math.radians(config.arms["arm"].joint_offset_deg[4])
    expected = [*np.radians([10.0, -20.0, 30.0, -40.0]), math.radians(50.0) + offset]
    np.testing.assert_allclose(
        border.actions_rad(actions)[0], [*expected, -0.17453 + 0.25 * 1.91986], atol=1e-9
    )


def test_an_observation_has_a_datasets_keys_and_the_age_of_its_oldest_input(
    config: Config,
) -> None:
    seen = build_observation(
        tick(),
        Border(config, load_calibrations(config)),
        {"overhead": frame(DEADLINE_NS - 40 * NS_PER_MS, 1), "wrist": frame(DEADLINE_NS, 2)},
        environment(DEADLINE_NS - 3 * NS_PER_MS),
        STALE_NS,
        told=True,
    )
    assert set(seen.values) == set(robot_features(config).keys)
    assert seen.oldest_ns == DEADLINE_NS - 40 * NS_PER_MS
    assert (seen.deadline_ns, seen.handover_version) == (DEADLINE_NS, 3)
    picture = seen.values["observation.images.overhead"]
    assert picture.shape == (2, 4, 3) and picture.dtype == np.uint8 and (picture == 1).all()
    np.testing.assert_array_equal(seen.values["observation.environment_state"], range(7))


def test_a_policy_is_not_told_what_it_did_not_ask_for(config: Config) -> None:
    border = Border(config, load_calibrations(config))
    seen = build_observation(tick(), border, {}, environment(DEADLINE_NS), STALE_NS, told=False)
    assert set(seen.values) == {"observation.state"}


def test_a_frozen_or_missing_input_is_no_observation(config: Config) -> None:
    border = Border(config, load_calibrations(config))
    old_ns = DEADLINE_NS - STALE_NS - 1
    for frames, told, says in (
        ({"wrist": None}, None, "camera wrist has no picture"),
        ({"wrist": frame(old_ns, 0)}, None, "200 ms old"),
        ({}, environment(old_ns), "environment state is 200 ms old"),
    ):
        with pytest.raises(NotObservedError, match=says):
            build_observation(tick(), border, frames, told, STALE_NS, told=told is not None)
    with pytest.raises(NotObservedError, match="where the objects are"):
        build_observation(tick(), border, {}, None, STALE_NS, told=True)


def test_two_arms_stand_side_by_side_left_first(config: Config) -> None:
    arms = {
        side: Arm(port="plant", id=f"sim_{side}", joint_offset_deg=(0.0,) * 6)
        for side in ("left", "right")
    }
    both = msgspec.structs.replace(config, arms=arms)
    names = robot_features(both).joints
    assert names == tuple(f"{s}_{n}" for s in ("left", "right") for n in FEATURE_NAMES)
    border = Border(both, load_calibrations(both))
    one = msgspec.structs.replace(config, arms={"right": arms["right"]})
    alone = Border(one, load_calibrations(one))
    np.testing.assert_array_equal(border.state(TICKS + TICKS)[6:], alone.state(TICKS))
    with pytest.raises(ValueError, match="12"):
        border.state(TICKS)
