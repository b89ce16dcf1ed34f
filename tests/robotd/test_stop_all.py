"""The software e-stop reaches every control there is, whoever else is dead, and tells the truth."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from daemon.cli.main import main
from robotd import estop, paths
from robotd.layouts import tick_layout
from robotd.messages import INSTANCE_FILE, Instance
from robotd.shm import RingWriter
from robotd.states import State
from robotd.stop_all import counters, press_all


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("ROBOTD_NAME", raising=False)
    root = tmp_path / "robotd"
    root.mkdir()
    monkeypatch.setattr(paths, "runtime_roots", lambda: [root])
    return root


class Control:
    """A control that polls its counter, as the real one does, with no supervisor above it."""

    def __init__(self, root: Path, name: str, joints: int = 6) -> None:
        self.folder = root / name
        self.folder.mkdir()
        estop.create(self.folder)
        self._layout = tick_layout(joints)
        self._ring = RingWriter(self.folder / "ticks", self._layout, 16)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def tick(self, presses: int) -> None:
        zero = {f.name: 0 if f.count == 1 else [0] * f.count for f in self._layout.fields}
        state = State.ESTOP if presses else State.HOLDING
        self._ring.append(zero | {"state": state, "estop_presses": presses})

    def _run(self) -> None:
        counter = estop.EstopCounter(self.folder)
        while not self._end.wait(0.008):
            self.tick(counter.presses)
        counter.close()

    def __enter__(self) -> "Control":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def test_a_press_needs_no_supervisor_and_no_instance_file(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Control(root, "a"), Control(root, "pair", joints=12):
        assert main(["estop"]) == 0
    said = capsys.readouterr().out
    assert "a: software stop, control is in estop" in said
    assert "pair: software stop, control is in estop" in said


def test_a_control_that_is_dead_is_said_and_the_plug_named(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = Control(root, "dead")
    dead.tick(presses=0)  # its last word, before it died
    with Control(root, "lives"):
        assert main(["estop"]) == 1
    said = capsys.readouterr().out
    assert "dead: pressed, but control does not answer: PULL THE PLUG" in said
    assert "lives: software stop" in said
    assert estop.EstopCounter(dead.folder).presses == 1


def test_a_counter_that_cannot_be_pressed_keeps_no_other_from_being_pressed(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / estop.FILE_NAME).write_bytes(b"")
    with Control(root, "b") as alive:
        broken, pressed = press_all(counters([root]))
        assert broken.error
        assert pressed.state is State.ESTOP
    assert estop.EstopCounter(alive.folder).presses == 1


def test_all_are_pressed_before_any_is_watched(root: Path) -> None:
    Control(root, "a")
    Control(root, "b")
    seen: list[list[int]] = []

    def sleep(_: float) -> None:
        seen.append([estop.EstopCounter(each).presses for each in counters([root])])
        time.sleep(0.01)

    sleeping: Callable[[float], None] = sleep
    press_all(counters([root]), sleeping, 0.05)
    assert seen[0] == [1, 1]


def test_a_name_stops_that_robot_alone_and_an_unknown_one_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Control(root, "a"), Control(root, "b") as other:
        assert main(["estop", "--name", "a"]) == 0
        assert estop.EstopCounter(other.folder).presses == 0
        assert main(["estop", "--name", "typo"]) == 1
    error = capsys.readouterr().err
    assert "there is: a, b" in error
    assert "plug" in error


def test_a_folder_left_from_before_the_machine_was_started_is_not_taken_for_an_arm(
    root: Path,
) -> None:
    Control(root, "old")
    instance = Instance(
        name="old",
        pid=1,
        boot_id="another",
        simulated=False,
        joints=(),
        cameras=(),
        tick_hz=120,
        fps=30,
    )
    (root / "old" / INSTANCE_FILE).write_bytes(msgspec.json.encode(instance))
    assert counters([root]) == []


def test_the_runtime_roots_of_other_sessions_are_looked_at_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "robotd").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with_it = paths.runtime_roots()
    assert with_it[0] == tmp_path / "robotd"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    paths.runtime_root()  # makes the fallback in /tmp
    without = paths.runtime_roots()
    assert [each for each in without if each.parent == Path("/tmp")]
    assert tmp_path / "robotd" not in without
