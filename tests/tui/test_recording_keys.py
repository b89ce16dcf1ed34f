"""What the recording keys do, and when they are dropped."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screen_stage import running, show, until, words
from scripted_robot import ScriptedBackend, recording_status, status

from robotd import messages
from tui.recording import AskSession, Dropped, Label, Send, decide

KEYS = ("episode", "keep", "redo", "undo", "success", "fail")
PHASES = ("closed", "ready", "recording", "saving")


@given(st.sampled_from(KEYS), st.sampled_from([True, False, None]), st.text(max_size=3))
def test_while_saving_every_key_is_dropped_and_says_so(
    key: str, label: bool | None, pending: str
) -> None:
    decision = decide(key, "saving", pending, label, episodes_kept=3)
    assert isinstance(decision, Dropped) and "saved" in decision.why


@given(st.sampled_from(KEYS), st.sampled_from(PHASES))
def test_while_an_answer_is_awaited_no_key_reaches_the_next_episode(key: str, phase: str) -> None:
    assert isinstance(decide(key, phase, "saving the episode", None, 3), Dropped)


@pytest.mark.parametrize("key", ["episode", "keep"])
@pytest.mark.parametrize("label", [True, False, None])
def test_keeping_carries_the_label(key: str, label: bool | None) -> None:
    assert decide(key, "recording", "", label) == Send(
        messages.KeepEpisode(success=label), "saving the episode"
    )


def test_a_label_pressed_twice_is_taken_back() -> None:
    assert decide("success", "recording", "", None) == Label(True)
    assert decide("success", "recording", "", True) == Label(None)
    assert decide("fail", "recording", "", True) == Label(False)


def test_space_with_no_dataset_open_asks_for_one() -> None:
    assert decide("episode", "closed", "", None) == AskSession()
    assert isinstance(decide("keep", "closed", "", None), Dropped)


def test_there_is_nothing_to_undo_before_the_first_episode() -> None:
    assert isinstance(decide("undo", "ready", "", None, 0), Dropped)
    assert isinstance(decide("undo", "ready", "", None, 1), Send)
    assert isinstance(decide("undo", "recording", "", None, 1), Dropped)


async def test_an_episode_is_started_labelled_and_kept_with_three_keys() -> None:
    backend = ScriptedBackend(pictures=False)
    first = status(state="teleop", recording=recording_status("ready"))
    async with running(backend, first) as (app, pilot, _):
        await pilot.press("space")
        await until(pilot, lambda: messages.StartEpisode() in backend.requests)
        await until(pilot, lambda: not app.view.pending)
        await show(
            app,
            pilot,
            backend,
            status(state="teleop", recording=recording_status("recording")),
        )
        await pilot.press("s")
        assert "label: ✓ success" in words(app)
        await pilot.press("right")
        await until(pilot, lambda: messages.KeepEpisode(success=True) in backend.requests)


async def test_the_label_of_one_episode_does_not_reach_the_next() -> None:
    backend = ScriptedBackend(pictures=False)
    recording = status(state="teleop", recording=recording_status("recording"))
    async with running(backend, recording) as (app, pilot, _):
        await pilot.press("f")
        assert app.view.label is False
        ready = status(state="teleop", recording=recording_status("ready"))
        await show(app, pilot, backend, ready)
        assert app.view.label is None


async def test_a_key_pressed_while_saving_is_shown_as_dropped_and_sent_nowhere() -> None:
    backend = ScriptedBackend(pictures=False)
    first = status(state="holding", recording=recording_status("saving"))
    async with running(backend, first) as (app, pilot, _):
        await pilot.press("right", "space")
        assert "key dropped, an episode is being saved" in words(app)
    assert backend.requests == []


async def test_a_second_press_before_the_answer_is_dropped() -> None:
    backend = ScriptedBackend(pictures=False, hold_back=threading.Event())
    first = status(state="teleop", recording=recording_status("recording"))
    async with running(backend, first) as (app, pilot, _):
        await pilot.press("right")
        await until(pilot, lambda: bool(backend.requests))
        await pilot.press("left")
        assert "key dropped, still saving the episode" in words(app)
        assert backend.hold_back is not None
        backend.hold_back.set()
        await until(pilot, lambda: not app.view.pending)
    assert backend.requests == [messages.KeepEpisode(success=None)]


async def test_recording_keys_work_over_help_and_the_arming_list() -> None:
    backend = ScriptedBackend(pictures=False)
    first = status(state="teleop", recording=recording_status("recording"))
    async with running(backend, first) as (_, pilot, _):
        await pilot.press("question_mark", "left")
        await until(pilot, lambda: messages.DiscardEpisode() in backend.requests)


async def test_a_lost_daemon_gets_no_recording_request() -> None:
    backend = ScriptedBackend(pictures=False)
    first = status(state="teleop", recording=recording_status("recording"))
    async with running(backend, first) as (app, pilot, clock):
        clock.at_ns += 5_000_000_000
        app.tick()
        await pilot.press("space")
        assert "the daemon does not answer" in words(app)
    assert backend.requests == []
