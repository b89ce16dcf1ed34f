"""The MP4: every picture at its time, and whole up to where it was cut off."""

import argparse
import contextlib
from pathlib import Path

import av
import numpy as np
import pytest

from robotd.errors import DatasetError
from sim.view.command import configure
from sim.view.video import Mp4Writer


def picture(step: int) -> np.ndarray:
    rgb = np.full((120, 160, 3), 40, np.uint8)
    rgb[20:60, 2 * step : 2 * step + 30] = (220, 60, 40)
    return rgb


def times_s(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def test_every_picture_comes_back_at_its_time(tmp_path: Path) -> None:
    wanted = [100.0 + at for at in (0.0, 0.1, 0.25, 0.9, 1.0)]
    with Mp4Writer(tmp_path / "a.mp4") as video:
        for step, at_s in enumerate(wanted):
            video.add(picture(step), at_s)
    assert times_s(tmp_path / "a.mp4") == pytest.approx([at - 100.0 for at in wanted], abs=0.002)


def test_colours_survive(tmp_path: Path) -> None:
    with Mp4Writer(tmp_path / "a.mp4") as video:
        for step in range(3):
            video.add(picture(10), step / 10)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(frame[40, 35].astype(int) - (220, 60, 40)).max() < 12


def test_a_video_cut_off_by_a_crash_still_plays(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    with Mp4Writer(whole) as video:
        for step in range(90):
            video.add(picture(step % 60), step / 15)
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) * 3 // 4])
    seen = []
    with (
        av.open(str(cut)) as container,
        contextlib.suppress(av.error.InvalidDataError),
    ):  # the torn last fragment
        for frame in container.decode(video=0):
            seen.append(frame.pts)
    assert len(seen) >= 30


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be written"):
        Mp4Writer(tmp_path / "nowhere" / "a.mp4")


@pytest.mark.parametrize("option", ["--fps", "--seconds"])
@pytest.mark.parametrize("value", ["0", "-1", "nan"])
def test_a_rate_or_a_length_of_nothing_is_refused(option: str, value: str) -> None:
    parser = argparse.ArgumentParser()
    configure(parser)
    with pytest.raises(SystemExit):
        parser.parse_args([f"{option}={value}"])
