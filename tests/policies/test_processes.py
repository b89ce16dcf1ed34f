"""The policy and replay processes on a made-up runtime folder: ticks in, plans out, no arm."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq

from config.schema import Config
from policies.border import Border, load_calibrations
from policies.checkpoint.evidence import CameraSetup, amend_sidecar
from robotd import policy_channel
from robotd.frames import FrameRingWriter
from robotd.latency import CHUNK, stages_us
from robotd.layouts import ENVIRONMENT_STATE, POLICY, plan_layout, tick_layout
from robotd.policy_channel import (
    POLICY_SOCKET,
    REPLAY_SOCKET,
    Failed,
    Finished,
    FromProcess,
    Load,
    Ready,
    Shutdown,
    Trouble,
)
from robotd.shm import RingReader, RingWriter, SlotReader, SlotWriter
from robotd.states import Source, State, Verdict

from .conftest import CHUNK as ACTIONS
from .conftest import ROWS, make_act, recorded_row

pytestmark = pytest.mark.timeout(400)  # two imports of torch on a busy machine

TICK_NS = 1_000_000_000 // 120
ENCODER = (2045, 2080, 2057, 1965, 2098, 2600)


class Stage:
    """The rest of the robot: control that follows plans, a twin that answers, a supervisor."""

    def __init__(self, runtime: Path, config: Config) -> None:
        self.runtime = runtime
        self.config = config
        (runtime / "config.json").write_bytes(msgspec.json.encode(config))
        self.context = zmq.Context()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.sockets: dict[str, zmq.Socket[bytes]] = {}
        self.tick_layout = tick_layout(6)
        self.blank = {
            field.name: (0,) * field.count if field.count > 1 else 0
            for field in self.tick_layout.fields
        }
        self.ticks = RingWriter(runtime / "ticks", self.tick_layout, 1200)
        self.plans = SlotWriter(runtime / "plan", plan_layout(6))
        self.environment = SlotWriter(runtime / "plant/environment_state", ENVIRONMENT_STATE)
        self.index = 0
        self.state = State.HOLDING
        self.version = 0
        self.handover_ns = 0
        self.applied_rad = (0.0,) * 6
        self.proposals: list[dict[str, Any]] = []
        self.seen = 0
        self.answers = True
        self.following = 0
        self.world = (0.2,) * 7
        self.messages: list[FromProcess] = []

    def start(self, module: str, socket: str, *arguments: str) -> subprocess.Popen[bytes]:
        self.sockets[socket] = self.context.socket(zmq.PAIR)
        self.sockets[socket].bind(f"ipc://{self.runtime / socket}")
        command = [sys.executable, "-m", module, "--runtime", str(self.runtime), *arguments]
        process = subprocess.Popen(command, start_new_session=True)
        self.processes.append(process)
        return process

    def send(self, socket: str, message: policy_channel.ToProcess) -> None:
        self.sockets[socket].send(policy_channel.encode(message))

    def give_to(self, state: State) -> None:
        self.version += 1
        self.handover_ns = time.monotonic_ns()
        self.state = state

    def tick(self) -> None:
        """One tick of control and whatever else happens in the robot meanwhile."""
        time.sleep(1 / 120)
        self.index += 1
        now_ns = time.monotonic_ns()
        self.environment.write({"stamp_ns": now_ns, "values": self.world})
        self.ticks.append(
            self.blank
            | {
                "index": self.index,
                "deadline_ns": now_ns,
                "state": int(self.state),
                "handover_version": self.version,
                "handover_ns": self.handover_ns,
                "present_position_ticks": ENCODER,
                "applied_rad": self.applied_rad,
                "plan_id": self.following,
                "plan_index": 0 if self.following else -1,
                "write_ns": now_ns,
            }
        )
        proposal = self._newest_proposal()
        if proposal is not None:
            self.proposals.append(proposal)
            if self.answers:
                verdict = {"verdict": int(Verdict.PASS), "judged_ns": now_ns}
                self.plans.write(proposal | verdict)
                self.following = proposal["id"]
        for socket in self.sockets.values():
            while socket.poll(0):
                self.messages.append(policy_channel.decode_from_process(socket.recv()))

    def _newest_proposal(self) -> dict[str, Any] | None:
        try:
            slot = SlotReader(self.runtime / "proposal", plan_layout(6))
        except FileNotFoundError:
            return None
        proposal = slot.read() if slot.sequence != self.seen else None
        self.seen = slot.sequence
        slot.close()
        return proposal

    def until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        """Tick until the condition holds."""
        give_up = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < give_up, self.messages
            assert not [p for p in self.processes if p.poll() not in (None, 0)], self.messages
            self.tick()

    def heard(self, kind: type) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]

    def policy_slot(self) -> dict[str, Any]:
        slot = SlotReader(self.runtime / "policy", POLICY)
        record = slot.read()
        slot.close()
        assert record is not None
        return record

    def budgets(self) -> list[dict[str, Any]]:
        """The latency budgets of the chunks that were followed."""
        try:
            ring = RingReader(self.runtime / "chunks", CHUNK)
        except FileNotFoundError:
            return []
        found = [ring.read(index) for index in range(ring.count)]
        ring.close()
        return [each for each in found if each is not None and each["written_ns"]]

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for socket in self.sockets.values():
            socket.close(0)
        self.context.term()


@pytest.fixture
def stage(tmp_path: Path, config: Config) -> Iterator[Stage]:
    made = Stage(tmp_path, config)
    yield made
    made.close()


@pytest.mark.slow
def test_a_policy_proposes_waits_for_the_verdict_and_starts_again_after_a_handover(
    stage: Stage, saved_act: Path
) -> None:
    process = stage.start("policies.serve", POLICY_SOCKET)
    stage.send(POLICY_SOCKET, Load(id=1, path=str(saved_act / "nowhere")))
    stage.until(lambda: stage.heard(Failed), 240)
    failed = stage.heard(Failed)[0]
    assert (failed.id, failed.kind) == (1, "CheckpointError")
    stage.send(POLICY_SOCKET, Load(id=2, path=str(saved_act), task="put it there"))
    stage.until(lambda: stage.heard(Ready), 240)
    ready = stage.heard(Ready)[0]
    assert ready.id == 2
    assert (ready.kind, ready.fps, ready.units, ready.chunk) == ("act", 15, "degrees", ACTIONS)
    assert stage.policy_slot()["ready"] and not stage.policy_slot()["chunks"]
    for _ in range(30):
        stage.tick()
    assert not stage.proposals  # nothing moves because a policy is loaded

    stage.give_to(State.POLICY)
    stage.until(lambda: len(stage.proposals) >= 4)
    first = stage.proposals[0]
    assert first["source"] == Source.POLICY
    assert first["handover_version"] == 1
    assert first["observation_ns"] > stage.handover_ns
    assert first["start_ns"] >= first["observation_ns"]
    assert first["step_ns"] == round(1e9 / 15)
    ids = [proposal["id"] for proposal in stage.proposals]
    assert ids == sorted(set(ids))
    slot = stage.policy_slot()
    assert slot["chunks"] >= 4 and 0 < slot["inference_us"] < 1_000_000
    stage.until(stage.budgets)
    for budget in stage.budgets():
        stages = stages_us(budget)
        assert budget["id"] in ids and stages is not None and stages["infer"] > 0
        assert stages["total"] >= stages["preprocess"] + stages["infer"] + stages["post"]

    stage.answers = False
    count = len(stage.proposals)
    for _ in range(60):
        stage.tick()
    assert len(stage.proposals) <= count + 1  # the next waits for its turn

    stage.answers = True
    stage.give_to(State.POLICY)  # the next episode
    handover_ns = stage.handover_ns
    count = len(stage.proposals)
    stage.until(lambda: len(stage.proposals) >= count + 2)
    assert all(p["handover_version"] == 2 for p in stage.proposals[count:])
    assert all(p["observation_ns"] > handover_ns for p in stage.proposals[count:])

    process.send_signal(signal.SIGINT)  # Ctrl-C is the supervisor's
    stage.until(lambda: len(stage.proposals) >= count + 4)
    stage.send(POLICY_SOCKET, Shutdown())
    stage.until(lambda: process.poll() == 0)


@pytest.mark.slow
def test_after_a_failed_load_nothing_is_loaded_and_superseded_loads_are_skipped(
    stage: Stage, saved_act: Path
) -> None:
    """The checkpoint before must not move the arm for somebody who asked for another."""
    stage.start("policies.serve", POLICY_SOCKET)
    for number in (1, 2, 3):
        stage.send(POLICY_SOCKET, Load(id=number, path=str(saved_act)))
    stage.until(lambda: stage.heard(Ready) and stage.heard(Ready)[-1].id == 3, 240)
    assert len(stage.heard(Ready)) < 3
    stage.give_to(State.POLICY)
    stage.until(lambda: stage.proposals)

    stage.send(POLICY_SOCKET, Load(id=4, path=str(saved_act)))  # while it moves the arm
    stage.until(lambda: stage.heard(Failed), 240)
    assert stage.heard(Failed)[-1].id == 4
    stage.give_to(State.HOLDING)
    stage.tick()
    stage.send(POLICY_SOCKET, Load(id=5, path=str(saved_act)))
    stage.until(lambda: stage.heard(Ready)[-1].id == 5, 240)
    stage.send(POLICY_SOCKET, Load(id=6, path=str(saved_act / "nowhere")))
    stage.until(lambda: stage.heard(Failed)[-1].id == 6)
    count = len(stage.proposals)
    stage.give_to(State.POLICY)
    for _ in range(60):
        stage.tick()
    assert len(stage.proposals) == count


@pytest.mark.slow
def test_a_checkpoint_is_exchanged_while_the_arm_holds_and_the_old_one_plays_no_more(
    stage: Stage, saved_act: Path, tmp_path: Path
) -> None:
    """One process, two checkpoints after each other; and one that says NaN in the middle of a run
    is ended with words, after which the process takes the next."""
    other = make_act(tmp_path / "other", environment=True, seed=8)
    shutil.copy(saved_act / "robotd_ckpt.json", other)
    process = stage.start("policies.serve", POLICY_SOCKET)
    plans: dict[int, np.ndarray] = {}
    for number, path in ((1, saved_act), (2, other)):
        count = len(stage.proposals)
        stage.send(POLICY_SOCKET, Load(id=number, path=str(path), mode="chunk"))
        stage.until(lambda number=number: number in [r.id for r in stage.heard(Ready)], 240)  # type: ignore[misc]
        assert stage.heard(Ready)[-1].mode == "chunk"
        assert len(stage.proposals) == count  # while it loaded nothing was proposed
        stage.give_to(State.POLICY)
        stage.until(lambda count=count: len(stage.proposals) > count)  # type: ignore[misc]
        plans[number] = np.asarray(stage.proposals[count]["goal_rad"])
        stage.give_to(State.HOLDING)
        stage.tick()
    # The same picture of the same moment, by other weights.
    assert np.abs(plans[1] - plans[2]).max() > 1e-3
    before_ns = stage.policy_slot()["stamp_ns"]
    stage.until(lambda: stage.policy_slot()["stamp_ns"] > before_ns)  # it lives, though it rests

    stage.give_to(State.POLICY)
    count = len(stage.proposals)
    stage.until(lambda: len(stage.proposals) > count)
    stage.world = (float("inf"),) * 7
    stage.until(lambda: stage.heard(Failed))
    failed = stage.heard(Failed)[0]
    assert failed.kind == "CheckpointError" and "not a finite number" in failed.what
    assert failed.likely and failed.do
    count = len(stage.proposals)
    for _ in range(30):
        stage.tick()
    assert len(stage.proposals) == count and process.poll() is None
    stage.world = (0.2,) * 7
    stage.give_to(State.HOLDING)
    stage.tick()
    stage.send(POLICY_SOCKET, Load(id=3, path=str(saved_act)))
    stage.until(lambda: stage.heard(Ready)[-1].id == 3, 240)


@pytest.mark.slow
def test_a_policy_with_pictures_waits_for_them_and_says_so(
    stage: Stage, saved_image_act: Path, tmp_path: Path
) -> None:
    """At half its speed, and through a camera that nobody compared with the training's."""
    folder = shutil.copytree(saved_image_act, tmp_path / "act")
    amend_sidecar(folder, cameras={"front": CameraSetup(fov_deg=58, width=64, height=64)})
    process = stage.start("policies.serve", POLICY_SOCKET)
    request = Load(path=str(folder), rename={"front": "overhead"}, time_scale=0.5, gripper_bias=-5)
    stage.send(POLICY_SOCKET, request)
    stage.until(lambda: stage.heard(Ready), 240)
    ready = stage.heard(Ready)[0]
    assert ready.told == ""
    assert (ready.time_scale, ready.changed) == (0.5, "gripper -5")
    (difference,) = ready.camera_differences
    assert difference.startswith("overhead: trained with a vertical field of view of 58°")
    assert "cameras.overhead.fovy_deg" in ready.camera_do
    stage.give_to(State.POLICY)
    stage.until(lambda: stage.heard(Trouble))
    assert "no picture" in stage.heard(Trouble)[0].reason
    assert not stage.proposals
    cameras = [
        FrameRingWriter(stage.runtime / f"frames-{name}", 64, 64, 64)
        for name in ("overhead", "wrist")
    ]

    def film() -> bool:
        for camera in cameras:
            camera.append(time.monotonic_ns(), camera.count, bytes(64 * 64 * 3))
        return len(stage.proposals) >= 2

    stage.until(film)
    assert stage.proposals[0]["step_ns"] == round(2e9 / ready.fps)
    stage.until(lambda: stage.heard(Trouble)[-1].reason)  # the cameras freeze
    assert "ms old" in stage.heard(Trouble)[-1].reason
    process.terminate()
    stage.until(lambda: process.poll() == 0)
    for camera in cameras:
        camera.close()


def test_a_policy_process_ends_when_its_supervisor_is_gone(stage: Stage) -> None:
    """A middleman starts it and dies, as a supervisor that is killed does."""
    program = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(sys.argv[1:], start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-m", "policies.serve", "--runtime", str(stage.runtime)]
    middleman = subprocess.Popen(
        [sys.executable, "-c", program, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert middleman.stdout is not None
    child = int(middleman.stdout.readline())
    stage.until(lambda: (stage.runtime / "proposal").exists())
    middleman.kill()
    middleman.wait()
    stage.until(lambda: not _runs(child), 20)


def _runs(pid: int) -> bool:
    try:
        return b"policies.serve" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def test_a_replay_moves_to_its_start_plays_and_ends(stage: Stage, saved_dataset: Path) -> None:
    border = Border(stage.config, load_calibrations(stage.config))
    near = border.actions_rad(recorded_row(1, 0)) + 0.02
    stage.applied_rad = tuple(near)
    arguments = ("--dataset", str(saved_dataset), "--episode", "1")
    process = stage.start("policies.replay", REPLAY_SOCKET, *arguments)
    stage.until(lambda: stage.heard(Ready))
    assert stage.heard(Ready)[0].chunk == ROWS
    stage.give_to(State.REPLAY)
    stage.until(lambda: stage.heard(Finished), 30)
    assert process.wait(5) == 0
    assert stage.policy_slot()["finished"]
    assert {proposal["source"] for proposal in stage.proposals} == {Source.REPLAY}
    np.testing.assert_allclose(stage.proposals[0]["goal_rad"][:6], near)
    last = stage.proposals[-1]
    end = np.reshape(last["goal_rad"], (-1, 6))[last["waypoints"] - 1]
    np.testing.assert_allclose(end, border.actions_rad(recorded_row(1, ROWS - 1)), atol=1e-9)


def test_a_replay_of_nothing_fails_with_a_reason(stage: Stage, saved_dataset: Path) -> None:
    arguments = ("--dataset", str(saved_dataset), "--episode", "99")
    process = stage.start("policies.replay", REPLAY_SOCKET, *arguments)
    assert process.wait(30) == 1
    stage.tick()
    failed = stage.heard(Failed)[0]
    assert failed.kind == "DatasetError" and "no episode 99" in failed.what
    assert failed.likely and failed.do


def test_a_replay_imports_no_torch() -> None:
    program = "import policies.replay, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
