"""Whiskers in the plant and over a recording: what is drawn is what the twin does, and drawing changes nothing."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from config.schema import Camera, Config
from learning.episode import run_episode
from learning.evaluate import TwinJudge
from learning.whiskers import command
from learning.whiskers.flow import FlowWatch
from learning.whiskers.legend import explain, meanings
from learning.whiskers.lockstep import WhiskerDriver
from learning.whiskers.numbers import ChunkNumbers, alarms
from learning.whiskers.recorded import Episode, config_of, open_episode, walk
from learning.whiskers.watched import Extras, WatchedPolicy, all_alike, watched
from learning.world import lockstep_calibrations, lockstep_config, lockstep_world
from policies.checkpoint.digests import FileDigests
from policies.checkpoint.evidence import Evidence
from policies.checkpoint.folder import Feature
from policies.loaded import load_policy
from policies.model import Interface, Timings
from policies.recording import EpisodeFiles, Recording, Rows
from policies.rtc import Leftover, RawChunk
from robotd.clock import NS_PER_S
from robotd.errors import CheckpointError, DatasetError
from robotd.policy_channel import Load
from robotd.trajectory import Trajectory
from sim.expert import HOME_RAD
from sim.tasks.spec import load_task
from sim.twin.apply import TwinBody, placements
from sim.twin.mirror import Mirror
from sim.twin.roll import roll
from sim.view.lines import FLOW, PASSED, REFUSED, Line, along, past
from sim.view.seen import Seen

TASK = load_task("block_in_bowl")
STEPS, FPS = 30, 30
HOME_DEG = np.degrees(HOME_RAD)


class Swing:
    """Turns the pan to and fro from where it is, with noise of its own; `scale` 0.001 hardly moves."""

    kind = "swing"
    chunk = STEPS
    n_action_steps = 10
    timings = Timings()
    evidence = Evidence(FPS, "asked for", "degrees", "asked for")
    means: Mapping[str, npt.NDArray[np.float64]] = {"observation.state": HOME_DEG}

    def __init__(
        self, scale: float = 1.0, cameras: tuple[str, ...] = (), off_deg: float = 0.0
    ) -> None:
        inputs = {"observation.state": Feature("STATE", (6,))}
        for name in cameras:
            inputs[f"observation.images.{name}"] = Feature("VISUAL", (3, 48, 64))
        self.interface = Interface("swing", inputs, {"action": Feature("ACTION", (6,))})
        self.raw: RawChunk | None = None
        self.scale = scale
        self.off_deg = off_deg
        self._generator = np.random.default_rng(0)

    def reset(self) -> None:
        """It remembers nothing."""

    def predict(
        self,
        values: Mapping[str, npt.NDArray[Any]],
        _task: str,
        *,
        noise: npt.NDArray[np.float32] | None = None,
        leftover: Leftover | None = None,
    ) -> npt.NDArray[np.float64]:
        assert noise is None and leftover is None
        state = values["observation.state"].astype(np.float64)
        way = 20.0 * np.sin(np.arange(1, STEPS + 1) / STEPS * np.pi)
        seen = [value.mean() for key, value in values.items() if "images" in key]
        bend = self._generator.normal() + (sum(seen) / 255.0 if seen else 0.0)
        chunk = np.tile(state, (STEPS, 1))
        chunk[:, 0] += self.scale * way + self.off_deg
        chunk[:, 3] += self.scale * 3 * bend * np.arange(1, STEPS + 1) / STEPS
        return chunk

    def sha256(self, _digests: FileDigests) -> str:
        return ""


def policy_of(
    model: Swing, config: Config, extras: Extras, monkeypatch: pytest.MonkeyPatch
) -> WatchedPolicy:
    monkeypatch.setattr("policies.loaded.load_model", lambda *_: model)
    return watched(load_policy(Load(path="swing"), config, lockstep_calibrations(config)), extras)


@pytest.fixture(scope="module")
def config() -> Config:
    return lockstep_config()


def test_the_predicted_way_is_the_one_the_twin_then_goes(config: Config) -> None:
    """The mirror executes the plan tick by tick, as it follows an arm; nothing may lie between."""
    tick_ns = NS_PER_S // 120
    way = np.array([0.02, 0.01, -0.01, 0.0, 0.03, 0.0])
    goals = [np.array(HOME_RAD) + way * k for k in range(20)]
    plan = Trajectory(5 * tick_ns, NS_PER_S // 30, tuple(map(tuple, goals)))
    seen = np.array(HOME_RAD) + 0.01  # friction: it does not stand where it should
    body = TwinBody(placements(config))
    rolled = roll(body, plan, body.start(HOME_RAD, seen), 7 * tick_ns, plan.end_ns, tick_ns)

    mirror = Mirror(TwinBody(placements(config)))
    mirror.update(7 * tick_ns, True, HOME_RAD, seen)
    offset = mirror.residual_rad.copy()
    for at_ns, expected in zip(rolled.times_ns[1:], rolled.positions_rad[1:], strict=True):
        goal = plan.evaluate(at_ns)
        assert goal is not None
        assert mirror.update(at_ns, True, goal, expected)
        np.testing.assert_allclose(mirror.residual_rad, offset, rtol=0, atol=1e-9)
    assert len(rolled.times_ns) > 70
    assert np.linalg.norm(rolled.tips_m[0, -1] - rolled.tips_m[0, 0]) > 0.05


def test_drawing_and_asking_more_change_nothing_in_the_world(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run with and without whiskers, and the plant's state byte for byte across each moment."""
    ends = []
    for extras in (Extras(), Extras(samples=3)):
        model = Swing()
        model._generator = SimpleNamespace(normal=lambda: 0.0)  # type: ignore[assignment]
        policy = policy_of(model, config, extras, monkeypatch)
        seen: list[Seen] = []
        with lockstep_world(config, 0, 101) as world:
            judge = TwinJudge(config)
            driver = WhiskerDriver(policy, world, judge, seen.append)
            drawn = driver._planned

            def watch(*args: Any, world: Any = world, drawn: Any = drawn) -> None:
                data = world.plant.data
                before = (data.qpos.tobytes(), data.qvel.tobytes(), data.act.tobytes(), data.time)
                drawn(*args)
                after = (data.qpos.tobytes(), data.qvel.tobytes(), data.act.tobytes(), data.time)
                assert before == after

            monkeypatch.setattr(driver, "_planned", watch)
            run_episode(world, TASK, driver, max_rows=60)
            driver.finish()
            ends.append(world.plant.data.qpos.tobytes())
        assert len(seen) == 59 and len(driver.chunks) >= 4
    assert ends[0] == ends[1]
    lines = seen[-1].lines
    assert len(lines) > 6
    assert all(np.isfinite(line.points_m).all() for line in lines)


def test_figures_of_a_policy_that_moves_and_of_one_that_does_not(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[float, list[ChunkNumbers]] = {}
    for scale in (1.0, 0.001):
        policy = policy_of(Swing(scale), config, Extras(samples=4), monkeypatch)
        with lockstep_world(config, 0, 101) as world:
            driver = WhiskerDriver(policy, world, TwinJudge(config), lambda _: None)
            run_episode(world, TASK, driver, max_rows=45)
            driver.finish()
        found[scale] = driver.chunks
    moving, still = found[1.0], found[0.001]
    assert not alarms(moving, "P")
    (alarm,) = alarms(still, "P")
    assert "never un-normalised" in alarm.likely and "robotd probe" in alarm.do
    assert all(0.03 < each.moves_m < 0.2 for each in moving)
    assert all(each.begins_off_m < 0.02 for each in moving)
    assert all(0.001 < (each.sample_spread_m or 0) < 0.02 for each in moving)
    errors = [each.plan_rmse_m for each in moving if each.plan_rmse_m is not None]
    assert len(errors) >= 2 and np.median(errors) < 0.01  # of a first one the gate takes the haste
    assert all((each.replan_m or 0.0) < 0.1 for each in moving[1:])


def test_a_chunk_that_begins_elsewhere_is_an_alarm(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = policy_of(Swing(off_deg=40.0), config, Extras(), monkeypatch)
    with lockstep_world(config, 0, 101) as world:
        driver = WhiskerDriver(policy, world, TwinJudge(config), lambda _: None)
        run_episode(world, TASK, driver, max_rows=20)
        driver.finish()
    (alarm,) = alarms(driver.chunks, "P")
    assert "mm from where the arm is" in alarm.what and "units" in alarm.likely


def test_a_covered_camera_is_asked_about_and_an_unknown_one_refused(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"overhead": Camera(device="plant", width=64, height=48)}
    seeing = msgspec.structs.replace(config, cameras=small)
    with pytest.raises(CheckpointError, match="does not look through wrist"):
        policy_of(Swing(cameras=("overhead",)), seeing, Extras(blind=("wrist",)), monkeypatch)
    policy = policy_of(
        Swing(cameras=("overhead",)), seeing, Extras(blind=("overhead",)), monkeypatch
    )
    from policies.observation import Observation

    picture = np.zeros((48, 64, 3), np.uint8)
    state = HOME_DEG.astype(np.float32)
    values = {"observation.state": state, "observation.images.overhead": picture}
    policy.model._generator = SimpleNamespace(normal=lambda: 0.0)  # type: ignore[attr-defined]
    chunk = policy.predict(Observation(0, 1, 0, values))
    said = policy.ear.newest
    assert said.blind is not None
    np.testing.assert_array_equal(said.chunk, chunk)
    assert np.abs(said.blind - chunk).max() > 0.01 and not picture.any()
    assert all_alike(said)


def test_the_command_films_a_run_and_says_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import argparse

    monkeypatch.setattr("policies.loaded.load_model", lambda *_: Swing())
    parser = argparse.ArgumentParser()
    command.configure(parser)
    film = tmp_path / "whiskers.mp4"
    arguments = ["--policy", "swing", "--seconds", "1", "--samples", "2", "--show-flow"]
    assert command.run(parser.parse_args([*arguments, "--video", str(film), "--json"])) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["chunks"] >= 2 and facts["alarms"] == []
    assert facts["moves_mm"]["p50"] > 50 and "sample_spread_mm" in facts
    assert any("no flow" in note for note in facts["notes"])
    with av.open(str(film)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == lockstep_config().recording.fps - 1  # the last row ends the run
    last = pictures[-1].astype(int)
    green = (
        (last[..., 1] > 120)
        & (last[..., 1] - last[..., 0] > 50)
        & (last[..., 1] - last[..., 2] > 25)
    )
    assert green.sum() > 20
    assert command.run(parser.parse_args(["--policy", "swing", "--seconds", "0.5"])) == 0
    assert "a chunk moves the fingertips by" in capsys.readouterr().out


def test_over_a_recording_the_policy_is_compared_with_what_was_done(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording of the very motion that the policy wants: it begins where the arm is, and goes along."""
    rows = 40
    way = 20.0 * np.sin(np.arange(rows) / STEPS * np.pi)
    states = np.tile(HOME_DEG, (rows, 1))
    states[:, 0] += way
    vectors = {"observation.state": states, "action": np.roll(states, -1, axis=0)}
    recording = Recording(
        root=Path("D"),
        fps=FPS,
        units="degrees",
        joints=tuple("abcdef"),
        state_joints=tuple("abcdef"),
        cameras={},
        environment=False,
        tasks={0: "wave"},
        episodes=(EpisodeFiles(0, "wave", "", {}),),
    )
    policy = policy_of(Swing(), config_of(config, recording), Extras(samples=2), monkeypatch)
    episode = Episode(
        recording,
        0,
        Rows(recording.episodes[0], vectors, ("wave",) * rows, np.arange(rows) / FPS),
        None,
    )
    seen: list[Seen] = []
    chunks = walk(policy, config, episode, seen.append)
    assert len(seen) == rows
    assert len(chunks) == -(-rows // policy.settings.n_action_steps)
    first = chunks[0]
    assert first.plan_rmse_m is not None and first.plan_rmse_m < 0.02
    assert first.begins_off_m < 0.02 and first.passed is None
    assert seen[0].caption.detail == "wave" and "episode 0 row 0" in seen[0].caption.robot
    with pytest.raises(DatasetError, match="no episode 7"):
        open_episode(recording, 7, policy)
    other = dataclasses.replace(recording, units="range_m100_100")
    with pytest.raises(DatasetError, match="the policy speaks degrees"):
        open_episode(other, 0, policy)


class Euler:
    """A sampler whose flow halves the distance to `target` in all, and notes who guides it."""

    device = "cpu"
    acceleration = "as written"

    def __init__(self) -> None:
        self.sampled = 0

    def sample(self, _prepared: Any, noise: Any, steps: int, guide: Any) -> Any:
        self.sampled += 1
        x = noise
        for step in range(steps):
            v = x * 0.5
            if guide is not None:
                v = guide(x, v, 1.0 - step / steps)
            x = x - v / steps
        return x


def test_a_film_says_what_its_colours_mean_and_only_of_those_that_are_there() -> None:
    point = np.zeros((2, 3))
    there = [Line(point, REFUSED), *past([[Line(point, PASSED)]])]
    assert [words for _, words in meanings(there)] == ["refused by the twin", "plans before"]
    faint = Line(point, along((*FLOW[:3], 0.15), FLOW, 0.5))
    assert [words for _, words in meanings([faint])] == ["out of noise"]
    picture = np.zeros((120, 200, 3), np.uint8)
    explain(picture, there)
    red = np.array([255, 99, 99])
    assert (np.abs(picture.astype(int) - red).sum(axis=2) < 30).any()


def test_the_flow_is_what_stood_after_each_step_and_listening_changes_nothing() -> None:
    """Intermediates come back through the same way as an answer does."""
    noise = np.ones((1, 4, 2), np.float32)
    policy = SimpleNamespace(sampler=Euler())
    inner = policy.sampler

    def ask() -> npt.NDArray[np.float64]:
        return np.asarray(policy.sampler.sample(None, noise, 5, None)[0] * 10.0 + 1.0)

    alone = ask()
    watch = FlowWatch(policy)  # type: ignore[arg-type]
    with watch:
        assert np.array_equal(ask(), alone)
        flow = watch.replayed(ask)
    assert policy.sampler is inner and inner.sampled == 2
    assert flow.shape == (6, 4, 2)
    np.testing.assert_array_equal(flow[0], np.full((4, 2), 11.0))
    np.testing.assert_array_equal(flow[-1], alone)
    assert (np.diff(flow, axis=0) < 0).all()
