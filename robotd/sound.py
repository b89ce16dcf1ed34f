"""What a person hears while recording: start, the last three seconds, kept, discarded, fault.

It sounds where the person is, at the client: the bell is a character of the terminal's own, so it
comes through SSH; speech is a program of this machine, in a process of its own. Nothing here waits,
and nothing here reaches the robot. `cues` is pure.
"""

import math
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from robotd.status import RecordingStatus, Status

MODES = ("off", "bell", "speech")
_LAST_S = 3
_BELL_APART_S = 0.18  # closer together many terminals make one of two
_LATCHED = ("fault", "estop")
_SPEAKERS = (("spd-say",), ("espeak-ng",), ("espeak",), ("say",))


@dataclass(frozen=True, slots=True)
class Cue:
    """One thing to hear: so many bells, or these words."""

    bells: int
    words: str
    urgent: bool = False


_ENDED = {
    "success": Cue(2, "kept"),
    "fail": Cue(2, "kept as failed"),
    "kept": Cue(2, "kept"),
    "discarded": Cue(3, "discarded"),
    "interrupted": Cue(5, "interrupted", urgent=True),
}


def cues(before: Status | None, now: Status) -> list[Cue]:
    """What is to be heard when the state `now` follows `before`."""
    if before is None:
        return []
    heard = []
    if now.state in _LATCHED and before.state not in _LATCHED:
        heard.append(Cue(5, "fault" if now.state == "fault" else "stopped", urgent=True))
    was, here = before.recording, now.recording
    ended = _ended(was, here)
    if ended is not None:
        heard.append(ended)
    begun = here.phase == "recording" and (was.phase != "recording" or here.frames < was.frames)
    if begun or (here.phase == "recording" and ended is not None):
        heard.append(Cue(1, f"episode {here.episodes_kept + 1}"))
    left = _seconds_left(here)
    if left is not None and 1 <= left <= _LAST_S and left != _seconds_left(was):
        heard.append(Cue(1, str(left)))
    return heard


def _ended(was: RecordingStatus, here: RecordingStatus) -> Cue | None:
    """How the newest episode ended, where that is news."""
    if not here.episodes or was.phase == "closed":
        return None
    newest = here.episodes[-1]
    known = was.episodes[-1].index if was.episodes else -1
    return _ENDED.get(newest.outcome) if newest.index > known else None


def _seconds_left(recording: RecordingStatus) -> int | None:
    """Whole seconds, rounded up, until the episode has its length or the next one begins."""
    if recording.phase == "recording" and recording.limit_s is not None:
        return math.ceil(recording.limit_s - recording.elapsed_s)
    if recording.goes_on and recording.reset_left_s is not None:
        return math.ceil(recording.reset_left_s)
    return None


def later(delay_s: float, run: Callable[[], None]) -> None:
    """Call `run` in a thread of its own after a while; a program that ends does not wait for it."""
    timer = threading.Timer(delay_s, run)
    timer.daemon = True
    timer.start()


class Sound:
    """Plays the cues of the states it is shown.

    `ring` sounds the terminal's bell once and `after` calls something later; `complain` is told, at
    most once, why speech became bells.
    """

    def __init__(
        self,
        mode: str,
        ring: Callable[[], None],
        complain: Callable[[str], None],
        after: Callable[[float, Callable[[], None]], None] = later,
    ) -> None:
        self.mode = mode
        self._ring = ring
        self._complain = complain
        self._after = after
        self._before: Status | None = None
        self._speaker: Sequence[str] | None = None
        self._speaking: subprocess.Popen[bytes] | None = None
        if mode == "speech":
            found = (shutil.which(name) for name, *_ in _SPEAKERS)
            path = next((each for each in found if each), None)
            if path is None:
                self._ring_instead("no program that speaks was found (spd-say, espeak-ng, say)")
            else:
                self._speaker = (path,)

    def seen(self, status: Status) -> None:
        """A state came: play what it brings."""
        heard = [] if self.mode == "off" else cues(self._before, status)
        self._before = status
        if not heard:
            return
        if self._speaker is not None:
            self._speak(heard)
        if self.mode == "bell":
            for place in range(max(cue.bells for cue in heard)):
                self._after(place * _BELL_APART_S, self._ring)

    def _speak(self, heard: Sequence[Cue]) -> None:
        """Say it in a child process; one that still speaks is only cut short for what is urgent."""
        assert self._speaker is not None
        if self._speaking is not None:
            ended = self._speaking.poll()
            if ended is None and not any(cue.urgent for cue in heard):
                return
            if ended is None:
                self._speaking.terminate()
            elif ended > 0:
                self._ring_instead(f"{self._speaker[0]} ended with exit code {ended}")
                return
        words = ", ".join(cue.words for cue in heard)
        try:
            self._speaking = subprocess.Popen(
                [*self._speaker, words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            self._ring_instead(f"{self._speaker[0]} does not start: {error.strerror}")

    def _ring_instead(self, why: str) -> None:
        self.mode, self._speaker = "bell", None
        self._complain(f"{why}: the bell rings instead")
