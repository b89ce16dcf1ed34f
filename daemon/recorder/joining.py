"""Videos put together and cut without encoding anything again: packets copied, times made new.

Every episode is a video of its own before it is joined, so it begins with a key frame and its
packets are neighbours. Where that does not hold (a file that was encoded anew as a whole), the file
stays as it is, with pictures in it that no episode refers to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av

from daemon.recorder.video import count_frames
from robotd.errors import DatasetError

type Frames = tuple[int, int]
"""Frames of a file from the first to before the second."""


class Piece(NamedTuple):
    """What is taken of a video file: these frames, in order. `size_bytes` of the part."""

    path: Path
    frames: tuple[Frames, ...]
    size_bytes: int

    @property
    def length(self) -> int:
        """How many frames."""
        return sum(end - start for start, end in self.frames)


@dataclass(frozen=True, slots=True)
class Look:
    """A video's packets in the order of decoding: the frame of each; and which are key frames.

    Only files of one `signature` can be joined: one set of the decoder's parameters is for all.
    """

    signature: tuple[object, ...]
    order: tuple[int, ...]
    key_frames: frozenset[int]

    @property
    def regular(self) -> bool:
        """Whether the frames are 0, 1, 2, …, each once."""
        return sorted(self.order) == list(range(len(self.order)))

    def can_cut(self, frames: Sequence[Frames]) -> bool:
        """Whether these frames can be taken out packet by packet."""
        if not self.regular:
            return False
        at = {frame: place for place, frame in enumerate(self.order)}
        for start, end in frames:
            if not 0 <= start < end <= len(self.order) or start not in self.key_frames:
                return False
            places = [at[frame] for frame in range(start, end)]
            if min(places) != at[start] or max(places) - min(places) != end - start - 1:
                return False
        return True


def look_at(path: Path, fps: int) -> Look:
    """Read the packets of a video, decoding nothing."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        order, keys = [], set()
        for packet in container.demux(stream):
            if packet.size == 0 or packet.pts is None:
                continue
            frame = round(packet.pts * Fraction(stream.time_base) * fps)
            order.append(frame)
            if packet.is_keyframe:
                keys.add(frame)
        signature = (
            *(context.name, context.width, context.height, context.pix_fmt),
            bytes(context.extradata or b""),
        )
    return Look(signature, tuple(order), frozenset(keys))


def join(pieces: Sequence[Piece], target: Path, fps: int) -> None:
    """Write the pieces one after the other into a new MP4, frame k at k/fps.

    All must be of one signature and cut where `Look.can_cut` allows. Raises DatasetError when the
    file that comes out has not all frames.
    """
    done = 0
    with target.open("wb") as file, av.open(file, "w", format="mp4") as writer:
        stream: Any = None
        for piece in pieces:
            with av.open(str(piece.path)) as reader:
                origin = reader.streams.video[0]
                if stream is None:
                    stream = writer.add_stream_from_template(origin, opaque=True)
                    stream.time_base = origin.time_base
                _copy(reader, origin, writer, stream, piece.frames, done, fps)
            done += piece.length
    found = count_frames(target)
    if found != done:
        raise DatasetError(
            f"{target.name} came out with {found} frames instead of {done}.",
            f"One of {', '.join(piece.path.name for piece in pieces)} is damaged.",
            "Nothing was changed. robotd dataset check NAME says which.",
        )


def _copy(
    reader: Any,
    origin: Any,
    writer: Any,
    stream: Any,
    ranges: Sequence[Frames],
    first: int,
    fps: int,
) -> None:
    """The packets of `ranges` go to frame `first` and after; those between are left out."""
    base = Fraction(origin.time_base)
    offsets, at = [], first
    for start, end in ranges:
        offsets.append((start, end, at - start))
        at += end - start
    for packet in reader.demux(origin):
        if packet.size == 0 or packet.pts is None:
            continue
        frame = round(packet.pts * base * fps)
        offset = next((by for start, end, by in offsets if start <= frame < end), None)
        if offset is None:
            continue
        pts = round(Fraction(frame + offset, fps) / base)
        delay = packet.pts - packet.dts if packet.dts is not None else 0
        packet.pts, packet.dts = pts, pts - delay
        packet.stream = stream
        writer.mux(packet)
