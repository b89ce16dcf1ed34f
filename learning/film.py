"""The demo's film: the running robot as a picture in the terminal, and the same as demo.mp4.

A thread of its own with a connection of its own; it only looks. Pictures that come late are left
out: the film must not take the processor from the loop it shows.
"""

import contextlib
import sys
import time
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

from robotd.client import Robot
from robotd.errors import RobotdError
from robotd.messages import Status
from sim.view.compose import compose, state_words
from sim.view.live import LiveView
from sim.view.terminal import Canvas
from sim.view.video import Mp4Writer

PICTURES_HZ = 8.0


class Film:
    """Use as a context manager around what is to be filmed; set `caption` as it goes on."""

    def __init__(self, robot: Robot, path: Path, to_terminal: bool) -> None:
        self.caption = ""
        self.on_screen = to_terminal and sys.stdout.isatty()
        self.error: RobotdError | None = None
        self._instance = robot.instance
        self._path = path
        self._stop = Event()
        self._thread = Thread(target=self._work, name="film")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            with Robot(self._instance) as robot, contextlib.ExitStack() as stack:
                view = LiveView(robot.runtime, robot.instance)
                stack.callback(view.close)
                video = stack.enter_context(Mp4Writer(self._path))
                canvas = stack.enter_context(Canvas()) if self.on_screen else None
                self._roll(robot, view, video, canvas)
        except RobotdError as error:
            # Without GL there is no film; the demo itself goes on and says so at its end.
            self.error = error
            self.on_screen = False

    def _roll(self, robot: Robot, view: LiveView, video: Mp4Writer, canvas: Canvas | None) -> None:
        status: Status | None = None
        while not self._stop.is_set():
            at_s = time.monotonic()
            status = robot.watch(timeout_s=0.0) or status
            twin, cameras, words = view.parts(status)
            video.add(compose(twin, cameras, words), at_s)
            if canvas is not None:
                bare = compose(twin, cameras, words, captions=False)
                canvas.show(bare, state_words(words), self.caption)
            took_s = time.monotonic() - at_s
            self._stop.wait(max(1.0 / PICTURES_HZ - took_s, took_s))
