"""Sessions, several clients and what goes wrong, through the recorder's commands."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from daemon.recorder import channel
from daemon.recorder.catalog import read_episode_about, read_info
from robotd.clock import NS_PER_S
from robotd.shm import RingWriter

from .test_recorder_process import (
    START_NS,
    TICKS_PER_ROW,
    Bench,
    bench,
    config,
    own_places,
)

__all__ = ["bench", "config", "own_places"]  # fixtures


def record(bench: Bench, rows: int = 3, make: Any = channel.Keep) -> str:
    bench.done(channel.Start)
    bench.run(rows * TICKS_PER_ROW)
    return str(bench.done(make)["journal"])


def home() -> Path:
    return Path(os.environ["HF_LEROBOT_HOME"])


def saved(bench: Bench) -> None:
    """Run the loop until nothing is being saved."""
    give_up_s = time.monotonic() + 20
    while not bench.service.idle and time.monotonic() < give_up_s:
        bench.service.step()
        time.sleep(0.005)


def test_opening_replaces_a_session_that_records_nothing_and_loses_nothing_it_kept(
    bench: Bench,
) -> None:
    bench.open()
    record(bench)
    bench.open(dataset="t/b")
    assert bench.status.dataset == "t/b"
    assert bench.status.episodes_kept == 0
    record(bench, 4)
    closed = bench.done(channel.Close)
    assert (closed["kept"], closed["published"]) == (1, 1)
    assert read_info(home() / "t/a").lengths == (3,)
    assert read_info(home() / "t/b").lengths == (4,)


def test_a_running_episode_is_taken_from_nobody(bench: Bench) -> None:
    bench.open()
    bench.done(channel.Start)
    bench.run(2 * TICKS_PER_ROW)
    refused = bench.refused(channel.Open, dataset="t/b", task="a", episodes=1)
    assert refused.kind == "StateError"
    assert "robotd tui" in refused.do
    assert bench.done(channel.Keep)["kept"]
    bench.open(dataset="t/b")


def test_a_session_that_is_being_closed_takes_no_episode_and_lets_the_next_one_open(
    bench: Bench,
) -> None:
    bench.open()
    record(bench)
    bench.service.handle(channel.Close(id=900))
    assert bench.refused(channel.Start).kind == "StateError"
    bench.open(dataset="t/b")
    saved(bench)
    bench.service.step()
    (answer,) = [
        each for each in bench.answers if isinstance(each, channel.Done) and each.id == 900
    ]
    assert (answer.data["published"], answer.data["root"]) == (1, str(bench.root))


def test_a_kept_episode_that_cannot_be_published_is_counted_told_and_saved_elsewhere(
    bench: Bench,
) -> None:
    bench.open()
    journal = record(bench)
    saved(bench)
    assert (bench.status.episodes_kept, bench.status.episodes_published) == (1, 1)
    (bench.root / "data/chunk-000/file-001.parquet").write_bytes(b"left by another program")
    lost = record(bench)
    saved(bench)
    status = bench.status
    assert (status.episodes_kept, status.episodes_published) == (2, 1)
    assert "no episode refers to it" in status.last_error
    assert status.last_error_likely and status.last_error_do
    closed = bench.done(channel.Close)
    assert (closed["kept"], closed["published"]) == (2, 1)
    assert closed["error"] and closed["error_likely"] and closed["error_do"]
    (left,) = bench.done(channel.ListInterrupted)["interrupted"]
    assert (left["journal"], left["state"], left["frames"]) == (lost, "unsaved", 3)
    assert left["journal"] != journal
    again = bench.done(channel.Decide, journal=lost, keep=True)
    assert not again["published"]
    assert again["error_do"]
    moved = bench.done(channel.Decide, journal=lost, keep=True, into="t/b")
    assert moved["published"]
    assert read_info(home() / "t/b").lengths == (3,)
    assert bench.done(channel.ListInterrupted)["interrupted"] == []
    assert bench.status.last_error == ""


def test_an_interrupted_episode_is_announced_listed_and_kept_by_its_id(bench: Bench) -> None:
    bench.open()
    for _ in range(2):
        bench.done(channel.Start)
        bench.run(5 * TICKS_PER_ROW)
        bench.done(channel.Close)
        bench.open()
    opened = bench.done(channel.Open, dataset="t/a", task="wave", episodes=1)
    assert opened["interrupted"] == 2
    first, second = bench.done(channel.ListInterrupted)["interrupted"]
    assert first["why"] == "the session was closed while it recorded"
    assert (first["dataset"], first["task"], first["frames"]) == ("t/a", "wave", 5)
    assert first["seconds"] == pytest.approx(5 / 15)
    assert bench.done(channel.Decide, journal=first["journal"], keep=True)["published"]
    assert not bench.done(channel.Decide, journal=second["journal"], keep=False)["published"]
    assert bench.refused(channel.Decide, journal=first["journal"], keep=True).kind == "StateError"
    assert bench.done(channel.ListInterrupted)["interrupted"] == []
    assert read_info(bench.root).lengths == (5,)
    about = read_episode_about(bench.root, 0)
    assert about is not None
    assert "closed while it recorded" in about.reason


def test_a_camera_that_stands_still_is_refused_before_the_first_row(bench: Bench) -> None:
    bench.open()
    bench.robot.deaf_cameras.add("wrist")
    bench.run(2 * 120)
    refused = bench.refused(channel.Start)
    assert refused.kind == "CameraError"
    assert "wrist" in refused.what and "s old" in refused.what
    bench.robot.deaf_cameras.clear()
    bench.run(TICKS_PER_ROW)
    bench.done(channel.Start)


def test_control_started_again_ends_the_episode_and_no_row_of_after_it_is_in_it(
    bench: Bench,
) -> None:
    bench.open()
    bench.done(channel.Start)
    bench.run(6 * TICKS_PER_ROW)
    robot = bench.robot
    restart_ns = START_NS + 20 * NS_PER_S
    robot.now_ns = lambda index: restart_ns + index * (NS_PER_S // 120)  # type: ignore[method-assign]
    robot.index = 0
    (robot.runtime / "ticks").unlink()
    robot.ticks = RingWriter(robot.runtime / "ticks", robot.layout, 512)
    bench.run(6 * TICKS_PER_ROW)
    assert bench.status.phase == "ready"
    (line,) = bench.status.episodes
    assert (line.outcome, line.frames) == ("interrupted", 6)
    assert bench.refused(channel.Keep).kind == "StateError"
    (left,) = bench.done(channel.ListInterrupted)["interrupted"]
    assert left["frames"] == 6
    assert "control was started again" in left["why"]
    record(bench)  # and the next episode begins on the new control's ticks
    assert bench.done(channel.Close)["published"] == 1


def test_undo_pressed_twice_takes_out_one_and_never_one_of_an_earlier_session(
    bench: Bench,
) -> None:
    bench.open()
    record(bench, 3)
    bench.done(channel.Close)
    bench.open()
    record(bench, 4)
    for number in (801, 802, 803):
        bench.service.handle(channel.Undo(id=number))
    saved(bench)
    by_id = {each.id: each for each in bench.answers if not isinstance(each, channel.Now)}
    assert isinstance(by_id[801], channel.Done)
    assert isinstance(by_id[802], channel.Refused)
    assert "under way" in by_id[802].what
    assert bench.refused(channel.Undo).what == "There is nothing to undo."
    assert bench.status.episodes_kept == 0
    bench.done(channel.Close)
    assert read_info(bench.root).lengths == (3,)


def test_an_episode_kept_while_an_undo_runs_is_not_the_one_undone(bench: Bench) -> None:
    bench.open()
    record(bench, 3)
    saved(bench)
    bench.done(channel.Start)
    bench.run(4 * TICKS_PER_ROW)
    bench.done(channel.Discard)
    bench.service.handle(channel.Undo(id=801))
    bench.service.handle(channel.Start(id=802))
    bench.run(4 * TICKS_PER_ROW)
    kept = bench.done(channel.Keep)["journal"]
    closed = bench.done(channel.Close)
    assert (closed["kept"], closed["published"]) == (1, 1)
    about = read_episode_about(bench.root, 0)
    assert about is not None
    assert about.journal_id == kept


def test_units_said_by_a_person_are_checked_before_anything_else(bench: Bench) -> None:
    fields = {"dataset": "t/a", "task": "wave", "episodes": 1}
    refused = bench.refused(channel.Open, **fields, units="range_m100_100")
    assert "--units degrees" in refused.do
    bench.done(channel.Open, **fields, units="degrees")
