"""A policy that looks back sees what was there: at its own rate, of this episode, in lock-step and on the arm."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import policies.loaded
from config.schema import Config
from learning.evaluation.gym_child import GymWorld
from policies.border import load_calibrations
from policies.checkpoint.evidence import Evidence
from policies.checkpoint.folder import Feature
from policies.history import moments_ns
from policies.link import RuntimeLink
from policies.loaded import LoadedPolicy, load_policy
from policies.model import Interface, Timings
from policies.serve import PolicyServer
from policies.server.request import read_request
from robotd.clock import NS_PER_MS, NS_PER_S, VirtualClock
from robotd.errors import CheckpointError
from robotd.frames import FrameRingWriter
from robotd.layouts import ENVIRONMENT_STATE, tick_layout
from robotd.policy_channel import Load
from robotd.shm import RingWriter, SlotWriter
from robotd.states import State

from .test_lockstep import ENCODER, TICK_NS, World

STATE, WORLD, PICTURE = (
    "observation.state",
    "observation.environment_state",
    "observation.images.overhead",
)
MS = NS_PER_MS
BLANK = {f.name: (0,) * f.count if f.count > 1 else 0 for f in tick_layout(6).fields}


class LooksBack:
    """A model without weights that was trained on three observations in a row, ten a second."""

    kind = "scripted"
    chunk = 12
    n_action_steps = 4
    raw = None
    timings = Timings()
    means: Mapping[str, Any] = {}
    evidence = Evidence(10.0, "test", "degrees", "test")

    def __init__(self, *more: str) -> None:
        shapes = {STATE: ("STATE", (6,)), WORLD: ("ENV", (7,)), PICTURE: ("VISUAL", (3, 64, 64))}
        inputs = {key: Feature(*shapes[key]) for key in (STATE, WORLD, *more)}
        action = {"action": Feature("ACTION", (6,))}
        self.interface = Interface("scripted", inputs, action, steps_seen=3)
        self.asked: list[Mapping[str, Any]] = []

    def reset(self) -> None:
        self.asked.clear()

    def sha256(self, _digests: Any) -> str:
        return ""

    def predict(self, values: Mapping[str, Any], task: str, **_: Any) -> Any:
        self.asked.append(values)
        return np.zeros((self.chunk, 6))


def loaded(model: LooksBack, config: Config, patch: pytest.MonkeyPatch) -> LoadedPolicy:
    patch.setattr(policies.loaded, "load_model", lambda *_: model)
    return load_policy(Load(path="scripted"), config, load_calibrations(config))


def test_the_past_is_a_step_apart_and_begins_with_the_episode() -> None:
    assert moments_ns(1000, 0, 100, 3) == (800, 900)
    assert moments_ns(1000, 950, 100, 3) == (950, 950)
    assert moments_ns(1000, 850, 100, 4) == (850, 850, 900)
    assert moments_ns(1000, 1000, 100, 3) == (1000, 1000)
    assert moments_ns(1000, 0, 100, 1) == ()


def test_in_lockstep_each_chunk_is_made_of_the_world_as_it_was_at_the_policys_rate(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its step, 100 ms, is one and a half rows of this robot's: what it looks back to is no row."""
    model = LooksBack()
    world = World(loaded(model, config, monkeypatch), config)
    for episode in range(2):
        for _ in range(120):
            world.blocks_x = world.clock.now_ns() + TICK_NS  # as it will be in the tick to come
            world.run(1)
        times = np.array([values[WORLD][:, 0] for values in model.asked])
        assert len(times) >= 3 and times.shape[1] == 3
        first, step = times[0, -1], 100 * MS
        wanted = np.maximum(first, times[:, -1:] - np.array([2, 1, 0]) * step)
        # Times are kept as float32 here, whose steps are 64 ns and more; a tick has 8 ms.
        np.testing.assert_allclose(times, wanted, atol=TICK_NS / 4)
        assert (times[0] == first).all() and (times[-1, 0] < times[-1, 1])
        assert model.asked[0][STATE].shape == (3, 6)
        assert episode == 1 or first > 0
        world.hand_over()


class Process:
    """The supervisor's end of the channel, which nobody reads."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)


class Arm:
    """A runtime folder as control, the plant and a camera write it, 120 ticks a second."""

    def __init__(self, runtime: Path, config: Config, model: LooksBack) -> None:
        (runtime / "plant").mkdir()
        self.ticks = RingWriter(runtime / "ticks", tick_layout(6), 400)
        self.world = SlotWriter(runtime / "plant/environment_state", ENVIRONMENT_STATE)
        self.camera = FrameRingWriter(runtime / "frames-overhead", 64, 64, 64)
        self.link = RuntimeLink(runtime, 6, 8)
        self.server = PolicyServer(Process(), self.link, config, 1)  # type: ignore[arg-type]
        self.clock = VirtualClock(self.at(0))
        self.server._clock = self.clock  # type: ignore[assignment]
        self.model = model
        self.index = 0

    def run(self, ticks: int, *, thinking: bool = False) -> None:
        """`thinking`: the policy process is busy meanwhile and looks at nothing."""
        for _ in range(ticks):
            self.index += 1
            at_ns = self.at(self.index)
            shown = self.index % 256
            if self.index % 4 == 0:
                self.camera.append(at_ns, self.camera.count, bytes([shown]) * (64 * 64 * 3))
            self.world.write({"stamp_ns": at_ns, "values": (float(self.index),) * 7})
            encoder = (ENCODER[0] + self.index, *ENCODER[1:])
            self.ticks.append(
                BLANK
                | {
                    "index": self.index,
                    "deadline_ns": at_ns,
                    "state": int(State.POLICY),
                    "handover_version": 1,
                    "present_position_ticks": encoder,
                }
            )
            self.clock.sleep_until_ns(at_ns)
            if not thinking:
                self.server._step()

    @staticmethod
    def at(index: int) -> int:
        return 5 * NS_PER_S + index * NS_PER_S // 120

    def close(self) -> None:
        for part in (self.link, self.ticks, self.world, self.camera):
            part.close()


@pytest.fixture
def arm(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Arm]:
    model = LooksBack(PICTURE)
    monkeypatch.setattr(policies.loaded, "load_model", lambda *_: model)
    made = Arm(tmp_path, config, model)
    made.server._load(Load(id=1, path="scripted"))
    model.reset()
    yield made
    made.close()


def test_on_the_arm_the_past_comes_from_what_was_published_while_the_policy_was_thinking(
    arm: Arm, config: Config
) -> None:
    border = arm.server._policy.border  # type: ignore[union-attr]
    arm.run(8)  # the first row
    (first,) = arm.model.asked
    for key in (STATE, WORLD, PICTURE):
        assert all((each == first[key][0]).all() for each in first[key])
    arm.run(71, thinking=True)
    arm.run(2)  # the first chunk is planned with, then the row of tick 80 is looked at
    assert arm.index == 81 and len(arm.model.asked) == 2
    seen = arm.model.asked[1]
    past = (80 - 24, 80 - 12, 80)  # 100 ms are 12 ticks
    states = [border.state((ENCODER[0] + index, *ENCODER[1:])) for index in past]
    np.testing.assert_array_equal(seen[STATE], states)
    np.testing.assert_array_equal(seen[PICTURE][:, 0, 0, 0], past)
    assert seen[WORLD][-1, 0] == 81  # the newest that was told when it was looked at


def test_the_world_of_the_past_is_the_one_that_was_told_then(arm: Arm) -> None:
    arm.run(80)
    assert [len(values[WORLD]) for values in arm.model.asked] == [3] * len(arm.model.asked)
    *_, last = arm.model.asked
    newest = int(last[WORLD][-1, 0])
    np.testing.assert_array_equal(last[WORLD][:, 0], [newest - 24, newest - 12, newest])


def test_a_client_may_send_several_observations_to_a_policy_that_looks_back() -> None:
    model = LooksBack(PICTURE).interface
    one = {STATE: np.arange(6.0), WORLD: np.zeros(7), PICTURE: np.zeros((64, 64, 3), np.uint8)}
    several = {key: np.stack([value, value + 1, value + 2]) for key, value in one.items()}
    several[PICTURE] = several[PICTURE].astype(np.uint8)
    read = read_request(several, model).values
    assert [read[key].shape for key in (STATE, PICTURE)] == [(3, 6), (3, 64, 64, 3)]
    np.testing.assert_array_equal(read[STATE], several[STATE])
    assert read_request(one, model).values[STATE].shape == (6,)  # openpi's clients know no past
    with pytest.raises(CheckpointError, match="has shape"):
        read_request({**several, STATE: several[STATE][:2]}, model)


class Gym:
    """An environment that draws into the same picture again."""

    def __init__(self) -> None:
        self.picture = np.zeros(1)

    def step(self, _action: Any) -> Any:
        self.picture += 1
        return {"pixels": self.picture}, 0.0, self.picture[0] == 5, False, {}


def test_a_gym_tells_as_many_observations_as_the_policy_looks_back_to() -> None:
    world = object.__new__(GymWorld)
    world._env = Gym()
    assert [each["pixels"][0] for each in world.play(np.zeros((3, 2)), keep=2)["seen"]] == [2, 3]
    told = world.play(np.zeros((3, 2)), keep=3)
    assert told["over"] and [each["pixels"][0] for each in told["seen"]] == [4, 5]
