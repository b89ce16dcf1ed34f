"""One camera's video: written so that a kill costs a fraction of a second, read back exactly.

While recording it is a fragmented MP4: an index of its own in every fragment, each fragment written
out as it is complete. When published it is copied, packet by packet, into a plain MP4. Frame k sits
exactly at k/fps, because LeRobot finds frames by time (tolerance 0.1 ms).
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from daemon.recorder.durable import AppendFile
from daemon.recorder.encoders import X264, Encoder, gop_frames, set_up
from robotd.errors import DatasetError

FRAGMENT_S = 0.2  # with a sync every 0.2 s, what is older than 0.45 s is on the disk
_X26X_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
_PRESETS = {
    "libx264": _X26X_PRESETS,
    "libx265": _X26X_PRESETS,
    "libsvtav1": tuple(str(number) for number in range(14)),
}
_HIGHEST_CRF = {"libx264": 51, "libx265": 51, "libsvtav1": 63}
_BOX = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")


class VideoWriter:
    """Encodes frames of one size into a fragmented h264 MP4 on `sink`.

    `crf` is the quality on x264's scale. `append` and `repeat` raise OSError when the sink does,
    and PyAV's errors when the encoder fails.
    """

    def __init__(
        self,
        sink: AppendFile,
        width: int,
        height: int,
        fps: int,
        crf: int,
        encoder: Encoder = X264,
    ) -> None:
        self.sink = sink
        self.frames = 0
        self.fps = fps
        self.encoder = encoder
        self.size = (width, height)
        self._time_base = Fraction(1, fps)  # the stream's own is the container's once it is open
        movflags = "frag_keyframe+empty_moov+default_base_moof"
        self._container: Any = av.open(
            sink,
            "w",
            format="mp4",
            options={
                "movflags": movflags,
                "frag_duration": str(int(FRAGMENT_S * 1e6)),
                "flush_packets": "1",
            },
        )
        stream = self._container.add_stream(encoder.name, rate=fps, options=encoder.settings(crf))
        stream.width, stream.height = width, height
        stream.time_base = self._time_base
        set_up(stream.codec_context, fps)
        self._stream = stream
        self._rgb = av.VideoFrame(width, height, "rgb24")
        self._newest: Any = None  # as the encoder took it

    def append(self, rgb: npt.NDArray[np.uint8]) -> None:
        """Encode one frame, uint8 [H, W, 3]."""
        self._encode(self._filled(rgb).reformat(format="yuv420p"))

    def repeat(self) -> None:
        """Encode the frame before once more."""
        self._encode(self._newest)

    def close(self) -> None:
        """Write what the encoder still holds and the end of the file, and let go of both. Once it
        was called it does nothing more."""
        container, stream = self._container, self._stream
        self._container = self._stream = self._newest = None
        if container is None:
            return
        try:
            if self.frames:
                container.mux(stream.encode(None))
        finally:
            container.close()

    def _encode(self, frame: Any) -> None:
        frame.pts, frame.time_base = self.frames, self._time_base
        self._container.mux(self._stream.encode(frame))
        self._newest = frame
        self.frames += 1

    def _filled(self, rgb: npt.NDArray[np.uint8]) -> Any:
        """The picture as a PyAV frame: always the same one where its lines are as long as ours,
        because a new one costs ten times as much as the copy."""
        plane = self._rgb.planes[0]
        if plane.line_size * self._rgb.height != rgb.nbytes or not rgb.flags.c_contiguous:
            return av.VideoFrame.from_ndarray(rgb, format="rgb24")
        plane.update(rgb)
        return self._rgb


def _boxes(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """The complete top-level boxes of an MP4: (type, start, end) in bytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = 0
        while start + _BOX.size <= size:
            file.seek(start)
            length, kind = _BOX.unpack(file.read(_BOX.size))
            if length == 1:
                tail = file.read(_LARGE.size)
                if len(tail) < _LARGE.size:
                    return
                (length,) = _LARGE.unpack(tail)
            if length < _BOX.size or start + length > size:
                return
            yield kind, start, start + length
            start += length


def cut_torn_tail(path: Path) -> int:
    """Cut a fragmented MP4 after its last whole fragment; returns the number of bytes cut.

    A decoder stops with an error at a fragment that was being written at a kill, so what is kept is
    the header and every complete `moof` with its complete `mdat`. A file without a whole header
    becomes empty: it has no frames.
    """
    good_end, header_seen, in_fragment = 0, False, False
    for kind, _, end in _boxes(path):
        if kind == b"moof":
            in_fragment = True
            continue
        header_seen = header_seen or kind == b"moov"
        if kind == b"mdat" or not in_fragment:
            in_fragment = False
            good_end = end
    if not header_seen:
        good_end = 0
    size = path.stat().st_size
    if good_end < size:
        with path.open("r+b") as file:
            file.truncate(good_end)
    return size - good_end


def has_index(path: Path) -> bool:
    """Whether an MP4 has the index that its writer adds at the end, or in its header."""
    return any(kind == b"moov" for kind, _, _ in _boxes(path))


def count_frames(path: Path) -> int:
    """The number of coded frames in a video, counted packet by packet; 0 for an empty file.

    Raises DatasetError when the file is not a whole video.
    """
    if path.stat().st_size == 0:
        return 0
    with _readable(path), av.open(str(path)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size > 0)


def probe(path: Path) -> dict[str, object]:
    """What LeRobot writes under a video feature's `info`, read from the file itself."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return {
            "is_depth_map": False,
            "video.height": stream.height,
            "video.width": stream.width,
            "video.codec": stream.codec.canonical_name,
            "video.pix_fmt": stream.pix_fmt,
            "video.fps": int(stream.base_rate),
            "video.channels": 3,
            "has_audio": bool(container.streams.audio),
        }


def encoder_info(fps: int, crf: int, encoder: Encoder = X264) -> dict[str, object]:
    """How robotd encodes, under the keys where LeRobot notes its encoder's settings."""
    tune = {"tune": "zerolatency"} if encoder is X264 else {}
    return {
        "video.g": gop_frames(fps),
        "video.crf": crf,
        "video.preset": encoder.preset,
        "video.fast_decode": 0,
        "video.video_backend": "pyav",
        "video.extra_options": tune,
    }


def remux(source: Path, target: Path, frames: int) -> None:
    """Copy the first `frames` frames of a fragmented MP4 into a plain one, without re-encoding.

    There are no B-frames, so the first packets are the first frames. Raises DatasetError when
    the source holds fewer.
    """
    copied = 0
    with av.open(str(source)) as reader, _mp4(target) as writer:
        origin = reader.streams.video[0]
        stream = writer.add_stream_from_template(origin, opaque=True)
        stream.time_base = origin.time_base
        for packet in reader.demux(origin):
            if packet.size == 0 or copied == frames:
                continue
            # Not every encoder says how long a frame is shown. Without it the last one of the file
            # has no time at all, and what is joined behind it comes a frame early.
            if not packet.duration and origin.base_rate:
                packet.duration = round(1 / (origin.base_rate * packet.time_base))
            packet.stream = stream
            writer.mux(packet)
            copied += 1
    _check_count(source, copied, frames)


def transcode(source: Path, target: Path, frames: int, fps: int, info: dict[str, Any]) -> None:
    """Encode the first `frames` frames again, with the codec and settings that `info` names.

    For datasets that LeRobot recorded with another codec (AV1 by default): its tools concatenate
    the files of a dataset, which works only where all of them have one codec.
    """
    codec = str(info["video.codec"])
    name = {"av1": "libsvtav1", "h264": "libx264", "hevc": "libx265"}.get(codec, codec)
    options = _encoder_options(name, info)
    done = 0
    with av.open(str(source)) as reader, _mp4(target) as writer:
        origin = reader.streams.video[0]
        stream = writer.add_stream(name, rate=fps, options=options)
        stream.width, stream.height = origin.width, origin.height
        stream.pix_fmt = str(info.get("video.pix_fmt", "yuv420p"))
        stream.time_base = Fraction(1, fps)
        stream.codec_context.gop_size = int(info.get("video.g") or 2)
        for frame in reader.decode(origin):
            if done == frames:
                break
            frame.pts, frame.time_base = done, Fraction(1, fps)
            frame.pict_type = 0
            writer.mux(stream.encode(frame))
            done += 1
        writer.mux(stream.encode(None))
    _check_count(source, done, frames)


def _encoder_options(encoder: str, info: dict[str, Any]) -> dict[str, str]:
    """Those of the settings that `info` names which `encoder` knows.

    A dataset may have been encoded on a GPU, whose presets ("p4") its software namesake refuses.
    """
    crf, preset = info.get("video.crf"), info.get("video.preset")
    highest = _HIGHEST_CRF.get(encoder, -1)
    options = {}
    if isinstance(crf, int | float) and 0 <= crf <= highest:
        options["crf"] = str(int(crf))
    if preset is not None and str(preset) in _PRESETS.get(encoder, ()):
        options["preset"] = str(preset)
    return options


@contextmanager
def _mp4(target: Path) -> Iterator[Any]:
    """A plain MP4 being written. The file is ours: on a full disk PyAV would leave its own open."""
    with target.open("wb") as file, av.open(file, "w", format="mp4") as container:
        yield container


def decode_frames(path: Path) -> Iterator[tuple[int, Any]]:
    """Every frame of a video in order: (index, PyAV frame; `.to_ndarray(format="rgb24")`).

    Raises DatasetError where it cannot be decoded.
    """
    with _readable(path), av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        yield from enumerate(container.decode(stream))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except av.error.InvalidDataError as error:
        raise DatasetError(
            f"{path} cannot be read as a video: {error.strerror}.",
            "The file was cut off or damaged after it was recorded.",
            "Discard this episode, or restore the file from a backup.",
        ) from error


def _check_count(path: Path, got: int, wanted: int) -> None:
    if got < wanted:
        raise DatasetError(
            f"{path} holds {got} frames where the episode has {wanted} rows.",
            "The file was changed or damaged after it was recorded.",
            "Discard this episode, or restore the journal folder from a backup.",
        )
