"""The last seconds, kept although nobody pressed record."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.recorder import channel
from daemon.recorder.catalog import read_actions, read_episode_about, read_info
from daemon.recorder.video import decode_frames
from robotd.states import State

from .test_recorder_process import TICKS_PER_ROW, Bench, bench, config, own_places

__all__ = ["bench", "config", "own_places"]  # fixtures

FPS = 15
GOP = 7  # rows from one key frame to the next at 15 fps


def held(bench: Bench, rows: int) -> None:
    """Let so many rows pass while nothing is recorded."""
    bench.run(rows * TICKS_PER_ROW)


def journals(bench: Bench) -> list[Path]:
    return sorted(path for path in bench.journals.iterdir() if path.is_dir())


def standby(bench: Bench) -> list[Path]:
    folder = bench.journals.parent / "standby"
    return sorted(folder.iterdir()) if folder.exists() else []


def until(bench: Bench, true: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 20
    while not true() and time.monotonic() < give_up_s:
        bench.service.step()
        time.sleep(0.005)
    assert true()


def shades(path: Path) -> list[int]:
    return [int(np.mean(frame.to_ndarray(format="rgb24"))) for _, frame in decode_frames(path)]


def test_what_was_is_kept_with_one_key_and_every_picture_is_its_rows(bench: Bench) -> None:
    bench.open(keep_last_s=4.0)
    held(bench, 150)  # 10 s, so that the first journals are gone again
    assert bench.status.held_s is not None and 4.0 <= bench.status.held_s <= 8.0
    data = bench.done(channel.KeepLast, success=True)
    assert 60 <= data["frames"] <= 60 + GOP
    assert bench.status.episodes_kept == 1
    assert bench.status.episodes[-1].outcome == "success"
    bench.done(channel.Close)
    assert read_info(bench.root).lengths == (data["frames"],)
    steps = np.diff(read_actions(bench.root, 0).state[:, 0]) * 4095 / 360
    assert np.allclose(steps, TICKS_PER_ROW, atol=1e-3)  # no row is missing where journals meet
    about = read_episode_about(bench.root, 0)
    assert about is not None and about.label.success is True
    for camera in ("overhead", "wrist"):
        (video,) = bench.root.glob(f"videos/observation.images.{camera}/**/*.mp4")
        seen = shades(video)
        last = (bench.robot.index - 1) // TICKS_PER_ROW * TICKS_PER_ROW
        drawn = [(last - TICKS_PER_ROW * k) % 200 for k in range(data["frames"])][::-1]
        assert max(abs(a - b) for a, b in zip(seen, drawn, strict=True)) <= 4


def test_fewer_seconds_may_be_kept_and_the_next_ones_are_held_on(bench: Bench) -> None:
    bench.open(keep_last_s=4.0)
    held(bench, 100)
    assert 15 <= bench.done(channel.KeepLast, seconds=1.0)["frames"] <= 15 + GOP
    held(bench, 20)
    assert bench.done(channel.KeepLast)["frames"] == 20
    bench.done(channel.Close)
    assert read_info(bench.root).episodes == 2


def test_holding_never_takes_more_of_the_disk_than_twice_what_can_be_kept(bench: Bench) -> None:
    bench.open(keep_last_s=1.0)
    for _ in range(20):
        held(bench, 10)
        until(bench, lambda: len(standby(bench)) <= 3)  # two, and one that is being removed
    assert journals(bench) == []


def test_an_episode_holds_nothing_and_loses_nothing_by_the_holding(bench: Bench) -> None:
    bench.open(keep_last_s=4.0)
    held(bench, 50)
    bench.done(channel.Start)
    bench.run(12 * TICKS_PER_ROW)
    refused = bench.refused(channel.KeepLast)
    assert refused.kind == "StateError" and "in it" in refused.likely
    assert bench.done(channel.Keep)["frames"] == 12
    assert bench.status.gaps == 0
    assert bench.refused(channel.KeepLast).kind == "StateError"  # the past begins anew
    held(bench, 5)
    assert bench.done(channel.KeepLast)["frames"] == 5
    bench.done(channel.Undo)
    bench.done(channel.Close)
    assert read_info(bench.root).lengths == (12,)
    assert standby(bench) == []


def test_a_limp_arms_past_is_not_held(bench: Bench) -> None:
    bench.open(keep_last_s=4.0)
    held(bench, 30)
    bench.robot.state = State.DISARMED
    held(bench, 5)
    assert bench.status.held_s == 0.0
    assert bench.refused(channel.KeepLast).kind == "StateError"
    bench.robot.state = State.TELEOP
    held(bench, 9)
    assert bench.done(channel.KeepLast)["frames"] == 9


@pytest.mark.parametrize("keep_last_s", [0.0, 4.0])
def test_without_the_option_nothing_is_held_and_the_answer_says_how_to(
    bench: Bench, keep_last_s: float
) -> None:
    bench.open(keep_last_s=keep_last_s)
    held(bench, 30)
    assert bool(standby(bench)) is (keep_last_s > 0)
    if not keep_last_s:
        assert bench.status.held_s is None
        assert "--keep-last" in bench.refused(channel.KeepLast).do


def test_what_was_only_held_is_gone_after_a_crash_and_what_was_kept_is_not(
    bench: Bench, tmp_path: Path, config: Any
) -> None:
    bench.open(keep_last_s=4.0)
    held(bench, 40)
    bench.service.handle(channel.KeepLast(id=900))
    bench.service._past._standby._worker.close()  # type: ignore[union-attr] # killed before it is answered
    (kept,) = journals(bench)
    held_folder = bench.journals.parent / "standby" / "000009"
    held_folder.mkdir(parents=True)
    (held_folder / "rows.arrow").write_bytes(b"half")
    bench.service._session.close()
    after = Bench(tmp_path, config)
    assert standby(after) == []
    until(after, lambda: after.service.idle)
    root = after.root
    assert read_info(root).lengths == (40,)
    assert not kept.exists()
    after.service.close()
    bench.service = Bench(tmp_path / "other", config).service
