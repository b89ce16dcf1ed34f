"""Opening and closing a dataset from the screen, and what leaving does to it."""

import threading
from typing import Any

import pytest
from screen_stage import fill, running, show, until, words
from scripted_robot import ScriptedBackend, recording_status, status
from textual.pilot import Pilot

from robotd import messages
from robotd.errors import DatasetError, RobotdError
from tui.app import RecordApp

CLOSED = status(state="holding")
READY = status(state="holding", recording=recording_status("ready"))
RECORDING = status(state="teleop", recording=recording_status("recording"))
SAVING = status(state="holding", recording=recording_status("saving"))
OPEN = messages.OpenSession(
    dataset="local/block-in-bowl", task="pick up the block and place it in the bowl", episodes=50
)


def backend_with() -> ScriptedBackend:
    answers: dict[type, dict[str, Any] | RobotdError] = {
        messages.OpenSession: {"dataset": OPEN.dataset, "root": "/data/block"},
        messages.CloseSession: {"kept": 16, "published": 16, "root": "/data/block", "error": ""},
    }
    return ScriptedBackend(pictures=False, answers=answers)


async def opened_here(app: RecordApp, pilot: Pilot[None], backend: ScriptedBackend) -> None:
    """The dataset was opened from this screen, and the daemon says so."""
    await pilot.press("o")
    await fill(app, pilot, dataset="local/block-in-bowl")
    await until(pilot, lambda: OPEN in backend.requests)
    await until(pilot, lambda: not app.view.pending)
    await show(app, pilot, backend, READY)


async def test_capital_o_closes_an_idle_dataset_and_says_where_it_lies() -> None:
    backend = backend_with()
    async with running(backend, READY) as (app, pilot, _):
        assert "O close dataset" in words(app)
        await pilot.press("O")
        await until(pilot, lambda: backend.requests == [messages.CloseSession()])
        await until(pilot, lambda: "dataset closed, 16 episodes added" in words(app))
        assert "/data/block" in words(app)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (CLOSED, "no dataset is open"),
        (RECORDING, "an episode is open"),
        (SAVING, "an episode is being saved"),
    ],
)
async def test_a_dataset_that_is_not_idle_is_not_closed(state: messages.Status, why: str) -> None:
    backend = backend_with()
    async with running(backend, state) as (app, pilot, _):
        await pilot.press("O")
        await pilot.pause()
        assert why in words(app)
    assert backend.requests == []


async def test_opening_another_dataset_closes_the_idle_one_first() -> None:
    backend = backend_with()
    async with running(backend, READY) as (app, pilot, _):
        await pilot.press("o")
        await pilot.pause()
        assert "closes local/block-in-bowl" in words(app)
        await fill(app, pilot, dataset="local/two")
        await until(pilot, lambda: len(backend.requests) == 2)
    first, second = backend.requests
    assert first == messages.CloseSession()
    assert isinstance(second, messages.OpenSession) and second.dataset == "local/two"


async def test_a_dataset_that_could_not_be_closed_keeps_the_next_one_from_being_opened() -> None:
    backend = backend_with()
    backend.answers[messages.CloseSession] = DatasetError("The disk is full.", "It filled.", "df")
    async with running(backend, READY) as (app, pilot, _):
        await pilot.press("o", *["enter"] * 4)
        await until(pilot, lambda: "The disk is full." in words(app))
        await pilot.pause(0.1)
    assert backend.requests == [messages.CloseSession()]


async def test_leaving_closes_an_idle_dataset_that_was_opened_here() -> None:
    backend = backend_with()
    async with running(backend, CLOSED) as (app, pilot, _):
        await opened_here(app, pilot, backend)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)
    assert backend.requests == [OPEN, messages.CloseSession()]


async def test_leaving_leaves_a_dataset_alone_that_somebody_else_opened() -> None:
    backend = backend_with()
    async with running(backend, READY) as (app, pilot, _):
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)
    assert backend.requests == []


async def test_leaving_waits_no_longer_than_a_moment_for_a_slow_close() -> None:
    backend = backend_with()
    async with running(backend, CLOSED) as (app, pilot, _):
        await opened_here(app, pilot, backend)
        backend.hold_back = threading.Event()
        await pilot.press("q")
        await until(pilot, lambda: messages.CloseSession() in backend.requests)
        assert app.is_running
        await until(pilot, lambda: not app.is_running)
        backend.hold_back.set()


async def test_a_second_q_leaves_at_once() -> None:
    backend = backend_with()
    async with running(backend, CLOSED) as (app, pilot, _):
        await opened_here(app, pilot, backend)
        backend.hold_back = threading.Event()
        await pilot.press("q")
        await until(pilot, lambda: messages.CloseSession() in backend.requests)
        assert "q leaves now" in words(app)
        await pilot.press("q")
        await pilot.pause(0.05)
        assert not app.is_running
        backend.hold_back.set()


async def test_leaving_while_something_is_saved_says_so_and_asks() -> None:
    backend = backend_with()
    async with running(backend, SAVING) as (app, pilot, _):
        await pilot.press("q")
        await pilot.pause()
        assert "Not finished: saving" in words(app) and app.is_running
        await pilot.press("enter")
        await until(pilot, lambda: not app.is_running)
    assert backend.requests == []


async def test_a_recorder_that_died_in_an_episode_is_said_aloud_with_the_way_back() -> None:
    backend = backend_with()
    async with running(backend, RECORDING, (80, 24)) as (app, pilot, _):
        lost = messages.RecordingStatus(last_error="the recorder ended; it is started again")
        await show(app, pilot, backend, status(state="teleop", recording=lost))
        seen = " ".join(words(app).split())
        assert "episode 17 was cut off" in seen and "on the disk" in seen
        await pilot.press("o")
        await pilot.pause()
        assert "local/block-in-bowl" in words(app), "the form offers what was open"


async def test_a_dataset_that_was_closed_here_is_not_reported_as_lost() -> None:
    backend = backend_with()
    async with running(backend, READY) as (app, pilot, _):
        await pilot.press("O")
        await until(pilot, lambda: "dataset closed" in words(app))
        await show(app, pilot, backend, CLOSED)
        assert "dataset closed" in words(app)
        assert "elsewhere" not in words(app)


async def test_a_close_that_could_not_save_everything_says_so_with_cause_and_remedy() -> None:
    backend = backend_with()
    backend.answers[messages.CloseSession] = {
        "kept": 3,
        "published": 1,
        "root": "/data/block",
        "error": "The disk is full.",
        "error_likely": "Recordings filled it.",
        "error_do": "Free some space (df -h).",
    }
    async with running(backend, READY, (80, 24)) as (app, pilot, _):
        await pilot.press("O")
        await until(pilot, lambda: "1 of 3 kept episodes" in " ".join(words(app).split()))
        for part in ("The disk is full.", "Recordings filled it.", "Free some space"):
            assert part in " ".join(words(app).split())


async def test_episodes_that_wait_for_a_decision_are_named_when_a_dataset_opens() -> None:
    backend = backend_with()
    backend.answers[messages.OpenSession] = {"root": "/data/block", "interrupted": 2}
    async with running(backend, CLOSED) as (app, pilot, _):
        await opened_here(app, pilot, backend)
        assert "2 interrupted or unsaved episodes wait" in words(app)
        assert "robotd dataset recover" in words(app)
