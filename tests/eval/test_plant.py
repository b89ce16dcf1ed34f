"""Episodes in the plant: what a policy comes to there is its own doing, and the episode's before it never."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import policies.loaded
from config.schema import Config
from learning.episode import ExpertDriver, run_episode
from learning.evaluate import evaluate_policy, policy_episode
from learning.evaluation import plant
from learning.evaluation.crew import Alone, Processes
from learning.evaluation.plant import PlantWork, play
from learning.evaluation.report import About
from learning.evaluation.run import Evaluation, evaluate
from learning.evaluation.variants import Case, Cell, Variant
from learning.world import lockstep_calibrations, lockstep_config, lockstep_world
from policies.checkpoint.digests import FileDigests
from policies.checkpoint.evidence import Evidence
from policies.checkpoint.folder import Feature
from policies.loaded import LoadedPolicy, load_policy
from policies.model import Interface, Timings
from policies.pi0.policy import Pi0Policy
from robotd.errors import StateError
from robotd.policy_channel import Load
from sim.expert import HOME_RAD, ScriptedExpert
from sim.expert_legs import Phase, Scene, Step
from sim.kinematics import ArmKinematics
from sim.tasks.outcome import Outcome
from sim.tasks.spec import ObjectPose, load_task, sample_pose

from ..policies.checkpoint import tiny_pi0
from ..policies.pi0.tiny_tokenizer import train_tokenizer

pytestmark = pytest.mark.timeout(400)  # imports torch, or steps a plant, on a busy machine

TASK = load_task("block_in_bowl")
HOME_DEG = [math.degrees(angle) for angle in HOME_RAD[:5]]
STATE, WORLD = "observation.state", "observation.environment_state"


class Scripted:
    """A model without weights, told where the block is. Subclasses say where the joints go."""

    kind = "scripted"
    chunk = 30
    n_action_steps = 20
    raw = None
    timings = Timings()
    means: Mapping[str, Any] = {}
    interface = Interface(
        "scripted",
        {STATE: Feature("STATE", (6,)), WORLD: Feature("ENV", (7,))},
        {"action": Feature("ACTION", (6,))},
    )
    evidence = Evidence(15.0, "test", "degrees", "test")

    def reset(self) -> None:
        """Nothing is remembered."""

    def reseed(self, seed: int) -> None:
        """It draws nothing."""

    def sha256(self, _digests: FileDigests) -> str:
        return ""

    def predict(self, values: Mapping[str, Any], task: str, **_: Any) -> Any:
        return np.tile(np.asarray(values[STATE], np.float64), (self.chunk, 1))


def aim_deg(x_m: float, y_m: float) -> float:
    """A turn of the first joint that tells one block's place from another's."""
    return -4.0 * (math.degrees(math.atan2(y_m, x_m)) - 45.0)


class AimsOnce(Scripted):
    """Turns to where the block lay when the episode began: it remembers, so it has to be reset."""

    def __init__(self) -> None:
        self.aim_deg: float | None = None

    def reset(self) -> None:
        self.aim_deg = None

    def predict(self, values: Mapping[str, Any], task: str, **_: Any) -> Any:
        if self.aim_deg is None:
            self.aim_deg = aim_deg(*values[WORLD][:2])
        now = np.asarray(values[STATE], np.float64)
        goal = np.array([self.aim_deg, *now[1:]])
        share = np.minimum(1.0, np.arange(1, self.chunk + 1) / 20.0)[:, None]
        return now + share * (goal - now)


@pytest.fixture(scope="module")
def config() -> Config:
    return lockstep_config()


def scripted(model: Scripted, config: Config, patch: pytest.MonkeyPatch) -> LoadedPolicy:
    patch.setattr(policies.loaded, "load_model", lambda *_: model)
    return load_policy(Load(path="scripted"), config, lockstep_calibrations(config))


def test_a_policy_that_holds_still_never_picks_anything_up(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies.loaded, "load_model", lambda *_: Scripted())
    short = msgspec.structs.replace(TASK, time_limit_s=2.0)
    done = evaluate_policy(config, short, Load(path="scripted"), range(3))
    assert {result.outcome for result in done.results} == {Outcome.NEVER_PICKED_UP}
    assert done.plans > 0 and done.plans_rejected == 0
    assert all(result.grip.rows == 0 for result in done.results)


class Drops(ScriptedExpert):
    """Opens its hand when it has carried the block for a while."""

    carries_s: float | None = None

    def step(self, now_s: float, *rest: Any) -> Step:
        said = super().step(now_s, *rest)
        if said.phase is Phase.CARRY and self.carries_s is None:
            self.carries_s = now_s
        if self.carries_s is None or now_s - self.carries_s < 0.9:
            return said
        opened = (*said.goal_rad[:5], 0.7)
        over = now_s - self.carries_s > 2.4
        return Step(opened, said.phase, said.attempt, over, False)


def test_a_block_that_is_let_go_on_its_way_was_dropped_during_transport(config: Config) -> None:
    with lockstep_world(config, 0, 101) as world:
        driver = ExpertDriver(ArmKinematics(), HOME_RAD, Drops)
        result = run_episode(world, TASK, driver)
    assert result.outcome is Outcome.DROPPED_DURING_TRANSPORT and result.dropped
    assert result.grip.rows > 0
    assert result.grip.margin is not None and result.grip.margin > 1.0  # it held before


def _pans_deg(policy: LoadedPolicy, config: Config) -> list[float]:
    """Where the pan joint ends in the episodes of seeds 0 and 3, one after the other with one loaded policy."""
    short = msgspec.structs.replace(TASK, time_limit_s=2.5)
    ends: list[float] = []
    for seed in (0, 3):
        with lockstep_world(config, seed, 101) as world:
            policy_episode(world, short, policy, latency_ms=30.0)
            ends.append(math.degrees(world.plant.truth().arms[0].position_rad[0]))
    return ends


def _pose(seed: int) -> ObjectPose:
    return sample_pose(TASK, seed)


def test_nothing_of_one_episode_is_played_in_the_next(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that was never reset cost a published evaluation 50 points (policies facts L1)."""
    wanted = [aim_deg(pose.x_m, pose.y_m) for pose in map(_pose, (0, 3))]
    assert abs(wanted[0] - wanted[1]) > 5.0  # or this could not be told
    policy = scripted(AimsOnce(), config, monkeypatch)
    assert _pans_deg(policy, config) == pytest.approx(wanted, abs=2.0)
    # The same with the reset between episodes taken out: this is what the line above would see.
    monkeypatch.setattr(AimsOnce, "reset", lambda _: None)
    stale = _pans_deg(scripted(AimsOnce(), config, monkeypatch), config)
    assert abs(stale[1] - wanted[1]) > 5.0


def test_an_episode_of_a_pi0_starts_from_the_same_noise_whatever_was_played_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or an evaluation comes to something else with more workers, or after it was interrupted."""
    folder = tiny_pi0.write_openpi_torch(tmp_path / "tiny", tiny_pi0.arrays())
    words = str(train_tokenizer(tmp_path))
    short = msgspec.structs.replace(TASK, time_limit_s=0.6)
    monkeypatch.setattr(plant, "load_task", lambda _: short)
    drawn: list[Any] = []
    draw = Pi0Policy.draw

    def noted(policy: Pi0Policy, count: int = 1) -> Any:
        drawn.append(draw(policy, count))
        return drawn[-1]

    monkeypatch.setattr(Pi0Policy, "draw", noted)
    load = Load(path=str(folder), embodiment="so101", tokenizer=words, task="put it there")
    config = lockstep_config(picture_size=(64, 48))
    own = PlantWork(config, TASK.name, (Variant(name="a", load=load),), 30.0, "none", tmp_path)

    def noise(seed: int) -> list[Any]:
        plant.loaded(own, own.variants[0])
        drawn.clear()
        play(own, Case(0, seed))
        return [each.copy() for each in drawn]

    alone, other, after = noise(5), noise(4), noise(5)
    assert len(alone) == len(after) > 0
    np.testing.assert_array_equal(alone, after)
    assert np.abs(alone[0] - other[0]).max() > 1e-3


def work(config: Config, task: str, folder: Path, video: Any = "none") -> PlantWork:
    return PlantWork(config, task, (Variant(name="scripted", load=None),), 30.0, video, folder)


ABOUT = About(source="plant", task="push_block", robotd="t", max_steps=450)


def test_a_killed_evaluation_plays_only_what_is_missing(tmp_path: Path) -> None:
    cases = tuple(Case(0, seed) for seed in range(4))
    evaluation = Evaluation(ABOUT, (Variant(name="scripted", load=None),), cases, tmp_path)
    seen: list[int] = []

    def dies_at_two(_work: Any, case: Case) -> Any:
        seen.append(case.seed)
        if case.seed == 2 and seen.count(2) == 1:
            raise StateError("killed", "by this test", "run it again")
        return plant.EpisodeRecord(
            variant=0, seed=case.seed, outcome="success", steps=5, seconds=3.0
        )

    with pytest.raises(StateError, match="killed"):
        evaluate(evaluation, Alone(), dies_at_two, None, lambda *_: None)
    assert not (tmp_path / "results.json").exists()
    content = evaluate(evaluation, Alone(), dies_at_two, None, lambda *_: None)
    assert seen == [0, 1, 2, 2, 3]
    assert content["wall_s"] == 12.0  # of all its episodes, in both goes
    assert content["episodes"] == 4 and (tmp_path / "report.html").exists()


def test_the_grid_puts_the_object_there_and_a_film_shows_the_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = lockstep_config(task="push_block")
    monkeypatch.setattr(policies.loaded, "load_model", lambda *_: Scripted())
    short = msgspec.structs.replace(load_task("push_block"), time_limit_s=0.6)
    monkeypatch.setattr(plant, "load_task", lambda _: short)
    variant = Variant(name="still", load=Load(path="scripted"))
    own = PlantWork(config, "push_block", (variant,), 30.0, "failures", tmp_path / "films")
    record = play(own, Case(0, 5, Cell(2, 1, 0.25, 0.05)))
    assert record.outcome == "never_moved" and record.cell == Cell(2, 1, 0.25, 0.05)
    goal = short.goal
    there = math.hypot(0.25 - goal.x_m, 0.05 - goal.y_m)
    assert record.goal_distance_m == pytest.approx(there, abs=2e-3)
    assert (tmp_path / "films" / record.film).stat().st_size > 1000
    assert record.chunk_ms and record.n_action_steps == 20 and record.told


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("task", ["push_block", "open_drawer"])
def test_the_experts_do_their_tasks_whoever_plays_the_episodes(task: str, tmp_path: Path) -> None:
    """Two processes come to the same as this one does: a seed is an episode, on every worker."""
    own = work(lockstep_config(task=task), task, tmp_path)
    cases = [Case(0, seed) for seed in (0, 1)]

    def untimed(record: Any) -> Any:
        assert record.seconds > 0
        return msgspec.structs.replace(record, seconds=None)

    alone = {record.seed: untimed(record) for record in Alone().play(play, own, cases)}
    assert {record.outcome for record in alone.values()} == {"success"}
    together = {record.seed: untimed(record) for record in Processes(2).play(play, own, cases)}
    assert together == alone


def test_the_expert_is_told_of_the_scene_only_what_a_policy_is_told(config: Config) -> None:
    with lockstep_world(config, 0, 101) as world:
        values = world.environment()["values"]
    scene = Scene.from_environment_state(values)
    assert len(values) == 7 and scene.block_xyz_m == tuple(values[:3])
