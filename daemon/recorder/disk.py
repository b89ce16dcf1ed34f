"""How much room recording needs, by what it took so far, and what is removed to make it."""

import shutil
import statistics
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from daemon.recorder.transaction import remove_tree
from robotd.errors import DiskFullError

_MIB = 1 << 20
_BYTES_PER_PIXEL = 0.033  # a frame: two 640x480 cameras at 30 fps write about 0.6 MB/s
_ROW_BYTES = 1_000
_REMEMBERED = 10  # episodes; scenes and light change over a day
_TYPICAL_S = 60.0
_ENOUGH_S = 2.0  # of recording, before what it wrote says more than the guess

type FreeBytes = Callable[[Path], int]


class DiskLimits(msgspec.Struct, frozen=True):
    """Free space to keep. Two 640x480 cameras write about 0.6 MB/s.

    Below `refuse_below_bytes` no episode starts, nor where one more of the usual length would not
    fit (`Budget.wanted_bytes`); below `stop_below_bytes` beyond what publishing the running one will need, it is ended.
    """

    refuse_below_bytes: int = 512 * _MIB
    stop_below_bytes: int = 64 * _MIB


class Budget:
    """What an episode takes, from those before it. Lengths in seconds of recording."""

    def __init__(self) -> None:
        self._episodes: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)

    def ended(self, size_bytes: int, seconds: float) -> None:
        """An episode ended, kept or not."""
        if seconds > 0:
            self._episodes.append((size_bytes, seconds))

    def bytes_per_s(self, guess: float, running: tuple[int, float] = (0, 0.0)) -> float:
        """Measured over the last episodes and the one that runs (bytes, seconds); `guess` before
        there is enough of them."""
        seen = [*self._episodes, running]
        seconds = sum(each for _, each in seen)
        return sum(size for size, _ in seen) / seconds if seconds >= _ENOUGH_S else guess

    def wanted_bytes(self, guess: float, length_s: float | None) -> int:
        """What the next episode and its publishing, which copies it once, will need. `length_s`
        is the longest it may become, None: nobody said, and it is taken as long as most."""
        lengths = [seconds for _, seconds in self._episodes]
        usual_s = statistics.median(lengths) if lengths else _TYPICAL_S
        return round(2 * self.bytes_per_s(guess) * (usual_s if length_s is None else length_s))


def guessed_bytes_per_s(pixels: int, fps: int) -> float:
    """What cameras of so many pixels together write, before anything was measured."""
    return (_BYTES_PER_PIXEL * pixels + _ROW_BYTES) * fps


def free_bytes_of(folder: Path) -> int:
    """Free bytes on the disk that `folder` is, or will be, on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def make_room(
    journals: Path, spare: Iterable[Path], limits: DiskLimits, free_bytes: FreeBytes
) -> None:
    """Remove `spare` folders, in order, until an episode may start. Raises DiskFullError."""
    for folder in spare:
        if free_bytes(journals) >= limits.refuse_below_bytes:
            return
        remove_tree(folder)
    free = free_bytes(journals)
    if free < limits.refuse_below_bytes:
        raise DiskFullError(
            f"Only {free // _MIB} MiB are free; an episode needs "
            f"{limits.refuse_below_bytes // _MIB} MiB to start.",
            "Recordings, or something else on this disk, used up its space.",
            "Free space (`df -h`), move datasets away, lower recording.min_free_gb, or record "
            "shorter episodes (--episode-seconds).",
        )
