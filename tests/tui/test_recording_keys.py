"""What the recording keys do, and when they are dropped."""

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screen_stage import running, show, until, words
from scripted_robot import ScriptedBackend, StillClock, recording_status, status

from robotd import messages
from robotd.messages import DiscardEpisode, KeepEpisode, LabelEpisode, MarkEpisode, RecordingStatus
from tui import pace
from tui.app import RecordApp
from tui.look import RICH
from tui.recording import AskSession, Dropped, Send, decide

KEYS = (
    "episode",
    "keep",
    "redo",
    "discard",
    "undo",
    "success",
    "fail",
    "mark",
    "note",
    "keep_last",
)
PHASES = ("closed", "ready", "recording", "saving")


def now(phase: str, kept: int = 3, **changes: Any) -> RecordingStatus:
    return recording_status(phase, episodes_kept=kept, **changes)


@given(st.sampled_from(KEYS), st.text(max_size=3))
def test_while_saving_every_key_is_dropped_and_says_so(key: str, pending: str) -> None:
    decision = decide(key, now("saving"), pending)
    assert isinstance(decision, Dropped) and "saved" in decision.why


@given(st.sampled_from(KEYS), st.sampled_from(PHASES))
def test_while_an_answer_is_awaited_no_key_reaches_the_next_episode(key: str, phase: str) -> None:
    assert isinstance(decide(key, now(phase), "saving the episode"), Dropped)


@pytest.mark.parametrize(
    ("key", "request_"),
    [
        ("episode", KeepEpisode()),
        ("keep", KeepEpisode()),
        ("success", KeepEpisode(success=True)),
        ("fail", KeepEpisode(success=False)),
        ("redo", DiscardEpisode(again=True)),
        ("discard", DiscardEpisode()),
        ("mark", MarkEpisode()),
    ],
)
def test_one_key_ends_or_marks_the_open_episode(key: str, request_: messages.AnyRequest) -> None:
    decision = decide(key, now("recording"), "")
    assert isinstance(decision, Send) and decision.request == request_


def test_between_two_episodes_a_label_is_the_last_kept_ones() -> None:
    for key, success in (("success", True), ("fail", False)):
        decision = decide(key, now("ready"), "")
        assert isinstance(decision, Send) and decision.request == LabelEpisode(success=success)
        assert isinstance(decide(key, now("ready", kept=0), ""), Dropped)
    for key in ("keep", "redo", "discard", "mark"):
        assert isinstance(decide(key, now("ready"), ""), Dropped)
    past = decide("keep_last", now("ready", kept=0), "")
    assert isinstance(past, Send) and past.request == messages.KeepLast()
    assert isinstance(decide("keep_last", now("recording"), ""), Dropped)


def test_a_space_that_was_meant_to_begin_an_episode_does_not_end_one_that_began_by_itself() -> None:
    just, auto = {"elapsed_s": 0.3}, {"auto": True}
    assert isinstance(decide("episode", now("recording", **just, **auto), ""), Dropped)
    assert isinstance(decide("episode", now("recording", **just), ""), Send)
    assert isinstance(decide("keep", now("recording", **just, **auto), ""), Send)


def test_space_with_no_dataset_open_asks_for_one() -> None:
    assert decide("episode", now("closed"), "") == AskSession()
    assert isinstance(decide("keep", now("closed"), ""), Dropped)


def test_there_is_nothing_to_undo_before_the_first_episode() -> None:
    assert isinstance(decide("undo", now("ready", kept=0), ""), Dropped)
    assert isinstance(decide("undo", now("ready", kept=1), ""), Send)
    assert isinstance(decide("undo", now("recording", kept=1), ""), Dropped)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", pace.Pace()),
        ("10 5 auto", pace.Pace(10.0, 5.0, True)),
        ("auto, 12s 0", pace.Pace(12.0, 0.0, True)),
        ("20", pace.Pace(20.0)),
        ("keep 30 auto", pace.Pace(None, None, True, 30.0)),
        ("10 keep 20s", pace.Pace(10.0, None, False, 20.0)),
        *((text, None) for text in ("0 5", "1 2 3", "ten", "-1", "nan", "auto auto", "inf")),
        *((text, None) for text in ("keep", "keep auto", "10 keep", "keep 1 keep 2")),
    ],
)
def test_a_pace_is_two_times_and_a_word(text: str, wanted: pace.Pace | None) -> None:
    assert pace.parse(text) == wanted


async def test_an_episode_is_started_marked_and_kept_as_a_success_with_three_keys() -> None:
    backend = ScriptedBackend(pictures=False)
    backend.answers[MarkEpisode] = {"row": 131, "number": 2}
    first = status(state="teleop", recording=now("ready"))
    async with running(backend, first) as (app, pilot, _):
        await pilot.press("space")
        await until(pilot, lambda: messages.StartEpisode() in backend.requests)
        await until(pilot, lambda: not app.view.pending)
        recording = status(state="teleop", recording=now("recording", marks=2, takeovers=1))
        await show(app, pilot, backend, recording)
        await pilot.press("m")
        await until(pilot, lambda: "subgoal 2 at row 131" in words(app))
        assert "2 marks   1 takeovers" in words(app)
        await pilot.press("s")
        await until(pilot, lambda: KeepEpisode(success=True) in backend.requests)


async def test_a_note_is_written_over_the_open_episode_and_its_letters_are_no_keys() -> None:
    backend = ScriptedBackend(pictures=False)
    first = status(state="teleop", recording=now("recording", said="slow"))
    async with running(backend, first) as (_, pilot, _):
        await pilot.press("w")
        await pilot.press("end", *"er/x")
        await pilot.press("ü", "好", "enter")
        await until(pilot, lambda: backend.requests == [LabelEpisode(note="slower/xü好")])
    assert backend.presses == 0


async def test_the_countdown_is_shown_with_what_follows_it() -> None:
    backend = ScriptedBackend(pictures=False)
    first = status(state="teleop", recording=now("ready", reset_left_s=3.4, goes_on=True))
    for size in ((160, 45), (80, 24)):
        async with running(backend, first, size=size) as (app, _, _):
            assert "reset 3.4 s   then it goes on by itself" in words(app)


async def test_a_person_takes_the_arm_from_the_policy_and_gives_it_back_with_one_key() -> None:
    backend = ScriptedBackend(pictures=False)
    policy = {"policy": messages.PolicyStatus(phase="running"), "simulated": False}
    episode = {"recording": now("recording")}
    async with running(backend, status(state="policy", source="policy", **policy, **episode)) as (
        app,
        pilot,
        _,
    ):
        assert "take over" in words(app)
        await pilot.press("i")
        await until(pilot, lambda: backend.requests == [messages.Teleop(source="leader")])
        policy["policy"] = messages.PolicyStatus(phase="ready", rehearsed=True)
        correcting = status(state="teleop", source="correction", **policy, **episode)
        await show(app, pilot, backend, correcting)
        await pilot.press("i")
        await until(pilot, lambda: messages.RunPolicy() in backend.requests)
        no_leader = {"leader_ready": None, **policy, **episode}
        driving = status(state="policy", source="policy", **no_leader)
        await show(app, pilot, backend, driving)
        await pilot.press("i")
        await until(pilot, lambda: backend.requests[-1] == messages.Teleop(source="keyboard"))


async def test_the_bell_of_the_persons_own_terminal_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[int] = []
    monkeypatch.setattr(RecordApp, "bell", lambda _: rung.append(1))
    backend = ScriptedBackend(pictures=False)
    app = RecordApp(backend, RICH, StillClock(), sound="bell")
    async with app.run_test(size=(160, 45)) as pilot:
        await show(app, pilot, backend, status(state="teleop", recording=now("ready")))
        await show(app, pilot, backend, status(state="teleop", recording=now("recording")))
        await until(pilot, lambda: len(rung) == 1)


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
    assert backend.requests == [KeepEpisode(success=None)]


async def test_recording_keys_work_over_help_and_the_arming_list() -> None:
    backend = ScriptedBackend(pictures=False)
    first = status(state="teleop", recording=recording_status("recording"))
    async with running(backend, first) as (_, pilot, _):
        await pilot.press("question_mark", "left")
        await until(pilot, lambda: DiscardEpisode(again=True) in backend.requests)


async def test_a_lost_daemon_gets_no_recording_request() -> None:
    backend = ScriptedBackend(pictures=False)
    first = status(state="teleop", recording=recording_status("recording"))
    async with running(backend, first) as (app, pilot, clock):
        clock.at_ns += 5_000_000_000
        app.tick()
        await pilot.press("space")
        assert "the daemon does not answer" in words(app)
    assert backend.requests == []
