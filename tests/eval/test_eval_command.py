"""`robotd eval` counts any checkpoint that `robotd run` can run, or says why not before it begins."""

import argparse
import json
from pathlib import Path

import msgspec
import pytest

from config.schema import Camera, Config
from daemon.cli.main import main
from learning import command
from learning.evaluate import evaluate_policy, results_json
from learning.world import lockstep_config, lockstep_world
from policies.checkpoint.evidence import Sidecar, write_sidecar
from robotd.errors import CheckpointError, StateError
from robotd.policy_channel import Load
from sim.tasks.spec import load_task

from ..policies.conftest import make_act

TASK = load_task("block_in_bowl")


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ACT with random weights that looks through `front` and `wrist`."""
    folder = make_act(tmp_path_factory.mktemp("seeing"), ("front", "wrist"), environment=False)
    write_sidecar(folder, Sidecar(fps=15, units="degrees"))
    return folder


@pytest.fixture(scope="module")
def config() -> Config:
    """The shipped robot with small pictures."""
    camera = Camera(device="plant", width=64, height=64, fps=15)
    return msgspec.structs.replace(lockstep_config(), cameras={"overhead": camera, "wrist": camera})


def test_a_policy_with_cameras_is_shown_rendered_pictures_and_the_results_say_so(
    seeing: Path, config: Config
) -> None:
    short = msgspec.structs.replace(TASK, time_limit_s=1.0)
    request = Load(path=str(seeing), rename={"front": "overhead"})
    done = evaluate_policy(config, short, request, [0])
    assert done.plans > 0
    assert set(done.cameras) == {"overhead", "wrist"} and not done.told
    content = results_json(done, short, None, "")
    assert sorted(content["rendered_cameras"]) == ["overhead", "wrist"]
    assert "rendered pictures" in command._table(done, [0.0, 1.0])


def test_pictures_are_drawn_once_for_a_moment_and_only_those_asked_for(config: Config) -> None:
    from learning.pictures import Pictures

    with lockstep_world(config, 0, 1) as world:
        pictures = Pictures(world, ("wrist",))
        first = pictures.at("wrist", 1)
        assert pictures.at("wrist", 1) is first
        assert pictures.at("wrist", 2) is not first
        assert set(pictures.take(3)) == {"wrist"}
        assert len(set(first.rgb)) > 8  # something is to be seen
        pictures.close()


def test_a_checkpoint_that_does_not_fit_is_refused_before_the_first_episode(
    seeing: Path, config: Config
) -> None:
    with pytest.raises(CheckpointError, match="front") as caught:
        evaluate_policy(config, TASK, Load(path=str(seeing)), [0])
    assert "--rename" in caught.value.do


def _parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return parser.parse_args(words)


def test_eval_has_every_option_that_its_errors_recommend() -> None:
    args = _parsed(
        *("--policy", "X", "--fps", "30", "--units", "degrees", "--rename", "a=b"),
        *("--ensemble", "newest:0.02", "--n-action-steps", "5"),
    )
    assert (args.fps, args.units, args.rename) == (30, "degrees", ["a=b"])


@pytest.mark.parametrize("words", [(), ("--policy", "X", "--source", "scripted")])
def test_exactly_one_is_evaluated(words: tuple[str, ...]) -> None:
    with pytest.raises(StateError, match="Nobody, or two") as caught:
        command.run(_parsed(*words))
    assert caught.value.likely and caught.value.do


def test_a_checkpoint_that_is_not_there_is_three_parts_and_an_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "--json", "--policy", str(tmp_path / "none")]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["error"] == "CheckpointError" and said["likely"] and said["do"]
