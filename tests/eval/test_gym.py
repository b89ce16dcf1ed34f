"""The field's gym environments, in a process of their own, with LeRobot's own policies and numbers."""

import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.cli.main import main
from learning.evaluation import gym_eval, gym_names
from learning.evaluation.gym_child import flat
from learning.evaluation.gym_eval import GymWork, close, metrics, play
from learning.evaluation.gym_libero import axis_angle, task_ids
from learning.evaluation.gym_names import SPECS, spec_of
from learning.evaluation.gym_process import GymChild
from learning.evaluation.variants import Case, Variant
from policies.checkpoint.loading import Checkpoint
from robotd.errors import CheckpointError, StateError
from robotd.policy_channel import Load

pytestmark = pytest.mark.timeout(400)  # imports torch, or steps a plant, on a busy machine

STEPS = 24


@pytest.fixture(autouse=True)
def _no_environment_is_left() -> Any:
    yield
    close()
    gym_eval._kept.key = gym_eval._kept.model = None


def tiny_act(folder: Path, picture: tuple[str, int, int], joints: int) -> Path:
    """An ACT with random weights for one camera, saved by LeRobot."""
    import torch
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors

    torch.manual_seed(3)
    key, height, width = picture
    inputs = {
        key: PolicyFeature(FeatureType.VISUAL, (3, height, width)),
        "observation.state": PolicyFeature(FeatureType.STATE, (joints,)),
    }
    config = ACTConfig(
        input_features=inputs,
        output_features={"action": PolicyFeature(FeatureType.ACTION, (joints,))},
        chunk_size=8,
        n_action_steps=8,
        dim_model=16,
        dim_feedforward=32,
        n_heads=2,
        n_encoder_layers=1,
        n_vae_encoder_layers=1,
        latent_dim=4,
        pretrained_backbone_weights=None,
        device="cpu",
    )
    middle = {"mean": torch.full((joints,), 0.5), "std": torch.full((joints,), 0.1)}
    pixels = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.2)}
    stats = {key: pixels, "observation.state": middle, "action": middle}
    pre, post = make_pre_post_processors(config, dataset_stats=stats)
    for part in (ACTPolicy(config), pre, post):
        part.save_pretrained(folder)
    return folder


def work(name: str, path: Path | None = None, **load: Any) -> GymWork:
    chosen = None if path is None else Load(path=str(path), **load)
    return GymWork(spec_of(name), (Variant(name="a", load=chosen),), max_steps=STEPS)


def test_pusht_is_played_by_a_lerobot_policy_and_every_episode_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(Checkpoint, "reseed", lambda _, seed: seeds.append(seed))
    folder = tiny_act(tmp_path / "act", ("observation.image", 64, 64), 2)
    own = work("pusht", folder, n_action_steps=5)
    first = play(own, Case(0, 7))
    assert (first.steps, first.outcome, len(first.chunk_ms)) == (STEPS, "timeout", 5)
    assert first.n_action_steps == 5 and first.max_reward is not None
    other = play(own, Case(0, 8))
    again = play(own, Case(0, 7))
    assert (again.sum_reward, again.max_reward) == (first.sum_reward, first.max_reward)
    assert other.seed == 8
    assert seeds == [7, 8, 7]  # what a policy draws is the episode's, whatever came before
    assert first.seconds is not None and first.seconds >= sum(first.chunk_ms) / 1000
    # The simulator is in a process of its own: it dies alone, and says so.
    (child,) = gym_eval._kept.children.values()
    pid = child._process.pid
    assert pid is not None and pid != os.getpid()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(StateError, match="ended") as caught:
        play(own, Case(0, 9))
    assert "goes on where it was" in caught.value.do


@pytest.mark.slow
def test_aloha_is_played_by_a_lerobot_policy(tmp_path: Path) -> None:
    folder = tiny_act(tmp_path / "act", ("observation.images.top", 480, 640), 14)
    own = dataclasses.replace(work("aloha", folder), max_steps=10)
    record = play(own, Case(0, 1))
    assert (record.steps, record.n_action_steps, len(record.chunk_ms)) == (10, 8, 2)


def test_an_input_of_another_name_is_mapped_and_one_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = tiny_act(tmp_path / "act", ("observation.images.front", 64, 64), 2)
    record = play(work("pusht", folder, rename={"front": "pixels"}), Case(0, 0))
    assert record.steps == STEPS
    with pytest.raises(CheckpointError, match="--rename top=…") as caught:
        play(work("pusht", folder, rename={"top": "pixels"}), Case(0, 0))
    assert "observation.images.front" in caught.value.likely and "pixels" in caught.value.do


def test_a_policy_of_another_environment_is_refused_with_what_this_one_shows(
    tmp_path: Path,
) -> None:
    folder = tiny_act(tmp_path / "act", ("observation.images.top", 64, 64), 14)
    with pytest.raises(CheckpointError, match=r"observation\.images\.top") as caught:
        play(work("pusht", folder), Case(0, 0))
    assert "agent_pos (2,)" in caught.value.likely


def test_the_command_counts_as_lerobot_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = dataclasses.replace(SPECS["pusht"], max_steps=STEPS)
    monkeypatch.setitem(gym_names.SPECS, "pusht", short)
    words = ["eval", "--env", "pusht", "--source", "random", "--episodes", "2", "--json"]
    assert main([*words, "--out", str(tmp_path), "--video", "all"]) == 0
    said = json.loads(capsys.readouterr().out)
    episodes = said["per_episode"]
    assert said["avg_sum_reward"] == pytest.approx(np.mean([e["sum_reward"] for e in episodes]))
    assert said["avg_max_reward"] == pytest.approx(np.mean([e["max_reward"] for e in episodes]))
    assert said["pc_success"] == 0.0 and said["eval_s"] > 0
    assert said["eval_s"] == pytest.approx(sum(e["seconds"] for e in episodes))
    assert said["eval_ep_s"] == pytest.approx(said["eval_s"] / 2, abs=0.01)
    assert said["pick_rate"] is None and episodes[0]["dist"] is None
    assert all((tmp_path / "films" / e["film"]).stat().st_size > 500 for e in episodes)
    assert json.loads((tmp_path / "results.json").read_text())["pc_success"] == 0.0


def test_each_task_of_a_suite_is_counted_by_itself() -> None:
    episodes = [
        {
            "seconds": 2.0,
            "task_id": part,
            "sum_reward": float(good),
            "max_reward": float(good),
            "outcome": word,
        }
        for part, good, word in ((0, 1, "success"), (0, 0, "timeout"), (4, 1, "success"))
    ]
    one = {"variant": "a", "per_episode": episodes}
    found = metrics({"variants": [one], "chosen": "a"})
    assert found["pc_success"] == pytest.approx(200 / 3)
    assert [part["pc_success"] for part in found["per_task"]] == [50.0, 100.0]
    assert (found["eval_s"], found["eval_ep_s"]) == (6.0, 2.0)


@pytest.mark.parametrize("name", ["xarm", "robocasa", "libero", "aloha"])
def test_what_cannot_be_played_is_refused_by_name_with_what_to_do(name: str) -> None:
    with pytest.raises(StateError) as caught:
        spec_of(name, has=lambda _: False)
    assert name in caught.value.what.lower() and caught.value.likely and caught.value.do


def test_libero_has_its_suites_and_task_numbers() -> None:
    assert task_ids(None, "libero_10") == tuple(range(10))
    assert len(task_ids(None, "libero_90")) == 90
    assert task_ids("3,0", "libero_goal") == (3, 0)
    for ids, suite in (("10", "libero_10"), ("a", "libero_10"), (None, "libero_11")):
        with pytest.raises(StateError):
            task_ids(ids, suite)


def test_a_quaternion_becomes_the_rotation_vector_that_libero_policies_know() -> None:
    half = np.sqrt(0.5)
    assert axis_angle(np.array([0, 0, half, half])) == pytest.approx([0, 0, np.pi / 2])
    assert axis_angle(np.array([0, 0, 0, 1.0])) == pytest.approx([0, 0, 0])
    assert axis_angle(np.array([0, 0, 0, -1.0])) == pytest.approx([0, 0, 0])
    assert axis_angle(np.array([1.0, 0, 0, 0])) == pytest.approx([np.pi, 0, 0])
    assert axis_angle(np.array([0, 0, 0, 1.0000001])) == pytest.approx([0, 0, 0])


def test_nested_observations_are_named_by_their_path() -> None:
    seen = flat({"pixels": {"top": [[1]]}, "agent_pos": [1.0, 2.0]})
    assert set(seen) == {"pixels/top", "agent_pos"} and seen["agent_pos"].shape == (2,)


def test_a_child_that_fails_says_what_failed() -> None:
    broken = dataclasses.replace(SPECS["pusht"], gym_id="gym_pusht/Nothing-v0")
    with pytest.raises(StateError, match="Nothing"):
        GymChild(broken, {})
