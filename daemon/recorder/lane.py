"""Pictures on their way into the encoder: one lane a camera, so that no encoder holds up the rows.

Every row of an episode takes exactly one place in each lane, so frame k is row k's whatever happens.
Pictures wait in a lane for `SPILL_S`; an encoder that is further behind gets, in the place of the
next picture, the word to encode the one before it again, and the caller is told, so that the row can
say so. A repeat waits without memory, so a lane is bounded however long an encoder stands still.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import av
import numpy as np
import numpy.typing as npt

from daemon.recorder.encoders import ffmpeg_words
from daemon.recorder.video import VideoWriter
from robotd.errors import EncoderError

SPILL_S = 1.5
"""Pictures that wait for an encoder: it may stand still for a second and nothing changes. Two
cameras of 640x480 at 30 fps hold 83 MB while it does."""

_STUCK_S = 10.0
"""An encoder that takes no picture for so long at the end of an episode is given up: the episode is
cut to what is written and offered."""

type Picture = npt.NDArray[np.uint8]


class Lane(Protocol):
    """One camera's way into its video. Errors of the disk come out as OSError, those of the encoder
    as EncoderError, from whichever method is called next."""

    @property
    def waiting(self) -> int:
        """Rows whose frame is not encoded yet."""
        ...

    @property
    def full(self) -> bool:
        """Whether the next picture would not be taken."""
        ...

    def offer(self, rgb: Picture) -> bool:
        """Take the picture of the next row, which must not change any more. False: the lane is
        full, and the row gets the frame before it again. Never waits."""
        ...

    def finish(self, patience_s: float | None = None) -> None:
        """Return when all frames and the end of the file are written. An encoder that takes none
        for `patience_s` (by default 10 s) is given up: EncoderError."""
        ...

    def drop(self, wait_s: float = 0.0) -> None:
        """Write nothing more and close the file; returns when that is done, or after `wait_s`
        while an encoder stands still. For what nobody wants, and after a failure."""
        ...


type OpenLane = Callable[[VideoWriter], Lane]


class InlineLane:
    """Encodes while the caller waits: for lock-step."""

    waiting = 0
    full = False

    def __init__(self, writer: VideoWriter) -> None:
        self._writer = writer

    def offer(self, rgb: Picture) -> bool:
        with _explained(self._writer):
            self._writer.append(rgb)
        return True

    def finish(self, patience_s: float | None = None) -> None:
        with _explained(self._writer):
            self._writer.close()

    def drop(self, wait_s: float = 0.0) -> None:
        _drop(self._writer)


class ThreadLane:
    """Encodes in a thread of its own. `offer`, `finish` and `drop` are for one other thread."""

    def __init__(self, writer: VideoWriter, spill_s: float = SPILL_S) -> None:
        self._writer = writer
        self._room = max(2, round(spill_s * writer.fps))  # pictures; repeats do not count
        self._entries: deque[Picture | None] = deque()  # None: the frame before it again
        self._pictures = 0
        self._ending = self._dropped = self._stopped = False
        self._error: Exception | None = None
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="encode", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return len(self._entries)

    @property
    def full(self) -> bool:
        return self._pictures >= self._room

    def offer(self, rgb: Picture) -> bool:
        with self._wake:
            self._raise()
            fits = not self.full  # the first one does: none is before it
            self._entries.append(rgb if fits else None)
            self._pictures += fits
            self._wake.notify_all()
        return fits

    def finish(self, patience_s: float | None = None) -> None:
        stuck_s = _STUCK_S if patience_s is None else patience_s
        with self._wake:
            self._ending = True
            self._wake.notify_all()
            encoded = -1
            while not self._stopped and encoded < self._writer.frames:
                encoded = self._writer.frames
                self._wake.wait_for(lambda: self._stopped, stuck_s)
            self._raise()
            if not self._stopped:
                raise EncoderError(
                    f"The encoder {self._writer.encoder.name} stands still: "
                    f"{self.waiting} frames wait for it.",
                    "Its driver hangs, or the machine is far too busy.",
                    "What it encoded is whole: robotd dataset recover. Look: robotd logs recorder.",
                )

    def drop(self, wait_s: float = 0.0) -> None:
        self._writer.sink.abandon()
        with self._wake:
            self._dropped = self._ending = True
            self._wake.notify_all()
        if wait_s > 0:
            self._thread.join(wait_s)

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self) -> None:
        error: Exception | None = None
        try:
            with _explained(self._writer):
                while self._encode_next():
                    pass
                if not self._dropped:
                    self._writer.close()
        except Exception as failure:  # noqa: BLE001  (the rows' thread meets it at its next call)
            error = failure
        with self._wake:
            self._error, self._stopped = error, True
            self._wake.notify_all()
            if error is not None:
                self._wake.wait_for(lambda: self._dropped)
        if self._dropped:
            self._entries.clear()
            _drop(self._writer)

    def _encode_next(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._entries or self._ending)
            if self._dropped or not self._entries:
                return False
            rgb = self._entries[0]
        if rgb is None:
            self._writer.repeat()
        else:
            self._writer.append(rgb)
        with self._wake:  # its place is taken until it is encoded
            self._entries.popleft()
            self._pictures -= rgb is not None
        return True


@contextlib.contextmanager
def _explained(writer: VideoWriter) -> Iterator[None]:
    """What the encoder raises leaves as an EncoderError; the disk's errors as they are."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise EncoderError(
            f"The encoder {writer.encoder.name} failed at frame {writer.frames}: "
            f"{ffmpeg_words(error)}.",
            "Its driver was restarted, or other programs use all of its sessions.",
            "The next episode is encoded by x264. To stay with it: recording.encoder: x264.",
        ) from error


def _drop(writer: VideoWriter) -> None:
    """Close what is left. The first error was reported; what is closed after it may fail again."""
    writer.sink.abandon()
    with contextlib.suppress(OSError, av.error.FFmpegError):
        writer.close()
    writer.sink.close()
