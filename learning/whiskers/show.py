"""Where whiskers are looked at: a terminal with keys, a film, or both. Moments come in, nothing goes back."""

import contextlib
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from learning.whiskers.legend import explain
from sim.model.scene import ArmPlacement, SceneKind
from sim.view.compose import compose, state_words
from sim.view.history import KEYS, History
from sim.view.seen import Seen
from sim.view.terminal import Canvas
from sim.view.twin import TwinPicture
from sim.view.video import Mp4Writer

_PAUSE_S = 0.05


class LeftError(Exception):
    """The person has seen enough."""


class Show:
    """Takes the moments of a run. Use as a context manager: it holds a terminal, a file and GL objects.

    `video` None: no film; `kind`: whose objects stand there. On a terminal the keys of `sim.view.history` work while
    the run goes on: a stopped picture stops the run too, which is in nobody's time. With neither it draws nothing.
    """

    def __init__(
        self,
        arms: tuple[ArmPlacement, ...],
        *,
        video: Path | None,
        terminal: bool,
        kind: SceneKind | None,
        pretty: bool,
        fps: float,
    ) -> None:
        self.pictures = 0
        self._history: History[Seen] = History()
        self._stack = contextlib.ExitStack()
        self._twin: TwinPicture | None = None
        self._canvas: Canvas | None = None
        self._film: Mp4Writer | None = None
        self._every_s = 1.0 / fps
        if video is None and not terminal:
            return
        self._twin = TwinPicture(
            arms, objects=kind is not None, pretty=pretty, kind=kind or "place"
        )
        self._stack.callback(self._twin.close)
        if video is not None:
            self._film = self._stack.enter_context(Mp4Writer(video))
        if terminal:
            self._canvas = self._stack.enter_context(Canvas())

    def __call__(self, seen: Seen) -> None:
        """One more moment. Raises LeftError when the person leaves."""
        if self._twin is None:
            return
        self._history.add(seen)
        if self._film is not None:
            twin, cameras, caption = seen.drawn(self._twin)
            twin = np.array(twin)
            explain(twin, seen.lines)
            self._film.add(compose(twin, cameras, caption), self.pictures * self._every_s)
        self.pictures += 1
        if self._canvas is not None:
            self._look(self._canvas)
            while self._history.back is not None:
                self._look(self._canvas, _PAUSE_S)

    def stay(self) -> None:
        """The run is over: look on until the person leaves. Raises LeftError then."""
        while self._canvas is not None:
            self._look(self._canvas, _PAUSE_S)

    def _look(self, canvas: Canvas, wait_s: float = 0.0) -> None:
        seen = self._history.shown
        if seen is None or self._twin is None:
            return
        twin, cameras, caption = seen.drawn(self._twin)
        back = self._history.back
        when = "" if back is None else f"PAUSED, {back} moments ago   "
        words = f"{when}{state_words(caption)}   {caption.note}"
        canvas.show(compose(twin, cameras, caption, captions=False), words, KEYS)
        while key := canvas.pressed(wait_s):
            wait_s = 0.0
            if not self._history.press(key) and key in ("q", "Q", "\x1b"):
                raise LeftError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


def on_terminal() -> bool:
    """Whether there is a terminal with a keyboard to show it in."""
    return sys.stdout.isatty() and sys.stdin.isatty()
