"""Trains an ACT with LeRobot's own trainer, unmodified, and ships what comes out of it.

`lerobot-train` runs as a subprocess with exact arguments and a seed. The policy sees joint positions and
`observation.environment_state`, no pictures: pictures are too dear on a CPU, so it is *told* where block and bowl
are, and its sidecar says so. `ship` copies the chosen checkpoint and writes `robotd_ckpt.json` beside it.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.joints import joint_names
from config.schema import Config
from learning.collect import DEFAULT_FIRST_SEED, Collected, collect
from learning.evaluate import Evaluated, evaluate_policy, wilson
from learning.training.trainer import run_trainer, trainer_program
from learning.world import lockstep_config
from robotd.errors import CheckpointError, DatasetError
from robotd.paths import cache_dir, lerobot_home
from robotd.policy_channel import Load
from sim.tasks.spec import TaskSpec, load_task

SIDECAR = "robotd_ckpt.json"  # policies.checkpoint.evidence reads fps, units and joints from it
PRETRAINED = "pretrained_model"
_NORMALIZATION = '{"VISUAL":"MEAN_STD","STATE":"MEAN_STD","ENV":"MEAN_STD","ACTION":"MEAN_STD"}'
_LEAST_LEARNING_RATE = 1e-5


@dataclass(frozen=True, slots=True)
class ActRecipe:
    """How the small ACT is trained. The defaults are those of the shipped one.

    No VAE and no dropout: one expert that always does the same leaves nothing to sample. 50 actions at 15 Hz are
    3.3 s; 20 of them are played (policies facts 3.6). A cosine down from 1e-3 gets a network of this size there in
    few steps; LeRobot's 1e-5 is meant for an image backbone.
    """

    steps: int = 3500
    batch_size: int = 64
    save_every: int = 500
    seed: int = 1
    chunk: int = 50
    n_action_steps: int = 20
    learning_rate: float = 1e-3
    workers: int = 1


def train_command(recipe: ActRecipe, dataset_root: Path, repo_id: str, output: Path) -> list[str]:
    """The whole `lerobot-train` command line."""
    return [
        trainer_program(),
        f"--dataset.repo_id={repo_id}",
        f"--dataset.root={dataset_root}",
        "--policy.type=act",
        "--policy.device=cpu",
        "--policy.push_to_hub=false",
        "--policy.dim_model=128",
        "--policy.dim_feedforward=512",
        "--policy.n_encoder_layers=4",
        f"--policy.chunk_size={recipe.chunk}",
        f"--policy.n_action_steps={recipe.n_action_steps}",
        "--policy.use_vae=false",
        "--policy.dropout=0.0",
        "--policy.pretrained_backbone_weights=null",
        f"--policy.normalization_mapping={_NORMALIZATION}",
        f"--output_dir={output}",
        f"--batch_size={recipe.batch_size}",
        f"--steps={recipe.steps}",
        f"--save_freq={recipe.save_every}",
        "--log_freq=100",
        f"--num_workers={recipe.workers}",
        f"--seed={recipe.seed}",
        "--wandb.enable=false",
        "--use_policy_training_preset=false",
        "--optimizer.type=adamw",
        f"--optimizer.lr={recipe.learning_rate}",
        "--optimizer.weight_decay=0.0001",
        "--optimizer.grad_clip_norm=10",
        "--scheduler.type=cosine_decay_with_warmup",
        f"--scheduler.num_warmup_steps={min(200, recipe.steps // 10)}",
        f"--scheduler.num_decay_steps={recipe.steps}",
        f"--scheduler.peak_lr={recipe.learning_rate}",
        f"--scheduler.decay_lr={_LEAST_LEARNING_RATE}",
    ]


def train(
    recipe: ActRecipe,
    dataset_root: Path,
    repo_id: str,
    output: Path,
    line: Callable[[str], None] | None = None,
) -> Path:
    """Run the trainer; returns the folder of the last checkpoint's `pretrained_model`.

    `line` gets every line the trainer prints. Needs no network. Raises CheckpointError when the trainer fails.
    """
    if not (dataset_root / "meta" / "info.json").is_file():
        raise DatasetError(
            f"There is no dataset at {dataset_root}.",
            "Nothing was collected yet.",
            "Collect demonstrations first: robotd demo --train does both.",
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    run_trainer(
        train_command(recipe, dataset_root, repo_id, output),
        line or (lambda _: None),
        {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    return checkpoints(output)[-1]


def checkpoints(output: Path) -> list[Path]:
    """The `pretrained_model` folders of a training run, oldest first. Raises CheckpointError for none."""
    found = sorted(path for path in (output / "checkpoints").glob("[0-9]*") if path.is_dir())
    if not found:
        raise CheckpointError(
            f"The training run {output} holds no checkpoint.",
            "It was stopped before the first one was saved.",
            "Train again, or choose another run.",
        )
    return [path / PRETRAINED for path in found]


TASK = "block_in_bowl"
REPO_ID = "robotd/block_in_bowl_scripted"


@dataclass(frozen=True, slots=True)
class Programme:
    """From nothing to a measured policy. The defaults are how the shipped one was made.

    Demonstrations, selection and measurement never share a seed.
    """

    recipe: ActRecipe = ActRecipe()
    demonstrations: int = 120
    compared_every: int = 1000  # steps between the checkpoints that are compared
    selection_seeds: range = range(100, 200)
    measured_seeds: range = range(50)


def train_from_nothing(programme: Programme = Programme()) -> Path:
    """Collect demonstrations, train on them, and return the best checkpoint, measured and ready to load.

    How the shipped policy was made, step by step and with the same seeds. What it makes stays in LeRobot's folder and
    in robotd's cache; an earlier run's is replaced. Prints what it does. Raises DatasetError or CheckpointError.
    """
    recipe = programme.recipe
    config, task = lockstep_config(), load_task(TASK)
    root = lerobot_home() / REPO_ID
    output = cache_dir() / "training" / TASK
    for old in (root, output):
        if old.exists():
            shutil.rmtree(old)
    wanted = programme.demonstrations
    print(f"collecting {wanted} demonstrations into {root}", flush=True)
    collected = collect(
        config,
        task,
        root,
        REPO_ID,
        wanted,
        progress=lambda kept, result: print(
            f"  {kept}/{wanted}: seed {result.seed} {result.outcome}", flush=True
        ),
    )
    print(f"training {recipe.steps} steps on {collected.rows} rows", flush=True)
    train(recipe, root, REPO_ID, output, line=_print_progress)
    chosen, counts = select(config, task, output, programme)
    print("counting the chosen one's successes on seeds it was not chosen by", flush=True)
    measured = evaluate_policy(config, task, _load(chosen, task), programme.measured_seeds)
    print(f"  {measured.successes} of {len(measured.results)}", flush=True)
    ready = output / PRETRAINED
    step = step_of(chosen)
    found = measured_of(measured, counts, programme.selection_seeds)
    ship(chosen, ready, provenance_of(recipe, collected, step, found))
    print(f"the policy is in {ready}", flush=True)
    return ready


def select(
    config: Config, task: TaskSpec, output: Path, programme: Programme
) -> tuple[Path, dict[int, int]]:
    """The checkpoint that succeeds most often on the selection seeds, the earliest of equals; and every count by step.

    The loss says little about success: the last checkpoint is rarely the best one.
    """
    every = checkpoints(output)
    compared = [p for p in every if step_of(p) % programme.compared_every == 0 or p == every[-1]]
    counts: dict[int, int] = {}
    for checkpoint in compared:
        done = evaluate_policy(config, task, _load(checkpoint, task), programme.selection_seeds)
        counts[step_of(checkpoint)] = done.successes
        print(f"  step {step_of(checkpoint)}: {done.successes} of {len(done.results)}", flush=True)
    best = max(compared, key=lambda path: (counts[step_of(path)], -step_of(path)))
    return best, counts


def step_of(checkpoint: Path) -> int:
    """The training step of a `checkpoints/<step>/pretrained_model` folder."""
    return int(checkpoint.parent.name)


def measured_of(done: Evaluated, counts: dict[int, int], chosen_by: range) -> dict[str, Any]:
    """What the sidecar says of success, and how the checkpoint was chosen."""
    low, high = wilson(done.successes, len(done.results))
    seeds = [result.seed for result in done.results]
    steps = [result.steps for result in done.results]
    tried = "; ".join(f"step {step}: {count}" for step, count in counts.items())
    return {
        "successes": done.successes,
        "episodes": len(done.results),
        "ci95": [round(low, 4), round(high, 4)],
        "seeds": f"{seeds[0]}..{seeds[-1]}",
        "plants": "101..108, none of them trained in",
        "mean_steps": round(sum(steps) / len(steps), 2),
        "plans_proposed": done.plans,
        "plans_rejected": done.plans_rejected,
        "chosen": f"by successes on seeds {chosen_by.start}..{chosen_by.stop - 1} ({tried})",
    }


def _load(checkpoint: Path, task: TaskSpec) -> Load:
    # A checkpoint fresh from the trainer has no sidecar yet; its dataset says its rate, we its units.
    return Load(path=str(checkpoint), task=task.instruction, units="degrees")


def _print_progress(text: str) -> None:
    if "loss:" in text:
        print(f"  {text[text.index('step:') :]}", flush=True)


def provenance_of(
    recipe: ActRecipe, collected: Collected, step: int, measured: dict[str, Any]
) -> "Provenance":
    """What a checkpoint of `train_from_nothing` says about itself."""
    config = lockstep_config()
    where = Path("DATASET")
    return Provenance(
        fps=config.recording.fps,
        units="degrees",
        joints=[f"{name}.pos" for name in joint_names(config)],
        dataset=f"{REPO_ID}: scripted expert in the plant, lock-step",
        demonstrations={
            "episodes": collected.episodes,
            "rows": collected.rows,
            "first_seed": DEFAULT_FIRST_SEED,
            "failed_seeds_left_out": list(collected.failed_seeds),
        },
        commands=[
            "robotd demo --train",
            # Without the folders of one machine: the interpreter's and the cache.
            "lerobot-train " + " ".join(train_command(recipe, where, REPO_ID, Path("OUTPUT"))[1:]),
            "robotd eval --policy CHECKPOINT --episodes 50",
        ],
        seed=recipe.seed,
        step=step,
        measured=measured,
    )


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a shipped checkpoint says about itself beyond LeRobot's own files."""

    fps: int
    units: str
    joints: Sequence[str]
    dataset: str
    demonstrations: dict[str, Any]
    commands: Sequence[str]
    seed: int
    step: int
    measured: dict[str, Any]


def ship(checkpoint: Path, target: Path, provenance: Provenance) -> None:
    """Copy a checkpoint's `pretrained_model` to `target` and put its sidecar beside it.

    The training configuration is copied without the folders of the machine it ran on.
    """
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(checkpoint, target)
    for file in target.iterdir():
        file.chmod(0o644)  # LeRobot leaves the weights readable by their maker alone
    _forget_folders(target / "train_config.json")
    sidecar = {
        "schema": 1,
        "fps": provenance.fps,
        "units": provenance.units,
        "joints": list(provenance.joints),
        "dataset": provenance.dataset,
        "told": "where block and bowl are (observation.environment_state); it sees no picture",
        "demonstrations": provenance.demonstrations,
        "commands": list(provenance.commands),
        "seed": provenance.seed,
        "step": provenance.step,
        "measured": provenance.measured,
    }
    (target / SIDECAR).write_text(json.dumps(sidecar, indent=2) + "\n")


def _forget_folders(path: Path) -> None:
    config = json.loads(path.read_text())
    config["dataset"]["root"] = None
    config["output_dir"] = None
    path.write_text(json.dumps(config, indent=4) + "\n")
