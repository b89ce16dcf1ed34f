"""`robotd tui`: the app behind the record screen.

Nothing here waits: requests, states, goals and pictures each have a thread (`tui.lanes`,
`tui.picture`) and come back as messages; what the keys do stands in `tui.acts`. Closing the
app, however it closes, changes nothing on the robot."""

import gc
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from textual.app import App, SystemCommand
from textual.message import Message
from textual.screen import ModalScreen, Screen

from robotd import messages
from robotd.clock import Clock, MonotonicClock
from robotd.errors import RobotdError
from robotd.sound import Sound
from robotd.uploading import Uploads, read_uploads
from tui import crash
from tui.actions import ACTIONS, app_bindings
from tui.acts import Acts
from tui.backend import Backend, RobotBackend
from tui.lanes import GoalStream, Lane, Outcome, Watch
from tui.look import Look, choose_look
from tui.picture import Picture, Pictures
from tui.screen import RecordScreen
from tui.style import CSS, theme
from tui.uploads_line import UploadsWatch
from tui.view import Note, View, with_status

REFRESH_S = 0.1
REDRAW_NS = 150_000_000
"""States redraw the screen as they come; without one for this long, growing ages do."""

TRUE_COLOUR_BITS, FEW_COLOUR_BITS = 5, 3
"""Bits a colour in pictures: fewer where the terminal has only 256 or 16 colours anyway."""


_AT_ONCE_S = 0.001  # Textual's timers take no zero
_GC_THRESHOLD = (20_000, 20, 20)


class Came(Message):
    """Something that a thread brings to the event loop: state, picture, answer or defect."""

    def __init__(
        self,
        what: messages.Status | Picture | Outcome | Uploads | RobotdError | BaseException,
        at_ns: int,
    ) -> None:
        super().__init__()
        self.what = what
        self.at_ns = at_ns


class RecordApp(App[None]):
    """The record screen over a backend."""

    CSS = CSS
    BINDINGS = app_bindings()
    TITLE = "robotd"

    def __init__(
        self,
        backend: Backend,
        look: Look,
        clock: Clock | None = None,
        sound: str = "off",
        uploads: Callable[[], Uploads] = Uploads,
    ) -> None:
        super().__init__()
        self._uploads = uploads
        self._sound = Sound(sound, self.bell, self._no_speech, self._ring_after)
        self._backend = backend
        self._clock = clock or MonotonicClock()
        now_ns = self._clock.now_ns()
        self.view = View(backend.instance, look, now_ns=now_ns, received_ns=now_ns)
        self.defect: BaseException | None = None
        self.record_screen = RecordScreen(self.view)  # under whatever dialog is open
        self.acts = Acts(self)
        self._threads: tuple[Pictures | Watch | UploadsWatch | GoalStream | Lane, ...] = ()
        self._measured_s = (time.monotonic(), time.thread_time())
        self.register_theme(theme(look))
        self.theme = theme(look).name

    def get_default_screen(self) -> Screen[None]:
        return self.record_screen

    # --- life -------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        connect = self._backend.requester
        self._work = Lane("work", connect, self._bring, self._bring)
        self._load = Lane("load", connect, self._bring, self._bring)
        self._stop = Lane("stop", connect, self._bring, self._bring)
        self._goals = GoalStream(connect, self._bring, self._bring)
        self._watch = Watch(self._backend, self._bring, self._bring)
        true_colour = self.console.color_system == "truecolor"
        bits = TRUE_COLOUR_BITS if true_colour else FEW_COLOUR_BITS
        self._pictures = Pictures(self._backend, self.view.look, bits, self._bring, self._bring)
        self._threads = (
            self._pictures,
            self._watch,
            UploadsWatch(self._bring, self._bring, self._uploads),
            self._goals,
            self._work,
            self._load,
            self._stop,
        )
        self.set_interval(REFRESH_S, self.tick)

    def on_unmount(self) -> None:
        for thread in self._threads:
            thread.close()
        self._backend.close()

    def _bring(
        self, what: messages.Status | Picture | Outcome | Uploads | RobotdError | BaseException
    ) -> None:
        self.post_message(Came(what, self._clock.now_ns()))

    def tick(self) -> None:
        """Ten times a second: ages grow even when nothing comes."""
        self.view = replace(self.view, now_ns=self._clock.now_ns())
        screen = self.record_screen
        if self.view.now_ns - screen.drawn_ns > REDRAW_NS:
            screen.show(self.view)
        screen.show_picture_ages(self.view)
        self._pictures.want(screen.picture_sizes())
        self._measure()

    def _measure(self) -> None:
        """Once a second: pictures yield when this screen takes too much of a core."""
        wall_s, work_s = time.monotonic(), time.thread_time()
        if wall_s - self._measured_s[0] < 1.0:
            return
        share = (work_s - self._measured_s[1]) / (wall_s - self._measured_s[0])
        # Behind a dialog every change is blended anew, and typing must stay quick.
        self._pictures.adapt(1.0 if len(self.screen_stack) > 1 else share)
        self._measured_s = (wall_s, work_s)

    def on_came(self, message: Came) -> None:
        """Sort what a thread brought."""
        match message.what:
            case messages.Status() as status:
                self.view = with_status(self.view, status, message.at_ns)
                self._sound.seen(status)
                self.acts.seen(status)
                self.record_screen.show(self.view)
            case Picture() as picture:
                self._show_picture(picture)
            case Uploads() as uploads:
                self.change(uploads=uploads)
            case Outcome() as outcome:
                self.acts.ended(outcome)
            case RobotdError() as error:
                self.acts.turn.refused(error)
            case Exception() as defect:
                raise defect

    def _show_picture(self, picture: Picture) -> None:
        stamps = {**self.view.picture_ns, picture.camera: picture.stamp_ns}
        self.view = replace(self.view, picture_ns=stamps)
        for widget in self.record_screen.cameras:
            if widget.camera == picture.camera:
                widget.show(picture)

    def _handle_exception(self, error: Exception) -> None:
        # Textual prints a page of locals over the terminal; here the page goes to a file.
        self.defect = self.defect or error
        super()._handle_exception(error)
        self._exit_renderables.clear()

    # --- actions ----------------------------------------------------------------------------------

    def action_act(self, name: str) -> None:
        """Carry out an action of the registry."""
        getattr(self.acts, name)()

    def action_jog_number(self, number: int) -> None:
        """Choose joint 1 to 6."""
        self.acts.jog_number(number)

    async def action_quit(self) -> None:
        """Ctrl+Q means q."""
        self.acts.quit()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette: the registry, each action once."""
        seen: set[str] = set()
        for action in ACTIONS:
            if action.name in seen or action.name in ("command_palette", "jog_number"):
                continue
            seen.add(action.name)
            run = getattr(self.acts, action.name)
            yield SystemCommand(f"{action.label} ({action.shown})", action.help, run)

    # --- the desk of the acts -----------------------------------------------------------------

    def send(self, doing: str, request: messages.AnyRequest, timeout_s: float = 5.0) -> bool:
        return self._work.submit(doing, request, timeout_s)

    def send_stop(self, doing: str, request: messages.AnyRequest) -> bool:
        return self._stop.submit(doing, request)

    def send_load(self, doing: str, request: messages.AnyRequest, timeout_s: float) -> bool:
        return self._load.submit(doing, request, timeout_s)

    def press_estop(self) -> int:
        return self._backend.estop()

    def stream(self, goal: messages.Goal | None) -> None:
        self._goals.show(goal)

    def note(self, text: str, level: str = "info", do: str = "", likely: str = "") -> None:
        self.change(note=Note(text, level, self._clock.now_ns(), do, likely))

    def refuse(self, error: RobotdError) -> None:
        self.note(error.what, "bad", error.do, error.likely)

    def later(self, delay_s: float, run: Callable[[], None]) -> None:
        self.set_timer(delay_s, run)

    def change(self, **parts: Any) -> None:
        self.view = replace(self.view, now_ns=self._clock.now_ns(), **parts)
        self.record_screen.show(self.view)

    def open[Result](
        self, dialog: ModalScreen[Result], answered: Callable[[Result | None], None] | None = None
    ) -> None:
        self.push_screen(dialog, answered)

    def _ring_after(self, delay_s: float, ring: Callable[[], None]) -> None:
        self.later(max(delay_s, _AT_ONCE_S), ring)

    def _no_speech(self, why: str) -> None:
        self.call_later(self.note, why, "warn")

    def leave(self) -> None:
        self.exit()

    def palette(self) -> None:
        self.action_command_palette()


def main(name: str | None = None, plain: bool = False, sound: str = "off") -> None:
    """Show the robot called `name` (or the only one) until the person leaves.

    Raises DaemonError when there is no such robot, and ScreenCrashError, after writing a report,
    when the screen itself broke; the terminal is restored first in every case.
    """
    app = RecordApp(RobotBackend(name), choose_look(plain), sound=sound, uploads=read_uploads)
    # A full collection over everything that is imported stops all threads for 0.4 s, goals and
    # states included: what is there at the start is kept out of it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLD)
    app.run()
    if app.defect is not None:
        context = f"robot {app.view.instance.name}, simulated {app.view.simulated}"
        raise crash.crashed(app.defect, crash.write_report(app.defect, context)) from app.defect
