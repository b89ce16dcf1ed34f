"""An encoder that stands still, fails or hangs: no row waits for it, and no picture is shifted."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from daemon.recorder import lane, tables
from daemon.recorder import session as session_module
from daemon.recorder.journal import EpisodeJournal
from daemon.recorder.lane import Lane, ThreadLane
from daemon.recorder.session import Session
from daemon.recorder.stored import verify
from daemon.recorder.video import VideoWriter, decode_frames
from robotd.errors import EncoderError

from .episodes import FPS, STARTED, make_frames, make_row, make_spec, number_in


class Encoder:
    """A real one, that stands still while its gate is closed, or fails at a frame."""

    def __init__(self, writer: VideoWriter, gate: threading.Event, fails_at: int = -1) -> None:
        self._writer = writer
        self._gate = gate
        self._fails_at = fails_at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def append(self, rgb: npt.NDArray[np.uint8]) -> None:
        assert self._gate.wait(30)
        if self._writer.frames == self._fails_at:
            raise av.error.ExternalError(1, "the driver was restarted")
        self._writer.append(rgb)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Open at first, and after the test."""
    event = threading.Event()
    event.set()
    yield event
    event.set()


type Lanes = Callable[[VideoWriter], Lane]


@pytest.fixture
def lanes(gate: threading.Event) -> Lanes:
    """Lanes into encoders behind the gate."""
    return lambda writer: ThreadLane(Encoder(writer, gate))  # type: ignore[arg-type]


def shown(folder: Path, camera: str) -> list[int]:
    """The number in each picture of a video."""
    frames = decode_frames(folder / f"{camera}.mp4")
    return [number_in(frame.to_ndarray(format="rgb24")) for _, frame in frames]


def flags(folder: Path, camera: str) -> tuple[list[bool], list[int]]:
    """What the rows say of a camera's pictures: repeated, and the number of the one captured."""
    evidence = tables.read_stream(folder / "evidence.arrow")
    repeated = evidence[f"repeated/{camera}"].to_pylist()
    captured = evidence[f"capture_ns/{camera}"].to_pylist()
    return repeated, [nanoseconds // 66_000_000 for nanoseconds in captured]


def test_a_second_without_an_encoder_changes_no_pairing(
    tmp_path: Path, gate: threading.Event, lanes: Lanes
) -> None:
    spec = make_spec(tmp_path / "dataset")
    journal = EpisodeJournal.create(tmp_path / "e", spec, started=STARTED, open_lane=lanes)
    for number in range(4 * FPS):
        (gate.clear if FPS <= number < 2 * FPS else gate.set)()
        journal.append(make_row(spec, number), make_frames(spec, number))
        if number == 2 * FPS - 1:
            assert journal.behind_s > 0.9
        elif not FPS <= number < 2 * FPS:
            time.sleep(0.01)
    manifest = journal.close(kept=True)
    assert journal.lagged == 0
    verify(tmp_path / "e", manifest)
    assert shown(tmp_path / "e", "overhead") == list(range(4 * FPS))
    assert shown(tmp_path / "e", "wrist") == [4095 - number for number in range(4 * FPS)]
    assert not any(flags(tmp_path / "e", "wrist")[0])


def test_ten_seconds_without_an_encoder_are_repeated_and_flagged_and_hold_up_no_row(
    tmp_path: Path, gate: threading.Event
) -> None:
    def only_overhead(writer: VideoWriter) -> Lane:
        slow = writer.sink.path.stem == "overhead"
        return ThreadLane(Encoder(writer, gate) if slow else writer)  # type: ignore[arg-type]

    spec = make_spec(tmp_path / "dataset")
    journal = EpisodeJournal.create(tmp_path / "e", spec, started=STARTED, open_lane=only_overhead)
    longest_s = 0.0
    rows = 12 * FPS
    for number in range(rows):
        if number == FPS:
            gate.clear()
        elif number == 11 * FPS:
            gate.set()
            time.sleep(0.5)
        began_s = time.perf_counter()
        journal.append(make_row(spec, number), make_frames(spec, number))
        longest_s = max(longest_s, time.perf_counter() - began_s)
        time.sleep(0.005)
    manifest = journal.close(kept=True)
    assert longest_s < 1.0  # the gate was closed for as long as the rows of ten seconds took
    verify(tmp_path / "e", manifest)
    pictures = shown(tmp_path / "e", "overhead")
    repeated, captured = flags(tmp_path / "e", "overhead")
    assert pictures == captured  # what a row says it shows, it shows
    assert journal.lagged == sum(repeated) >= 7 * FPS
    for number in range(rows):
        expected = pictures[number - 1] if repeated[number] else number
        assert pictures[number] == expected, number
    assert shown(tmp_path / "e", "wrist") == [4095 - number for number in range(rows)]
    assert not any(flags(tmp_path / "e", "wrist")[0])


def test_an_encoder_that_stands_still_keeps_nobody_from_the_next_episode(
    tmp_path: Path, gate: threading.Event, lanes: Lanes
) -> None:
    spec = make_spec(tmp_path / "dataset")
    session = Session(tmp_path / "journals", open_lane=lanes)
    first = session.start(spec).journal_id
    gate.clear()
    for number in range(10):
        session.append(make_row(spec, number), make_frames(spec, number))
    end_first = session.end()
    ending = threading.Thread(target=end_first)
    ending.start()
    second = session.start(spec).journal_id
    for number in range(10, 20):
        session.append(make_row(spec, number), make_frames(spec, number))
    assert ending.is_alive()
    gate.set()
    session.keep()
    ending.join(20)
    assert shown(tmp_path / "journals" / first, "overhead") == list(range(10))
    assert shown(tmp_path / "journals" / second, "overhead") == list(range(10, 20))
    results = session.publish_pending()
    session.close()
    assert [each.error for each in results] == [None, None]


def test_an_encoder_that_fails_ends_the_episode_and_what_it_made_is_kept(tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "dataset")
    gate = threading.Event()
    gate.set()
    session = Session(
        tmp_path / "journals",
        open_lane=lambda writer: ThreadLane(Encoder(writer, gate, 20)),  # type: ignore[arg-type]
    )
    session.start(spec)
    with pytest.raises(EncoderError, match="libx264 failed at frame 20: the driver was restarted"):
        for number in range(200):
            session.append(make_row(spec, number), make_frames(spec, number))
            time.sleep(0.005)
    offered = session.offered()
    session.close()
    assert [manifest.state for manifest in offered] == ["interrupted"]
    assert 15 <= offered[0].rows <= 20
    folder = tmp_path / "journals" / offered[0].journal_id
    assert shown(folder, "overhead")[: offered[0].rows] == list(range(offered[0].rows))


def test_an_encoder_that_hangs_is_given_up_at_the_end(
    tmp_path: Path, gate: threading.Event, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "_STUCK_S", 0.3)
    spec = make_spec(tmp_path / "dataset")
    journal = EpisodeJournal.create(tmp_path / "e", spec, started=STARTED, open_lane=lanes)
    for number in range(30):
        if number == 20:
            while journal.behind_s:
                time.sleep(0.01)
            gate.clear()
        journal.append(make_row(spec, number), make_frames(spec, number))
    with pytest.raises(EncoderError, match="stands still: 10 frames wait"):
        journal.close(kept=True)
    assert journal.manifest.state == "interrupted"
    assert 17 <= journal.manifest.rows <= 20  # a fragment of 0.2 s was not whole
    gate.set()


def test_an_interrupted_episode_is_not_held_up_as_long_as_a_kept_one_by_an_encoder_that_hangs(
    tmp_path: Path, gate: threading.Event, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "_STUCK_S", 120.0)
    monkeypatch.setattr(session_module, "_INTERRUPT_PATIENCE_S", 0.3)
    spec = make_spec(tmp_path / "dataset")
    session = Session(tmp_path / "journals", open_lane=lanes)
    session.start(spec)
    for number in range(30):
        if number == 20:
            while session.behind_s:
                time.sleep(0.01)
            gate.clear()
        session.append(make_row(spec, number), make_frames(spec, number))
    began_s = time.monotonic()
    with pytest.raises(EncoderError, match="stands still: 10 frames wait"):
        session.interrupt("the session was closed while it recorded")
    assert time.monotonic() - began_s < 60.0
    (offered,) = session.offered()
    session.close()
    assert 17 <= offered.rows <= 20  # what it had encoded; a fragment of 0.2 s was not whole
    gate.set()
