"""What `robotd train` reads from the trainer's lines, and what it looks at before and after."""

import json
import math
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from learning.training import bundle_program
from learning.training import plan as plans
from learning.training.bundle import lock
from learning.training.curve import loss_svg
from learning.training.disk import Room, check_room, room_at
from learning.training.plan import TrainPlan, arguments, saves
from learning.training.prepare import backbone, check_base
from learning.training.provenance import stamp
from learning.training.trainer import run_trainer
from learning.training.watch import TrainLog, Window, bottleneck, earlier_windows
from robotd.errors import CheckpointError, DiskFullError

BAR = "Training:  12%|█▏        | 240/2000 [00:31<03:49,  7.66step/s]"
LINE = (
    "INFO 2026-01-02 10:11:12 ot_train.py:458 step:2K smpl:16K ep:12 epch:0.71 loss:0.143 "
    "grdn:2.345 lr:1.0e-05 updt_s:0.120 data_s:0.480 smp/s:13 mem_gb:3.41"
)


LOSSES = [(200, 0.3), (400, None), (600, 0.2), (800, 0.1)]


def make_plan(tmp_path: Path, **changes: object) -> TrainPlan:
    said: dict[str, object] = {
        "kind": "act",
        "repo_id": "me/blocks",
        "root": tmp_path / "data",
        "output": tmp_path / "run",
        "steps": 2000,
        "save_every": 600,
        "log_every": 200,
        **changes,
    }
    return TrainPlan(**said)  # type: ignore[arg-type]


# --- listening ------------------------------------------------------------------------------------


def test_steps_are_counted_where_the_trainer_rounds_them() -> None:
    log = TrainLog(total_steps=2000, log_every=200)
    assert log.hear(BAR) == "bar"
    assert log.step == 240
    assert log.hear(LINE) == "window"
    assert log.hear(LINE.replace("0.143", "0.1")) == "window"
    assert [(each.step, each.loss) for each in log.windows] == [(200, 0.143), (400, 0.1)]
    assert (log.windows[0].data_s, log.windows[0].update_s, log.windows[0].gpu_gb) == (
        0.48,
        0.12,
        3.41,
    )
    assert log.hear("INFO Checkpoint policy after step 600") == "saved"
    assert log.hear("anything else") == ""


def test_a_resumed_run_counts_on_from_where_it_was() -> None:
    log = TrainLog(total_steps=2000, log_every=200, first_step=700)
    log.hear("Training:   1%|          | 13/1300 [00:31<03:49,  7.66step/s]")
    assert log.step == 713
    log.hear(LINE)
    assert log.windows[0].step == 800


def test_a_resumed_runs_report_goes_on_where_the_checkpoint_was() -> None:
    """What was noted after the checkpoint was lost and is learnt again."""
    windows = [{**asdict(window(0.1, 0.2, step)), "loss": loss} for step, loss in LOSSES]
    report = json.dumps({"windows": windows}).encode()
    assert [each.step for each in earlier_windows(report, 600)] == [200, 600]
    assert earlier_windows(b"", 600) == [] and earlier_windows(b'{"windows": [{}]}', 600) == []


def test_a_loss_that_is_no_number_is_noticed() -> None:
    log = TrainLog(total_steps=2000, log_every=200)
    log.hear(LINE.replace("loss:0.143", "loss:nan"))
    assert log.diverged and math.isnan(log.windows[0].loss)


def window(data_s: float, update_s: float, step: int = 200) -> Window:
    return Window(step, 0.1, data_s, update_s)


def test_what_a_run_waits_for_is_told_with_the_workers_that_can_help() -> None:
    """One worker makes a batch in 0.6 s at most, the model learns from it in 0.12 s: five do.

    The trainer's main process prepares each batch itself, in the same `data_s`: no number of
    workers is promised to hide that.
    """
    waited = bottleneck([window(9.0, 0.1), window(0.48, 0.12, 400)], workers=1, cores=8)
    assert waited is not None and waited.data_bound  # the first window, with its start, left out
    assert waited.helps == 5
    assert "getting and preparing a batch" in waited.words
    assert "--workers 5 hides what of it is loading" in waited.words
    assert "main process's and cannot" in waited.words and "would hide it" not in waited.words
    few = bottleneck([window(0.48, 0.12)], workers=1, cores=2)
    assert few is not None and "this machine has 2 cores" in few.words
    assert "would hide it" not in few.words and "may gain something" in few.words


def test_a_run_that_computes_all_the_time_needs_nothing() -> None:
    waited = bottleneck([window(0.004, 0.3)], workers=4, cores=8)
    assert waited is not None and not waited.data_bound
    assert waited.words.startswith("compute-bound")
    assert bottleneck([], workers=4, cores=8) is None


def test_without_workers_a_batch_costs_what_the_model_waits() -> None:
    waited = bottleneck([window(0.3, 0.1)], workers=0, cores=8)
    assert waited is not None and waited.helps == 3


# --- the command ----------------------------------------------------------------------------------


def test_a_run_from_nothing_names_all_and_options_win(tmp_path: Path) -> None:
    words = arguments(
        make_plan(
            tmp_path,
            imagenet=False,
            wandb="blocks",
            options={"policy.pretrained_backbone_weights": "W", "tag": "x"},
        )
    )
    assert f"--dataset.root={tmp_path}/data" in words
    assert "--policy.type=act" in words
    assert "--wandb.enable=true" in words and "--wandb.project=blocks" in words
    assert [word for word in words if "backbone" in word] == [
        "--policy.pretrained_backbone_weights=W"
    ]
    assert words[-1] == "--tag=x"


def test_a_run_goes_on_from_its_own_configuration(tmp_path: Path) -> None:
    words = arguments(make_plan(tmp_path, resume=True))
    assert words[0].endswith("run/checkpoints/last/pretrained_model/train_config.json")
    assert "--resume=true" in words
    # The folders are where they are now, not where the checkpoint's file says they were.
    assert f"--output_dir={tmp_path}/run" in words and f"--dataset.root={tmp_path}/data" in words
    assert not any(word.startswith(("--policy", "--batch_size", "--seed")) for word in words)


def test_the_last_step_is_always_saved(tmp_path: Path) -> None:
    assert saves(make_plan(tmp_path)) == 4  # 600, 1200, 1800, 2000
    assert saves(make_plan(tmp_path, save_every=500)) == 4
    assert plans.log_every(10) == 1 and plans.save_every(5) == 1


# --- before it ------------------------------------------------------------------------------------


def test_too_small_a_disk_is_said_before_the_night(tmp_path: Path) -> None:
    room = Room(free_bytes=5_000_000_000, kind="ext4", mount="/")
    with pytest.raises(DiskFullError, match=r"4 checkpoints of 2.00 GB need 8.8 GB") as caught:
        check_room(room, 2_000_000_000, 4, tmp_path)
    assert "2 fit" in caught.value.do
    assert check_room(room, 1_000_000_000, 4, tmp_path)[-1].startswith("4 checkpoints of 1.00 GB")


def test_a_containers_own_layer_is_named(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"overlay / overlay rw 0 0\n/dev/sda1 {tmp_path} ext4 rw 0 0\n")
    assert room_at(Path("/nowhere/run"), mounts).kind == "overlay"
    assert room_at(tmp_path / "not/yet/there", mounts).kind == "ext4"
    said = check_room(Room(10**12, "overlay", "/"), None, 3, tmp_path)
    assert "gone with the container" in said[0]


def test_imagenets_weights_are_not_waited_for_where_they_cannot_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert backbone("act", "", offline=True)[0] is False
    assert backbone("act", "", offline=False, reachable=False)[0] is False
    assert backbone("act", "", offline=False, reachable=True)[0] is True
    assert backbone("act", "", offline=True, wanted="imagenet")[0] is True
    assert backbone("pi0", "", offline=True) == (True, "")
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    (tmp_path / "hub/checkpoints/resnet18-f37072fd.pth").touch()
    assert backbone("act", "", offline=True)[0] is True


def test_a_finished_run_is_not_gone_on_with_and_a_folder_is_not_overwritten(
    tmp_path: Path,
) -> None:
    plan = make_plan(tmp_path, resume=True)
    with pytest.raises(CheckpointError, match="no run to go on with"):
        check_base(plan)
    last = tmp_path / "run/checkpoints/last"
    (last / "pretrained_model").mkdir(parents=True)
    (last / "training_state").mkdir()
    (last / "pretrained_model/train_config.json").write_text("{}")
    (last / "training_state/training_step.json").write_text('{"step": 2000}')
    with pytest.raises(CheckpointError, match="has 2000 steps already"):
        check_base(plan)
    with pytest.raises(CheckpointError, match="exists"):
        check_base(make_plan(tmp_path))


# --- after it -------------------------------------------------------------------------------------


def test_only_whole_checkpoints_are_stamped_and_each_once(tmp_path: Path) -> None:
    whole, half = (tmp_path / "checkpoints" / step for step in ("000010", "000020"))
    for folder in (whole, half):
        (folder / "pretrained_model").mkdir(parents=True)
    (whole / "training_state").mkdir()
    (whole / "training_state/training_step.json").write_text('{"step": 10}')
    content = {"schema": 1, "fps": 15.0, "units": "degrees"}
    assert stamp(tmp_path, content) == [whole / "pretrained_model"]
    said = json.loads((whole / "pretrained_model/robotd_ckpt.json").read_text())
    assert said == {"schema": 1, "fps": 15.0, "units": "degrees", "step": 10}
    assert stamp(tmp_path, content) == []


def test_the_curve_is_a_picture_that_parses_whatever_the_losses() -> None:
    windows = [window(0, 0, step) for step in (200, 400)]
    nan = Window(600, math.nan, 0, 0)
    for case in ([], windows, [*windows, nan], [windows[0]], [Window(5, -1.0, 0, 0)]):
        root = ElementTree.fromstring(loss_svg(case, "act on me/<blocks>: loss"))
        assert root.tag.endswith("svg")
    assert "1 windows without a finite loss" in loss_svg([*windows, nan], "x")


def test_a_trainer_that_fails_is_said_with_its_reason(tmp_path: Path) -> None:
    script = tmp_path / "trainer.sh"
    script.write_text(
        "#!/bin/sh\nprintf 'one\\rtwo\\n'\necho 'torch.OutOfMemoryError: CUDA out of memory'\nexit 1\n"
    )
    script.chmod(0o755)
    heard: list[str] = []
    with pytest.raises(CheckpointError, match="ended with code 1") as caught:
        run_trainer([str(script)], heard.append)
    assert heard[:2] == ["one", "two"]  # a redrawn bar is a line each time
    assert "--batch-size" in caught.value.do


def test_a_light_install_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not installed here") as caught:
        run_trainer([str(tmp_path / "lerobot-train")], print)
    assert "--extra policy" in caught.value.do


def test_an_interrupted_training_leaves_no_trainer_behind(tmp_path: Path) -> None:
    script = tmp_path / "trainer.sh"
    script.write_text("#!/bin/sh\necho $$\nexec sleep 600\n")
    script.chmod(0o755)
    pids: list[int] = []

    def hear(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trainer([str(script)], hear)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel tells a child")
def test_a_killed_robotd_leaves_no_trainer_that_writes_on_into_the_run(tmp_path: Path) -> None:
    script, noted = tmp_path / "trainer.sh", tmp_path / "pid"
    script.write_text(
        f"#!/bin/sh\necho $$ > {noted}.part\nmv {noted}.part {noted}\nexec sleep 600\n"
    )
    script.chmod(0o755)
    code = (
        f"from learning.training.trainer import run_trainer\nrun_trainer([{str(script)!r}], print)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        until(noted.exists)
        parent.send_signal(signal.SIGKILL)
    trainer = int(noted.read_text())
    until(lambda: not running(trainer))


def until(holds: Callable[[], bool], within_s: float = 60.0) -> None:
    end_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def running(pid: int) -> bool:
    """Whether a process lives; one that nobody waits for is none any more."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_the_lock_has_the_trainer_and_what_it_needs_at_their_versions() -> None:
    locked = lock(("dataset", "accelerate-dep"))
    assert locked["lerobot"] == "0.6.1"
    assert {"torch", "accelerate", "datasets", "numpy", "pyarrow"} <= set(locked)
    assert "robotd" not in locked
    assert not any("+" in version for version in locked.values())


# --- the bundle's own program ---------------------------------------------------------------------

BUNDLE = {
    "arguments": ["--dataset.root={bundle}/dataset", "--policy.type=act", "--num_workers=4"],
    "environment": {},
    "sidecar": {},
}


def test_a_rented_machine_without_a_gpu_is_told_before_it_trains_for_days(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bundle_program, "gpu", lambda: "")
    (found,) = bundle_program.machine(BUNDLE)
    assert "no GPU is seen" in found and "--gpus all" in found
    assert bundle_program.machine(BUNDLE, cpu=True) == []
    packed_for_cpu = BUNDLE | {"arguments": ["--policy.device=cpu"]}
    assert bundle_program.machine(packed_for_cpu) == []
    monkeypatch.setattr(bundle_program, "gpu", lambda: "a large one, 24 GB")
    assert bundle_program.machine(BUNDLE) == []


def test_a_container_with_little_shared_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker gives 64 MB unless it is asked for more, and workers die in it of a bus error."""
    usage = SimpleNamespace(total=64 << 20, free=10**12)
    monkeypatch.setattr(bundle_program.shutil, "disk_usage", lambda _path: usage)
    (found,) = bundle_program.machine(BUNDLE, cpu=True)
    assert "64 MB" in found and "--shm-size" in found
    assert bundle_program.machine(BUNDLE | {"arguments": ["--num_workers=0"]}, cpu=True) == []


def test_a_container_that_is_started_again_goes_on_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bundle.json").write_text(json.dumps(BUNDLE))
    monkeypatch.setattr(bundle_program, "HERE", tmp_path)
    trained: list[list[str]] = []

    def train(words: list[str], _output: Path, _bundle: object) -> int:
        trained.append(words)
        return 0

    monkeypatch.setattr(bundle_program, "train", train)
    run = tmp_path / "run"
    go = ["go", "--cpu", "--output", str(run)]
    assert bundle_program.main(go) == 0
    assert f"--output_dir={run}" in trained[0] and "--policy.type=act" in trained[0]
    run.mkdir()  # it was stopped before its first checkpoint
    assert bundle_program.main(go) == 0
    assert trained[1] == trained[0] and not run.exists()
    assert [each.name[:4] for each in tmp_path.iterdir() if each.is_dir()] == ["run-"]
    config = run / "checkpoints/last/pretrained_model/train_config.json"
    config.parent.mkdir(parents=True)
    config.touch()
    assert bundle_program.main(go) == 0
    assert trained[2] == [
        f"--config_path={config}",
        "--resume=true",
        f"--output_dir={run}",
        f"--dataset.root={tmp_path}/dataset",  # wherever the bundle is now
    ]


def test_the_disk_that_a_run_needs_is_known_from_the_trainers_own_count() -> None:
    said = "num_learnable_params=1000 (1K)\nINFO num_total_params=5000 (5K)"
    assert bundle_program.checkpoint_bytes(said) == 4 * (5000 + 2 * 1000)
    assert bundle_program.checkpoint_bytes("nothing") == 0
