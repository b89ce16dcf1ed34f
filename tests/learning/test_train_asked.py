"""What `robotd train` refuses before its first step, and what a run that goes on may be told."""

import json
from pathlib import Path

import pytest

from learning.training import bundle_program, command, prepare
from learning.training.asked import planned
from learning.training.base import check_kind
from learning.training.disk import Room
from learning.training.passed_on import passed_on
from learning.training.plan import arguments
from learning.training.prepare import check_disk
from robotd.errors import CheckpointError, DiskFullError

from .test_train_command import asked, home, record

__all__ = ["home"]  # the fixture

_EACH = 1_000_000
RECIPE = [
    "use_policy_training_preset=false",
    "optimizer.type=adamw",
    "optimizer.lr=0.001",
    "scheduler.type=cosine_decay_with_warmup",
    "policy.dim_model=128",
    "policy.chunk_size=50",
    "policy.use_amp=true",
    "policy.optimizer_lr=1e-5",
    "policy.pretrained_backbone_weights=null",
]


def interrupted(root: Path, output: Path, *, saved: int = 8) -> Path:
    """A run of 1000 steps with a checkpoint every 100, `saved` of them on the disk."""
    for number in range(1, saved + 1):
        folder = output / f"checkpoints/{100 * number:06}"
        (folder / "pretrained_model").mkdir(parents=True)
        (folder / "training_state").mkdir()
        (folder / "training_state/training_step.json").write_text(
            json.dumps({"step": 100 * number})
        )
        (folder / "pretrained_model/model.safetensors").write_bytes(bytes(_EACH))
        said = {
            "dataset": {"repo_id": "me/blocks", "root": str(root)},
            "policy": {"type": "act"},
            "steps": 1000,
            "save_freq": 100,
            "log_freq": 50,
            "batch_size": 4,
        }
        (folder / "pretrained_model/train_config.json").write_text(json.dumps(said))
    (output / "checkpoints/last").symlink_to(f"{100 * saved:06}")
    return output


def free(monkeypatch: pytest.MonkeyPatch, checkpoints: float) -> None:
    room = Room(int(checkpoints * _EACH * 1.1), "ext4", "/")
    monkeypatch.setattr(prepare, "room_at", lambda _folder: room)


# --- going on -------------------------------------------------------------------------------------


def test_a_run_that_goes_on_needs_room_for_what_it_still_writes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 of 10 are on the disk, and there is room for two and a half more."""
    output = interrupted(record(home), tmp_path / "run")
    (output / "checkpoints/000900").mkdir()  # killed while it saved: no size of a checkpoint
    plan, _, _ = planned(asked("act", "--resume", "--output", str(output)))
    free(monkeypatch, 2.5)
    assert check_disk(plan).said[-1].startswith("2 more checkpoints of 0.00 GB")
    free(monkeypatch, 1.5)
    with pytest.raises(DiskFullError, match="2 more checkpoints") as caught:
        check_disk(plan)
    assert "Move the run's folder" in caught.value.do and "--save-every" in caught.value.do


def test_saving_less_often_is_a_remedy_for_a_run_that_goes_on(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = interrupted(record(home), tmp_path / "run")
    words = ("act", "--resume", "--output", str(output))
    kept, _, _ = planned(asked(*words))
    assert "--save_freq=100" in arguments(kept) and "--log_freq=50" in arguments(kept)
    plan, _, _ = planned(asked(*words, "--save-every", "500"))
    assert "--save_freq=500" in arguments(plan)
    free(monkeypatch, 1.5)
    assert check_disk(plan).said[-1].startswith("1 more checkpoints")  # at 1000 alone


@pytest.mark.parametrize(
    "said",
    [
        ("--batch-size", "8"),
        ("--seed", "0"),
        ("--device", "cpu"),
        ("--wandb", "blocks"),
        ("--backbone", "none"),
        ("--from", "lerobot/act"),
        ("--bundle", "somewhere"),
    ],
    ids=lambda said: said[0],
)
def test_what_a_run_keeps_is_not_taken_from_who_goes_on_with_it(
    home: Path, tmp_path: Path, said: tuple[str, str]
) -> None:
    output = interrupted(record(home), tmp_path / "run")
    with pytest.raises(CheckpointError, match=f"^{said[0]} cannot be said") as caught:
        planned(asked("act", "--resume", "--output", str(output), *said))
    assert "--save-every" in caught.value.do


# --- passed on ------------------------------------------------------------------------------------


def test_what_robotd_decides_is_not_passed_on_behind_its_back() -> None:
    """The trainer saved, logged and stopped otherwise than disk, bar, curve and report said."""
    remedies = {
        "steps": "--steps",
        "save_freq": "--save-every",
        "output_dir": "--output",
        "num_workers": "--workers",
        "batch_size": "--batch-size",
        "seed": "--seed",
        "policy.device": "--device",
        "policy.path": "--from",
        "policy.type": "the word after",
        "dataset.root": "--dataset",
        "wandb.enable": "--wandb",
        "resume": "--resume",
        "--save_freq": "--save-every",
    }
    for name, remedy in remedies.items():
        with pytest.raises(CheckpointError, match="not passed on") as caught:
            passed_on([f"{name}=2"])
        assert remedy in caught.value.do


@pytest.mark.parametrize(("mode", "said"), [("offline", "offline"), ("online", None), ("", None)])
def test_a_run_logs_where_wandb_mode_says(
    mode: str, said: str | None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LeRobot tells WandB its own mode, online, and the variable counts for nothing."""
    record(home)
    monkeypatch.setenv("WANDB_MODE", mode)
    here, _, _ = planned(asked("act", "--dataset", "me/blocks", "--wandb", "x"))
    wanted = [f"--wandb.mode={said}"] if said else []
    assert [word for word in arguments(here) if "wandb.mode" in word] == wanted
    packed, _, _ = planned(asked("act", "--dataset", "me/blocks", "--wandb", "x", "--bundle", "B"))
    assert not [word for word in arguments(packed) if "wandb.mode" in word]
    words = bundle_program.command({"arguments": ["--wandb.enable=true"]})
    assert words[1:] == wanted
    assert bundle_program.command({"arguments": ["--wandb.enable=false"]})[1:] == []


def test_every_word_that_robotd_says_itself_is_its_own(home: Path, tmp_path: Path) -> None:
    """An option that is added to the command line later is refused, or chosen to be free."""
    free_ones = {"policy.pretrained_backbone_weights", "log_freq"}
    output = interrupted(record(home), tmp_path / "run")
    new, _, _ = planned(asked("act", "--dataset", "me/blocks", "--wandb", "x", "--device", "cpu"))
    on, _, _ = planned(asked("act", "--resume", "--output", str(output)))
    for word in [*arguments(new), *arguments(on)]:
        name = word.removeprefix("--").partition("=")[0]
        if name not in free_ones:
            with pytest.raises(CheckpointError, match="not passed on"):
                passed_on([f"{name}=1"])


def test_lerobots_own_options_are_passed_on(home: Path) -> None:
    record(home)
    words = [word for pair in RECIPE for word in ("--set", pair)]
    plan, _, _ = planned(asked("act", "--dataset", "me/blocks", *words))
    assert set(arguments(plan)) >= {f"--{pair}" for pair in RECIPE}


def test_the_curve_counts_the_steps_of_the_log_that_was_asked_for(home: Path) -> None:
    record(home)
    plan, _, _ = planned(asked("act", "--dataset", "me/blocks", "--set", "log_freq=10"))
    assert plan.log_every == 10  # what TrainLog counts by
    assert [word for word in arguments(plan) if "log_freq" in word] == ["--log_freq=10"]
    for wrong in ("0", "-5", "often"):
        with pytest.raises(CheckpointError, match="no number of steps"):
            passed_on([f"log_freq={wrong}"])


# --- the base -------------------------------------------------------------------------------------


def test_a_base_of_another_kind_is_said_before_anything_is_made_of_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"type": "smolvla"}')
    with pytest.raises(CheckpointError, match="of the kind smolvla, not act") as caught:
        check_kind("act", str(tmp_path), offline=True)
    assert "robotd train smolvla --from" in caught.value.do
    check_kind("smolvla", str(tmp_path), offline=True)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no checkpoint that LeRobot begins from"):
        check_kind("act", str(tmp_path), offline=True)


def test_the_kind_of_a_base_on_the_hub_is_looked_at_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    (known,) = check_kind("act", "lerobot/smolvla_base", offline=True).warnings
    assert "lerobot/smolvla_base" in known and "not looked at" in known
    cache = tmp_path / "models--lerobot--smolvla_base"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs/main").write_text("a" * 40)
    (cache / "snapshots" / ("a" * 40)).mkdir(parents=True)
    (cache / "snapshots" / ("a" * 40) / "config.json").write_text('{"type": "smolvla"}')
    with pytest.raises(CheckpointError, match="of the kind smolvla, not act"):
        check_kind("act", "lerobot/smolvla_base", offline=True)
    with pytest.raises(CheckpointError, match="neither a folder here nor a name of the hub"):
        check_kind("act", "runs/of/mine", offline=True)


@pytest.mark.parametrize("packed", [False, True], ids=["here", "bundle"])
def test_neither_a_run_nor_a_bundle_begins_from_another_kind(
    home: Path, tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle's lock would have ACT's extras for a SmolVLA."""
    record(home)
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text('{"type": "smolvla"}')
    words = ["act", "--dataset", "me/blocks", "--from", str(base), "--offline"]
    words += ["--output", str(tmp_path / "run")]
    words += ["--bundle", str(tmp_path / "bundle"), "--bundle-files"] if packed else []
    monkeypatch.setattr(command, "run_trainer", lambda *_: None)
    with pytest.raises(CheckpointError, match="of the kind smolvla, not act"):
        command.run(asked(*words))
    assert not (tmp_path / "bundle").exists() and not (tmp_path / "run").exists()
