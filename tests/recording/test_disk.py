"""A disk that fills or fails: nothing saved is lost, and the person is told."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon.recorder import dataset, tables
from daemon.recorder.disk import DiskLimits
from daemon.recorder.durable import AppendFile, append_line, write_atomic
from daemon.recorder.journal import EpisodeJournal
from daemon.recorder.session import Session
from daemon.recorder.stored import read_manifest, verify
from daemon.recorder.transaction import read_commits
from robotd.errors import DatasetError, DiskFullError

from .episodes import STARTED, make_frames, make_row, make_spec, write_episode


class FillingFile(AppendFile):
    """A file on a disk with `room_bytes` left, shared by all files; a write may fit in part."""

    room_bytes = 0
    error = errno.ENOSPC

    def write_some(self, view: memoryview) -> int:
        count = min(len(view), FillingFile.room_bytes)
        FillingFile.room_bytes -= count
        if count == 0:
            raise OSError(FillingFile.error, os.strerror(FillingFile.error))
        return super().write_some(view[:count])


@pytest.mark.parametrize("seed", range(12))
def test_a_disk_that_fills_at_any_byte_leaves_a_whole_episode(tmp_path: Path, seed: int) -> None:
    spec = make_spec(tmp_path / "dataset")
    rng = np.random.default_rng(seed)
    FillingFile.room_bytes = int(rng.integers(2_000, 60_000))
    FillingFile.error = errno.ENOSPC if seed % 4 else errno.EIO
    clock_ns = [0]
    journal = EpisodeJournal.create(
        tmp_path / "e",
        spec,
        started=STARTED,
        now_ns=lambda: clock_ns[0],
        open_file=FillingFile,
    )
    with pytest.raises(DatasetError) as raised:
        for number in range(400):
            clock_ns[0] += 66_000_000
            journal.append(make_row(spec, number), make_frames(spec, number))
    assert isinstance(raised.value, DiskFullError) == bool(seed % 4)
    manifest = journal.manifest
    assert manifest.state == ("interrupted" if manifest.rows else "discarded")
    assert journal.rows - manifest.rows <= 9  # 0.5 s at 15 rows a second, and the row that failed
    if manifest.rows:
        verify(journal.folder, manifest)
        rows = tables.read_stream(journal.folder / "rows.arrow").slice(0, manifest.rows)
        expected = [make_row(spec, number).action for number in range(manifest.rows)]
        np.testing.assert_array_equal(tables.matrix(rows["action"]), expected)


class OnceFailingFile(AppendFile):
    """A file whose n-th write stops in the middle; the one after it works again."""

    writes_left = 0

    def write_some(self, view: memoryview) -> int:
        OnceFailingFile.writes_left -= 1
        if OnceFailingFile.writes_left == 1:
            return super().write_some(view[: len(view) // 2])
        if OnceFailingFile.writes_left == 0:
            raise OSError(errno.ENOSPC, "full")
        return super().write_some(view)


@pytest.mark.parametrize("writes", range(4, 12))
def test_a_batch_torn_by_a_full_disk_is_written_again_whole(tmp_path: Path, writes: int) -> None:
    spec = make_spec(tmp_path / "dataset", cameras=())
    OnceFailingFile.writes_left = writes
    clock_ns = [0]
    journal = EpisodeJournal.create(
        tmp_path / "e",
        spec,
        started=STARTED,
        now_ns=lambda: clock_ns[0],
        open_file=OnceFailingFile,
    )
    with pytest.raises(DiskFullError):
        for number in range(100):
            clock_ns[0] += 66_000_000
            journal.append(make_row(spec, number), {})
    manifest = read_manifest(tmp_path / "e")
    assert (manifest.state, manifest.rows) == ("interrupted", journal.rows)
    verify(tmp_path / "e", manifest)
    rows = tables.read_stream(tmp_path / "e" / "rows.arrow")
    expected = [make_row(spec, number).action for number in range(manifest.rows)]
    np.testing.assert_array_equal(tables.matrix(rows["action"]), expected)


def test_an_episode_ended_by_a_full_disk_can_still_be_kept(tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "dataset")
    FillingFile.room_bytes, FillingFile.error = 60_000, errno.ENOSPC
    clock_ns = [0]
    session = Session(tmp_path / "journals", open_file=FillingFile, now_ns=lambda: clock_ns[0])
    session.start(spec)
    with pytest.raises(DiskFullError):
        for number in range(4000):
            clock_ns[0] += 66_000_000
            session.append(make_row(spec, number % 400), make_frames(spec, number % 400))
    assert session.recording is None
    offered = session.offered()
    assert len(offered) == 1
    session.decide(offered[0].journal_id, keep=True)
    published = session.publish_pending()
    session.close()
    assert [each.error for each in published] == [None]
    assert published[0].commit is not None
    assert published[0].commit.rows == offered[0].rows > 0


def test_a_recording_ends_before_the_disk_is_full(tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "dataset")
    free = [1_000_000_000]
    session = Session(tmp_path / "journals", limits=DiskLimits(), free_bytes=lambda _: free[0])
    session.start(spec)
    session.append(make_row(spec, 0), make_frames(spec, 0))
    free[0] = 50_000_000
    with pytest.raises(DiskFullError, match="after 2 rows"):
        session.append(make_row(spec, 1), make_frames(spec, 1))
    assert [manifest.rows for manifest in session.offered()] == [2]
    with pytest.raises(DiskFullError, match="to start"):
        session.start(spec)
    assert session.left_s(tmp_path, 600_000) == 0
    session.close()


def test_what_is_left_is_told_by_what_recording_took(tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "dataset", fps=30)
    free = [10_000_000_000]
    session = Session(tmp_path / "journals", limits=DiskLimits(), free_bytes=lambda _: free[0])
    guess_bytes_per_s = 1_000_000.0
    before_s = session.left_s(tmp_path, guess_bytes_per_s)
    assert before_s == (free[0] - DiskLimits().stop_below_bytes) / guess_bytes_per_s
    session.start(spec)
    for number in range(90):
        session.append(make_row(spec, number), make_frames(spec, number))
    folder = next(each for each in (tmp_path / "journals").iterdir() if each.is_dir())
    took_bytes = sum(path.stat().st_size for path in folder.iterdir() if path.suffix != ".json")
    took_bytes -= (folder / "reserve").stat().st_size
    left_s = session.left_s(tmp_path, guess_bytes_per_s)
    assert left_s == pytest.approx(before_s * guess_bytes_per_s / (took_bytes / 3.0), rel=0.02)
    session.keep()
    # What waits for its dataset is to be copied there, so it is not room for another.
    waiting_s = session.left_s(tmp_path, guess_bytes_per_s)
    session.publish_pending()
    published_s = session.left_s(tmp_path, guess_bytes_per_s)
    assert waiting_s is not None and published_s is not None
    assert published_s - waiting_s == pytest.approx(3.0, rel=0.3)  # and the files' ends
    session.close()


def test_no_episode_begins_that_would_not_fit_with_its_publishing(tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "dataset", fps=30)
    free = [1 << 40]
    limits = DiskLimits(refuse_below_bytes=0, stop_below_bytes=1_000_000)
    session = Session(tmp_path / "journals", limits=limits, free_bytes=lambda _: free[0])
    session.start(spec)
    for number in range(90):
        session.append(make_row(spec, number), make_frames(spec, number))
    took_bytes = session._open.bytes_written if session._open else 0
    session.discard()
    free[0] = 1_000_000 + 10 * 2 * took_bytes + 1000  # thirty seconds and their copy
    for length_s, fits in ((29.0, True), (31.0, False), (None, True)):
        if fits:
            session.start(spec, length_s)
            session.discard()
        else:
            with pytest.raises(DiskFullError, match="an episode needs"):
                session.start(spec, length_s)
    session.close()


def test_discarded_episodes_make_room_before_anything_is_refused(tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "dataset")
    journals = tmp_path / "journals"

    def free(_: Path) -> int:
        return 1 << 20 if any(each.is_dir() for each in journals.iterdir()) else 1 << 40

    session = Session(journals, free_bytes=lambda _: 1 << 40)
    session.start(spec)
    session.append(make_row(spec, 0), make_frames(spec, 0))
    discarded = session.discard().journal_id
    session.close()
    assert (journals / discarded / "overhead.mp4").exists()
    session = Session(journals, free_bytes=free)
    session.start(spec)
    assert not (journals / discarded).exists()
    session.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 8 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a tmpfs needs root")
    command = [mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let us mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_dataset_on_a_full_disk_stays_as_it_was(small_disk: Path, tmp_path: Path) -> None:
    root = small_disk / "dataset"
    spec = make_spec(root)
    dataset.publish(write_episode(tmp_path / "j0", spec, 20))
    before = {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}
    (small_disk / "ballast").write_bytes(bytes(1))
    free = shutil.disk_usage(small_disk).free
    journal = write_episode(tmp_path / "j1", spec, 20, first=100)
    for left in (0, 4096, 20_000, 60_000, 120_000):
        with (small_disk / "ballast").open("wb") as ballast:
            ballast.write(bytes(max(0, free - left)))
        try:
            dataset.publish(journal)
        except DiskFullError:
            for path, content in before.items():
                assert path.read_bytes() == content, path
            assert not list(root.glob("robotd/staging/*"))
        else:
            break
    (small_disk / "ballast").unlink()
    dataset.publish(journal)
    assert [commit.journal_id for commit in read_commits(root)] == ["j0", "j1"]


def test_an_episode_on_a_small_disk_is_closed_whole(small_disk: Path) -> None:
    spec = make_spec(small_disk / "dataset")
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free - (3 << 19)))
    journal = EpisodeJournal.create(small_disk / "e", spec, started=STARTED)
    with pytest.raises(DiskFullError):
        for number in range(20_000):
            journal.append(make_row(spec, number % 4096), make_frames(spec, number % 4096))
    assert journal.manifest.state == "interrupted"
    assert journal.manifest.rows > 100
    # The reserve took the rows; only frames of the fragment that was being written are lost.
    assert journal.rows - journal.manifest.rows <= 5
    verify(journal.folder, journal.manifest)


def test_an_atomic_write_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "info.json"
    with pytest.raises(DatasetError):
        write_atomic(path, b"new")
    path.parent.mkdir()
    write_atomic(path, b"old")
    (path.parent / ".info.json.new").mkdir()  # whatever keeps the temporary file from being made
    with pytest.raises((DatasetError, OSError)):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_log_line_torn_by_a_crash_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "commits.jsonl"
    append_line(path, b"one")
    path.write_bytes(path.read_bytes() + b'{"torn')
    append_line(path, b"two")
    assert path.read_bytes().splitlines() == [b"one", b'{"torn', b"two"]
