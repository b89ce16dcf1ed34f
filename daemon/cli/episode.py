"""One episode of `robotd record`: from its start to the word on it, whoever moves the arm.

A policy's episode stays one episode when a person takes the arm and gives it back (i): the rows say
who had it. Whatever else takes the arm ends the episode, and it is set aside.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from daemon.cli.desk import SAVE_TIMEOUT_S, Desk, running
from daemon.cli.played import Waits
from robotd.errors import RobotdError
from robotd.messages import DiscardEpisode, KeepEpisode, RunPolicy, StartEpisode, Status, Teleop

_FINISH_S = 1.0
_LOST = "the arm was lost"
_DECIDED = {"keep", "redo", "discard", "stop", "success", "fail"}
_REMARKS = {"mark", "note"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one episode ended: in words, whether the session ends with it, whether it is recorded
    again at once."""

    said: str
    ends: bool = False
    lost: str = ""  # why the arm was lost, where that ended it
    again: bool = False


class Turn:
    """Whose turn it is to move the arm: the source that the session was begun with, or the person
    who took it over."""

    def __init__(
        self, desk: Desk, who: str, unrehearsed: bool, despite_probe: bool = False
    ) -> None:
        self._desk = desk
        self._who = who
        self._unrehearsed = unrehearsed
        self._despite_probe = despite_probe
        self._correcting = False
        self._waits = Waits()
        self._seen = False  # the hand-over may take until after the first published state

    @property
    def name(self) -> str:
        """Who has the arm, in a word."""
        return "you have the arm (i gives it back)" if self._correcting else self._who

    @property
    def state(self) -> str:
        """The motion state that goes with it."""
        return "policy" if self._who == "policy" and not self._correcting else "teleop"

    def intervene(self, left_s: float) -> None:
        """Take the arm from the policy with the leader, or give it back for what is left."""
        if self._who != "policy":
            self._desk.say("  nothing to take over: no policy drives (robotd record --policy …)")
            return
        back = RunPolicy(
            seconds=left_s + SAVE_TIMEOUT_S,
            unrehearsed=self._unrehearsed,
            despite_probe=self._despite_probe,
        )
        try:
            self._desk.request(back if self._correcting else Teleop(source="leader"))
        except RobotdError as error:
            self._desk.say(str(error))
            return
        self._correcting = not self._correcting
        self._seen = False
        words = "you have the arm; i gives it back" if self._correcting else "the policy has it"
        self._desk.say(f"  {words}")

    def waits(self, status: Status) -> str:
        """The line that says why the arm waits while the policy has it; empty when it does not."""
        drives = self.state == "policy" and status.state == "policy"
        return self._waits.line(status.policy.error) if drives else ""

    def lost(self, status: Status, finished: Callable[[], bool]) -> str:
        """Why the arm is nobody's any more; "keep" where a script has done its work; else empty."""
        self._seen = self._seen or status.state == self.state
        latched = status.state in ("fault", "estop")
        if not latched and not (self._seen and status.state != self.state):
            return ""
        # A script that is done gives the arm back itself, a moment before it says so.
        if status.state == "holding" and _finishes(finished):
            return "keep"
        failed = status.policy.error if status.policy.phase == "failed" else ""
        why = status.fault or status.message or failed or "taken over"
        if failed and status.policy.do and why == failed:
            why += f" {status.policy.do}"
        return f"{_LOST} ({status.state}: {why})"


def begin(desk: Desk) -> None:
    """Begin an episode, unless one began by itself at that moment. Raises RobotdError."""
    try:
        desk.request(StartEpisode())
    except RobotdError:
        status = desk.watch(timeout_s=0.5)
        if status is None or status.recording.phase != "recording":
            raise


def watch(desk: Desk, turn: Turn, finished: Callable[[], bool], limit_s: float) -> str:
    """Wait for the word on the running episode: keep, redo, discard, stop, success, fail, estop;
    or, beginning with `lost`, why the arm is gone."""
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        key = desk.keys.read(timeout_s=0.1)
        if key == "estop":
            desk.robot.estop()
            return "estop"
        if key in _DECIDED:
            return key
        if key == "toggle" or finished():
            return "keep"
        if key in _REMARKS:
            desk.remark(key)
        elif key == "intervene":
            turn.intervene(end_s - time.monotonic())
        status = desk.watch()
        if status is not None:
            if line := turn.waits(status):
                desk.say(line)
            desk.show(running(status.recording, turn.name))
            word = turn.lost(status, finished)
            if word:
                return word
    return "keep"


def end(desk: Desk, word: str, *, again: bool) -> Outcome:
    """Do what the word says. `again`: a redo begins the next episode at once. Raises RobotdError."""
    if word in ("redo", "discard", "estop") or word.startswith(_LOST):
        data = desk.request(DiscardEpisode(again=again and word == "redo"))
        why = {"redo": "once more", "discard": "discarded", "estop": "software stop"}
        lost = "" if word in ("redo", "discard") else why.get(word, word)
        journal = data.get("journal") if lost else None
        back = f"; robotd dataset recover --keep {journal} saves it" if journal else ""
        said = f"{why.get(word, word)}: set aside (kept until space is needed{back})"
        return Outcome(said, ends=bool(lost), lost=lost, again=bool(data.get("next")))
    label = {"success": True, "fail": False}.get(word)
    data = desk.request(KeepEpisode(success=label))
    if not data.get("kept", True):
        return Outcome("not kept: nothing was recorded", ends=word == "stop")
    desk.kept += 1
    return Outcome(f"kept: {data.get('frames')} frames", ends=word == "stop")


def _finishes(finished: Callable[[], bool]) -> bool:
    """Whether the source ends by itself within a moment."""
    end_s = time.monotonic() + _FINISH_S
    while time.monotonic() < end_s:
        if finished():
            return True
        time.sleep(0.02)
    return False
