"""`robotd upload` at the shell: what it takes, what it says, and an arm that has the right of way."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.local_hub import LocalHub
from daemon.cli.main import main
from robotd.client import Robot
from robotd.installed import install_again
from robotd.messages import Arm, Disarm, Teleop
from robotd.uploading import requests_file
from uploads import installed
from uploads.cli import upload as command
from uploads.moving import Arms
from uploads.requests import Queue, read_requests

from .conftest import queue, work

MINI_DAEMON = Path(__file__).parents[1] / "tui" / "mini_daemon.py"


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """No uploader is started; `work` is it."""
    monkeypatch.setattr(command, "wake_uploader", lambda: True)


def test_options_reach_the_queue_and_the_status_says_how_it_ended(
    hub: LocalHub, root: Path, asleep: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upload", str(root), "--licence", "mit", "--rate-mb-s", "5", "--follow"]) == 0
    assert "me/pick → (your account): queued" in capsys.readouterr().out
    (asked,), _ = read_requests(requests_file())
    assert isinstance(asked, Queue)
    assert (asked.name, asked.licence, asked.rate_mb_s) == ("me/pick", "mit", 5.0)
    assert (asked.follow, asked.public) == (True, False)
    work()
    assert main(["upload"]) == 0
    said = capsys.readouterr().out
    assert "me/pick → me/pick: done" in said
    assert "2 episodes in " in said
    assert " files, verified" in said
    assert f"{hub.endpoint}/datasets/me/pick" in said
    assert main(["upload", "me/pick"]) == 0  # a licence once said is not asked for again
    assert read_requests(requests_file())[0][1].licence == "mit"


def test_what_waits_for_a_person_is_said_in_three_parts_and_by_the_exit_code(
    hub: LocalHub, root: Path, asleep: None, capsys: pytest.CaptureFixture[str]
) -> None:
    queue(root, repo="somebody/pick")
    work()
    assert main(["upload", "status"]) == 1
    said = capsys.readouterr().out
    assert "me/pick → somebody/pick: needs you" in said
    assert "  likely: " in said
    assert "  do:     " in said
    assert main(["upload", "status", "--json"]) == 1
    state = json.loads(capsys.readouterr().out)
    assert state["uploads"][0]["state"] == "refused"
    assert main(["upload", "cancel", "somebody/pick"]) == 0
    assert "cancelled" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere/nothing"], "There is no dataset"),
        (["me/pick", "--repo", "no owner"], "no repository's name"),
        (["me/pick", "--licence", "My Licence"], "words for licences"),
        (["cancel"], "Nothing was said"),
        (["cancel", "me/other"], "is not in the queue"),
        (["status", "me/pick"], "takes no name"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_queued(
    hub: LocalHub,
    root: Path,
    asleep: None,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    assert main(["upload", *words]) == 1
    assert said in capsys.readouterr().err
    assert not requests_file().exists()


def test_without_the_extra_it_says_how_to_install_it(
    person: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    assert main(["upload", "me/pick"]) == 1
    assert install_again("upload") in capsys.readouterr().err


def test_without_a_token_nothing_is_queued(
    person: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert main(["upload", "me/pick"]) == 1
    assert "hf auth login" in capsys.readouterr().err
    assert not requests_file().exists()


def test_the_command_imports_neither_arrow_nor_the_hubs_client_to_show_the_queue() -> None:
    code = (
        "import sys; from daemon.cli.main import main; main(['upload']);"
        "print([name for name in ('pyarrow', 'huggingface_hub', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_arm_is_seen_to_move_while_somebody_moves_it_and_not_afterwards(person: Path) -> None:
    arms = Arms()
    assert not arms.moving()
    daemon = subprocess.Popen(
        [sys.executable, str(MINI_DAEMON), "bench"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert daemon.stdout is not None
        assert "READY" in daemon.stdout.readline()
        with Robot.connect("bench", timeout_s=30.0) as robot:
            robot.request(Arm(consent=True))
            assert not _soon(arms, True, limit_s=0.5)
            robot.request(Teleop(source="keyboard"))
            assert _soon(arms, True)
            robot.request(Disarm())
            assert _soon(arms, False)
    finally:
        daemon.kill()
        daemon.wait()
    assert not arms.moving()


def _soon(arms: Arms, moving: bool, limit_s: float = 30.0) -> bool:
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        if arms.moving() is moving:
            return True
        time.sleep(0.02)
    return False
