"""A defect of the screen ends in a report file and three sentences, never in a broken terminal."""

from pathlib import Path

import pytest
from screen_stage import until
from scripted_robot import ScriptedBackend, status

import tui.app
from robotd import messages
from robotd.frames import Frame
from tui.app import RecordApp
from tui.crash import KEPT, ScreenCrashError, write_report
from tui.look import RICH


class Broken(ScriptedBackend):
    """A backend with a defect in one of its threads."""

    def frame(self, camera: str) -> Frame | None:
        raise ZeroDivisionError("a defect")


class BrokenWatch(ScriptedBackend):
    def watch(self, timeout_s: float) -> messages.Status | None:
        raise ZeroDivisionError("a defect")


@pytest.mark.parametrize("kind", [Broken, BrokenWatch])
async def test_a_defect_in_a_thread_ends_the_screen_instead_of_freezing_it(
    kind: type[ScriptedBackend],
) -> None:
    backend = kind()
    app = RecordApp(backend, RICH)
    with pytest.raises(ZeroDivisionError):
        async with app.run_test(size=(120, 40)) as pilot:
            backend.publish(status())
            await until(pilot, lambda: app.defect is not None)
    assert isinstance(app.defect, ZeroDivisionError)
    assert backend.requests == [] and backend.presses == 0


def test_the_person_gets_three_sentences_and_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(tui.app, "RobotBackend", lambda name: BrokenWatch())
    monkeypatch.setattr(RecordApp, "run", lambda app: app.run_headless_once())
    monkeypatch.setattr(RecordApp, "run_headless_once", _crash, raising=False)
    with pytest.raises(ScreenCrashError) as caught:
        tui.app.main(None)
    reports = list((tmp_path / "robotd" / "tui-crashes").glob("*.txt"))
    assert len(reports) == 1
    text = reports[0].read_text()
    assert "ZeroDivisionError: a defect" in text and "Traceback" in text
    assert str(reports[0]) in caught.value.do and "robotd estop" in caught.value.do


def _crash(app: RecordApp) -> None:
    try:
        raise ZeroDivisionError("a defect")
    except ZeroDivisionError as error:
        app.defect = error


def test_a_crash_loop_keeps_ten_reports(tmp_path: Path) -> None:
    for _ in range(KEPT + 4):
        write_report(ValueError("again"), "robot x", tmp_path)
    assert len(list((tmp_path / "tui-crashes").glob("*.txt"))) == KEPT
