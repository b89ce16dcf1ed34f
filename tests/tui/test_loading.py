"""The form that loads a policy."""

import threading
from pathlib import Path

import pytest
from screen_stage import fill, running, until, words
from scripted_robot import ScriptedBackend, status

from robotd import messages
from robotd.paths import absolute
from tui.loading import complaint, request

ANSWER = {"path": "p", "task": "t", "fps": "", "units": ""}


def test_a_relative_folder_reaches_the_daemon_as_a_full_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkpoint").mkdir()
    monkeypatch.chdir(tmp_path)
    asked = request(ANSWER | {"path": "checkpoint"})
    assert asked == messages.LoadPolicy(path=str(tmp_path / "checkpoint"), task="t")
    assert absolute("owner/on-the-hub") == "owner/on-the-hub"


def test_what_a_checkpoint_may_be_silent_about_is_sent_along() -> None:
    asked = request(ANSWER | {"fps": "30", "units": "degrees"})
    assert (asked.fps, asked.units) == (30, "degrees")
    assert (request(ANSWER).fps, request(ANSWER).units) == (None, "")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"path": ""}, "folder"),
        ({"fps": "fast"}, "rate"),
        ({"fps": "0"}, "rate"),
        ({"units": "radians"}, "degrees, range_m100_100"),
    ],
)
def test_an_answer_that_cannot_be_meant_is_complained_about(
    change: dict[str, str], word: str
) -> None:
    assert complaint(ANSWER) == ""
    assert word in complaint(ANSWER | change)


async def test_a_wrong_answer_comes_back_with_what_was_typed_on_a_small_terminal() -> None:
    backend = ScriptedBackend(pictures=False)
    async with running(backend, status(state="holding"), (80, 24)) as (app, pilot, _):
        await pilot.press("P", *"acts", "enter", "enter", *"x9", "enter", "enter")
        await until(pilot, lambda: "x9 is no rate" in words(app))
        assert "acts" in words(app)
        for word in ("Checkpoint folder", "Task", "rate, fps", "range_m100_100", "F12"):
            assert word in words(app)
        assert backend.requests == []
        await pilot.press("enter", "enter", "backspace", "backspace", "enter", *"degrees", "enter")
        wanted = messages.LoadPolicy(path="acts", units="degrees")
        await until(pilot, lambda: backend.requests == [wanted])


async def test_a_policy_that_loads_for_minutes_keeps_no_other_key_waiting() -> None:
    loaded = threading.Event()
    backend = ScriptedBackend(pictures=False)
    backend.slow[messages.LoadPolicy] = loaded
    async with running(backend, status(state="holding")) as (app, pilot, _):
        await pilot.press("P")
        await fill(app, pilot, path="acts")
        await until(pilot, lambda: messages.LoadPolicy(path="acts") in backend.requests)
        await pilot.press("h")
        await until(pilot, lambda: messages.Home() in backend.requests)
        assert "dropped" not in words(app)
        loaded.set()
        await until(pilot, lambda: "loading the policy: done" in words(app))
