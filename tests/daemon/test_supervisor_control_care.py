"""A control that died or went silent is neither hidden nor started again blindly."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.loader import load
from daemon.guard.machine import Guarding
from daemon.guard.report import GuardReport
from daemon.supervisor.blueprint import CONTROL
from daemon.supervisor.children import Children, Spec
from daemon.supervisor.control_care import ControlCare
from daemon.supervisor.control_link import ControlWriter
from daemon.supervisor.motion import Motion
from daemon.supervisor.observed import Observed
from daemon.supervisor.restart import ENDS_ALLOWED
from robotd import layouts
from robotd.clock import NS_PER_S, VirtualClock
from robotd.errors import StateError
from robotd.shm import RingWriter
from robotd.states import State, Torque

ZOO = Path(__file__).parent / "zoo"
ROOT = Path(__file__).parents[2]


class Scene:
    def __init__(self, tmp_path: Path) -> None:
        runtime = tmp_path / "runtime"
        runtime.mkdir()
        config = load(file="so101-sim").config
        self.clock = VirtualClock()
        self.children = Children(tmp_path / "logs", self.clock.now_ns, lambda _: None)
        observed = Observed(config, runtime, self.clock, self.children)
        writer = ControlWriter(runtime, 6)
        motion = Motion(config, writer, observed, self.clock, lambda: ())
        self.guard: GuardReport | None = None
        self.care = ControlCare(
            config, self.children, observed, motion, lambda: self.guard, self.clock.now_ns
        )
        self._layout = layouts.tick_layout(6)
        self._ticks = RingWriter(runtime / "ticks", self._layout, 16)

    def start(self) -> None:
        environment = {"PYTHONPATH": f"{ZOO}:{ROOT}"}
        spec = Spec(CONTROL, "well_behaved", restarts=False, environment=environment)
        self.children.start(spec)

    def tick(self, state: State, torque: Torque) -> None:
        zero = {f.name: 0 if f.count == 1 else [0] * f.count for f in self._layout.fields}
        now_ns = self.clock.now_ns()
        known = {"deadline_ns": now_ns, "state": state, "torque": torque, "fault_joint": -1}
        self._ticks.append(zero | known)

    def guards(self, state: Guarding, *, held: bool = True, what: str = "") -> None:
        self.guard = GuardReport(
            stamp_ns=0, pid=1, state=state, held=held, what=what, do="The plug."
        )

    def stiff(self) -> bool:
        return self.care.died_stiff

    def passes(self, seconds: float) -> None:
        self.clock.sleep_until_ns(self.clock.now_ns() + int(seconds * NS_PER_S))

    def dies(self) -> None:
        child = self.children[CONTROL]
        assert child.process is not None
        child.process.kill()
        end_s = time.monotonic() + 10
        while child.running and time.monotonic() < end_s:
            for gone in self.children.poll():
                self.care.ended(gone)
            time.sleep(0.01)

    @property
    def running(self) -> bool:
        return self.children[CONTROL].running


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    made.start()
    yield made
    process = made.children[CONTROL].process
    if process is not None:
        process.kill()
        process.wait()


def test_a_control_that_died_limp_is_started_again_but_not_at_once(scene: Scene) -> None:
    for backoff_s in (0.5, 1.0, 2.0):
        scene.tick(State.DISARMED, Torque.OFF)
        scene.dies()
        scene.passes(backoff_s * 0.9)
        scene.care.step()
        assert not scene.running
        assert not scene.care.died_stiff
        scene.passes(backoff_s * 0.2)
        scene.care.step()
        assert scene.running


def test_a_hot_loop_of_ends_is_given_up_and_shown(scene: Scene) -> None:
    for _ in range(ENDS_ALLOWED + 1):
        scene.tick(State.DISARMED, Torque.OFF)
        scene.dies()
        for _ in range(90):
            scene.passes(0.1)
            scene.care.step()
            if scene.running:
                break
    assert not scene.running
    state, fault, do = scene.care.condition()
    assert state is State.FAULT
    assert "limp" in fault
    assert "robotd logs control" in do


def test_a_control_that_died_before_its_first_tick_is_unknown_not_limp(scene: Scene) -> None:
    scene.tick(State.DISARMED, Torque.OFF)
    scene.dies()
    scene.passes(1.0)
    scene.care.step()
    assert scene.running
    scene.passes(1.0)
    scene.dies()  # the ring still has the tick of the one before
    assert scene.care.died_stiff
    scene.passes(60.0)
    scene.care.step()
    assert not scene.running
    assert "not known" in scene.care.condition()[1]


def test_a_control_that_held_the_arm_is_not_started_again(scene: Scene) -> None:
    scene.tick(State.HOLDING, Torque.ON)
    scene.dies()
    scene.passes(60.0)
    scene.care.step()
    assert not scene.running
    assert scene.care.died_stiff
    assert scene.care.condition()[0] is State.FAULT


def test_a_control_that_lives_and_does_not_tick_is_a_fault_that_names_the_plug(
    scene: Scene,
) -> None:
    assert scene.care.condition()[0] is State.DISARMED  # it starts: silent is another thing
    scene.tick(State.POLICY, Torque.ON)
    assert scene.care.condition()[0] is State.POLICY
    scene.passes(0.6)
    state, fault, do = scene.care.condition()
    assert state is State.FAULT
    assert "silent" in fault
    assert "plug" in do
    scene.tick(State.HOLDING, Torque.ON)
    assert scene.care.condition()[:2] == (State.HOLDING, "")


def test_while_the_guard_has_the_arm_nobody_starts_control_and_everybody_hears_what_it_does(
    scene: Scene,
) -> None:
    scene.guards(Guarding.WATCHING)
    scene.tick(State.POLICY, Torque.ON)
    scene.dies()
    for state, word in (
        (Guarding.WATCHING, "takes the arm"),
        (Guarding.TAKING, "takes the arm"),
        (Guarding.HOLDING, "holds the arm"),
        (Guarding.RELEASING, "lets the arm down"),
    ):
        scene.guards(state)
        assert word in scene.care.condition()[1]
        assert scene.stiff()
        with pytest.raises(StateError, match="guard"):
            scene.care.clear()
    assert scene.children[CONTROL].process is None
    scene.guards(Guarding.DOWN, held=False)
    assert "let the arm down" in scene.care.condition()[1]
    assert not scene.stiff()
    scene.care.clear()
    assert scene.children[CONTROL].running


def test_a_guard_that_cannot_says_why_and_names_the_plug_and_a_person_may_try_control(
    scene: Scene,
) -> None:
    scene.tick(State.HOLDING, Torque.ON)
    scene.dies()
    scene.guards(Guarding.CANNOT, what="The port belongs to process 4.")
    _, fault, do = scene.care.condition()
    assert "belongs to process 4" in fault
    assert "plug" in do
    assert scene.care.died_stiff
    scene.care.clear()
    assert scene.running


def test_a_silent_control_names_the_guard_where_there_is_one_and_a_limp_arm_no_plug(
    scene: Scene,
) -> None:
    scene.guards(Guarding.WATCHING)
    scene.tick(State.HOLDING, Torque.ON)
    scene.passes(0.6)
    assert "guard" in scene.care.condition()[1]
    scene.tick(State.DISARMED, Torque.OFF)
    scene.passes(0.6)
    _, fault, do = scene.care.condition()
    assert "limp" in fault
    assert "plug" not in do


def test_a_control_that_hangs_with_a_limp_arm_is_ended_and_started_again(scene: Scene) -> None:
    scene.tick(State.DISARMED, Torque.OFF)
    for _ in range(70):
        scene.passes(0.1)
        scene.care.step()
    end_s = time.monotonic() + 10
    while scene.running and time.monotonic() < end_s:
        for gone in scene.children.poll():
            scene.care.ended(gone)
        time.sleep(0.01)
    assert not scene.stiff()
    scene.passes(1.0)
    scene.care.step()
    assert scene.children[CONTROL].running


def test_a_control_that_hangs_with_torque_on_is_left_to_the_guard(scene: Scene) -> None:
    scene.tick(State.HOLDING, Torque.ON)
    for _ in range(100):
        scene.passes(0.1)
        scene.care.step()
    time.sleep(0.2)
    assert scene.children.poll() == []
    assert scene.running
