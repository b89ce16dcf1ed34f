"""The encoder that a machine gets: tried for real, and why another was not taken is said."""

import logging
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import av
import pytest

from daemon.recorder import dataset
from daemon.recorder.durable import AppendFile
from daemon.recorder.encoders import ENCODERS, NVENC, VAAPI, X264, Encoder, choose, try_encoder
from daemon.recorder.info import load_info
from daemon.recorder.journal import EpisodeJournal
from daemon.recorder.stored import read_manifest
from daemon.recorder.video import VideoWriter, decode_frames, remux

from .episodes import (
    FPS,
    HEIGHT,
    STARTED,
    WIDTH,
    make_frames,
    make_row,
    make_spec,
    number_in,
    picture,
)

VGA = [(640, 480)]
SLOW = "it takes 40 ms"
OTHER = Encoder("libopenh264", "another", (), "qp")  # says nothing of a frame's duration


def test_hardware_that_is_not_there_is_passed_over_with_its_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    if not try_encoder(NVENC, VGA, 30, 23):
        pytest.skip("this machine has NVENC")
    with caplog.at_level(logging.INFO):
        choice = choose("auto", VGA, 5, 23)
    reasons = dict(choice.passed_over)
    assert choice.encoder is X264
    assert reasons[NVENC.name] and reasons[VAAPI.name]
    assert NVENC.name in caplog.text and reasons[NVENC.name] in choice.note


def test_the_order_is_nvenc_vaapi_x264_and_the_first_that_keeps_up_is_taken() -> None:
    tried: list[str] = []

    def slow_until(name: str) -> str:
        def trial(encoder: Encoder, *_: object) -> str:
            tried.append(encoder.word)
            return "" if encoder.word == name else SLOW

        choice = choose("auto", VGA, 30, 23, trial)
        assert all(reason == SLOW for _, reason in choice.passed_over)
        return choice.encoder.word

    assert [slow_until(name) for name in ("nvenc", "vaapi", "x264")] == ["nvenc", "vaapi", "x264"]
    assert tried == ["nvenc", "nvenc", "vaapi", "nvenc", "vaapi", "x264"]
    assert slow_until("none of them") == "x264"


def test_a_robot_without_cameras_tries_nothing_and_has_x264() -> None:
    def trial(*_: object) -> str:
        raise AssertionError("tried")

    assert choose("auto", [], 30, 23, trial).encoder is X264


def test_one_that_was_asked_for_and_does_not_work_is_replaced_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    choice = choose("vaapi", VGA, 30, 23, lambda encoder, *_: "broken" * (encoder is VAAPI))
    assert choice.encoder is X264
    assert choice.passed_over == (("h264_vaapi", "broken"),)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert choose("x264", VGA, 30, 23, lambda *_: "").passed_over == ()


def test_an_encoder_that_holds_pictures_back_is_none() -> None:
    slow = Encoder("libx264", "x264", (("preset", "medium"), ("bf", "2")), "crf")
    assert "holds pictures back" in try_encoder(slow, [(128, 96)], 30, 23)


def test_one_that_is_slower_than_real_time_is_said_to_be() -> None:
    assert "real time" in try_encoder(X264, VGA, 100_000, 23)


def test_what_goes_in_comes_out_at_once_in_fragments_of_whole_groups(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    with AppendFile(path) as sink:
        writer = VideoWriter(sink, WIDTH, HEIGHT, FPS, 23, X264)
        for number in range(2 * FPS):
            writer.append(picture(number))
        writer.close()
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert not container.streams.video[0].codec_context.has_b_frames
    assert [packet.pts for packet in packets] == [packet.dts for packet in packets]
    assert [packet.is_keyframe for packet in packets] == [n % 7 == 0 for n in range(2 * FPS)]


def test_an_episode_says_by_what_it_was_encoded(tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "dataset", encoder="libx264", encoder_note="h264_nvenc: no GPU")
    journal = EpisodeJournal.create(tmp_path / "e", spec, started=STARTED)
    for number in range(10):
        journal.append(make_row(spec, number), make_frames(spec, number))
    journal.close(kept=True)
    dataset.publish(tmp_path / "e")
    about = next((tmp_path / "dataset" / "robotd").rglob("episode.json")).read_text()
    assert '"encoder_note": "h264_nvenc: no GPU"' in about
    info = load_info(tmp_path / "dataset")
    assert info is not None
    assert info["features"]["observation.images.wrist"]["info"]["video.preset"] == "ultrafast"


def test_a_journal_from_before_there_was_a_choice_was_encoded_by_x264(tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "dataset")
    journal = EpisodeJournal.create(tmp_path / "e", spec, started=STARTED)
    journal.discard()
    path = tmp_path / "e" / "manifest.json"
    lines = [line for line in path.read_text().splitlines() if '"encoder' not in line]
    path.write_text("\n".join(lines).replace('"gate": "flag",', '"gate": "flag"'))
    assert ENCODERS[read_manifest(tmp_path / "e").spec.encoder] is X264


def test_the_last_frame_of_a_file_lasts_as_long_as_the_others(tmp_path: Path) -> None:
    for encoder in (X264, OTHER):
        path, plain = tmp_path / f"{encoder.word}.mp4", tmp_path / f"{encoder.word}-plain.mp4"
        with AppendFile(path) as sink:
            writer = VideoWriter(sink, WIDTH, HEIGHT, FPS, 23, encoder)
            for number in range(20):
                writer.append(picture(number))
            writer.close()
        remux(path, plain, 20)
        with av.open(str(plain)) as container:
            stream = container.streams.video[0]
            assert stream.duration is not None
            assert stream.duration * stream.time_base == Fraction(20, FPS)


def test_lerobot_joins_episodes_of_two_encoders_and_every_frame_is_found(
    tmp_path: Path, lerobot_datasets: ModuleType
) -> None:
    from lerobot.datasets.video_utils import concatenate_video_files

    parts = []
    for place, encoder in enumerate((X264, OTHER, X264)):
        with AppendFile(tmp_path / f"{place}.mp4") as sink:
            writer = VideoWriter(sink, WIDTH, HEIGHT, FPS, 23, encoder)
            for number in range(20 * place, 20 * place + 20):
                writer.append(picture(number))
            writer.close()
        parts.append(tmp_path / f"plain-{place}.mp4")
        remux(tmp_path / f"{place}.mp4", parts[-1], 20)
    joined = tmp_path / "joined.mp4"
    concatenate_video_files(parts, joined)
    shown = [number_in(each.to_ndarray(format="rgb24")) for _, each in decode_frames(joined)]
    assert shown == list(range(60))
    for wanted in (25, 45, 5):  # as a loader jumps
        with av.open(str(joined)) as container:
            stream = container.streams.video[0]
            container.seek(int(wanted / FPS / stream.time_base), stream=stream)
            found = next(f for f in container.decode(stream) if f.time > (wanted - 0.5) / FPS)
            assert number_in(found.to_ndarray(format="rgb24")) == wanted
