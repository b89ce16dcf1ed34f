"""The drivers on the virtual arm, which shares no code with them: a process behind a real pty."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from drivers import registers as r
from drivers.bus import ServoBus, collect
from drivers.calibration import load_calibration
from drivers.identity import Presence
from drivers.joint_map import JointMap
from drivers.registers import ServoStatus
from drivers.serial_port import PySerialPort
from drivers.so101 import SERVO_IDS, So101Follower, So101Leader
from robotd.clock import NS_PER_MS, MonotonicClock
from robotd.errors import BusError, PortInUseError
from sim.plant import world_messages as msg
from sim.plant.calibration import plant_calibration
from sim.plant.options import PlantOptions
from sim.plant.world_client import WorldClient

ROOT = Path(__file__).resolve().parents[2]
CLOCK = MonotonicClock()


class Plant:
    def __init__(self, runtime: Path, stack: ExitStack) -> None:
        self.runtime = runtime
        self.world = WorldClient(runtime)
        stack.callback(self.world.close)

    def device(self, arm: str) -> str:
        return str(self.runtime / "plant" / arm)


@contextmanager
def running(options: PlantOptions) -> Iterator[Plant]:
    with ExitStack() as stack:
        # pytest's own folders can be longer than a socket's path may be.
        runtime = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drv-")))
        text = msgspec.json.encode(options).decode()
        command = [sys.executable, "-m", "sim.plant", "--runtime", str(runtime), "--options", text]
        process = stack.enter_context(
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == "READY\n"
        yield Plant(runtime, stack)


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    with running(PlantOptions(bimanual=True, noise_ticks=0.0, plant_seed=None)) as served:
        yield served


@pytest.fixture
def opened(plant) -> Iterator[Callable[[str], ServoBus]]:
    buses: list[ServoBus] = []

    def open_one(arm: str) -> ServoBus:
        buses.append(ServoBus(PySerialPort(plant.device(arm)), SERVO_IDS, CLOCK))
        return buses[-1]

    yield open_one
    for bus in buses:
        bus.close()
    for arm in ("left_follower", "right_follower"):
        plant.world.ask(msg.ClearFaults(arm))


@pytest.fixture
def follower(opened) -> So101Follower:
    return So101Follower(opened("left_follower"))


def calibration_of(arm: str, tmp_path: Path):
    path = tmp_path / f"{arm}.json"
    path.write_text(json.dumps(plant_calibration(arm), indent=4))
    return load_calibration(path)


def soon(milliseconds: float = 200) -> int:
    return CLOCK.now_ns() + round(milliseconds * NS_PER_MS)


def test_the_virtual_arm_is_found_well_and_calibrated(follower, tmp_path) -> None:
    assert {i.presence for i in follower.identify()} == {Presence.WELL}
    assert follower.check_calibration(calibration_of("left_follower", tmp_path)) == []
    assert all(voltage.within_limits for voltage in follower.check_voltage())


def test_another_arms_calibration_is_noticed(follower, tmp_path) -> None:
    differences = follower.check_calibration(calibration_of("right_follower", tmp_path))
    assert len(differences) >= 6


def test_registers_are_brought_to_lerobots_values_and_stay_there(follower, plant) -> None:
    follower.write_registers(follower.check_registers())
    assert follower.check_registers() == []
    assert set(follower.read_torque_enable().values()) == {False}


def test_angles_read_are_the_angles_the_physics_has(follower, plant, tmp_path) -> None:
    # The plant's wrist is calibrated over a range whose middle is not the model's zero (G2).
    middle_rad = (2.84121 - 2.74385) / 2
    offsets_rad = [0.0, 0.0, 0.0, 0.0, middle_rad, 0.0]
    joints = JointMap(calibration_of("left_follower", tmp_path), offsets_rad)
    [reading] = collect([follower.bus], soon())
    truth = next(a for a in plant.world.truth().arms if a.name.startswith("left"))
    ticks = [reading.telemetry[i].position_ticks for i in SERVO_IDS]
    assert joints.rad_from_ticks(ticks).tolist() == pytest.approx(truth.position_rad, abs=0.01)


def test_four_arms_are_read_together_faster_than_one_after_the_other(opened) -> None:
    names = ("left_follower", "right_follower", "left_leader", "right_leader")
    buses = [opened(name) for name in names]
    together_ns, in_turn_ns = [], []
    for _ in range(60):
        began = CLOCK.now_ns()
        collect(buses, began + 50 * NS_PER_MS)
        between = CLOCK.now_ns()
        for bus in buses:
            collect([bus], CLOCK.now_ns() + 50 * NS_PER_MS)
        together_ns.append(between - began)
        in_turn_ns.append(CLOCK.now_ns() - between)
    # 2 ms against 7 ms on a quiet machine.
    assert statistics.median(together_ns) < 0.7 * statistics.median(in_turn_ns)


def test_a_leader_is_read_in_the_same_units(opened, tmp_path) -> None:
    leader = So101Leader(opened("left_leader"))
    positions = JointMap(calibration_of("left_leader", tmp_path)).lerobot_from_ticks(
        leader.read_positions()
    )
    assert positions.shape == (6,)
    assert set(leader.read_torque_enable().values()) == {False}


def test_a_goal_moves_the_joint_and_turns_torque_on_by_itself(follower, plant, tmp_path) -> None:
    follower.write_registers(follower.check_registers())
    joints = JointMap(calibration_of("left_follower", tmp_path))
    start = follower.read_positions()
    follower.write_torque_limit(1000)
    goal_rad = joints.rad_from_ticks(start)
    goal_rad[0] += 0.3
    goal = joints.ticks_from_rad(goal_rad)
    follower.write_goal_ticks(goal)
    deadline = time.monotonic() + 5
    while abs(follower.read_positions()[0] - goal[0]) > 25 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert abs(follower.read_positions()[0] - goal[0]) <= 25
    assert set(follower.read_torque_enable().values()) == {True}
    assert set(follower.release().values()) == {False}


@pytest.mark.parametrize(
    "kind", ["silent", "mute", "bad_checksum", "truncated", "noise", "wrong_id"]
)
def test_a_spoilt_reply_costs_at_most_that_servos_value(follower, plant, kind) -> None:
    [before] = collect([follower.bus], soon())
    plant.world.ask(msg.SetFault(3, kind, "left_follower", replies=None))
    [reading] = collect([follower.bus], soon())
    plant.world.ask(msg.ClearFaults("left_follower"))
    for servo_id in SERVO_IDS:
        seen, known = reading.telemetry[servo_id], before.telemetry[servo_id]
        if servo_id == 3 and kind != "noise":
            assert seen is None
        elif servo_id == 4 and kind == "truncated":
            # Its first bytes may complete the truncated frame: it is there or not, never wrong.
            assert seen is None or abs(seen.position_ticks - known.position_ticks) <= 2
        else:
            assert seen is not None
            assert abs(seen.position_ticks - known.position_ticks) <= 2


def test_a_reply_60_ms_late_is_never_taken_for_a_later_one(follower, plant) -> None:
    plant.world.ask(msg.SetFault(1, "delayed", "left_follower", value=60, replies=1))
    with pytest.raises(BusError):
        follower.bus.read(1, r.MODEL_NUMBER, retries=0)
    wrong = []
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        value = follower.bus.read(1, r.MAX_TORQUE_LIMIT)
        if value != 1000:
            wrong.append(value)
    assert wrong == []


def test_a_complaining_servo_is_heard_and_does_not_stop_the_others(follower, plant) -> None:
    plant.world.ask(msg.ForceStatus(2, int(ServoStatus.OVERLOAD), "left_follower"))
    [reading] = collect([follower.bus], soon())
    faulted = [i.joint for i in follower.identify() if i.presence is Presence.FAULTED]
    states = follower.release()
    plant.world.ask(msg.ForceStatus(2, 0, "left_follower"))
    assert reading.complete
    assert reading.telemetry[2].error == ServoStatus.OVERLOAD
    assert faulted == ["shoulder_lift"]
    assert set(states.values()) == {False}


def test_a_broken_daisy_chain_shows_where_it_broke(follower, plant) -> None:
    plant.world.ask(msg.SetFault(4, "silent", "left_follower", onward=True))
    found = [identity.presence for identity in follower.identify()]
    plant.world.ask(msg.ClearFaults("left_follower"))
    assert found == [Presence.WELL] * 3 + [Presence.ABSENT] * 3


def test_a_pulled_plug_is_a_fault_and_a_new_port_works_when_it_is_back(plant) -> None:
    bus = ServoBus(PySerialPort(plant.device("right_follower")), SERVO_IDS, CLOCK)
    assert collect([bus], soon())[0].complete
    plant.world.ask(msg.Plug(False, "right_follower"))
    try:
        [reading] = collect([bus], soon())
        assert not reading.complete
        assert reading.fault is not None
    finally:
        bus.close()
        plant.world.ask(msg.Plug(True, "right_follower"))
    again = ServoBus(PySerialPort(plant.device("right_follower")), SERVO_IDS, CLOCK)
    assert collect([again], soon())[0].complete
    again.close()


def test_the_virtual_device_has_one_owner_too(plant, follower) -> None:
    with pytest.raises(PortInUseError):
        PySerialPort(plant.device("left_follower"))


def test_lerobot_reads_the_same_pose_as_we_do(plant, tmp_path) -> None:
    motors = pytest.importorskip("lerobot.motors")
    feetech = pytest.importorskip("lerobot.motors.feetech")
    calibration = calibration_of("right_follower", tmp_path)
    bus = ServoBus(PySerialPort(plant.device("right_follower")), SERVO_IDS, CLOCK)
    ticks = So101Follower(bus).read_positions()
    ours = JointMap(calibration).lerobot_from_ticks(ticks)
    bus.close()
    modes = [motors.MotorNormMode.DEGREES] * 5 + [motors.MotorNormMode.RANGE_0_100]
    theirs = feetech.FeetechMotorsBus(
        plant.device("right_follower"),
        {n: motors.Motor(i, "sts3215", modes[i - 1]) for i, n in enumerate(calibration, 1)},
        {
            n: motors.MotorCalibration(m.id, 0, m.homing_offset, m.range_min, m.range_max)
            for n, m in calibration.items()
        },
    )
    theirs.connect()
    seen = theirs.sync_read("Present_Position")
    theirs.disconnect(disable_torque=False)
    # A limp arm may settle by a tick between the two.
    assert list(seen.values()) == pytest.approx(ours.tolist(), abs=0.1)
