"""`robotd train` with LeRobot's own trainer, on a dataset that robotd recorded: small, but all of it."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from daemon.recorder import dataset
from daemon.recorder.convention import Convention, write_convention
from daemon.recorder.schema import CameraSpec
from learning.training import command
from learning.training.asked import planned
from learning.training.bundle import make_bundle
from learning.training.prepare import camera_changes
from learning.training.provenance import dataset_revision, sidecar_of
from policies.checkpoint.evidence import find_evidence
from policies.checkpoint.folder import read_folder
from robotd.errors import CheckpointError, DatasetError

from ..recording.episodes import make_spec, write_episode

SMALL = {
    "dim_model": 32,
    "dim_feedforward": 64,
    "n_heads": 4,
    "n_encoder_layers": 1,
    "chunk_size": 4,
    "n_action_steps": 4,
    "use_vae": "false",
}


def record(home: Path, *, cameras: tuple[CameraSpec, ...] = (), episodes: int = 1) -> Path:
    """A dataset under LeRobot's home, as robotd's recorder leaves it."""
    root = home / "me/blocks"
    told = () if cameras else ("block_x", "block_y", "bowl_x")
    spec = make_spec(root, repo_id="me/blocks", cameras=cameras, environment_names=told)
    for number in range(episodes):
        dataset.publish(write_episode(home / f"journal-{number}", spec, 12, first=12 * number))
    return root


def asked(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return parser.parse_args(words)


def options(**more: object) -> list[str]:
    said = {f"policy.{name}": value for name, value in (SMALL | more).items()}
    return [word for name, value in said.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path / "home"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_and_its_continuation_leave_checkpoints_that_know_what_they_are(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, output = record(home), tmp_path / "run"
    begin = ["act", "--dataset", "me/blocks", "--output", str(output), "--offline", "--unchecked"]
    begin += ["--steps", "2", "--save-every", "1", "--workers", "0", "--batch-size", "2"]
    assert command.run(asked(*begin, "--device", "cpu", "--json", *options())) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["steps"] == 2 and len(first["checkpoints"]) == 2
    assert [window["step"] for window in first["windows"]] == [1, 2]
    assert first["waited_for"]["update_s"] > 0
    assert (output / "loss.svg").read_text().startswith("<svg")
    more = ["act", "--resume", "--output", str(output), "--steps", "3", "--workers", "0"]
    assert command.run(asked(*more, "--offline", "--unchecked", "--json")) == 0
    then = json.loads(capsys.readouterr().out)
    assert then["steps"] == 3 and len(then["checkpoints"]) == 3
    for path in then["checkpoints"]:
        folder = read_folder(Path(path))
        evidence = find_evidence(folder, None, "")
        assert (evidence.fps, evidence.fps_source) == (15, "robotd_ckpt.json")
        assert evidence.units == "degrees" and evidence.joints[0] == "shoulder_pan.pos"
        noted = json.loads((folder.path / "robotd_ckpt.json").read_text())
        assert noted["step"] == int(folder.path.parent.name)
        assert noted["training"] == {"dataset": "me/blocks", "revision": dataset_revision(root)}
    with pytest.raises(CheckpointError, match="has 3 steps already"):
        command.run(asked(*more, "--offline", "--unchecked"))


def test_a_checkpoint_is_told_how_its_cameras_looked(home: Path) -> None:
    wide = CameraSpec("overhead", 128, 96, {"fovy_deg": "58", "rotation_deg": "180"})
    said = msgspec.to_builtins(sidecar_of(record(home, cameras=(wide,))))
    assert said["cameras"] == {
        "overhead": {
            "fov_deg": 58.0,
            "width": 128,
            "height": 96,
            "crop": (),
            "rotation_deg": 180,
        }
    }
    assert (said["fps"], said["units"]) == (15.0, "degrees")


def test_a_dataset_with_two_fields_of_view_is_named_before_training(home: Path) -> None:
    root = record(home, cameras=(CameraSpec("overhead", 128, 96, {"fovy_deg": "58"}),))
    spec = make_spec(
        root,
        repo_id="me/blocks",
        cameras=(CameraSpec("overhead", 128, 96, {"fovy_deg": "52"}),),
        environment_names=(),
    )
    dataset.publish(write_episode(home / "other", spec, 12, first=40))
    (said,) = camera_changes(root)
    assert "episode 1" in said and "52°" in said and "58°" in said


def test_a_dataset_that_no_arm_could_play_is_not_trained_on(home: Path) -> None:
    """LeRobot's checkpoint would speak radians, and the arm would take them for degrees."""
    root = record(home)
    write_convention(root, Convention(units="radians", gripper="fraction_closed"))
    with pytest.raises(DatasetError, match="radians, gripper fraction_closed"):
        sidecar_of(root)


def test_another_state_of_a_dataset_is_another_revision(home: Path) -> None:
    root = record(home)
    before = dataset_revision(root)
    assert before == dataset_revision(root) and before.startswith("sha256:")
    record(home / "again", episodes=2)
    assert dataset_revision(home / "again/me/blocks") != before
    (root / "robotd/note.txt").write_text("beside it")
    assert dataset_revision(root) == before


def test_a_bundle_is_whole_and_finds_out_when_it_is_not(home: Path, tmp_path: Path) -> None:
    root = record(home)
    plan, _, _ = planned(asked("act", "--dataset", "me/blocks", "--steps", "10", *options()))
    folder = tmp_path / "bundle"
    made = make_bundle(
        plan,
        sidecar_of(root),
        folder,
        each_bytes=1_000_000,
        environment={"HF_HUB_OFFLINE": "1"},
        judge="robotd eval --checkpoints RUN",
        step=False,
    )
    assert "ready" in made.checked
    names = {each.name for each in folder.iterdir()}
    assert names == {
        "bundle.json",
        "requirements.lock",
        "Containerfile",
        "README.md",
        "train.py",
        "dataset",
    }
    said = json.loads((folder / "bundle.json").read_text())
    assert "--dataset.root={bundle}/dataset" in said["arguments"]
    assert "robotd eval --checkpoints RUN" in (folder / "README.md").read_text()
    assert not any(word.startswith("--output_dir") for word in said["arguments"])
    assert str(home) not in (folder / "bundle.json").read_text()  # no folder of this machine
    assert said["disk_bytes"] > 10 * 1_000_000
    assert "lerobot==0.6.1\n" in (folder / "requirements.lock").read_text()
    (folder / "dataset/meta/info.json").unlink()
    check = [sys.executable, str(folder / "train.py"), "check", "--no-step"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "problem: dataset is not in the bundle" in done.stdout
    with pytest.raises(CheckpointError, match="exists"):
        make_bundle(
            plan, sidecar_of(root), folder, each_bytes=None, environment={}, judge="", step=False
        )


def test_pi0s_checkpoints_are_known_to_be_large_before_the_first_one(home: Path) -> None:
    from learning.training.prepare import known_size

    record(home)
    plan, _, _ = planned(asked("pi0", "--dataset", "me/blocks"))
    size = known_size(plan)
    assert size is not None and 35e9 < size < 45e9  # 3.5 G parameters, three float32 of each
