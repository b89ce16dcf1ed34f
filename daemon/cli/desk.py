"""A person at the keys of `robotd record`: what the terminal shows, says and hears.

One line is rewritten while time passes (the countdown, the running episode); what happened stands
above it. Every key has its meaning here once, between two episodes and during one.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from daemon.cli.keys import Keys, edited
from daemon.cli.verdicts import Verdicts, lines_of
from robotd.client import Robot
from robotd.errors import RobotdError
from robotd.messages import (
    AnyRequest,
    KeepLast,
    LabelEpisode,
    MarkEpisode,
    RecordingStatus,
    SetTask,
    Status,
    UndoEpisode,
)
from robotd.sound import Sound

SAVE_TIMEOUT_S = 60.0
LEAD_S = 0.7
"""The leader gets the arm so long before an episode that begins by itself: the torque, which was
low for the hand in the cell, is back by then."""

BETWEEN_KEYS = "Space starts, u undoes the last, s/f/w label it, t task, q ends, x software stop"
DURING_KEYS = (
    "Space → keep, s/f keep as success/fail, ← again, Bksp discard, m mark, w note, q end, x stop"
)


class Desk:
    """The terminal of one recording session. `kept` counts what was kept and not undone."""

    def __init__(
        self, robot: Robot, keys: Keys, sound: str, verdicts: Verdicts | None = None
    ) -> None:
        self.robot = robot
        self.keys = keys
        self._sound = Sound(sound, _ring, self.say)
        self.kept = 0
        self.verdicts = verdicts or Verdicts()
        self._line = ""
        self._known: Status | None = None

    @property
    def recording(self) -> RecordingStatus:
        """The session as last published."""
        return RecordingStatus() if self._known is None else self._known.recording

    # --- the terminal -----------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Print a line for good."""
        print(f"\r\x1b[K{text}" if self._line else text, flush=True)
        self._line = ""

    def show(self, line: str) -> None:
        """Rewrite the bottom line; nothing on a pipe, which keeps only what happened."""
        if line != self._line and sys.stdout.isatty():
            print(f"\r\x1b[K{line}", end="", flush=True)
            self._line = line

    def watch(self, timeout_s: float = 0.0) -> Status | None:
        """The next published state, if one came. The sound hears of it too."""
        status = self.robot.watch(timeout_s=timeout_s)
        if status is not None:
            self._known = status
            self._sound.seen(status)
            self._tell(status.recording)
        return status

    def _tell(self, recording: RecordingStatus) -> None:
        """Say what the quality gate found by now, and which camera is not as it was."""
        for warning in self.verdicts.warnings(recording):
            self.say(f"  {warning}")
        for line in self.verdicts.news(recording):
            self.kept -= line.outcome == "held"
            for text in lines_of(line):
                self.say(text)

    def request(self, request: AnyRequest) -> dict[str, Any]:
        """Send a request. A key that was pressed before its answer reaches nothing that follows, a
        stop excepted."""
        try:
            return self.robot.request(request, timeout_s=SAVE_TIMEOUT_S)
        finally:
            late = self.keys.late()
            if "estop" in late:
                self.robot.estop()
            elif late:
                self.say(f"  key dropped ({late[0]}): the one before was not done yet")

    def ask(self, request: AnyRequest, said: Callable[[dict[str, Any]], str]) -> bool:
        """Send a request and say what became of it, or why nothing did; returns whether it did."""
        try:
            data = self.request(request)
        except RobotdError as error:
            self.say(str(error))
            return False
        self.say(f"  {said(data)}")
        return True

    def write(self, prompt: str) -> str | None:
        """A line of text from the person; None when it was given up. F12 stops the arm meanwhile."""
        line, ending = "", ""
        while not ending:
            self.show(f"  {prompt}: {line}")
            line, ending = edited(line, self.keys.typed(timeout_s=0.1))
            self.watch()
        if ending == "estop":
            self.robot.estop()
        self.say(f"  {prompt}: {line}" if ending == "done" else f"  no {prompt}")
        return line if ending == "done" else None

    # --- between two episodes ---------------------------------------------------------------------

    def between(self) -> str:
        """Wait for the next episode: "start" (a key), "soon" (it begins by itself in a moment) or
        "end" (the person wants no more)."""
        self.say(f"  {BETWEEN_KEYS}")
        while True:
            key = self.keys.read(timeout_s=0.1)
            self.watch()
            now = self.recording
            self.show(countdown(now))
            if key == "toggle":
                return "start"
            if key in ("stop", "estop"):
                if key == "estop":
                    self.robot.estop()
                return "end"
            if key is not None:
                self.remark(key)
                continue
            if now.goes_on and (now.reset_left_s or 0.0) <= LEAD_S:
                return "soon"

    def remark(self, key: str) -> None:
        """What a key says of the running episode, or of the last kept one."""
        if key == "undo":
            done = self.ask(UndoEpisode(), lambda _: "the last kept episode is out again")
            self.kept -= done
        elif key in ("success", "fail"):
            label = LabelEpisode(success=key == "success")
            self.ask(label, lambda _: f"the last kept episode is a {key} now")
        elif key == "note":
            note = self.write("note")
            if note is not None:
                self.ask(LabelEpisode(note=note), lambda _: "noted")
        elif key == "task":
            task = self.write("task of the next episode")
            if task:
                self.ask(SetTask(task=task), lambda _: "the next episode has that task")
        elif key == "keep_last":
            said = "the last {frames} frames are kept as an episode"
            self.kept += self.ask(KeepLast(), said.format_map)
        elif key == "mark":
            self.ask(MarkEpisode(), lambda data: f"subgoal {data['number']} at row {data['row']}")


def countdown(now: RecordingStatus) -> str:
    """The bottom line between two episodes."""
    kept = f"  {now.episodes_kept} of {now.episodes_wanted} kept"
    if now.held_s:
        kept += f"   b keeps the last {now.held_s:.0f} s"
    left_s = now.reset_left_s
    if left_s is None or left_s == 0.0:
        return kept
    after = "then it goes on by itself" if now.goes_on else "Space goes on"
    return f"{kept}   lay the things back: {left_s:.1f} s, {after}"


def running(now: RecordingStatus, who: str) -> str:
    """The bottom line during an episode."""
    limit = "" if now.limit_s is None else f" of {now.limit_s:g}"
    parts = [f"  REC {now.elapsed_s:.1f}{limit} s", f"{now.frames} frames", who]
    parts += [f"{now.gaps} gaps"] if now.gaps else []
    parts += [f"{now.marks} marks"] if now.marks else []
    parts += [f"takeover {now.takeovers}"] if now.takeovers else []
    return "   ".join(parts)


def _ring() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\a")
        sys.stderr.flush()


def wait_until_recording(desk: Desk, timeout_s: float) -> bool:
    """Whether the episode that was to begin by itself did."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        status = desk.watch(timeout_s=0.1)
        if status is not None and status.recording.phase == "recording":
            return True
        if status is not None and not status.recording.goes_on:
            return False
    return False
