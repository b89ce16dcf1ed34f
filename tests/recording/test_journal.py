"""An episode's journal: whole up to its last flush, and only what a dataset can hold."""

from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest

from daemon.recorder import tables
from daemon.recorder.durable import AppendFile
from daemon.recorder.journal import SYNC_PERIOD_NS, EpisodeJournal
from daemon.recorder.schema import TASK_LIMIT_CHARACTERS, EpisodeSpec, Row
from daemon.recorder.stored import EVIDENCE, ROWS, read_manifest, recover_journal, verify
from daemon.recorder.video import count_frames, decode_frames
from robotd.errors import DatasetError, StateError

from .episodes import (
    FPS,
    STARTED,
    make_frames,
    make_row,
    make_spec,
    number_in,
    picture,
    write_episode,
)

PERIOD_NS = 1_000_000_000 // FPS


@pytest.fixture
def spec(tmp_path: Path) -> EpisodeSpec:
    return make_spec(tmp_path / "dataset")


def test_a_closed_episode_has_one_frame_of_every_camera_for_every_row(
    tmp_path: Path, spec: EpisodeSpec
) -> None:
    folder = write_episode(tmp_path / "e", spec, 40)
    manifest = verify(folder, read_manifest(folder))
    assert (manifest.state, manifest.rows, manifest.kept) == ("closed", 40, True)
    assert count_frames(folder / "wrist.mp4") == 40
    numbers = [
        number_in(frame.to_ndarray(format="rgb24"))
        for _, frame in decode_frames(folder / "overhead.mp4")
    ]
    assert numbers == list(range(40))


def test_evidence_comes_back_as_it_was_given(tmp_path: Path, spec: EpisodeSpec) -> None:
    folder = write_episode(tmp_path / "e", spec, 5)
    evidence = tables.read_stream(folder / EVIDENCE).to_pylist()[3]
    given = make_row(spec, 3).evidence
    assert evidence["tick_index"] == given.tick_index
    assert evidence["requested_rad"] == given.requested_rad.tolist()
    assert evidence["applied_rad"] == given.applied_rad.tolist()
    assert evidence["capture_ns/wrist"] == given.capture_ns["wrist"]
    assert (evidence["source"], evidence["limited_by"]) == ("scripted", 0)


def test_what_is_older_than_half_a_second_is_on_the_disk(tmp_path: Path, spec: EpisodeSpec) -> None:
    clock_ns = [0]
    journal = EpisodeJournal.create(
        tmp_path / "e", spec, started=STARTED, now_ns=lambda: clock_ns[0]
    )
    for number in range(60):
        clock_ns[0] = number * PERIOD_NS
        journal.append(make_row(spec, number), make_frames(spec, number))
        on_disk = min(
            tables.read_stream(journal.folder / ROWS).num_rows,
            tables.read_stream(journal.folder / EVIDENCE).num_rows,
            count_frames(journal.folder / "overhead.mp4"),
            count_frames(journal.folder / "wrist.mp4"),
        )
        assert (number + 1 - on_disk) * PERIOD_NS <= 500_000_000
    journal.discard()


class CountingFile(AppendFile):
    """A file that notes when it was synced, by the journal's clock."""

    synced_ns: ClassVar[dict[str, list[int]]] = {}
    clock_ns: ClassVar[list[int]] = [0]

    def sync(self) -> None:
        super().sync()
        self.synced_ns.setdefault(self.path.name, []).append(self.clock_ns[0])


def test_every_file_is_synced_at_least_every_half_second(tmp_path: Path, spec: EpisodeSpec) -> None:
    journal = EpisodeJournal.create(
        tmp_path / "e",
        spec,
        started=STARTED,
        now_ns=lambda: CountingFile.clock_ns[0],
        open_file=CountingFile,
    )
    for number in range(60):
        CountingFile.clock_ns[0] = number * PERIOD_NS
        journal.append(make_row(spec, number), make_frames(spec, number))
    journal.discard()
    assert set(CountingFile.synced_ns) == {ROWS, EVIDENCE, "overhead.mp4", "wrist.mp4"}
    for times_ns in CountingFile.synced_ns.values():
        assert max(np.diff([0, *times_ns, 59 * PERIOD_NS])) <= 500_000_000


def test_the_sync_leaves_room_for_the_video_fragment() -> None:
    assert SYNC_PERIOD_NS <= 200_000_000


def test_an_episode_cut_anywhere_is_recovered_to_whole_rows(
    tmp_path: Path, spec: EpisodeSpec
) -> None:
    rng = np.random.default_rng(4)
    for attempt in range(12):
        folder = write_episode(tmp_path / f"e{attempt}", spec, 30, kept=False)
        manifest = msgspec.structs.replace(read_manifest(folder), state="recording")
        torn = rng.choice(["rows.arrow", "evidence.arrow", "overhead.mp4", "wrist.mp4"])
        size = (folder / torn).stat().st_size
        with (folder / torn).open("r+b") as file:
            file.truncate(int(rng.integers(0, size)))
        recovered = recover_journal(folder, "killed")
        assert recovered.state == ("interrupted" if recovered.rows else "discarded")
        assert recovered.rows <= 30
        if recovered.rows:
            verify(folder, recovered)
        assert recover_journal(folder, "killed") == recovered
        assert manifest.spec == recovered.spec


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["state", "action", "environment_state"])
def test_a_value_that_is_not_finite_is_refused_and_nothing_is_written(
    tmp_path: Path, bad: float, part: str
) -> None:
    spec = make_spec(tmp_path / "d", environment_names=("block_x_m", "block_y_m"))
    journal = EpisodeJournal.create(tmp_path / "e", spec, started=STARTED)
    row = make_row(spec, 0)
    getattr(row, part)[1] = bad
    with pytest.raises(DatasetError, match="not finite"):
        journal.append(row, make_frames(spec, 0))
    journal.append(make_row(spec, 0), make_frames(spec, 0))
    assert journal.close().rows == 1
    verify(journal.folder, journal.manifest)


def test_a_camera_that_changes_its_resolution_is_refused_and_nothing_is_written(
    tmp_path: Path, spec: EpisodeSpec
) -> None:
    journal = EpisodeJournal.create(tmp_path / "e", spec, started=STARTED)
    journal.append(make_row(spec, 0), make_frames(spec, 0))
    with pytest.raises(DatasetError, match="wrist"):
        journal.append(make_row(spec, 1), make_frames(spec, 1) | {"wrist": picture(1, 96, 160)})
    with pytest.raises(DatasetError, match="no frame"):
        journal.append(make_row(spec, 1), {"overhead": picture(1)})
    assert journal.close().rows == 1
    verify(journal.folder, journal.manifest)


def test_a_row_of_another_robot_is_refused(tmp_path: Path, spec: EpisodeSpec) -> None:
    journal = EpisodeJournal.create(tmp_path / "e", spec, started=STARTED)
    row = make_row(spec, 0)
    short = Row(row.state[:5], row.action, row.task, row.evidence)
    with pytest.raises(DatasetError, match="state has shape"):
        journal.append(short, make_frames(spec, 0))
    journal.discard()


def test_a_task_of_ten_megabytes_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    strange = ("wave\nrm -rf", "wave\x1b[2J", "wave\u2028now", "\ud800")
    for task in ("x" * 10_000_000, "é" * (TASK_LIMIT_CHARACTERS + 1), "  ", *strange):
        spec = make_spec(tmp_path / "d", task=task)
        with pytest.raises(DatasetError, match="task"):
            EpisodeJournal.create(tmp_path / "e", spec, started=STARTED)
    assert not (tmp_path / "e").exists()


def test_an_episode_without_rows_is_discarded_not_saved(tmp_path: Path, spec: EpisodeSpec) -> None:
    journal = EpisodeJournal.create(tmp_path / "e", spec, started=STARTED)
    manifest = journal.close(kept=True)
    assert (manifest.state, manifest.kept, manifest.reason) == ("discarded", False, "no rows")


def test_a_closed_episode_takes_no_more_rows(tmp_path: Path, spec: EpisodeSpec) -> None:
    journal = EpisodeJournal.create(tmp_path / "e", spec, started=STARTED)
    journal.append(make_row(spec, 0), make_frames(spec, 0))
    journal.close()
    with pytest.raises(StateError, match="closed"):
        journal.append(make_row(spec, 1), make_frames(spec, 1))


def test_a_file_changed_behind_our_back_is_noticed(tmp_path: Path, spec: EpisodeSpec) -> None:
    folder = write_episode(tmp_path / "e", spec, 20)
    with (folder / "wrist.mp4").open("r+b") as file:
        file.truncate((folder / "wrist.mp4").stat().st_size // 2)
    from daemon.recorder.video import cut_torn_tail

    cut_torn_tail(folder / "wrist.mp4")
    with pytest.raises(DatasetError, match="wrist"):
        verify(folder, read_manifest(folder))
