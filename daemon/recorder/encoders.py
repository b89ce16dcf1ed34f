"""Which encoder this machine has: each candidate encodes a few pictures for real, the first that
keeps up is taken, and why the ones before it were passed over is said.

What a journal needs of an encoder: every picture comes out as one packet as soon as it went in (no
B-frames, no look-ahead), with a key frame each half second. A candidate that does not do that is no
candidate, whatever its name. x264 is the last one and is taken even where it is slow: pictures then
wait, and are repeated and flagged rather than shifted (`daemon.recorder.lane`).
"""

import logging
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.logging
import numpy as np

log = logging.getLogger(__name__)

type Sizes = Sequence[tuple[int, int]]
"""Width and height in pixels of every camera that is to be encoded at once."""

_TRIED_FRAMES = 24  # most of a second of one camera, a key frame among them
_SHARE = 0.8  # of real time that all cameras together may take
_ANSWER_S = 15.0  # a driver that hangs: opening a session takes NVENC half a second
_GOP_S = 0.5  # a random frame costs LeRobot at most this much decoding


@dataclass(frozen=True, slots=True)
class Encoder:
    """One of FFmpeg's h264 encoders, as robotd sets it.

    `name` is FFmpeg's, `word` the one in the configuration. `options` are what makes every packet
    come out at once; `quality` is the option that takes the configured quality (x264's scale, 0 to
    51), which the hardware takes as its constant quantiser. `preset` as LeRobot would read it;
    hardware has names that LeRobot's h264 does not know, so it is given none.
    """

    name: str
    word: str
    options: tuple[tuple[str, str], ...]
    quality: str
    preset: str | None = None

    def settings(self, quality: int) -> dict[str, str]:
        """Its options at that quality."""
        return {**dict(self.options), self.quality: str(quality)}


X264 = Encoder(
    "libx264",
    "x264",
    (("preset", "ultrafast"), ("tune", "zerolatency"), ("bf", "0")),
    "crf",
    preset="ultrafast",  # 2 ms of CPU a 640x480 frame, beside a control loop on two cores
)
NVENC = Encoder(
    "h264_nvenc",
    "nvenc",
    (
        ("preset", "p1"),
        ("tune", "ull"),
        ("rc", "constqp"),
        ("bf", "0"),
        ("delay", "0"),
        ("zerolatency", "1"),
        ("rc-lookahead", "0"),
        ("forced-idr", "1"),
    ),
    "qp",
)
VAAPI = Encoder(
    "h264_vaapi", "vaapi", (("rc_mode", "CQP"), ("bf", "0"), ("async_depth", "1")), "qp"
)
ENCODERS = {encoder.name: encoder for encoder in (NVENC, VAAPI, X264)}
"""By FFmpeg's name, in the order in which `auto` tries them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The encoder that was taken, and why others were not, by name."""

    encoder: Encoder = X264
    passed_over: tuple[tuple[str, str], ...] = ()

    @property
    def note(self) -> str:
        """The reasons in one line; empty where nothing was passed over."""
        return "; ".join(f"{name}: {reason}" for name, reason in self.passed_over)

    def without(self, name: str, reason: str) -> "Choice":
        """After encoder `name` failed while it recorded: x264 from now on."""
        return Choice(X264, (*self.passed_over, (name, reason)))


def gop_frames(fps: int) -> int:
    """Frames from one key frame to the next: half a second of them."""
    return max(1, int(fps * _GOP_S))


def choose(
    wanted: str,
    sizes: Sizes,
    fps: int,
    quality: int,
    trial: Callable[[Encoder, Sizes, int, int], str] | None = None,
) -> Choice:
    """The first of the candidates for `wanted` (auto, x264, nvenc, vaapi) that keeps up.

    `trial` says in words why one does not, or nothing. The encoders are warm afterwards. A robot
    without cameras has nothing to try them with, and needs none.
    """
    if not sizes:
        return Choice()
    attempt = trial or try_encoder
    words = ("nvenc", "vaapi", "x264") if wanted == "auto" else (wanted, "x264")
    passed: list[tuple[str, str]] = []
    for encoder in ENCODERS.values():
        if encoder.word not in words:
            continue
        trouble = attempt(encoder, sizes, fps, quality)
        if not trouble:
            break
        passed.append((encoder.name, trouble))
    else:
        encoder = X264
    choice = Choice(encoder, tuple(passed))
    said = f"encoder {encoder.name}" + (f" ({choice.note})" if choice.note else "")
    # Where the configuration asked for another one, a person wants to know.
    log.log(logging.INFO if wanted in ("auto", encoder.word) else logging.WARNING, "%s", said)
    return choice


def try_encoder(encoder: Encoder, sizes: Sizes, fps: int, quality: int) -> str:
    """Encode a few pictures of every size; why this encoder cannot be taken, or nothing.

    It is tried in a thread of its own, because a driver may hang.
    """
    found: list[str] = []

    def attempt() -> None:
        try:
            found.append(_trial(encoder, sizes, fps, quality))
        except Exception as error:  # noqa: BLE001  (what a driver raises is open-ended)
            found.append(ffmpeg_words(error))

    thread = threading.Thread(target=attempt, name=f"try-{encoder.word}", daemon=True)
    thread.start()
    thread.join(_ANSWER_S)
    return found[0] if found else f"it gave no answer in {_ANSWER_S:g} s"


def _trial(encoder: Encoder, sizes: Sizes, fps: int, quality: int) -> str:
    if encoder.name not in av.codecs_available:
        return f"the FFmpeg that PyAV {av.__version__} brings was built without it"
    together_s = 0.0
    with _quiet_ffmpeg():
        for width, height in sizes:
            trouble, frame_s = _encode_some(encoder, width, height, fps, quality)
            if trouble:
                return trouble
            together_s += frame_s
    if together_s > _SHARE / fps:
        return (
            f"it takes {together_s * 1e3:.0f} ms for one picture of every camera, "
            f"{_SHARE / fps * 1e3:.0f} ms is real time"
        )
    return ""


def _encode_some(
    encoder: Encoder, width: int, height: int, fps: int, quality: int
) -> tuple[str, float]:
    """What is wrong with its packets, and the seconds that one picture took (the median): a moving
    pattern, converted and encoded."""
    context = open_context(encoder, width, height, fps, quality)
    picture = np.add.outer(np.arange(height), np.arange(width))[..., None] * [1, 2, 3] >> 2
    key_frames, took_s = [], []
    for number in range(_TRIED_FRAMES):
        moved = np.roll(picture, 3 * number, axis=1).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(moved, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, fps)
        began_s = time.perf_counter()
        packets = list(context.encode(frame))
        took_s.append(time.perf_counter() - began_s)
        if [packet.pts for packet in packets] != [number]:
            return "it holds pictures back, so a kill would lose them", 0.0
        key_frames.append(packets[0].is_keyframe)
    gop = gop_frames(fps)
    if any(not is_key for is_key in key_frames[::gop]):
        return f"it makes no key frame every {gop} pictures", 0.0
    return "", statistics.median(took_s)


def open_context(encoder: Encoder, width: int, height: int, fps: int, quality: int) -> Any:
    """A codec context as `daemon.recorder.video` uses it, without a file."""
    context: Any = av.CodecContext.create(encoder.name, "w")
    context.width, context.height, context.framerate = width, height, fps
    context.time_base = Fraction(1, fps)
    context.options = encoder.settings(quality)
    set_up(context, fps)
    return context


def set_up(context: Any, fps: int) -> None:
    """What every encoder is told beside its own options."""
    context.pix_fmt = "yuv420p"
    context.gop_size = gop_frames(fps)
    context.thread_count = 1  # the other cores belong to others


@contextmanager
def _quiet_ffmpeg() -> Iterator[None]:
    """FFmpeg's own lines stay out of the log; the error it raises meanwhile brings the last one."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(local=True):
            yield
    finally:
        av.logging.set_level(before)


def ffmpeg_words(error: Exception) -> str:
    """Why FFmpeg failed: what it said last where it said something, else the error's own words."""
    said = getattr(error, "log", None)
    if said:
        return str(said[2]).strip().rstrip(".")
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
