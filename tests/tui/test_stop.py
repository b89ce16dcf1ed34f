"""Nothing stands between a person and stop."""

import threading

import pytest
from screen_stage import running, until, words
from scripted_robot import ScriptedBackend, recording_status, status
from textual.widgets import Input

from robotd import messages
from robotd.states import State
from tui.actions import ESTOP_WORDS

ALL_STATES = [state.name.lower() for state in State]


@pytest.mark.parametrize("state", ALL_STATES)
@pytest.mark.parametrize("size", [(160, 45), (80, 24)])
async def test_the_estop_and_what_it_is_not_are_on_the_screen_in_every_state(
    state: str, size: tuple[int, int]
) -> None:
    backend = ScriptedBackend(pictures=False)
    async with running(backend, status(state=state, torque="on"), size) as (app, _, _):
        seen = words(app)
        assert "F12" in seen and "E-STOP" in seen
        assert ESTOP_WORDS in seen


@pytest.mark.parametrize("opening", ["t", "o", "P", "a", "question_mark", "D", "ctrl+p"])
async def test_f12_fires_while_any_dialog_is_open(opening: str) -> None:
    backend = ScriptedBackend(pictures=False)
    async with running(backend, status(state="holding", torque="on")) as (app, pilot, _):
        await pilot.press(opening)
        await pilot.pause()
        assert len(app.screen_stack) == 2
        await pilot.press("f12")
        await pilot.pause()
    assert backend.presses == 1


@pytest.mark.parametrize("opening", ["t", "o", "P", "a", "question_mark", "D"])
async def test_every_dialog_says_how_to_stop(opening: str) -> None:
    backend = ScriptedBackend(pictures=False)
    async with running(backend, status(state="holding"), (80, 24)) as (app, pilot, _):
        await pilot.press(opening)
        await pilot.pause()
        line = next(
            line for line in words(app).splitlines() if ESTOP_WORDS in line and "F12" in line
        )
        assert "E-STOP" in line


async def test_f12_fires_into_a_focused_text_field_and_types_nothing() -> None:
    backend = ScriptedBackend(pictures=False)
    async with running(backend, status(state="holding")) as (app, pilot, _):
        await pilot.press("t", "x", "y", "f12")
        await pilot.pause()
        field = app.screen.query_one(Input)
        assert field.has_focus and field.value == "xy"
    assert backend.presses == 1, "the x that was typed is no press"


async def test_what_is_typed_before_a_field_has_the_focus_is_text_and_no_command() -> None:
    backend = ScriptedBackend(pictures=False)
    first = status(state="holding", recording=recording_status("ready"))
    async with running(backend, first) as (app, pilot, _):
        await pilot.press("t")
        await pilot.pause()
        app.screen.query_one(Input).value = ""
        app.screen.set_focus(None)
        await pilot.press("x", "space", "y")
        await pilot.pause()
        assert app.screen.query_one(Input).value == "x y"
    assert backend.presses == 0 and backend.requests == []


async def test_bare_x_is_the_estop_where_no_text_is_typed() -> None:
    backend = ScriptedBackend(pictures=False)
    async with running(backend, status(state="holding")) as (_, pilot, _):
        await pilot.press("x")
        await pilot.press("question_mark", "x")
        await pilot.pause()
    assert backend.presses == 2


async def test_the_estop_works_while_a_request_hangs_and_the_daemon_is_lost() -> None:
    backend = ScriptedBackend(pictures=False, hold_back=threading.Event())
    async with running(backend, status(state="policy")) as (app, pilot, clock):
        await pilot.press("h")
        await until(pilot, lambda: bool(backend.requests))
        clock.at_ns += 60_000_000_000
        app.tick()
        await pilot.press("f12")
        await pilot.pause()
        assert backend.presses == 1
        assert "nobody confirms it" in words(app) and "pull the plug" in words(app)
        assert backend.hold_back is not None
        backend.hold_back.set()


async def test_escape_holds_while_another_request_hangs() -> None:
    backend = ScriptedBackend(pictures=False, hold_back=threading.Event())
    async with running(backend, status(state="policy", source="policy")) as (_, pilot, _):
        await pilot.press("u", "h", "escape")
        await until(pilot, lambda: messages.Hold() in backend.requests)
        assert backend.hold_back is not None
        backend.hold_back.set()


async def test_escape_in_a_dialog_closes_it_and_stops_what_moves_the_arm() -> None:
    backend = ScriptedBackend(pictures=False)
    async with running(backend, status(state="teleop", source="leader")) as (app, pilot, _):
        await pilot.press("t", "escape")
        await until(pilot, lambda: messages.Hold() in backend.requests)
        assert len(app.screen_stack) == 1


async def test_escape_sends_nothing_when_nothing_moves() -> None:
    backend = ScriptedBackend(pictures=False)
    async with running(backend, status(state="holding")) as (app, pilot, _):
        await pilot.press("escape", "t", "escape")
        await pilot.pause(0.1)
        assert "nothing moves the arm" in words(app)
    assert backend.requests == []


async def test_a_click_on_the_estop_presses_it() -> None:
    backend = ScriptedBackend(pictures=False)
    async with running(backend, status(state="holding"), (160, 45)) as (app, pilot, _):
        column = words(app).splitlines()[0].index("E-STOP")
        await pilot.click("#header", offset=(column, 0))
        await pilot.click("#header", offset=(10, 0))
        await pilot.pause()
    assert backend.presses == 1


async def test_leaving_sends_the_robot_nothing() -> None:
    backend = ScriptedBackend(pictures=False)
    async with running(backend, status(state="teleop", source="leader")) as (app, pilot, _):
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)
    assert backend.requests == [] and backend.presses == 0
    assert backend.closed


async def test_leaving_asks_only_while_an_episode_is_open() -> None:
    backend = ScriptedBackend(pictures=False)
    first = status(state="teleop", recording=recording_status("recording"))
    async with running(backend, first) as (app, pilot, _):
        await pilot.press("q")
        await pilot.pause()
        assert "An episode is being recorded" in words(app)
        await pilot.press("n")
        await pilot.pause()
        assert app.is_running and len(app.screen_stack) == 1
        await pilot.press("q", "enter")
        await until(pilot, lambda: not app.is_running)
    assert backend.requests == []
