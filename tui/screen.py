"""The record screen: where the panels stand, and how they fold on a small terminal."""

from collections.abc import Callable

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widget import Widget

from robotd.clock import NS_PER_S
from tui.actions import screen_bindings
from tui.panels import banner, episode, episodes, evidence, header, joints, keys
from tui.picture import CameraView
from tui.style import folds
from tui.view import View, age_words

PICTURE_OLD_NS = NS_PER_S

Draw = Callable[[View, int, int], Text]
Title = Callable[[View], str]


class Panel(Widget):
    """A pure drawing function on the screen; redrawn only when its text changes."""

    def __init__(self, draw: Draw, title: Title | None = None, *, id: str) -> None:
        super().__init__(id=id, classes="panel" if title else "")
        self._draw = draw
        self._title = title
        self._view: View | None = None
        self._text = Text()

    def show(self, view: View) -> None:
        """Draw a view."""
        self._view = view
        size = self.content_size
        text = self._draw(view, size.width, size.height)
        text = Text("\n").join(_cut(view, line, size.width) for line in text.split("\n"))
        if text != self._text:
            self._text = text
            self.refresh()
        if self._title is not None:
            words = _cut(view, Text(self._title(view)), max(4, size.width - 2))
            self.border_title = words.markup

    def on_resize(self, _event: events.Resize) -> None:
        if self._view is not None:
            self.show(self._view)

    def render(self) -> Text:
        return self._text


def _cut(view: View, line: Text, width: int) -> Text:
    line.truncate(width, overflow="crop" if view.look.ascii else "ellipsis")
    return line


def _set_lines(panel: Panel, lines: int) -> None:
    height = panel.styles.height
    if height is None or height.value != lines:
        panel.styles.height = lines


class Header(Panel):
    """The top line; a click on its e-stop presses it."""

    def on_click(self, event: events.Click) -> None:
        if self._view is None:
            return
        label = header.estop_label(self._view, self.size.width)
        if event.y == 0 and event.x >= self.size.width - label.cell_len:
            self.app.call_later(self.app.run_action, "app.act('estop')")


class RecordScreen(Screen[None]):
    """Everything a person looks at for an afternoon."""

    BINDINGS = screen_bindings()

    def __init__(self, view: View) -> None:
        super().__init__()
        self._view = view
        self.drawn_ns = 0
        self._header = Header(header.draw, id="header")
        self._banner = Panel(banner.draw, id="banner")
        self._episode = Panel(episode.draw, episode.title, id="episode")
        self._episodes = Panel(episodes.draw, episodes.title, id="episodes")
        self._joints = Panel(joints.draw, joints.title, id="joints")
        self._evidence = Panel(evidence.draw, evidence.title, id="evidence")
        self._note = Panel(keys.draw_note, id="note")
        self._keys = Panel(keys.draw_keys, id="keys")
        self.cameras = tuple(
            CameraView(camera, view.look, id=f"camera-{number}")
            for number, camera in enumerate(view.instance.cameras[:2], 1)
        )
        self._lower = Horizontal(self._joints, self._evidence, id="lower")
        if view.look.ascii:
            self.add_class("-plain")

    def compose(self) -> ComposeResult:
        yield self._header
        yield self._banner
        with Horizontal(id="upper"):
            with Vertical(id="left"):
                yield self._episode
                yield self._episodes
            yield from self.cameras
        yield self._lower
        yield self._note
        yield self._keys

    def on_mount(self) -> None:
        self._fold()
        self.show(self._view)

    def on_resize(self, _event: events.Resize) -> None:
        self._fold()

    def show(self, view: View) -> None:
        """Draw everything that changed."""
        self._view = view
        self.drawn_ns = view.now_ns
        width = self.size.width
        _set_lines(self._banner, banner.height(view, width))
        _set_lines(self._note, keys.note_height(view, width, 1 if folds(self.size) else 2))
        panels = (self._header, self._banner, self._episode, self._episodes, self._joints)
        for panel in (*panels, self._evidence, self._note, self._keys):
            panel.show(view)
        status = None if view.lost else view.status
        self._episode.set_class(
            status is not None and status.recording.phase == "recording", "recording"
        )
        self._joints.set_class(
            status is not None and any(joint.limited_by for joint in status.joints), "wanted"
        )
        self.show_picture_ages(view)

    def show_picture_ages(self, view: View) -> None:
        """Name and age over each picture; an old one is drawn dark."""
        for camera in self.cameras:
            self._title_camera(camera, view)

    def picture_sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of each camera picture that is on the screen."""
        return {
            camera.camera: (camera.content_size.height, camera.content_size.width)
            for camera in self.cameras
            if camera.display and camera.content_size.area
        }

    def _title_camera(self, camera: CameraView, view: View) -> None:
        stamp_ns = view.picture_ns.get(camera.camera)
        if stamp_ns is None:
            camera.border_title = camera.camera
            return
        age_ns = max(0, view.now_ns - stamp_ns)
        old = age_ns > PICTURE_OLD_NS
        camera.fade(old)
        camera.set_class(old, "wanted")
        words = age_words(age_ns / NS_PER_S)
        look = view.look
        camera.border_title = (
            f"{look.alert} {camera.camera} OLD: {words}" if old else f"{camera.camera} {words}"
        )

    def _fold(self) -> None:
        folded = folds(self.size)
        self.set_class(folded, "-folded")
        self._header.styles.height = header.height(self.size.width)
        self._lower.styles.height = self._lower_lines(folded)

    def _lower_lines(self, folded: bool) -> int:
        """Lines of the lower half: what the joints need, and what pictures of this width leave."""
        if folded:
            return 9
        needed = len(self._view.instance.joints) + 7
        pictures = round(self.size.width * 0.36 * 0.75 / 2) + 2
        spare = self.size.height - pictures - 4
        return max(needed, min(spare, needed + 6))
