"""The keys of `robotd record`, in a real terminal, against a robot that answers as a test says."""

import argparse
import os
import pty
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest

from daemon.cli import record
from daemon.cli.desk import Desk
from daemon.cli.episode import Turn, end, watch
from daemon.cli.keys import Keys, edited, split_keys
from daemon.cli.verdicts import Verdicts
from robotd import messages
from robotd.client import Robot
from robotd.errors import RobotdError, StateError
from robotd.messages import (
    AnyRequest,
    DiscardEpisode,
    KeepEpisode,
    LabelEpisode,
    MarkEpisode,
    RecordingStatus,
    RunPolicy,
    StartEpisode,
    Status,
    Teleop,
    UndoEpisode,
)

from .test_typed import status as plain_status


class Recorded:
    """A robot whose session follows what it is asked."""

    def __init__(self) -> None:
        self.requests: list[AnyRequest] = []
        self.answers: dict[type, dict[str, Any] | RobotdError] = {}
        self.recording = RecordingStatus(phase="ready", dataset="t/a", episodes_wanted=3)
        self.state = "holding"
        self.presses = 0
        self.instance = messages.Instance(
            name="t",
            pid=1,
            boot_id="b",
            simulated=False,
            joints=(),
            cameras=(),
            tick_hz=120,
            fps=15,
        )
        self.slow = threading.Event()
        self.slow.set()

    def request(self, request: AnyRequest, timeout_s: float | None = None) -> dict[str, Any]:
        self.requests.append(request)
        self.slow.wait(10)
        answer = self.answers.get(type(request), {})
        if isinstance(answer, RobotdError):
            raise answer
        match request:
            case StartEpisode():
                self._is("recording")
            case KeepEpisode():
                kept = self.recording.episodes_kept + 1
                self._is("ready", episodes_kept=kept)
            case DiscardEpisode():
                self._is("recording" if answer.get("next") else "ready")
            case Teleop():
                self.state = "teleop"
            case RunPolicy():
                self.state = "policy"
            case messages.Hold():
                self.state = "holding"
        return answer

    def _is(self, phase: str, **changes: Any) -> None:
        self.recording = msgspec.structs.replace(self.recording, phase=phase, **changes)

    def watch(self, timeout_s: float) -> Status:
        time.sleep(0.001)
        status: Status = plain_status(self.state, time.monotonic_ns())
        return msgspec.structs.replace(status, recording=self.recording)

    def estop(self) -> int:
        self.presses += 1
        return self.presses

    def asked(self, kind: type) -> list[Any]:
        return [each for each in self.requests if isinstance(each, kind)]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal on stdin; its other end."""
    outer, inner = pty.openpty()
    stdin = os.fdopen(inner)
    monkeypatch.setattr(sys, "stdin", stdin)
    yield outer
    stdin.close()
    os.close(outer)


def typed(terminal: int, *keys: str, apart_s: float = 0.25) -> threading.Thread:
    """Press the keys one after another, as a person would."""

    def work() -> None:
        for key in keys:
            time.sleep(apart_s)
            os.write(terminal, key.encode())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def options(**changes: Any) -> argparse.Namespace:
    values = {
        "episodes": 3,
        "episode_seconds": 30.0,
        "unrehearsed": False,
        "despite_probe": False,
        "sound": "off",
        "reset_seconds": None,
    }
    return argparse.Namespace(**(values | changes))


def session(robot: Recorded, who: str = "leader", **changes: Any) -> str:
    return record._record(cast(Robot, robot), options(**changes), who, Verdicts())


def test_every_key_of_a_session_does_what_the_line_says(terminal: int) -> None:
    robot = Recorded()
    robot.answers[MarkEpisode] = {"row": 7, "number": 1}
    robot.answers[DiscardEpisode] = {"next": "another"}
    thread = typed(
        terminal, " ", "m", "r", "s", "f", "u", " ", "n", " ", "\x1b[C", " ", "f", apart_s=0.4
    )
    assert session(robot) == ""
    thread.join()
    assert [type(each) for each in robot.requests if not isinstance(each, messages.Hold)] == [
        *(Teleop, StartEpisode, MarkEpisode, DiscardEpisode, KeepEpisode),
        *(LabelEpisode, UndoEpisode),
        *(Teleop, StartEpisode, KeepEpisode),
        *(Teleop, StartEpisode, KeepEpisode),
        *(Teleop, StartEpisode, KeepEpisode),
    ]
    assert robot.asked(DiscardEpisode) == [DiscardEpisode(again=True)]
    assert [each.success for each in robot.asked(KeepEpisode)] == [True, None, None, False]
    assert robot.asked(LabelEpisode) == [LabelEpisode(success=False)]


def test_a_good_episode_of_an_automatic_session_takes_one_key(terminal: int) -> None:
    robot = Recorded()
    began = threading.Event()

    def count_down() -> None:
        """The daemon's part: two countdowns, then an episode that begins by itself."""
        for kept in (1, 2):
            while robot.recording.episodes_kept < kept:
                time.sleep(0.005)
            for left_s in (1.0, 0.5, 0.0):
                robot._is("ready", goes_on=True, reset_left_s=left_s)
                time.sleep(0.2)
            while robot.state != "teleop":
                time.sleep(0.005)
            robot._is("recording", goes_on=False, reset_left_s=None)
        began.set()

    daemon = threading.Thread(target=count_down, daemon=True)
    daemon.start()
    thread = typed(terminal, " ", "n", apart_s=0.3)

    def keep_on() -> None:
        time.sleep(1.6)
        os.write(terminal, b"s")
        began.wait(10)
        time.sleep(0.5)
        os.write(terminal, b"s")

    more = threading.Thread(target=keep_on, daemon=True)
    more.start()
    assert session(robot) == ""
    for each in (thread, more, daemon):
        each.join()
    assert len(robot.asked(StartEpisode)) == 1  # the others began by themselves
    assert len(robot.asked(KeepEpisode)) == 3
    assert len(robot.asked(Teleop)) == 3


def test_a_person_takes_the_arm_from_a_policy_and_gives_it_back_in_one_episode(
    terminal: int,
) -> None:
    robot = Recorded()
    robot.state = "policy"
    with Keys() as keys:
        desk = Desk(cast(Robot, robot), keys, "off")
        turn = Turn(desk, "policy", unrehearsed=False)
        thread = typed(terminal, "i", "i", "\x1b[D")
        word = watch(desk, turn, lambda: False, limit_s=20.0)
        thread.join()
        assert word == "redo"
        assert [type(each) for each in robot.requests] == [Teleop, RunPolicy]
        assert robot.asked(RunPolicy)[0].seconds < 80.0
        robot.answers[Teleop] = StateError("This robot has no leader arm.", "None.", "Add one.")
        thread = typed(terminal, "i", "q")
        assert watch(desk, turn, lambda: False, limit_s=20.0) == "stop"  # the policy drove on
        thread.join()


def test_a_policys_session_lists_its_keys_and_ends_with_what_was_wanted(
    terminal: int, capsys: pytest.CaptureFixture[str]
) -> None:
    robot = Recorded()
    thread = typed(terminal, "i", "m", "s", apart_s=0.4)
    robot.answers[MarkEpisode] = {"row": 9, "number": 1}
    assert session(robot, "policy", episodes=1) == ""
    thread.join()
    asked = [type(each) for each in robot.requests]
    wanted = [RunPolicy, StartEpisode, Teleop, MarkEpisode, messages.Hold, KeepEpisode]
    assert asked == wanted
    said = capsys.readouterr().out
    assert "i takes over" in said and "you have the arm" in said and "kept" in said


def test_whatever_else_takes_the_arm_ends_the_episode_and_sets_it_aside(terminal: int) -> None:
    robot = Recorded()
    robot.state = "policy"
    robot.answers[DiscardEpisode] = {"journal": "7f", "frames": 9}
    with Keys() as keys:
        desk = Desk(cast(Robot, robot), keys, "off")

        def take() -> None:
            time.sleep(0.5)
            robot.state = "fault"

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        word = watch(desk, Turn(desk, "policy", False), lambda: False, limit_s=20.0)
        thread.join()
        outcome = end(desk, word, again=True)
    assert outcome.ends and "fault" in outcome.lost
    assert "robotd dataset recover --keep 7f saves it" in outcome.said
    assert robot.asked(DiscardEpisode) == [DiscardEpisode(again=False)]


def test_a_policy_that_failed_is_why_the_arm_was_lost(terminal: int) -> None:
    """It used to be `taken over`, and who had killed it was for the person to find out."""
    turn = Turn(cast(Desk, None), "policy", False)
    failed = messages.PolicyStatus(phase="failed", error="The policy process ended.", do="Look.")
    assert turn.lost(plain_status("policy", 1), lambda: False) == ""
    gone = msgspec.structs.replace(plain_status("holding", 2), policy=failed)
    why = turn.lost(gone, lambda: False)
    assert why == "the arm was lost (holding: The policy process ended. Look.)"


def test_a_note_is_typed_in_any_language_and_its_letters_are_no_keys(terminal: int) -> None:
    robot = Recorded()
    with Keys() as keys:
        desk = Desk(cast(Robot, robot), keys, "off")
        thread = typed(terminal, "w", "ruhig/x 好", "\x7f🥣\n", "q")
        assert desk.between() == "end"
        thread.join()
    assert robot.requests == [LabelEpisode(note="ruhig/x 🥣")]
    assert robot.presses == 0


def test_f12_stops_while_a_note_is_typed_and_while_an_answer_is_awaited(terminal: int) -> None:
    robot = Recorded()
    with Keys() as keys:
        desk = Desk(cast(Robot, robot), keys, "off")
        thread = typed(terminal, "w", "a", "\x1b[24~", "q")
        assert desk.between() == "end"
        thread.join()
        assert robot.presses == 1 and robot.requests == []
        robot.slow.clear()
        thread = typed(terminal, "n", "x")
        threading.Timer(1.0, robot.slow.set).start()
        desk.request(KeepEpisode())
        thread.join()
        assert robot.presses == 2
        assert keys.read(timeout_s=0.0) is None  # the n is dropped, not kept for the next episode


def test_backspace_is_discard_and_b_i_m_t_w_have_their_names() -> None:
    names = split_keys("\x7fbimtw")
    assert names == ["discard", "keep_last", "intervene", "mark", "task", "note"]


@pytest.mark.parametrize(
    ("text", "line", "ending"),
    [
        ("abc\n", "abc", "done"),
        ("ab\x7fc\x1b[D", "ac", ""),
        ("ab\x1b", "ab", "given up"),
        ("ab\x1b[24~cd\n", "ab", "estop"),
    ],
)
def test_a_line_is_edited_as_in_any_terminal(text: str, line: str, ending: str) -> None:
    assert edited("", text) == (line, ending)
