"""The policy that robotd ships: what it says of itself, and that it does its work."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

import policies
from learning.evaluate import Evaluated, evaluate_policy
from learning.train import ActRecipe, Provenance, ship, train_command
from learning.world import lockstep_config
from policies.checkpoint.evidence import find_evidence
from policies.checkpoint.folder import read_folder
from robotd.policy_channel import Load
from sim.tasks.spec import load_task

SHIPPED = Path(policies.__file__).parent / "shipped" / "so101_block_in_bowl_act"
SIX_MB = 6_000_000


def test_the_shipped_policy_is_small_and_says_that_it_is_told() -> None:
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < SIX_MB
    about = json.loads((SHIPPED / "robotd_ckpt.json").read_text())
    assert "environment_state" in about["told"]
    assert about["fps"] == 15
    assert about["measured"]["successes"] >= 45
    assert about["measured"]["episodes"] == 50
    assert about["commands"]


def test_the_shipped_policy_knows_no_folder_of_the_machine_it_was_made_on() -> None:
    for file in SHIPPED.glob("*.json"):
        text = file.read_text()
        assert "/tmp" not in text, file.name
        assert "/home" not in text, file.name
        assert "/work" not in text, file.name


def test_rate_units_and_joints_come_with_the_checkpoint() -> None:
    evidence = find_evidence(read_folder(SHIPPED), None, "")
    assert (evidence.fps, evidence.units) == (15.0, "degrees")
    assert evidence.joints[0] == "shoulder_pan.pos"
    assert len(evidence.joints) == 6


def test_training_is_the_unmodified_trainer_with_a_seed() -> None:
    command = train_command(ActRecipe(seed=4), Path("D"), "me/data", Path("O"))
    assert Path(command[0]).name == "lerobot-train"
    assert "--seed=4" in command
    assert "--policy.pretrained_backbone_weights=null" in command
    assert "--policy.push_to_hub=false" in command


def test_shipping_copies_the_weights_and_writes_who_it_is(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / "model.safetensors").write_bytes(b"weights")
    (made / "train_config.json").write_text(
        json.dumps({"dataset": {"root": str(tmp_path), "repo_id": "me/data"}, "output_dir": "x"})
    )
    about = Provenance(15, "degrees", ["a.pos"], "me/data", {"episodes": 1}, ["cmd"], 1, 2, {})
    ship(made, tmp_path / "out", about)
    assert (tmp_path / "out/model.safetensors").read_bytes() == b"weights"
    assert str(tmp_path) not in (tmp_path / "out/train_config.json").read_text()
    assert json.loads((tmp_path / "out/robotd_ckpt.json").read_text())["seed"] == 1


def evaluate(seeds: range, processes: int) -> list[Evaluated]:
    """In processes of their own: torch stays out of the test runner, and two cores do half each."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        waiting = [
            pool.submit(
                evaluate_policy,
                lockstep_config(),
                load_task("block_in_bowl"),
                Load(path=str(SHIPPED)),
                seeds[part::processes],
            )
            for part in range(processes)
        ]
        return [done.result() for done in waiting]


@pytest.fixture(scope="module")
def first_three() -> Evaluated:
    """What the policy did on seeds 0, 1 and 2."""
    (done,) = evaluate(range(3), processes=1)
    return done


@pytest.mark.slow
def test_the_shipped_policy_does_the_task_and_the_twin_refuses_none_of_its_plans(
    first_three: Evaluated,
) -> None:
    assert (first_three.successes, first_three.plans_rejected) == (3, 0)
    assert first_three.plans > 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_shipped_policy_succeeds_on_forty_five_of_fifty_seeds_or_more(
    first_three: Evaluated,
) -> None:
    """Issue 2, Must hold."""
    parts = [first_three, *evaluate(range(3, 50), processes=2)]
    seeds = [result.seed for part in parts for result in part.results]
    assert sorted(seeds) == list(range(50))
    assert sum(part.successes for part in parts) >= 45
