"""How the checkpoints of a run are judged: by what its dataset is of, and known before it trains."""

import argparse
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.loader import load
from daemon.recorder import dataset
from daemon.recorder.schema import CameraSpec
from learning.evaluation import command as evaluation
from learning.training import command
from learning.training.asked import planned
from learning.training.judged import Judged, judged
from robotd.errors import DatasetError
from sim.tasks.spec import load_task

from ..recording.episodes import make_spec, write_episode
from .test_train_command import asked, home

__all__ = ["home"]  # the fixture

DRAWER = "open the drawer"
OVERHEAD, WRIST = CameraSpec("overhead", 128, 96), CameraSpec("wrist", 128, 96)


def record(home: Path, **changes: Any) -> Path:
    """An episode of a simulated robot's drawer, as the recorder leaves it."""
    root = home / "me/drawer"
    said = {"task": DRAWER, "cameras": (OVERHEAD, WRIST), **changes}
    spec = make_spec(root, repo_id="me/drawer", **said)
    dataset.publish(write_episode(home / "journal", spec, 12))
    return root


def how(root: Path, *words: str) -> Judged:
    plan, _, _ = planned(asked("act", "--dataset", str(root), *words))
    return judged(plan, root, load(simulated=True).config)


def test_a_run_is_judged_on_its_own_task_with_its_own_pictures(home: Path) -> None:
    found = how(record(home))
    assert not found.why_not
    parser = argparse.ArgumentParser()
    evaluation.configure(parser)
    args = parser.parse_args(found.sweep("RUN", 20)[1:])  # eval's own reading of it
    assert load_task(args.task).instruction == DRAWER
    assert (args.picture_size, args.episodes, args.checkpoints) == ((128, 96), 20, Path("RUN"))


def test_a_camera_that_was_renamed_for_its_base_is_renamed_for_its_judge(home: Path) -> None:
    table = '{"observation.images.wrist": "observation.images.camera1"}'
    found = how(record(home), "--set", f"rename_map={table}")
    assert found.options[-2:] == (
        "--rename",
        "observation.images.camera1=observation.images.wrist",
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"task": "fold the towel"}, "no simulated task is 'fold the towel'"),
        ({"robot_type": "koch_follower"}, "of a koch_follower"),
        ({"cameras": (CameraSpec("front", 128, 96),)}, "the plant has no front"),
        ({"cameras": (OVERHEAD, CameraSpec("wrist", 64, 48))}, "several sizes"),
        ({"cameras": (), "environment_names": ("block_x", "block_y")}, "2 numbers of the table"),
    ],
    ids=["task", "robot", "camera", "sizes", "told"],
)
def test_a_sweep_that_the_plant_cannot_do_is_refused_before_the_night(
    home: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], why: str
) -> None:
    root = record(home, **changes)
    trained: list[object] = []
    monkeypatch.setattr(command, "run_trainer", lambda *said: trained.append(said))
    with pytest.raises(DatasetError, match=why) as caught:
        command.run(asked(*_begin(root, home), "--sweep", "5"))
    assert "robotd eval --arm --policy" in caught.value.do and not trained


def test_the_hint_after_a_run_is_the_command_that_judges_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def trainer(words: list[str], hear: Callable[[str], None], _environment: object) -> None:
        hear("Training: 100%|█| 2/2 [00:01<00:00]")

    monkeypatch.setattr(command, "run_trainer", trainer)
    root = record(home)
    assert command.run(asked(*_begin(root, home))) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    words = shlex.split(said.partition(": ")[2])
    assert words[:4] == ["robotd", "eval", "--checkpoints", str(home / "run")]
    assert words[words.index("--picture-size") + 1] == "128x96" and "--task" in words
    info = json.loads((root / "meta/info.json").read_text())
    info["robot_type"] = "koch_follower"
    (root / "meta/info.json").write_text(json.dumps(info))
    assert command.run(asked(*_begin(root, home))) == 0
    said = capsys.readouterr().out
    assert "of a koch_follower" in said and "robotd eval --arm --policy" in said


def _begin(root: Path, home: Path) -> list[str]:
    words = ["act", "--dataset", str(root), "--output", str(home / "run"), "--unchecked"]
    return [*words, "--offline", "--units", "degrees", "--steps", "2", "--workers", "0"]
