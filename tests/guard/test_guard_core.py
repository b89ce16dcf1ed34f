"""What the guard does to the virtual arm once control is gone: measured on registers and speeds.

The arm, its bus and the release are the real ones in lock-step; only whether control lives is told.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from config.loader import load
from daemon.guard.arm import SERVO_IDS
from daemon.guard.core import GuardCore
from daemon.guard.hands import Hands
from daemon.guard.machine import Guarding, Life
from drivers.bus import ServoBus
from drivers.joint_map import JointMap
from drivers.registers import ACCELERATION, GOAL_POSITION
from drivers.serial_port import SerialPort
from learning.world import LockStepWorld, PlantPort, lockstep_calibrations, lockstep_config
from robotd.clock import NS_PER_S, VirtualClock
from robotd.errors import PortInUseError
from robotd.states import State, Torque
from sim.plant.lockstep import LockStepPlant
from sim.plant.options import PlantOptions
from sim.plant.world_messages import ClearFaults, Registers, SetFault

HOLD_S = 2.0
RAISED_RAD = (0.0, -0.4, 0.3, 0.5, 0.0, 0.3)
SINKING_RAD_S = 0.5


class Control:
    """What the guard is told of control, where a real one would be watched."""

    def __init__(self, tick: dict[str, Any]) -> None:
        self.life, self.held, self.tick = Life.TICKING, True, tick
        self.pid, self.silent_for_ns, self.kills = 4711, 0, 0

    def look(self, _now_ns: int) -> None: ...

    def let_down(self) -> None:
        self.held = False

    def kill(self) -> str:
        self.kills += 1
        self.life = Life.DEAD
        return ""

    def close(self) -> None: ...


class Scene:
    """A raised arm that some control left driven, and the guard."""

    def __init__(self) -> None:
        self.plant = LockStepPlant(PlantOptions(plant_seed=1, leader=False), seed=0)
        self.clock = VirtualClock(self.plant.now_ns, self.plant.advance)
        self.control = Control({"estop_presses": 0, "state": State.HOLDING})
        self.estop = SimpleNamespace(presses=0)
        self.opened = 0
        self.refusals = 0
        self.fastest_rad_s = 0.0
        self.seen: list[Guarding] = []
        self._raise()
        self.guard = self.new_guard()

    def _raise(self) -> None:
        (calibration,) = lockstep_calibrations(lockstep_config()).values()
        goals = JointMap(calibration).ticks_from_rad(RAISED_RAD).tolist()
        bus = ServoBus(PlantPort(self.plant.port("follower")), SERVO_IDS, self.clock)
        bus.sync_write(ACCELERATION, dict.fromkeys(SERVO_IDS, 10))
        bus.sync_write(GOAL_POSITION, dict(zip(SERVO_IDS, goals, strict=True)))
        self.clock.sleep_until_ns(self.clock.now_ns() + 4 * NS_PER_S)
        bus.close()

    def new_guard(self) -> GuardCore:
        hands = Hands(("arm",), self._open, self.clock, 0.25)
        return GuardCore(self.control, hands, self.estop, HOLD_S)  # type: ignore[arg-type]

    def memory(self, servo: int) -> bytes:
        return bytes.fromhex(self.plant.handle(Registers(servo))["memory"])

    def torque(self) -> list[int]:
        return self.plant.truth().arms[0].torque_enable

    def goals(self) -> list[int]:
        return [m[42] | m[43] << 8 for m in map(self.memory, range(1, 7))]

    def limits(self) -> list[int]:
        return [m[48] | m[49] << 8 for m in map(self.memory, range(1, 7))]

    def pose_rad(self) -> list[float]:
        return self.plant.truth().arms[0].position_rad

    def _open(self, _name: str) -> SerialPort:
        if self.refusals > 0:
            self.refusals -= 1
            raise PortInUseError("The port belongs to process 1.", "Control.", "Wait.")
        self.opened += 1
        return PlantPort(self.plant.port("follower"))

    def dies(self) -> None:
        self.control.life = Life.DEAD

    def run(self, seconds: float) -> None:
        end_ns = self.clock.now_ns() + int(seconds * NS_PER_S)
        while self.clock.now_ns() < end_ns:
            now_ns = self.clock.now_ns()
            self.guard.step(now_ns)
            if not self.seen or self.seen[-1] is not self.guard.state:
                self.seen.append(self.guard.state)
            for _ in range(max(1, self.guard.period_ns // 8_000_000)):
                self.clock.sleep_until_ns(self.clock.now_ns() + 8_000_000)
                speeds = self.plant.truth().arms[0].velocity_rad_s[:5]
                self.fastest_rad_s = max(self.fastest_rad_s, *map(abs, speeds))

    def until(self, state: Guarding, seconds: float = 30.0) -> float:
        began_ns = self.clock.now_ns()
        while self.clock.now_ns() - began_ns < seconds * NS_PER_S:
            self.run(0.01)
            if self.guard.state is state:
                return (self.clock.now_ns() - began_ns) / NS_PER_S
        raise AssertionError(f"{self.guard.state} after {self.seen}, {self.guard.report(0)}")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_while_control_ticks_the_guard_opens_no_port(scene: Scene) -> None:
    scene.run(2.0)
    assert scene.seen == [Guarding.WATCHING]
    assert scene.opened == 0


def test_an_arm_whose_control_died_is_held_without_a_dip_then_let_down_slowly(
    scene: Scene,
) -> None:
    before, goals = scene.pose_rad(), scene.goals()
    scene.dies()
    scene.until(Guarding.HOLDING)
    scene.run(HOLD_S * 0.9)
    moved = [abs(a - b) for a, b in zip(scene.pose_rad(), before, strict=True)]
    assert max(moved) < 0.01
    assert scene.goals() == goals
    assert scene.torque() == [1] * 6
    assert scene.fastest_rad_s < 0.1
    took_s = scene.until(Guarding.DOWN)
    assert scene.torque() == [0] * 6
    assert scene.goals() == goals  # a goal write would have been torque on
    assert scene.fastest_rad_s < SINKING_RAD_S
    assert took_s < 10
    scene.run(2.0)  # what falls after torque is cut falls now
    assert scene.fastest_rad_s < SINKING_RAD_S
    assert scene.limits()[:5] == [1000] * 5  # as at power-on, for the next program
    assert scene.guard.report(0).torque is Torque.OFF
    assert not scene.guard.control.held


def test_a_frozen_control_is_killed_first(scene: Scene) -> None:
    scene.control.life = Life.FROZEN
    scene.until(Guarding.DOWN)
    assert scene.control.kills == 1
    assert scene.guard.report(0).killed
    assert scene.seen == [
        Guarding.KILLING,
        Guarding.TAKING,
        Guarding.HOLDING,
        Guarding.RELEASING,
        Guarding.DOWN,
    ]


def test_a_port_that_the_kernel_frees_late_is_taken_when_it_is_free(scene: Scene) -> None:
    scene.refusals = 3
    scene.dies()
    scene.until(Guarding.DOWN)
    assert scene.fastest_rad_s < SINKING_RAD_S


def test_a_port_that_another_program_has_is_said_in_red_and_tried_again(scene: Scene) -> None:
    scene.refusals = 1_000_000
    scene.dies()
    scene.until(Guarding.CANNOT)
    report = scene.guard.report(0)
    assert "belongs to process 1" in report.what
    assert "plug" in report.do
    assert scene.torque() == [1] * 6
    scene.refusals = 0
    scene.until(Guarding.DOWN)
    assert scene.guard.report(0).what == ""


def test_a_line_that_breaks_in_the_middle_is_taken_up_again(scene: Scene) -> None:
    scene.dies()
    scene.until(Guarding.RELEASING)
    scene.run(0.5)
    for servo in range(1, 7):
        scene.plant.handle(SetFault(servo, "silent"))
    scene.run(1.0)
    scene.plant.handle(ClearFaults())
    scene.until(Guarding.DOWN)
    assert scene.torque() == [0] * 6
    assert scene.fastest_rad_s < SINKING_RAD_S


def test_a_servo_that_never_answers_does_not_keep_the_others_up(scene: Scene) -> None:
    scene.plant.handle(SetFault(4, "silent"))
    scene.dies()
    scene.until(Guarding.DOWN)
    assert scene.torque() == [0, 0, 0, 1, 0, 0]  # its cable is broken: it hears nothing
    assert scene.fastest_rad_s < SINKING_RAD_S
    report = scene.guard.report(0)
    assert report.torque is Torque.MIXED
    assert "wrist_flex" in report.what
    assert "plug" in report.do


@pytest.mark.parametrize(("presses", "limp_at_once"), [(1, False), (2, True)])
def test_a_press_ends_the_hold_and_a_second_one_is_limp_now(
    scene: Scene, presses: int, limp_at_once: bool
) -> None:
    scene.dies()
    scene.until(Guarding.HOLDING)
    scene.estop.presses += presses
    scene.run(0.1)
    assert scene.guard.state is (Guarding.DOWN if limp_at_once else Guarding.RELEASING)
    scene.until(Guarding.DOWN)


def test_two_presses_at_a_frozen_control_do_not_drop_the_arm(scene: Scene) -> None:
    scene.estop.presses += 2
    scene.dies()
    scene.until(Guarding.DOWN)
    assert Guarding.HOLDING not in scene.seen
    assert scene.fastest_rad_s < SINKING_RAD_S


def test_a_control_that_was_letting_the_arm_down_is_not_made_to_hold_it(scene: Scene) -> None:
    scene.control.tick["state"] = State.RELEASING
    scene.dies()
    scene.until(Guarding.RELEASING, 1.0)


def test_a_second_guard_goes_on_where_a_killed_one_stopped(scene: Scene) -> None:
    scene.dies()
    scene.until(Guarding.RELEASING)
    scene.run(0.8)
    scene.guard = scene.new_guard()
    scene.until(Guarding.DOWN)
    assert scene.fastest_rad_s < SINKING_RAD_S


def test_with_two_arms_the_one_that_answers_is_let_down_and_the_other_is_said() -> None:
    world = LockStepWorld(
        lockstep_config(load(file="so101-bimanual-sim").config), seed=0, plant_seed=1
    )
    world.arm_and_home()
    world.core.close()
    control = Control({"estop_presses": 0, "state": State.HOLDING})
    control.life = Life.DEAD

    def open_port(name: str) -> SerialPort:
        if name == "left":
            raise PortInUseError("The left port belongs to process 1.", "LeRobot.", "Stop it.")
        return world._open(name, "follower")

    hands = Hands(tuple(world.config.arms), open_port, world.clock, 0.25)
    guard = GuardCore(control, hands, None, HOLD_S)  # type: ignore[arg-type]
    run(world, guard, lambda: guard.state is Guarding.CANNOT)
    left, right = world.plant.truth().arms
    assert left.torque_enable == [1] * 6
    assert right.torque_enable == [0] * 6
    assert "left port" in guard.report(0).what
    world.close()


def run(world: LockStepWorld, guard: GuardCore, done: Callable[[], bool]) -> None:
    end_ns = world.clock.now_ns() + 30 * NS_PER_S
    while world.clock.now_ns() < end_ns and not done():
        now_ns = world.clock.now_ns()
        guard.step(now_ns)
        world.clock.sleep_until_ns(now_ns + guard.period_ns)
    assert done()
