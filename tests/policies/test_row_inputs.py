"""A policy sees the pictures that a dataset row of the same moment holds, however late they come."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from policies.link import RuntimeLink
from policies.observation import NotYetObservedError
from policies.row_inputs import RowInputs, settled
from robotd.clock import NS_PER_MS, VirtualClock
from robotd.frames import PICTURE_WAIT_NS, FrameRingWriter
from robotd.layouts import ENVIRONMENT_STATE
from robotd.shm import SlotWriter

MS = NS_PER_MS
PERIOD_NS = 33 * MS
ROW_NS = 2_000 * MS


class Stage:
    """A camera ring, a world and a clock that stands at a row's deadline."""

    def __init__(self, runtime: Path) -> None:
        self.camera = FrameRingWriter(runtime / "frames-wrist", 2, 1, 8)
        self.world = SlotWriter(runtime / "plant/environment_state", ENVIRONMENT_STATE)
        self.clock = VirtualClock(ROW_NS)
        self.link = RuntimeLink(runtime, 6, 8)
        self.inputs = RowInputs(self.link, {"wrist": PERIOD_NS}, self.clock, told=True)
        self.say(0.0)

    def say(self, x_m: float) -> None:
        self.world.write({"stamp_ns": self.clock.now_ns(), "values": (x_m,) * 7})

    def capture(self, stamp_ns: int) -> None:
        self.camera.append(stamp_ns, self.camera.count, bytes(6))

    def later(self, ns: int) -> None:
        self.clock.sleep_until_ns(self.clock.now_ns() + ns)

    def seen_ns(self) -> int:
        """The capture time of the picture that belongs to the row. NotYetObservedError."""
        frames, _ = self.inputs.of(ROW_NS)
        frame = frames["wrist"]
        assert frame is not None
        return frame.stamp_ns


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    (tmp_path / "plant").mkdir()
    made = Stage(tmp_path)
    yield made
    made.link.close()
    made.camera.close()
    made.world.close()


@pytest.mark.parametrize(
    ("latest_ms", "final"),
    [(None, True), (1, True), (-1, True), (-24, True), (-26, False), (-60, False)],
)
def test_a_picture_is_awaited_while_another_of_before_the_row_can_come(
    latest_ms: int | None, final: bool
) -> None:
    latest_ns = None if latest_ms is None else ROW_NS + latest_ms * MS
    assert settled(latest_ns, ROW_NS, PERIOD_NS) is final


def test_the_picture_of_the_row_is_taken_though_it_arrives_after_the_row(stage: Stage) -> None:
    """Taking what is there would show the policy the frame before the one of its training row."""
    stage.capture(ROW_NS - 45 * MS)
    with pytest.raises(NotYetObservedError):
        stage.seen_ns()
    stage.later(30 * MS)
    stage.capture(ROW_NS - 12 * MS)
    assert stage.seen_ns() == ROW_NS - 12 * MS


def test_a_picture_of_after_the_row_is_not_looked_at(stage: Stage) -> None:
    stage.capture(ROW_NS - 28 * MS)
    with pytest.raises(NotYetObservedError):
        stage.seen_ns()
    stage.capture(ROW_NS + 5 * MS)
    assert stage.seen_ns() == ROW_NS - 28 * MS


def test_the_wait_is_bounded_and_short_where_no_other_picture_can_come(stage: Stage) -> None:
    stage.capture(ROW_NS - 150 * MS)  # this camera lost its frames
    stage.later(PICTURE_WAIT_NS)
    with pytest.raises(NotYetObservedError):
        stage.seen_ns()
    stage.later(1)
    assert stage.seen_ns() == ROW_NS - 150 * MS
    stage.capture(ROW_NS - 5 * MS)
    assert RowInputs(stage.link, {"wrist": PERIOD_NS}, VirtualClock(ROW_NS), told=False).of(ROW_NS)


def test_the_world_is_that_of_the_row_and_not_of_the_end_of_the_wait(stage: Stage) -> None:
    stage.capture(ROW_NS - 45 * MS)
    with pytest.raises(NotYetObservedError):
        stage.seen_ns()
    stage.later(40 * MS)
    stage.say(0.5)
    stage.capture(ROW_NS - 12 * MS)
    _, world = stage.inputs.of(ROW_NS)
    assert world is not None and world["values"] == (0.0,) * 7
