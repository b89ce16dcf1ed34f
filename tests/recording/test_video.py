"""The video of one camera: exact in time, whole up to any cut, and found again frame by frame."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from daemon.recorder import dataset
from daemon.recorder.durable import AppendFile
from daemon.recorder.info import load_info
from daemon.recorder.journal import EpisodeJournal
from daemon.recorder.video import (
    VideoWriter,
    count_frames,
    cut_torn_tail,
    decode_frames,
    gop_frames,
    probe,
    remux,
    transcode,
)
from robotd.errors import DatasetError

from .episodes import HEIGHT, STARTED, WIDTH, make_row, make_spec, number_in, picture

type Write = Callable[[int, int], Path]


@pytest.fixture
def write_video(tmp_path: Path) -> Write:
    """Write frames 0..count-1 at `fps` into a fragmented MP4."""

    def write(count: int, fps: int) -> Path:
        path = tmp_path / f"{count}-{fps}.mp4"
        with AppendFile(path) as sink:
            writer = VideoWriter(sink, WIDTH, HEIGHT, fps, crf=23)
            for number in range(count):
                writer.append(picture(number))
            writer.close()
        return path

    return write


@pytest.mark.parametrize("fps", [10, 15, 30, 50, 60])
def test_every_frame_sits_exactly_on_the_grid(tmp_path: Path, write_video: Write, fps: int) -> None:
    plain = tmp_path / "plain.mp4"
    remux(write_video(40, fps), plain, 40)
    times = [frame.pts * frame.time_base for _, frame in decode_frames(plain)]
    assert times == [Fraction(number, fps) for number in range(40)]
    assert probe(plain)["video.fps"] == fps
    with av.open(str(plain)) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == Fraction(40, fps)


def test_a_key_frame_comes_at_least_every_half_second(write_video: Write) -> None:
    with av.open(str(write_video(60, 15))) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert gop_frames(15) / 15 <= 0.5
    assert keys == [number % gop_frames(15) == 0 for number in range(60)]


def test_a_video_cut_at_any_byte_decodes_to_its_first_frames(write_video: Write) -> None:
    path = write_video(30, 15)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    seen = set()
    for size in [0, 1, 7, 8, 40, *rng.integers(8, len(whole), 40), len(whole)]:
        path.write_bytes(whole[: int(size)])
        cut = cut_torn_tail(path)
        assert path.stat().st_size == size - cut
        frames = count_frames(path)
        assert cut_torn_tail(path) == 0
        if frames:
            numbers = [
                number_in(frame.to_ndarray(format="rgb24")) for _, frame in decode_frames(path)
            ]
            assert numbers == list(range(frames))
        seen.add(frames)
    assert len(seen) >= 8  # fragments of 0.2 s, not the whole video at once


def test_only_the_first_frames_are_copied_when_fewer_are_wanted(
    tmp_path: Path, write_video: Write
) -> None:
    source, target = write_video(20, 15), tmp_path / "plain.mp4"
    remux(source, target, 13)
    assert count_frames(target) == 13
    with pytest.raises(DatasetError, match="20 frames where the episode has 21"):
        remux(source, target, 21)


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"\0" * 5000)
    with pytest.raises(DatasetError, match="broken"):
        count_frames(path)


@pytest.mark.parametrize(
    ("codec", "preset", "crf"),
    [("hevc", "p4", 30), ("av1", "ultrafast", 30), ("av1", "12", 30), ("mpeg4", "fast", 99)],
)
def test_settings_of_another_encoder_are_left_out_not_passed_on(
    tmp_path: Path, write_video: Write, codec: str, preset: str, crf: int
) -> None:
    target = tmp_path / "again.mp4"
    info = {"video.codec": codec, "video.preset": preset, "video.crf": crf, "video.g": 2}
    transcode(write_video(6, 15), target, 6, 15, info)
    assert count_frames(target) == 6


def test_the_quality_that_was_set_is_the_one_encoded_and_noted(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    sizes = []
    for crf in (15, 40):
        root = tmp_path / f"dataset-{crf}"
        spec = make_spec(root, video_crf=crf)
        journal = EpisodeJournal.create(tmp_path / f"j{crf}", spec, started=STARTED)
        for number in range(4):
            frames = {camera.name: noise for camera in spec.cameras}
            journal.append(make_row(spec, number), frames)
        journal.close(kept=True)
        sizes.append((journal.folder / "wrist.mp4").stat().st_size)
        dataset.publish(journal.folder)
        info = load_info(root)
        assert info is not None
        assert info["features"]["observation.images.wrist"]["info"]["video.crf"] == crf
    assert sizes[0] > 2 * sizes[1]
