"""Loads and replays in flight: the newest wins, a stale answer is nobody's, a failure is a hold."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import zmq

from config.loader import load
from daemon.probes import ProbeStore, probe_key
from daemon.rehearsals import RehearsalStore
from daemon.supervisor.plans import POLICY, REPLAY, PlanDesk
from daemon.supervisor.rehearsed import RobotRehearsals
from robotd import messages, policy_channel
from robotd.clock import NS_PER_S, VirtualClock
from robotd.errors import CheckpointError, DaemonError, StateError
from robotd.messages import RunPolicy
from robotd.policy_channel import Failed, Finished, FromProcess, Load, Progress, Ready, Shadowed
from robotd.states import RequestKind, State

from .test_probes import FAILED as FAILED_PROBE

FAILED = {"kind": "CheckpointError", "what": "It is damaged.", "likely": "A copy.", "do": "Copy."}


class Robot:
    """What stands around the desk: children that only count, an arm that obeys at once."""

    def __init__(self, runtime: Path) -> None:
        self.runtime = runtime
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.asked: list[RequestKind] = []
        self.state, self.version = State.HOLDING, 1
        self.children: dict[str, Any] = {}
        self.policy_slot: dict[str, Any] | None = None
        self.handover_ns = 0
        self.latency = SimpleNamespace(forget=lambda: None, stages={})
        self.twin = SimpleNamespace(alive=True)
        config = load(simulated=True).config
        self.clock = VirtualClock()
        self.rehearsals = RobotRehearsals(config, (), RehearsalStore(runtime / "rehearsals"))
        self.desk = PlanDesk(
            self.context,
            runtime,
            config,
            cast(Any, self),
            cast(Any, self),
            cast(Any, self),
            self.rehearsals,
            self.clock,
        )
        self.ends: dict[str, zmq.Socket[bytes]] = {}

    # as Children
    def get(self, name: str) -> Any:
        return self.children.get(name)

    def start(self, spec: Any) -> None:
        child = SimpleNamespace(running=True, wanted=True, exit_code=None, word="dead")
        self.children[spec.name] = child
        end = self.context.socket(zmq.PAIR)
        end.connect(f"ipc://{self.runtime / f'{spec.name}.sock'}")
        self.ends[spec.name] = end

    def ask_to_end(self, name: str) -> None:
        if name in self.children:
            self.children[name].wanted = False

    def kill(self, name: str) -> None:
        self.children[name].running = False

    def last_words(self, _name: str) -> str:
        return "Killed"

    # as Observed
    def fresh_tick(self) -> dict[str, Any]:
        return self.tick()

    def tick(self) -> dict[str, Any]:
        return {
            "state": int(self.state),
            "handover_version": self.version,
            "handover_ns": self.handover_ns,
        }

    # as Motion
    def ask(self, kind: RequestKind, _source: object) -> Any:
        self.asked.append(kind)
        self.give_to(State.POLICY if kind is RequestKind.POLICY else State.REPLAY)
        return SimpleNamespace(poll=lambda: {"state": self.state.name.lower()})

    def hold_if_moving(self) -> None:
        self.asked.append(RequestKind.HOLD)

    def give_to(self, state: State) -> None:
        self.state, self.version = state, self.version + 1

    def says(self, name: str, message: FromProcess, until: Callable[[], bool]) -> None:
        """The process says something; returns when the desk has heard it."""
        self.ends[name].send(policy_channel.encode(message))
        self.passes(until)

    def tells(self, name: str, message: FromProcess) -> None:
        """The process says something that the desk hears and makes nothing of."""
        self.ends[name].send(policy_channel.encode(message))
        for _ in range(20):
            self.desk.receive()
            time.sleep(0.002)

    def passes(self, until: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + 5.0
        while not until():
            assert time.monotonic() < give_up_s
            self.desk.receive()
            time.sleep(0.002)

    def read(self) -> list[Load]:
        """The loads that reached the process."""
        found = []
        self.passes(lambda: bool(self.ends[POLICY].poll(10)))
        while self.ends[POLICY].poll(50):
            message = policy_channel.decode_to_process(self.ends[POLICY].recv())
            assert isinstance(message, Load)
            found.append(message)
        return found

    def loads(self, path: str = "A") -> Any:
        return self.desk.load(messages.LoadPolicy(path=path))

    def has_loaded(self, path: str = "A") -> int:
        """Load `path` to its end; returns the number of the load."""
        self.loads(path)
        (asked,) = self.read()
        self.says(POLICY, ready(asked.id, path), lambda: self.desk.status.phase == "ready")
        return asked.id

    def close(self) -> None:
        self.desk.close()
        for end in self.ends.values():
            end.close(0)
        self.context.term()


def ready(number: int, path: str) -> Ready:
    return Ready(
        id=number,
        path=path,
        kind="act",
        fps=15,
        fps_source="asked for",
        units="degrees",
        units_source="asked for",
        chunk=10,
        n_action_steps=10,
        sha256=f"sha of {path}",
    )


@pytest.fixture
def robot(tmp_path: Path) -> Iterator[Robot]:
    made = Robot(tmp_path)
    yield made
    made.close()


def test_the_answer_to_an_earlier_load_is_not_taken_for_that_of_a_later_one(robot: Robot) -> None:
    """Else A is announced as B, and `record` writes A's hash beside what B did."""
    first, second = robot.loads("A"), robot.loads("B")
    one, two = robot.read()
    assert one.id != two.id
    with pytest.raises(StateError, match="A was given up") as caught:
        first.poll()
    assert caught.value.likely and caught.value.do
    robot.tells(POLICY, ready(one.id, "A"))
    assert robot.desk.status.phase == "loading" and robot.desk.sha256 == ""
    assert second.poll() is None
    robot.says(POLICY, ready(two.id, "B"), lambda: robot.desk.status.phase == "ready")
    assert second.poll()["path"] == "B"
    assert robot.desk.sha256 == "sha of B"


def test_the_failure_of_an_earlier_load_does_not_fail_a_later_one(robot: Robot) -> None:
    robot.loads("A")
    second = robot.loads("B")
    one, two = robot.read()
    robot.tells(POLICY, Failed(id=one.id, **FAILED))
    assert robot.desk.status.phase == "loading"
    robot.says(POLICY, ready(two.id, "B"), lambda: robot.desk.status.phase == "ready")
    assert second.poll()["path"] == "B"


def test_after_a_failed_load_nothing_can_be_run(robot: Robot) -> None:
    robot.has_loaded("A")
    pending = robot.loads("B")
    (asked,) = robot.read()
    robot.says(POLICY, Failed(id=asked.id, **FAILED), lambda: robot.desk.status.phase == "failed")
    with pytest.raises(CheckpointError, match="damaged"):
        pending.poll()
    status = robot.desk.status
    assert (status.error, status.likely, status.do) == ("It is damaged.", "A copy.", "Copy.")
    assert robot.desk.sha256 == ""
    with pytest.raises(StateError, match="No policy is ready"):
        robot.desk.run(RunPolicy())
    assert robot.asked == []


def test_a_real_arm_is_given_to_a_policy_only_after_a_rehearsal_or_knowingly(robot: Robot) -> None:
    robot.rehearsals.simulated = False
    robot.has_loaded("A")
    with pytest.raises(StateError, match="never rehearsed") as caught:
        robot.desk.run(RunPolicy())
    assert "robotd rehearse --policy A" in caught.value.do
    assert robot.asked == [] and not robot.desk.status.rehearsed
    robot.desk.run(RunPolicy(unrehearsed=True))
    assert robot.asked == [RequestKind.POLICY]


def test_a_policy_whose_probe_failed_is_given_no_arm_but_knowingly(robot: Robot) -> None:
    robot.has_loaded("A")
    assert robot.desk.status.probed == "missing"
    key = probe_key("sha of A", 15.0, "degrees", {})
    store = ProbeStore(robot.rehearsals.store.folder.with_name("probes"))
    store.keep(key, FAILED_PROBE)  # by another process, after it was loaded
    with pytest.raises(StateError, match="un-normalised") as caught:
        robot.desk.run(RunPolicy())
    assert "--despite-probe" in caught.value.do and robot.asked == []
    robot.desk.look_up()
    assert robot.desk.status.probed == "fail" and robot.desk.status.probe_do
    robot.desk.run(RunPolicy(despite_probe=True))
    assert robot.asked == [RequestKind.POLICY]


def test_a_shadow_gives_the_arm_to_nobody_and_its_verdict_lets_the_policy_run(
    robot: Robot,
) -> None:
    robot.rehearsals.simulated = False
    robot.state = State.DISARMED
    robot.has_loaded("A")
    number = robot.desk.begin_shadow(messages.Shadow(seconds=10.0))["shadow"]
    shadowed = Shadowed(
        number=number,
        chunks=9,
        refused=0,
        late=0,
        reasons={},
        inference_ms=1.0,
        inference_max_ms=1.0,
        observation_age_max_ms=1.0,
    )
    robot.says(POLICY, shadowed, lambda: robot.desk.shadow.status.chunks == 9)
    for seconds in (3, 3, 3):
        robot.clock.sleep_until_ns(robot.clock.now_ns() + seconds * NS_PER_S)
        robot.tells(POLICY, shadowed)
    robot.clock.sleep_until_ns(robot.clock.now_ns() + 2 * NS_PER_S)
    robot.passes(lambda: robot.desk.shadow.status.phase == "finished")
    assert robot.asked == []
    assert robot.desk.status.rehearsal == "rehearsed in shadow 11 s, 0 of 9 chunks refused"
    robot.desk.run(RunPolicy())
    assert robot.asked == [RequestKind.POLICY]


def test_a_load_ends_the_shadow_of_what_was_loaded(robot: Robot) -> None:
    robot.state = State.DISARMED
    robot.has_loaded("A")
    robot.desk.begin_shadow(messages.Shadow())
    robot.loads("B")
    assert robot.desk.shadow.status.phase == "failed"
    assert "given up" in robot.desk.shadow.status.error


def test_a_policy_that_fails_while_it_moves_the_arm_is_a_hold_once(robot: Robot) -> None:
    number = robot.has_loaded()
    robot.desk.run(RunPolicy())
    robot.says(POLICY, Failed(id=number, **FAILED), lambda: RequestKind.HOLD in robot.asked)
    robot.desk.receive()
    assert robot.asked == [RequestKind.POLICY, RequestKind.HOLD]
    assert robot.desk.status.phase == "failed"


def test_an_arm_given_to_a_policy_while_it_loads_is_taken_back(robot: Robot) -> None:
    robot.has_loaded()
    robot.desk.run(RunPolicy())
    robot.state = State.HOLDING  # control has not taken the request yet
    robot.loads("B")
    robot.give_to(State.POLICY)
    robot.passes(lambda: robot.asked[-1] is RequestKind.HOLD)


def test_a_policy_that_dies_is_a_hold_and_no_person_loses_the_arm_for_it(robot: Robot) -> None:
    robot.has_loaded()
    robot.desk.run(RunPolicy())
    robot.children[POLICY].running, robot.children[POLICY].exit_code = False, -9
    robot.desk.ended(POLICY)
    assert robot.asked[-1] is RequestKind.HOLD
    assert "ended" in robot.desk.status.error and robot.desk.status.do
    assert "killed" in robot.desk.status.likely  # not what its log says of an earlier load
    robot.give_to(State.HOLDING)
    robot.has_loaded()
    robot.give_to(State.TELEOP)
    before = list(robot.asked)
    robot.children[POLICY].running = False
    robot.desk.ended(POLICY)
    robot.desk.receive()
    assert robot.asked == before


def test_a_load_is_refused_while_a_policy_moves_the_arm(robot: Robot) -> None:
    robot.has_loaded()
    robot.desk.run(RunPolicy())
    with pytest.raises(StateError, match="has the arm"):
        robot.loads("B")
    assert robot.desk.status.path == "A" and robot.desk.sha256 == "sha of A"


def replays(robot: Robot, episode: int = 0) -> Any:
    return robot.desk.replay(messages.Replay(dataset="me/blocks", episode=episode))


def plays(robot: Robot) -> None:
    """A replay on its way."""
    pending = replays(robot)
    robot.ends[REPLAY].send(policy_channel.encode(ready(0, "me/blocks")))
    robot.passes(lambda: pending.poll() is not None)


def test_a_replay_that_came_to_its_end_is_finished_and_held(robot: Robot) -> None:
    pending = replays(robot, 2)
    status = robot.desk.replay_status
    assert (status.phase, status.dataset, status.episode) == ("loading", "me/blocks", 2)
    robot.ends[REPLAY].send(policy_channel.encode(ready(0, "me/blocks")))
    answers: list[Any] = []
    robot.passes(lambda: bool(answers.append(pending.poll()) or answers[-1]))
    assert answers[-1]["replay"] == status.number
    assert robot.desk.replay_status.phase == "running"
    robot.says(REPLAY, Finished(), lambda: robot.desk.replay_status.phase == "finished")
    assert robot.asked == [RequestKind.REPLAY, RequestKind.HOLD]


def test_a_replay_that_the_twin_refused_is_failed_and_says_why(robot: Robot) -> None:
    """It used to end in the log while the command line said Done."""
    plays(robot)
    failed = Failed(kind="StateError", what="The twin refused.", likely="Contact.", do="Clear.")
    robot.says(REPLAY, failed, lambda: robot.desk.replay_status.phase == "failed")
    status = robot.desk.replay_status
    assert (status.error, status.likely, status.do) == ("The twin refused.", "Contact.", "Clear.")
    assert robot.asked[-1] is RequestKind.HOLD


def test_a_replay_whose_process_dies_is_failed(robot: Robot) -> None:
    plays(robot)
    robot.children[REPLAY].running = False
    robot.desk.ended(REPLAY)
    assert robot.desk.replay_status.phase == "failed"
    assert robot.asked[-1] is RequestKind.HOLD


def test_a_second_replay_or_a_load_takes_the_place_of_one_that_is_still_loading(
    robot: Robot,
) -> None:
    first = replays(robot, 0)
    second = replays(robot, 1)
    with pytest.raises(StateError, match="episode 0 was given up"):
        first.poll()
    robot.loads("A")
    assert robot.desk.replay_status.phase == "failed"
    with pytest.raises(StateError, match="episode 1 was given up"):
        second.poll()
    assert robot.asked == []


def test_a_load_that_waits_is_told_when_a_replay_takes_its_place(robot: Robot) -> None:
    pending = robot.loads("A")
    replays(robot)
    with pytest.raises(StateError, match="A was given up"):
        pending.poll()
    assert robot.desk.status.phase == "none"


def test_a_load_that_comes_to_no_end_keeps_no_later_one_waiting(robot: Robot) -> None:
    """A GPU's driver that hangs kept the process, and every further load waited behind it."""
    robot.loads("A")
    first = robot.children[POLICY]
    robot.loads("B")
    assert robot.children[POLICY] is first  # it is busy, as far as one can tell
    robot.clock.sleep_until_ns(robot.clock.now_ns() + 31 * NS_PER_S)
    robot.loads("C")
    assert robot.children[POLICY] is not first and not first.running
    robot.clock.sleep_until_ns(robot.clock.now_ns() + 599 * NS_PER_S)
    robot.tells(POLICY, Progress(phase="hashing model.safetensors: 10 %"))
    robot.clock.sleep_until_ns(robot.clock.now_ns() + 599 * NS_PER_S)
    robot.desk.receive()
    assert robot.desk.status.phase == "loading"  # it is slow, and says how far it is
    robot.clock.sleep_until_ns(robot.clock.now_ns() + 601 * NS_PER_S)
    robot.desk.receive()
    assert robot.desk.status.phase == "failed" and "C was not loaded" in robot.desk.status.error
    assert not robot.children[POLICY].running


def test_a_policy_process_that_reads_nothing_is_said_so(robot: Robot) -> None:
    robot.loads("A")
    robot.ends[POLICY].close(0)
    pending = robot.loads("A")
    for _ in range(3000):
        pending = robot.loads("A" * 1000)
    with pytest.raises(DaemonError, match="takes no messages"):
        pending.poll()


def test_a_policy_process_that_hangs_with_the_arm_is_ended_with_a_reason_and_the_arm_held(
    robot: Robot,
) -> None:
    """Control holds by itself when plans run out; this says why, and lets a load begin anew."""
    robot.has_loaded()
    robot.policy_slot = slot(robot.clock.now_ns())
    robot.give_to(State.POLICY)
    robot.handover_ns = robot.clock.now_ns()
    robot.clock.sleep_until_ns(robot.clock.now_ns() + 4 * NS_PER_S)
    robot.desk.receive()
    assert robot.desk.status.phase == "running"  # a busy machine is not a dead one
    robot.policy_slot = slot(robot.clock.now_ns())
    robot.clock.sleep_until_ns(robot.clock.now_ns() + 4 * NS_PER_S)
    robot.desk.receive()
    assert robot.desk.status.phase == "running"
    robot.clock.sleep_until_ns(robot.clock.now_ns() + 2 * NS_PER_S)
    robot.desk.receive()
    status = robot.desk.status
    assert status.phase == "failed"
    assert "no sign" in status.error and status.likely and status.do
    assert robot.asked[-1] is RequestKind.HOLD
    assert not robot.children[POLICY].running
    robot.give_to(State.HOLDING)
    robot.has_loaded("B")  # by a new process
    assert robot.children[POLICY].running


def slot(stamp_ns: int) -> dict[str, Any]:
    return {"stamp_ns": stamp_ns, "inference_us": 0, "observation_age_us": 0, "chunks": 3}
