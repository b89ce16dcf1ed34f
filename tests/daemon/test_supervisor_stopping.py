"""Stopping: control is given the time that the configured speed takes, and never killed in silence.

The children are real processes of the zoo; ticks and requests go through the real files. Only time
is virtual.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from config.joints import MODEL_RANGE_DEG
from config.loader import load
from config.schema import Config
from daemon.guard.machine import Guarding
from daemon.guard.report import GuardReport
from daemon.supervisor.arm_down import ArmDown
from daemon.supervisor.children import Children, Spec
from daemon.supervisor.control_link import ControlWriter
from daemon.supervisor.observed import Observed
from daemon.supervisor.patience import RELEASE_S, arm_down_s, longest_park_s
from robotd import layouts
from robotd.clock import NS_PER_S, VirtualClock
from robotd.shm import RingReader, RingWriter
from robotd.states import RequestKind, State, Torque
from robotd.trajectory import park_path

ZOO = Path(__file__).parent / "zoo"
ROOT = Path(__file__).parents[2]


def at_speed(deg_s: float) -> Config:
    config = load(file="so101-sim").config
    poses = msgspec.structs.replace(config.poses, move_speed_deg_s=deg_s)
    return msgspec.structs.replace(config, poses=poses)


class Scene:
    """An arm on its way down, with a control out of the zoo."""

    def __init__(self, tmp_path: Path, deg_s: float) -> None:
        self.runtime = tmp_path / "runtime"
        self.runtime.mkdir()
        self.clock = VirtualClock()
        self.config = at_speed(deg_s)
        self.children = Children(tmp_path / "logs", self.clock.now_ns, lambda _: None)
        writer = ControlWriter(self.runtime, 6)
        self.observed = Observed(self.config, self.runtime, self.clock, self.children)
        self.stop_s = arm_down_s(self.config)
        self.guard: GuardReport | None = None
        self.arm = ArmDown(
            self.children, writer, self.observed, lambda: self.guard, self.clock, self.stop_s
        )
        self._requests = RingReader(self.runtime / "requests", layouts.REQUEST)
        self._layout = layouts.tick_layout(6)
        self._ticks: RingWriter | None = None

    def control(self, animal: str) -> None:
        environment = {"PYTHONPATH": f"{ZOO}:{ROOT}"}
        spec = Spec("control", animal, restarts=False, environment=environment)
        child = self.children.start(spec)
        self.until(lambda: child.ready)

    def tick(self, state: State, torque: Torque) -> None:
        """A tick, now."""
        if self._ticks is None:
            self._ticks = RingWriter(self.runtime / "ticks", self._layout, 16)
        zero = {f.name: 0 if f.count == 1 else [0] * f.count for f in self._layout.fields}
        now_ns = self.clock.now_ns()
        self._ticks.append(zero | {"deadline_ns": now_ns, "state": state, "torque": torque})

    def guards(self, state: Guarding, *, held: bool = True, what: str = "") -> None:
        self.guard = GuardReport(stamp_ns=0, pid=1, state=state, held=held, what=what)

    def died(self, state: State, torque: Torque) -> None:
        """Control is killed after a tick; the guard has not seen it yet."""
        self.control("well_behaved")
        self.tick(state, torque)
        process = self.children["control"].process
        assert process is not None
        process.kill()
        self.until(lambda: not self.children["control"].running)

    def passes(self, seconds: float) -> None:
        self.clock.sleep_until_ns(self.clock.now_ns() + int(seconds * NS_PER_S))

    def after(self, seconds: float) -> bool:
        self.passes(seconds)
        return self.step()

    def step(self) -> bool:
        self.children.poll()
        return self.arm.step()

    def asked(self) -> list[RequestKind]:
        records = [self._requests.read(index) for index in range(self._requests.count)]
        return [RequestKind(record["kind"]) for record in records if record is not None]

    def running(self) -> bool:
        """Whether control lives, also a moment after: a kill takes effect later than it is sent."""
        time.sleep(0.2)
        self.children.poll()
        return self.children["control"].running

    def until(self, done: Callable[[], bool]) -> None:
        end_s = time.monotonic() + 10
        while time.monotonic() < end_s:
            self.children.poll()
            if done():
                return
            time.sleep(0.01)
        raise AssertionError("it did not happen in time")


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Scene]:
    """Parking at 5 degrees a second."""
    scene = Scene(tmp_path, 5.0)
    yield scene
    for child in scene.children.all():
        if child.process is not None:
            child.process.kill()
            child.process.wait()


@pytest.mark.parametrize("deg_s", [5.0, 45.0, 120.0])
def test_the_time_to_park_is_longer_than_the_longest_way_at_the_configured_speed(
    deg_s: float,
) -> None:
    config = at_speed(deg_s)
    poses = config.poses
    for start in (
        [low for low, _ in MODEL_RANGE_DEG],
        [high for _, high in MODEL_RANGE_DEG],
        [-110.0, 100.0, -96.0, -95.0, 162.0, 0.0],
    ):
        path = park_path(start, poses.rest_deg, poses.via_deg, 0, NS_PER_S // 120, deg_s)
        assert longest_park_s(config) > path.end_ns / NS_PER_S
    assert longest_park_s(at_speed(5.0)) > 83.0


def test_a_control_that_parks_slowly_is_neither_pressed_nor_killed(slow: Scene) -> None:
    slow.control("deaf")
    slow.arm.begin(died_stiff=False)
    slow.tick(State.PARKING, Torque.ON)
    assert not slow.after(90.0)
    assert slow.asked() == [RequestKind.STOP]
    assert slow.running()


def test_before_control_is_killed_it_is_asked_to_release_in_place_and_given_time_while_it_ticks(
    slow: Scene,
) -> None:
    slow.control("deaf")
    slow.arm.begin(died_stiff=False)
    slow.tick(State.PARKING, Torque.ON)
    slow.after(slow.stop_s + 1)
    assert RequestKind.RELEASE in slow.asked()
    slow.passes(RELEASE_S + 5)
    slow.tick(State.RELEASING, Torque.ON)
    slow.step()
    assert slow.running()
    slow.after(1.0)  # no tick any more: it hangs
    slow.until(lambda: not slow.running())
    slow.guards(Guarding.CANNOT)
    assert slow.step()
    assert slow.arm.left_stiff is not None
    assert "had to be killed" in slow.arm.left_stiff.likely
    assert "plug" in slow.arm.left_stiff.do


def test_a_control_that_still_starts_is_told_by_signal_because_it_hears_no_ring_yet(
    slow: Scene,
) -> None:
    slow.control("well_behaved")
    slow.arm.begin(died_stiff=False)
    slow.until(slow.step)
    assert slow.arm.left_stiff is None


def test_a_release_that_never_ends_is_not_waited_for_for_ever(slow: Scene) -> None:
    slow.control("deaf")
    slow.arm.begin(died_stiff=False)
    slow.after(slow.stop_s + 1)
    slow.passes(100.0)
    slow.tick(State.RELEASING, Torque.MIXED)
    slow.step()
    slow.until(lambda: not slow.running())


def test_a_control_that_ended_with_torque_off_left_nothing_stiff(slow: Scene) -> None:
    slow.control("well_behaved")
    slow.arm.begin(died_stiff=False)
    slow.tick(State.DISARMED, Torque.OFF)
    slow.arm.terminate()
    slow.until(slow.step)
    assert slow.arm.left_stiff is None


def test_after_control_died_armed_the_guard_is_waited_for_and_control_is_not_started(
    slow: Scene,
) -> None:
    slow.died(State.HOLDING, Torque.ON)
    slow.guards(Guarding.WATCHING)
    slow.arm.begin(died_stiff=True)
    assert not slow.step()  # it looks twenty times a second: it has not seen it yet
    for state in (Guarding.TAKING, Guarding.HOLDING, Guarding.RELEASING):
        slow.guards(state)
        assert not slow.after(5.0)
    assert not slow.running()
    assert slow.asked() == []
    slow.guards(Guarding.DOWN, held=False)
    assert slow.step()
    assert slow.arm.left_stiff is None


def test_an_arm_that_the_guard_let_down_before_is_not_waited_for(slow: Scene) -> None:
    slow.died(State.HOLDING, Torque.ON)
    slow.guards(Guarding.DOWN, held=False)
    slow.arm.begin(died_stiff=False)
    assert slow.step()
    assert slow.arm.left_stiff is None


def test_a_stop_with_a_guard_that_cannot_says_its_reason_and_names_the_plug(slow: Scene) -> None:
    slow.died(State.HOLDING, Torque.ON)
    slow.guards(Guarding.CANNOT, what="No servo of arm answers.")
    slow.arm.begin(died_stiff=True)
    assert slow.step()
    assert slow.arm.left_stiff is not None
    assert "No servo of arm answers" in slow.arm.left_stiff.likely
    assert "plug" in slow.arm.left_stiff.do


def test_a_stop_waits_for_a_guard_that_is_being_started_again_but_not_for_ever(
    slow: Scene,
) -> None:
    slow.died(State.HOLDING, Torque.ON)
    slow.arm.begin(died_stiff=True)
    assert not slow.after(10.0)
    assert slow.after(6.0)
    assert slow.arm.left_stiff is not None
    assert "no guard" in slow.arm.left_stiff.likely


def test_a_guard_that_never_comes_to_an_end_is_not_waited_for_for_ever(slow: Scene) -> None:
    slow.died(State.HOLDING, Torque.ON)
    slow.guards(Guarding.RELEASING)
    slow.arm.begin(died_stiff=True)
    assert not slow.after(80.0)
    assert slow.after(11.0)
    assert slow.arm.left_stiff is not None
