"""What the mirror finds, in the plant: the names of real troubles, and that a payload is none."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import learning.world as lockstep
from config.loader import load
from config.schema import Config
from learning.world import LockStepWorld, Tick, lockstep_config
from robotd.clock import NS_PER_S
from robotd.states import Fault, RequestKind, Source, State
from sim.plant.calibration import plant_calibration
from sim.plant.lockstep import VirtualPort
from sim.plant.world_messages import Payload, Push, Stuck
from sim.twin.core import TwinCore
from sim.twin.residual import Detector
from sim.twin.torques import Moment

RAISED_RAD = (0.0, -0.4, 0.3, 0.5, 0.0, 0.3)
REACH_RAD = (0.3, 0.6, -0.6, 0.0, 0.0, 0.3)
PHASE, DRIVE_BIT, FEEDBACK_BIT = 18, 0x01, 0x80


class Mirrored:
    """A world whose twin sees every tick; control does not hear it, so the findings can be counted."""

    def __init__(self, config: Config | None = None) -> None:
        config = config or lockstep_config()
        self.world = LockStepWorld(config, seed=0, plant_seed=101)
        self.twin = TwinCore(config, lambda: 0)
        self.found: list[tuple[Fault, int, float]] = []  # each finding once, with its time
        self.tick: Tick = {}

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 120)):
            self.tick = self.world.tick()
            self.twin.observe(self.tick)
            finding = self.twin.finding
            if finding.fault and (finding.fault, finding.joint) not in [f[:2] for f in self.found]:
                at_s = self.world.clock.now_ns() / NS_PER_S
                self.found.append((finding.fault, finding.joint, at_s))

    def arm(self) -> None:
        self.world.exchange.ask(RequestKind.ARM)
        while self.world.core.state is not State.HOLDING:
            self.run(1 / 120)
        self.world.exchange.ask(RequestKind.TELEOP, Source.SCRIPTED)
        self.run(1 / 120)

    def send(self, goal_rad: Sequence[float], seconds: float) -> None:
        for _ in range(round(seconds * 30)):
            self.world.command(self.tick, Source.SCRIPTED, tuple(goal_rad))
            self.run(4 / 120)

    def names(self) -> list[Fault]:
        return [fault for fault, _, _ in self.found]

    def first(self, since_s: float) -> tuple[Fault, int, float]:
        fault, joint, at_s = self.found[0]
        return fault, joint, at_s - since_s

    @property
    def now_s(self) -> float:
        return self.world.clock.now_ns() / NS_PER_S


@pytest.fixture
def mirrored() -> Iterator[Mirrored]:
    made = Mirrored()
    made.arm()
    made.send(RAISED_RAD, seconds=2.5)
    assert made.found == []
    yield made
    made.world.close()


def test_payloads_from_20_to_300_g_are_no_finding(mirrored: Mirrored) -> None:
    for kg in (0.02, 0.1, 0.3):
        mirrored.world.plant.handle(Payload(kg))
        for goal in (REACH_RAD, RAISED_RAD):
            mirrored.send(goal, seconds=1.5)
    assert mirrored.found == []


def test_a_push_from_the_side_has_a_name_within_half_a_second(mirrored: Mirrored) -> None:
    began_s = mirrored.now_s
    mirrored.world.plant.handle(Push([-4.0, 10.0, 2.0]))
    mirrored.send(RAISED_RAD, seconds=0.6)
    fault, _, after_s = mirrored.first(began_s)
    assert fault in (Fault.SLIPPED, Fault.COLLISION)
    assert after_s < 0.5


def test_a_jammed_joint_is_a_stall_of_that_joint(mirrored: Mirrored) -> None:
    mirrored.world.plant.handle(Stuck(servo_id=1))
    mirrored.send((0.9, *RAISED_RAD[1:]), seconds=1.0)
    assert mirrored.found[0][:2] == (Fault.STALLED, 0)


def test_a_motor_that_turns_the_wrong_way_is_that_joint_s_sign(mirrored: Mirrored) -> None:
    servo = mirrored.world.plant.world.arm("follower").servos[2]
    servo.write(PHASE, bytes([servo.memory[PHASE] ^ DRIVE_BIT]))
    mirrored.send(REACH_RAD, seconds=2.0)
    assert mirrored.found[0][:2] == (Fault.JOINT_SIGN, 2)


def test_a_lift_built_in_turned_around_is_known_by_its_weight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Drive and encoder both turn the other way: goals are followed, only gravity disagrees."""
    there = plant_calibration("follower")["shoulder_lift"]
    low, high, offset = there["range_min"], there["range_max"], there["homing_offset"]
    turned = 4095 - (low + high) - offset

    def calibration(arm: str) -> dict[str, dict[str, int]]:
        content = plant_calibration(arm)
        content["shoulder_lift"]["homing_offset"] = turned
        return content

    monkeypatch.setattr(lockstep, "plant_calibration", calibration)
    made = Mirrored()
    servo = made.world.plant.world.arm("follower").servos[1]
    for register, value in ((PHASE, servo.memory[PHASE] ^ (DRIVE_BIT | FEEDBACK_BIT)), (55, 0)):
        servo.write(register, bytes([value]))
    raw = turned if turned >= 0 else 0x800 - turned
    servo.write(31, bytes([raw & 0xFF, raw >> 8]))
    made.arm()
    here = list(made.tick["present_position_rad"])
    for lifted in (0.9, 0.5, 0.1):
        made.send((here[0], here[1] * lifted, *here[2:]), seconds=1.0)
    made.world.close()
    assert made.found[0][:2] == (Fault.JOINT_SIGN, 1)


class Crossed:
    """A port whose goals go to the other arm."""

    def __init__(self, mine: VirtualPort, other: VirtualPort) -> None:
        self._mine, self._other = mine, other

    def write(self, data: bytes) -> int:
        is_goal = data[4] == 0x83 and data[5] == 42
        return (self._other if is_goal else self._mine).write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mine, name)


def test_goals_of_one_arm_that_move_the_other_are_swapped_arms() -> None:
    config = lockstep_config(load(file="so101-bimanual-sim", simulated=True).config)
    made = Mirrored(config)
    plant = made.world.plant
    made.arm()
    start = list(made.tick["applied_rad"])
    arms = [arm.link.bus for arm in made.world.core.arms]
    ports = [plant.port(f"{side}_follower") for side in ("left", "right")]
    for bus, mine, other in zip(arms, ports, reversed(ports), strict=True):
        bus.port._port = Crossed(mine, other)  # type: ignore[union-attr]
    goal = [start[0] + 0.6, *start[1:]]
    made.send(goal, seconds=2.0)
    made.world.close()
    assert made.names()[0] is Fault.SWAPPED_ARM


def moments(make: Callable[[int], dict[str, Any]], count: int = 60) -> Iterator[Moment]:
    still = np.zeros(6)
    for k in range(count):
        values = {name: still for name in Moment.__slots__ if name != "stamp_ns"}
        yield Moment(stamp_ns=k * NS_PER_S // 120, **{**values, **make(k)})


class Weightless:
    def gravity_nm(self, position_rad: Any) -> Any:
        return np.zeros(6)


def test_a_servo_that_hides_its_turned_motor_is_found_by_how_the_joint_moves() -> None:
    """One that reports its duty before turning it around: what moves the joint is minus what it says."""

    def fleeing(k: int) -> dict[str, Any]:
        pan = np.eye(6)[0]
        speed, motor = 0.6 * pan, -1.2 * pan
        return {
            "velocity_rad_s": speed,
            "error_rad": -0.2 * pan,
            "motor_nm": motor,
            "external_nm": 2.3 * pan,
        }

    detector = Detector(1)
    found = [detector.look(moment, Weightless()) for moment in moments(fleeing)]
    assert (found[-1].fault, found[-1].joint) == (Fault.JOINT_SIGN, 0)


def test_a_finding_that_does_not_end_on_one_joint_becomes_a_divergence() -> None:
    def pushed(k: int) -> dict[str, Any]:
        return {"external_nm": 1.5 * np.eye(6)[0]}

    detector = Detector(1)
    found = [detector.look(moment, Weightless()).fault for moment in moments(pushed, 420)]
    assert found[20] is Fault.STALLED
    assert found[-1] is Fault.TWIN_DIVERGED


def test_a_disarmed_arm_shows_nothing(mirrored: Mirrored) -> None:
    mirrored.world.exchange.ask(RequestKind.RELEASE)
    mirrored.run(6.0)
    assert mirrored.world.core.state is State.DISARMED
    mirrored.world.plant.handle(Push([0.0, 30.0, 10.0]))
    mirrored.run(1.0)
    assert mirrored.found == []
    assert math.isclose(float(np.abs(mirrored.twin.residual_rad).max()), 0.0)


def test_a_joint_that_is_not_heard_has_no_finding(mirrored: Mirrored) -> None:
    """Its goal goes on, what is known of it stands still: that is a lost servo, not a turned motor."""
    tick = {**mirrored.tick, "present_load_permille": [-300, 0, 0, 0, 0, 0]}
    for k in range(60):
        tick["deadline_ns"] += NS_PER_S // 120
        tick["present_age_ns"] = [k * NS_PER_S // 120, 0, 0, 0, 0, 0]
        tick["applied_rad"] = [0.02 * k, *RAISED_RAD[1:]]
        mirrored.twin.observe(tick)
        assert mirrored.twin.finding.fault is Fault.NONE
