"""Conversions of numbers and their inverses, held against LeRobot's formulas."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from daemon.recorder.schema import joint_feature_names
from dataset import convert, export
from dataset.converting import calibration
from dataset.converting.values import (
    FORMULAS,
    UNITS,
    absolute_from_delta,
    degrees_per_unit,
    delta_from_absolute,
    gripper_converted,
    gripper_mask,
    rescaled,
)
from dataset.exporting import choice
from drivers.calibration import NormMode, fingerprint, load_calibration
from drivers.joint_map import JointMap
from robotd.errors import CalibrationError, DatasetError

NAMES = joint_feature_names()
TICKS = {  # facts: a lab's follower; wrist_roll's drive mode is ours, to see the turn
    "shoulder_pan": (794, 3297, 0),
    "shoulder_lift": (942, 3217, 0),
    "elbow_flex": (956, 3159, 1),
    "wrist_flex": (885, 3046, 0),
    "wrist_roll": (278, 3919, 1),
    "gripper": (2047, 3298, 0),
}
RANGES = {
    f"{joint}.pos": float((low - high) if turned else (high - low))
    for joint, (low, high, turned) in TICKS.items()
}
ROWS = hnp.arrays(np.float32, (3, 6), elements=st.floats(-99, 99, width=32, allow_subnormal=False))


def calibration_file(folder: Path) -> Path:
    path = folder / "arm.json"
    path.write_text(
        json.dumps(
            {
                joint: {
                    "id": number,
                    "drive_mode": turned,
                    "homing_offset": 0,
                    "range_min": low,
                    "range_max": high,
                }
                for number, (joint, (low, high, turned)) in enumerate(TICKS.items(), 1)
            }
        )
    )
    return path


@given(rows=ROWS, here=st.sampled_from(UNITS), there=st.sampled_from(UNITS))
def test_units_there_and_back_are_the_same_and_grippers_untouched(
    rows: np.ndarray, here: str, there: str
) -> None:
    values = rows.astype(np.float64)
    factors = degrees_per_unit(here, NAMES, RANGES) / degrees_per_unit(there, NAMES, RANGES)  # type: ignore[arg-type]
    away, _ = rescaled(values, factors)
    back, _ = rescaled(away.astype(np.float32).astype(np.float64), 1 / factors)
    np.testing.assert_allclose(back, values, rtol=1e-5, atol=1e-30)
    np.testing.assert_array_equal(away[:, 5], values[:, 5])


@given(rows=ROWS)
def test_every_gripper_formula_has_its_inverse(rows: np.ndarray) -> None:
    values = rows.astype(np.float64)
    mask = gripper_mask(NAMES, "action")
    for formula, (came, becomes) in FORMULAS.items():
        inverse = next(word for word, pair in FORMULAS.items() if pair == (becomes, came))
        there = gripper_converted(values, mask, formula)
        back = gripper_converted(there.astype(np.float32).astype(np.float64), mask, inverse)
        np.testing.assert_allclose(back, values, atol=1e-4)
        np.testing.assert_array_equal(there[:, :5], values[:, :5])


def test_the_command_line_offers_what_there_is() -> None:
    assert convert.UNITS == UNITS
    assert tuple(FORMULAS) == convert.GRIPPER
    assert tuple(choice.WORDS) == export.ONLY


def test_a_gripper_for_openpi_is_1_closed_and_0_open() -> None:
    mask = gripper_mask(NAMES, "action")
    rows = np.zeros((3, 6))
    rows[:, 5] = [0, 100, 25]
    assert gripper_converted(rows, mask, "1-x/100")[:, 5].tolist() == [1.0, 0.0, 0.75]


@given(action=ROWS, state=ROWS)
def test_delta_actions_there_and_back_are_the_same(action: np.ndarray, state: np.ndarray) -> None:
    mask = gripper_mask(NAMES, "action")
    delta = delta_from_absolute(action.astype(np.float64), state.astype(np.float64), mask)
    np.testing.assert_array_equal(delta[:, 5], action[:, 5])
    np.testing.assert_allclose(delta[:, :5], (action.astype(float) - state)[:, :5])
    stored = delta.astype(np.float32).astype(np.float64)
    back = absolute_from_delta(stored, state.astype(np.float64), mask)
    np.testing.assert_allclose(back, action, atol=2e-5)


def test_degrees_and_share_of_the_range_are_lerobots_of_the_same_ticks(tmp_path: Path) -> None:
    path = calibration_file(tmp_path)
    loaded = load_calibration(path)
    ticks = np.array([[1000, 1500, 2000, 2500, 3000, 2600], [3000, 3000, 1000, 900, 400, 3298]])
    degrees = JointMap(loaded).lerobot_from_ticks(ticks)
    shares = JointMap(loaded, body_mode=NormMode.RANGE_M100_100).lerobot_from_ticks(ticks)
    ranges = calibration.joint_ranges([path], NAMES)
    assert ranges == RANGES
    factors = degrees_per_unit("degrees", NAMES, ranges) / degrees_per_unit(
        "range_m100_100", NAMES, ranges
    )
    ours, bounded = rescaled(degrees, factors, limit=100.0)
    np.testing.assert_allclose(ours, shares, atol=1e-9)
    assert bounded == 0
    _, bounded = rescaled(degrees * 3, factors, limit=100.0)
    assert bounded > 0
    radians, _ = rescaled(
        degrees, degrees_per_unit("degrees", NAMES, None) / degrees_per_unit("radians", NAMES, None)
    )
    np.testing.assert_allclose(radians[:, :5], np.radians(degrees[:, :5]))
    assert radians[0, 5] == degrees[0, 5]
    assert math.isclose(
        calibration.joint_ranges([path] * 2, [f"left_{n}" for n in NAMES])["left_gripper.pos"],
        1251,
    )


def test_a_calibrations_hash_is_the_one_noted_beside_episodes(tmp_path: Path) -> None:
    path = calibration_file(tmp_path)
    expected = fingerprint(load_calibration(path))
    assert calibration.fingerprint([path]) == expected
    assert calibration.fingerprint([path, path]) == f"{expected}+{expected}"


def test_two_arms_need_two_calibrations_and_values_that_are_no_joints_are_refused(
    tmp_path: Path,
) -> None:
    path = calibration_file(tmp_path)
    with pytest.raises(CalibrationError, match="more than 1 arm"):
        calibration.joint_ranges([path], joint_feature_names(("left", "right")))
    with pytest.raises(DatasetError, match=r"ee\.x"):
        gripper_mask((*NAMES[:5], "ee.x"), "action")
