"""LeRobot's file and LeRobot's numbers, to the last bit."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.calibration import (
    JOINT_NAMES,
    MotorCalibration,
    NormMode,
    find_calibration,
    fingerprint,
    load_calibration,
    load_robot_calibration,
    load_teleoperator_calibration,
    normalize,
    save_calibration,
    unnormalize,
)
from drivers.joint_map import JointMap
from robotd.errors import CalibrationError

lerobot_motors = pytest.importorskip("lerobot.motors")
lerobot_feetech = pytest.importorskip("lerobot.motors.feetech")

# facts/policies.md G2: a follower's recorded ranges.
G2 = {
    "shoulder_pan": (794, 3297, 220.0),
    "shoulder_lift": (942, 3217, 200.0),
    "elbow_flex": (956, 3159, 193.6),
    "wrist_flex": (885, 3046, 189.9),
    "wrist_roll": (278, 3919, 320.0),
    "gripper": (2047, 3298, 110.0),
}


def g2_calibration() -> dict[str, MotorCalibration]:
    return {
        name: MotorCalibration(number, 0, 10 * number - 30, low, high)
        for number, (name, (low, high, _)) in enumerate(G2.items(), 1)
    }


ranges = st.tuples(st.integers(0, 4095), st.integers(0, 4095)).filter(lambda x: x[0] != x[1])


@st.composite
def motors(draw) -> MotorCalibration:
    low, high = sorted(draw(ranges))
    return MotorCalibration(1, draw(st.integers(0, 1)), draw(st.integers(-2047, 2047)), low, high)


def lerobot_bus(motor: MotorCalibration, mode: NormMode):
    theirs = lerobot_motors.MotorNormMode[mode.name]
    return lerobot_feetech.FeetechMotorsBus(
        "nowhere",
        {"joint": lerobot_motors.Motor(1, "sts3215", theirs)},
        {
            "joint": lerobot_motors.MotorCalibration(
                1, motor.drive_mode, motor.homing_offset, motor.range_min, motor.range_max
            )
        },
    )


@given(motors(), st.sampled_from(NormMode), st.integers(-200, 4400))
def test_ticks_become_lerobots_units_bit_for_bit(motor, mode, ticks) -> None:
    expected = lerobot_bus(motor, mode)._normalize({1: ticks})[1]
    assert normalize(motor, ticks, mode) == expected


@given(motors(), st.sampled_from(NormMode), st.floats(-400, 400))
def test_lerobots_units_become_ticks_bit_for_bit(motor, mode, value) -> None:
    expected = lerobot_bus(motor, mode)._unnormalize({1: value})[1]
    assert unnormalize(motor, value, mode) == expected


@given(
    st.lists(motors(), min_size=6, max_size=6),
    st.sampled_from([NormMode.DEGREES, NormMode.RANGE_M100_100]),
    st.lists(st.integers(0, 4095), min_size=6, max_size=6),
    st.lists(st.floats(-400, 400), min_size=6, max_size=6),
)
def test_the_whole_arm_at_once_is_lerobots_to_the_last_bit(arm, mode, ticks, values) -> None:
    joints = JointMap(dict(zip(JOINT_NAMES, arm, strict=True)), body_mode=mode)
    modes = [mode] * 5 + [NormMode.RANGE_0_100]
    buses = [lerobot_bus(motor, unit) for motor, unit in zip(arm, modes, strict=True)]
    assert joints.lerobot_from_ticks(ticks).tolist() == [
        bus._normalize({1: tick})[1] for bus, tick in zip(buses, ticks, strict=True)
    ]
    assert joints.ticks_from_lerobot(values) == [
        bus._unnormalize({1: value})[1] for bus, value in zip(buses, values, strict=True)
    ]


def test_the_known_arm_has_the_known_angles() -> None:
    for name, (low, high, degrees) in G2.items():
        motor = g2_calibration()[name]
        span = normalize(motor, high, NormMode.DEGREES) - normalize(motor, low, NormMode.DEGREES)
        # G2 counts 4096 to the turn, LeRobot 4095.
        assert span * 4095 / 4096 == pytest.approx(degrees, abs=0.06)
        assert normalize(motor, low, NormMode.RANGE_0_100) == 0.0
        assert normalize(motor, high, NormMode.RANGE_0_100) == 100.0
        assert normalize(motor, (low + high) // 2, NormMode.RANGE_M100_100) == pytest.approx(
            0, abs=0.1
        )


def test_degrees_are_not_clamped_and_ignore_the_drive_mode() -> None:
    motor = MotorCalibration(1, 1, 0, 1000, 2000)
    assert normalize(motor, 2500, NormMode.DEGREES) == 1000 * 360 / 4095
    assert normalize(motor, 2500, NormMode.RANGE_M100_100) == -100.0


def test_going_back_truncates_as_lerobot_does() -> None:
    motor = MotorCalibration(1, 0, 0, 0, 4095)
    assert unnormalize(motor, 0.0, NormMode.DEGREES) == 2047  # 2047.5 cut, not rounded


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", NormMode)
def test_a_number_that_is_not_finite_becomes_no_ticks(value, mode) -> None:
    with pytest.raises(ValueError, match="no position"):
        unnormalize(g2_calibration()["gripper"], value, mode)


def test_lerobot_reads_what_we_save_and_we_read_what_it_saves(tmp_path) -> None:
    import draccus

    ours, theirs = tmp_path / "ours.json", tmp_path / "theirs.json"
    save_calibration(ours, g2_calibration())
    with ours.open() as file, draccus.config_type("json"):
        loaded = draccus.load(dict[str, lerobot_motors.MotorCalibration], file)
    with theirs.open("w") as file, draccus.config_type("json"):
        draccus.dump(loaded, file, indent=4)
    assert load_calibration(theirs) == g2_calibration()
    assert theirs.read_text().split() == ours.read_text().split()


def test_saving_leaves_no_half_file_behind(tmp_path) -> None:
    path = tmp_path / "deep" / "arm.json"
    save_calibration(path, g2_calibration())
    save_calibration(path, g2_calibration())
    assert [p.name for p in path.parent.iterdir()] == ["arm.json"]


def test_the_fingerprint_is_of_the_values_not_of_the_file(tmp_path) -> None:
    path = tmp_path / "arm.json"
    save_calibration(path, g2_calibration())
    shuffled = dict(reversed(json.loads(path.read_text()).items()))
    path.write_text(json.dumps(shuffled))
    assert fingerprint(load_calibration(path)) == fingerprint(g2_calibration())
    other = g2_calibration() | {"gripper": MotorCalibration(6, 0, 31, 2047, 3298)}
    assert fingerprint(other) != fingerprint(g2_calibration())


def test_the_file_is_found_where_any_lerobot_release_put_it(tmp_path) -> None:
    old = tmp_path / "robots" / "so100_follower" / "left.json"
    save_calibration(old, g2_calibration())
    assert find_calibration("left", root=tmp_path) == old
    new = tmp_path / "robots" / "so_follower" / "left.json"
    save_calibration(new, g2_calibration())
    assert find_calibration("left", root=tmp_path) == new
    leader = tmp_path / "teleoperators" / "so101_leader" / "left.json"
    save_calibration(leader, g2_calibration())
    assert find_calibration("left", "leader", tmp_path) == leader
    assert load_robot_calibration("left", tmp_path) == g2_calibration()
    assert load_teleoperator_calibration("left", tmp_path) == g2_calibration()


def test_the_default_place_is_lerobots_own(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(tmp_path))
    save_calibration(tmp_path / "robots" / "so_follower" / "me.json", g2_calibration())
    assert find_calibration("me").parent.parent.parent == tmp_path


def test_a_missing_calibration_names_the_command_and_the_known_arms(tmp_path) -> None:
    save_calibration(tmp_path / "robots" / "so_follower" / "blue.json", g2_calibration())
    with pytest.raises(CalibrationError) as caught:
        find_calibration("red", root=tmp_path)
    assert "lerobot-calibrate" in caught.value.do
    assert "--robot.id=red" in caught.value.do
    assert "blue" in caught.value.likely
    with pytest.raises(CalibrationError, match="teleop"):
        find_calibration("red", "leader", tmp_path)
    with pytest.raises(CalibrationError, match="no calibration file"):
        load_calibration(tmp_path / "red.json")


def _broken(change) -> str:
    content = {
        name: {
            "id": m.id,
            "drive_mode": m.drive_mode,
            "homing_offset": m.homing_offset,
            "range_min": m.range_min,
            "range_max": m.range_max,
        }
        for name, m in g2_calibration().items()
    }
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not readable JSON"),
        ("[1]", "not a table"),
        (_broken(lambda c: c.pop("gripper")), "gripper"),
        (_broken(lambda c: c.update(elbow=1)), "elbow"),
        (_broken(lambda c: c["gripper"].pop("id")), "exactly the keys"),
        (_broken(lambda c: c["gripper"].update(range_min=1.5)), "whole number"),
        (_broken(lambda c: c["gripper"].update(range_min=True)), "whole number"),
        (_broken(lambda c: c["gripper"].update(range_min=3298)), "3298..3298"),
        (_broken(lambda c: c["gripper"].update(range_max=5000)), "5000"),
        (_broken(lambda c: c["gripper"].update(homing_offset=2048)), "2048"),
        (_broken(lambda c: c["gripper"].update(drive_mode=2)), "drive_mode 2"),
        (_broken(lambda c: c["gripper"].update(id=1)), "share a servo id"),
        (_broken(lambda c: c["gripper"].update(id=300)), "servo id 300"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused_with_the_reason(tmp_path, text, says) -> None:
    path = tmp_path / "arm.json"
    path.write_text(text)
    with pytest.raises(CalibrationError, match=says):
        load_calibration(path)
