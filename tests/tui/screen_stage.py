"""Runs the record screen on a scripted robot, lets it settle, and takes its picture."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from scripted_robot import ScriptedBackend, StillClock
from textual.pilot import Pilot
from textual.widgets import Input

from robotd import messages
from tui.app import RecordApp
from tui.dialogs import Form
from tui.look import RICH, Look
from tui.picture import CameraView

WAIT_S = 10.0


@asynccontextmanager
async def running(
    backend: ScriptedBackend,
    first: messages.Status | None = None,
    size: tuple[int, int] = (160, 45),
    look: Look = RICH,
) -> AsyncIterator[tuple[RecordApp, Pilot[None], StillClock]]:
    """The app with `first` on the screen."""
    clock = StillClock()
    app = RecordApp(backend, look, clock)
    async with app.run_test(size=size) as pilot:
        if first is not None:
            await show(app, pilot, backend, first)
        if backend.pictures and backend.instance.cameras:
            await until(pilot, lambda: all(has_picture(view) for view in shown_cameras(app)))
        yield app, pilot, clock


def shown_cameras(app: RecordApp) -> list[CameraView]:
    """The camera widgets that are on the screen."""
    return [view for view in app.record_screen.cameras if view.display]


def has_picture(view: CameraView) -> bool:
    """Whether a picture of the widget's present size was drawn."""
    cells = view._cells
    size = view.content_size
    return cells is not None and cells.shape[:2] == (size.height, size.width)


async def show(
    app: RecordApp, pilot: Pilot[None], backend: ScriptedBackend, state: messages.Status
) -> None:
    """Publish a state and wait until the screen has it."""
    backend.publish(state)
    await until(pilot, lambda: app.view.status is state)
    await pilot.pause()


async def until(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    """Wait for a condition. Raises TimeoutError."""
    async with asyncio.timeout(WAIT_S):
        while not true():
            await pilot.pause(0.01)


async def fill(app: RecordApp, pilot: Pilot[None], **values: str) -> None:
    """Answer the open form with these values; a field that is not named keeps what it has."""
    await until(pilot, lambda: isinstance(app.screen, Form) and app.screen.is_mounted)
    for name, value in values.items():
        app.screen.query_one(f"#field-{name}", Input).value = value
    await pilot.press(*["enter"] * len(app.screen.query(Input)))


def picture(app: RecordApp) -> str:
    """The screen as SVG, with a font that is on the machine instead of one from the network."""
    svg = app.export_screenshot(title="robotd", simplify=True)
    svg = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", "DejaVu Sans Mono")
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


def words(app: RecordApp) -> str:
    """The screen as plain text."""
    lines = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in lines)
