"""A slow disk stalls no row, and an episode is not closed before it is on the disk."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.recorder.durable import AppendFile
from daemon.recorder.session import Session
from daemon.recorder.syncing import ThreadSyncer
from robotd.errors import DatasetError

from .episodes import make_frames, make_row, make_spec


class SlowFile(AppendFile):
    """A file on a disk whose syncs take as long as the test says, or fail."""

    gate = threading.Event()
    fails = False
    synced = 0

    def sync(self) -> None:
        assert SlowFile.gate.wait(20)
        if SlowFile.fails:
            raise OSError(5, "Input/output error")
        super().sync()
        SlowFile.synced += 1


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    SlowFile.gate.clear()
    SlowFile.fails, SlowFile.synced = False, 0
    clock_ns = [0]

    def now_ns() -> int:
        clock_ns[0] += 100_000_000
        return clock_ns[0]

    session = Session(tmp_path / "journals", open_file=SlowFile, now_ns=now_ns)
    session.start(make_spec(tmp_path / "dataset"))
    yield session
    SlowFile.gate.set()
    SlowFile.fails = False
    session.close()


def test_rows_go_on_while_the_disk_syncs(session: Session, tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "dataset")
    for number in range(40):
        session.append(make_row(spec, number), make_frames(spec, number))
    assert (session.rows, SlowFile.synced) == (40, 0)
    opening = threading.Timer(0.1, SlowFile.gate.set)
    opening.start()
    assert session.keep().rows == 40
    assert SlowFile.synced >= 8  # the request that waited, then every file at the end
    opening.join()


def test_a_disk_that_fails_to_sync_ends_the_episode(session: Session, tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "dataset")
    SlowFile.fails = True
    SlowFile.gate.set()
    with pytest.raises(DatasetError, match="could not be written"):
        for number in range(200):
            session.append(make_row(spec, number), make_frames(spec, number))
            time.sleep(0.005)
    assert session.recording is None
    assert session.offered()[0].rows > 0


def test_only_the_newest_waiting_request_is_synced(tmp_path: Path) -> None:
    SlowFile.gate.clear()
    SlowFile.fails, SlowFile.synced = False, 0
    syncer = ThreadSyncer()
    with SlowFile(tmp_path / "file") as file:
        for _ in range(50):
            syncer.request([file])
            time.sleep(0.001)
        SlowFile.gate.set()
        time.sleep(0.05)
        syncer.wait([file])
        assert SlowFile.synced == 2
    syncer.close()
