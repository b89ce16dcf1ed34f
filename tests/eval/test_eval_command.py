"""`robotd eval` counts any checkpoint that `robotd run` can run, or says why not before it begins."""

import argparse
import json
import shutil
from pathlib import Path

import msgspec
import pytest

from config.schema import Camera, Config
from daemon.cli.checkpoint import add_policy_options, policy_options
from daemon.cli.main import main
from learning.evaluate import evaluate_policy
from learning.evaluation import command, gym_eval, options, plant
from learning.evaluation.options import refuse_meaningless
from learning.evaluation.plant import PlantWork, play
from learning.evaluation.records import EpisodeRecord
from learning.evaluation.report import About, results, table
from learning.evaluation.variants import Case, Variant
from learning.world import lockstep_config, lockstep_world
from policies.border import ENVIRONMENT, STATE, robot_features
from policies.checkpoint.evidence import Sidecar, write_sidecar
from policies.fit import Fit
from policies.identity import policy_sha256
from policies.loaded import load_policy
from robotd.errors import CheckpointError, StateError
from robotd.policy_channel import Load
from sim.tasks.spec import load_task

from ..policies.conftest import make_act

pytestmark = pytest.mark.timeout(400)  # imports torch, or steps a plant, on a busy machine

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
    seeing: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = msgspec.structs.replace(TASK, time_limit_s=1.0)
    monkeypatch.setattr(plant, "load_task", lambda _: short)
    variant = Variant(name="a", load=Load(path=str(seeing), rename={"front": "overhead"}))
    work = PlantWork(config, TASK.name, (variant,), 30.0, "none", tmp_path)
    record = play(work, Case(0, 0))
    assert record.plans > 0
    assert set(record.cameras) == {"overhead", "wrist"} and not record.told
    about = About(source="plant", task=TASK.name, robotd="t", max_steps=15)
    content = results(about, [variant], [record])
    assert content["rendered_cameras"] == ["overhead", "wrist"]
    assert "rendered pictures" in table(content)


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


def test_another_robots_checkpoint_is_named_before_its_rate_and_units_are_asked_for(
    tmp_path: Path, config: Config
) -> None:
    """Who looks up what a checkpoint is silent about does it for one that can then be run."""
    folder = make_act(tmp_path / "two_arms")
    content = json.loads((folder / "config.json").read_text())
    content["output_features"]["action"]["shape"] = [14]
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"another robot: its action has \(14,\) values"):
        load_policy(Load(path=str(folder)), config, {})


def test_eval_has_every_option_that_its_errors_recommend() -> None:
    args = _parsed(
        *("--policy", "X", "--fps", "30", "--units", "degrees", "--rename", "a=b"),
        *("--ensemble", "newest:0.02", "--n-action-steps", "5"),
    )
    assert (args.fps, args.units, args.rename) == (30, "degrees", ["a=b"])
    assert (args.ensemble, args.n_action_steps) == (["newest:0.02"], [5])


def test_no_option_of_a_policy_is_lost_on_its_way_into_the_plant(tmp_path: Path) -> None:
    """--tokenizer and --backend were, in whiskers and rehearsals: the remedy of an error did nothing."""
    said = ["--policy", str(tmp_path), "--fps", "30", "--units", "degrees", "--mode", "ensemble"]
    said += ["--ensemble", "newest", "--n-action-steps", "5", "--rename", "a=b", "--backend", "jax"]
    said += ["--embodiment", "so101", "--tokenizer", "/words", "--time-scale", "0.5"]
    said += ["--gripper-bias", "-5", "--gripper-clip", "5:80"]
    alone = argparse.ArgumentParser()
    add_policy_options(alone, required=True)
    wanted = Load(path=str(tmp_path), task="put it there", **policy_options(alone.parse_args(said)))
    silent = Load(path="")
    same = [
        name for name in Load.__struct_fields__ if getattr(wanted, name) == getattr(silent, name)
    ]
    assert same == ["id"]
    (variant,) = command._loads(_parsed(*said), "put it there")
    assert variant.load == wanted


def test_a_sweep_over_ways_is_every_checkpoint_in_every_way(tmp_path: Path) -> None:
    for step in (1000, 2000):
        folder = tmp_path / f"checkpoint_{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"x")
    args = _parsed(
        *("--checkpoints", str(tmp_path), "--n-action-steps", "10,20,50", "--gripper-bias", "0,-5"),
        *("--ensemble", "none,newest:0.01"),
    )
    found = command._loads(args, "do it")
    assert len(found) == 2 * 3 * 2 * 2
    loads = [each.load for each in found if each.load is not None]
    assert {load.n_action_steps for load in loads} == {10, 20, 50}
    assert {load.gripper_bias for load in loads} == {0.0, -5.0}
    assert {load.ensemble for load in loads} == {"", "newest:0.01"}
    assert {load.task for load in loads} == {"do it"}
    assert [each.step for each in found] == [1000] * 12 + [2000] * 12


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("block_in_bowl", "where block and bowl are (environment_state)"),
        ("push_block", "where block and mat are (environment_state)"),
        ("open_drawer", "where the drawer's handle is (environment_state)"),
    ],
)
def test_what_a_policy_is_told_is_named_by_its_own_task(task: str, words: str) -> None:
    things = robot_features(lockstep_config(task=task)).told_things
    assert Fit({ENVIRONMENT: ENVIRONMENT}, things).told == words
    assert Fit({STATE: STATE}, things).told == ""


def test_demo_is_the_shipped_policy() -> None:
    from learning.demo import SHIPPED_POLICY

    args = _parsed("--policy", "demo", "--env", "xarm")
    with pytest.raises(StateError, match="xarm"):
        command.run(args)
    assert args.policy == str(SHIPPED_POLICY)


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


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (("--env", "pusht", "--ensemble", "none,newest:0.01"), "--ensemble decides nothing with"),
        (("--env", "pusht", "--gripper-bias", "0,0"), "--gripper-bias "),
        (("--env", "pusht", "--gripper-clip", "5:80", "--mode", "rtc"), "--mode, --gripper-clip "),
        (("--env", "pusht", "--time-scale", "0.5"), "--time-scale "),
        (("--env", "pusht", "--latency-ms", "30"), "--latency-ms "),
        (("--env", "pusht", "--grid", "3x3"), "--grid "),
        (("--env", "aloha", "--picture-size", "64x48"), "--picture-size "),
        (("--env", "pusht", "--fps", "30", "--units", "degrees"), "--fps, --units "),
        (("--env", "pusht", "--relaxed"), "--relaxed decides nothing with --env pusht"),
        (("--env", "pusht", "--task", "push_block"), "--task "),
        (("--env", "pusht", "--seconds", "3"), "--seconds "),
        (("--arm", "--grid", "3x3"), "--grid decides nothing with --arm"),
        (
            ("--arm", "--picture-size", "64x48", "--latency-ms", "5"),
            "--latency-ms, --picture-size ",
        ),
        (("--arm", "--first-seed", "7"), "--first-seed "),
        (("--arm", "--env", "pusht"), "--arm and --env pusht"),
        (("--seconds", "5"), "--seconds decides nothing in the plant"),
        (("--suite", "libero_90"), "--suite "),
    ],
)
def test_what_would_decide_nothing_is_refused_by_name(words: tuple[str, ...], refused: str) -> None:
    """Two variants that differ only by what is ignored were reported as a paired comparison."""
    with pytest.raises(StateError) as caught:
        command.run(_parsed("--policy", "X", *words))
    assert caught.value.what.startswith(refused)
    assert caught.value.likely and caught.value.do


def test_a_source_is_no_policy() -> None:
    with pytest.raises(StateError, match="--ensemble says nothing to --source scripted"):
        command.run(_parsed("--source", "scripted", "--ensemble", "newest"))


@pytest.mark.parametrize(
    "words",
    [
        (),
        (
            "--grid",
            "3x3",
            "--latency-ms",
            "5",
            "--ensemble",
            "none,newest",
            "--picture-size",
            "64x48",
        ),
        (
            "--env",
            "libero",
            "--suite",
            "libero_90",
            "--task-ids",
            "0",
            "--relaxed",
            "--rename",
            "a=b",
        ),
        ("--env", "pusht", "--n-action-steps", "5,10", "--embodiment", "pusht", "--workers", "2"),
        ("--arm", "--seconds", "9", "--name", "a", "--ensemble", "newest", "--time-scale", "0.5"),
    ],
)
def test_what_decides_something_is_taken(words: tuple[str, ...]) -> None:
    refuse_meaningless(_parsed("--policy", "X", *words))


def test_an_option_that_is_new_has_to_say_where_it_means_something() -> None:
    everywhere = {"policy", "checkpoints", "source", "episodes", "out", "results", "fresh", "json"}
    consents = {"yes", "unrehearsed", "despite_probe"}
    known = {*options._POLICYS, *options._OTHERS, "arm", "env", *everywhere, *consents}
    assert set(vars(_parsed())) == known
    said = vars(_parsed())
    silent = options._POLICYS | options._OTHERS
    assert not [name for name, (each, _) in silent.items() if options._says(said[name], each)]


@pytest.mark.parametrize("words", [("--env", "pusht"), ()])
def test_an_interrupted_evaluation_does_not_go_on_with_a_mended_checkpoint(
    words: tuple[str, ...],
    seeing: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = shutil.copytree(seeing, tmp_path / "checkpoint")

    def until_two(_work: object, case: Case) -> EpisodeRecord:
        if case.seed == 2:
            raise StateError("killed", "by this test", "run it again")
        return EpisodeRecord(
            variant=0,
            seed=case.seed,
            outcome="success",
            steps=5,
            seconds=1.0,
            sum_reward=1.0,
            max_reward=1.0,
        )

    monkeypatch.setattr(plant, "play", until_two)
    monkeypatch.setattr(gym_eval, "play", until_two)
    asked = ["eval", "--policy", str(folder), *words, "--out", str(tmp_path / "out"), "--json"]
    asked += ["--episodes", "3", "--workers", "1"]
    for _ in range(2):
        assert main(asked) == 1
        assert json.loads(capsys.readouterr().out)["what"] == "killed"
    post = folder / "policy_postprocessor.json"
    post.write_text(post.read_text() + " ")
    assert main(asked) == 1
    assert "interrupted evaluation of something else" in json.loads(capsys.readouterr().out)["what"]
    assert main([*asked, "--episodes", "2", "--fresh"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ckpt_sha"] == policy_sha256(str(folder)) != policy_sha256(str(seeing))


def test_pictures_of_another_size_are_answered_with_the_option_that_draws_them_so(
    seeing: Path,
) -> None:
    config = lockstep_config(picture_size=(320, 240))
    with pytest.raises(CheckpointError, match="has shape") as caught:
        load_policy(Load(path=str(seeing), rename={"front": "overhead"}), config, {})
    assert "--picture-size 64x64" in caught.value.do and "profile" in caught.value.do
