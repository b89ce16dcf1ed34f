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
from tui.view import View, age_words

FOLD_COLUMNS, FOLD_LINES = 116, 30
"""Below either, the screen folds: one camera, bars for joints, the newest episodes."""

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
        text = Text("\n").join(_cut(line, size.width) for line in text.split("\n"))
        if text != self._text:
            self._text = text
            self.refresh()
        if self._title is not None:
            words = Text(self._title(view))
            words.truncate(max(4, size.width - 2), overflow="ellipsis")
            self.border_title = words.markup

    def on_resize(self, _event: events.Resize) -> None:
        if self._view is not None:
            self.show(self._view)

    def render(self) -> Text:
        return self._text


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line


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
        self._standing = False
        self._cameras = tuple(view.instance.cameras[:2])
        if view.look.ascii:
            self.add_class("-plain")

    def compose(self) -> ComposeResult:
        yield Header(header.draw, id="header")
        yield Panel(banner.draw, id="banner")
        with Horizontal(id="upper"):
            with Vertical(id="left"):
                yield Panel(episode.draw, episode.title, id="episode")
                yield Panel(episodes.draw, episodes.title, id="episodes")
            for number, camera in enumerate(self._cameras, 1):
                yield CameraView(camera, self._view.look, id=f"camera-{number}")
        with Horizontal(id="lower"):
            yield Panel(joints.draw, joints.title, id="joints")
            yield Panel(evidence.draw, evidence.title, id="evidence")
        yield Panel(keys.draw_note, id="note")
        yield Panel(keys.draw_keys, id="keys")

    def on_mount(self) -> None:
        self._standing = True
        self._fold()
        self.show(self._view)

    def on_resize(self, _event: events.Resize) -> None:
        if self._standing:
            self._fold()

    def show(self, view: View) -> None:
        """Draw everything that changed."""
        self._view = view
        if not self._standing:
            return
        lines = banner.height(view)
        strip = self.query_one("#banner", Panel)
        if strip.styles.height is None or strip.styles.height.value != lines:
            strip.styles.height = lines
        for panel in self.query(Panel):
            panel.show(view)
        recording = view.status is not None and view.status.recording.phase == "recording"
        self.query_one("#episode").set_class(recording and not view.lost, "recording")
        limited = view.status is not None and any(j.limited_by for j in view.status.joints)
        self.query_one("#joints").set_class(limited and not view.lost, "wanted")
        for camera in self.query(CameraView):
            self._title_camera(camera, view)

    def picture_sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of each camera picture that is on the screen."""
        return {
            camera.camera: (camera.content_size.height, camera.content_size.width)
            for camera in self.query(CameraView)
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
        folded = self.size.width < FOLD_COLUMNS or self.size.height < FOLD_LINES
        self.set_class(folded, "-folded")
        self.query_one("#header").styles.height = header.height(self.size.width)
        self.query_one("#lower").styles.height = self._lower_lines(folded)

    def _lower_lines(self, folded: bool) -> int:
        """Lines of the lower half: what the joints need, and what pictures of this width leave."""
        if folded:
            return 9
        needed = len(self._view.instance.joints) + 7
        pictures = round(self.size.width * 0.36 * 0.75 / 2) + 2
        spare = self.size.height - pictures - 4
        return max(needed, min(spare, needed + 6))
