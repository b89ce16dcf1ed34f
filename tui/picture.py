"""Live camera pictures in a terminal: two pixels a character cell, drawn as half blocks.

A thread reads the newest frame, shrinks it to the widget's cells and quantises the colours; the
widget redraws only the rows that changed, in runs of equal colour. That keeps a still scene nearly
free, also over SSH. The thread draws at most ten times a second, and less often when the screen
takes too much of a core.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.backend import Backend
from tui.look import Look

FASTEST_S, SLOWEST_S = 0.1, 0.5
"""Shortest and longest time between two pictures of a camera."""

SSH_FASTEST_S = 0.2
"""Over SSH: two moving pictures on a large terminal are 600 kB/s at ten a second."""

SHARE = 0.4
"""Part of one core that the screen may take: above it pictures come less often, below four fifths
of it more often. The screen itself takes 0.15 to 0.3 for ten states a second on a slow core: with a
lower mark pictures that were slowed down once would stay slow."""

RAMP = " .:-=+*#%@"
"""Dark to bright, for terminals without half blocks."""

Cells = npt.NDArray[np.uint8]
"""uint8 [rows, columns, 6]: red, green, blue of the upper and of the lower pixel."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One camera picture, ready to draw. `stamp_ns` is when it was captured (CLOCK_MONOTONIC)."""

    camera: str
    stamp_ns: int
    cells: Cells


def shrink(
    rgb: npt.NDArray[np.uint8], rows: int, columns: int, bits: int, around: int = 0
) -> Cells:
    """Fit uint8 [h, w, 3] into `rows` x `columns` cells by area means, keeping its shape; the
    colour `around` (0xrrggbb) fills the rest.

    `bits` of each colour stay: fewer make longer runs of equal cells.
    """
    height, width = rgb.shape[:2]
    scale = min(columns / width, 2 * rows / height)
    wide, high = max(1, int(width * scale)), max(2, int(height * scale) // 2 * 2)
    wide, high = min(wide, columns), min(high, 2 * rows)
    small = _area_means(_area_means(rgb, high, 0), wide, 1)
    step = 1 << (8 - bits)
    small = np.minimum((small.astype(np.uint16) + step // 2) // step * step, 255).astype(np.uint8)
    pixels = np.empty((2 * rows, columns, 3), np.uint8)
    pixels[:] = (around >> 16, around >> 8 & 255, around & 255)
    top, left = (2 * rows - high) // 4 * 2, (columns - wide) // 2
    pixels[top : top + high, left : left + wide] = small
    return np.concatenate([pixels[0::2], pixels[1::2]], axis=2)


def _area_means(image: npt.NDArray[np.uint8], size: int, axis: int) -> npt.NDArray[np.uint8]:
    """Shrink one axis to `size` by means of equal parts; enlarge it by repeating."""
    length = image.shape[axis]
    if size >= length:
        return np.take(image, np.arange(size) * length // size, axis=axis)
    # Three samples a part are enough against moire, and a third of the work for a large frame.
    stride = max(1, length // (3 * size))
    sampled = image[::stride] if axis == 0 else image[:, ::stride]
    length = sampled.shape[axis]
    starts = np.arange(size) * length // size
    sums = np.add.reduceat(sampled, starts, axis=axis, dtype=np.uint32)
    counts = np.diff(np.append(starts, length))
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    means: npt.NDArray[np.uint8] = (sums // counts.reshape(shape)).astype(np.uint8)
    return means


@lru_cache(maxsize=1 << 12)
def _style(foreground: int, background: int) -> Style:
    return Style.parse(f"#{foreground:06x} on #{background:06x}")


def draw_row(row: npt.NDArray[np.uint8], look: Look) -> list[Segment]:
    """One row of cells, uint8 [columns, 6], as segments of equal colour."""
    wide = row.astype(np.uint32)
    if look.ascii:
        brightness = (wide @ np.array([299, 587, 114, 299, 587, 114])) // 2000
        return [Segment("".join(RAMP[value * len(RAMP) // 256] for value in brightness))]
    upper = (wide[:, 0] << 16) | (wide[:, 1] << 8) | wide[:, 2]
    lower = (wide[:, 3] << 16) | (wide[:, 4] << 8) | wide[:, 5]
    both = (upper.astype(np.uint64) << np.uint64(24)) | lower
    starts = np.flatnonzero(np.append(True, both[1:] != both[:-1]))
    lengths = np.diff(np.append(starts, len(both)))
    return [
        Segment(look.half * length, _style(over, under))
        for over, under, length in zip(
            upper[starts].tolist(), lower[starts].tolist(), lengths.tolist(), strict=True
        )
    ]


class CameraView(Widget):
    """One camera's newest picture. Its border title carries name and age."""

    def __init__(self, camera: str, look: Look, *, id: str) -> None:
        super().__init__(id=id, classes="panel")
        self.camera = camera
        self._look = look
        self._cells: Cells | None = None
        self._faded = False

    def show(self, picture: Picture) -> None:
        """Draw a new picture; only rows that changed are sent to the terminal."""
        before, self._cells = self._cells, picture.cells
        if before is None or before.shape != picture.cells.shape:
            self.refresh()
            return
        changed = np.flatnonzero((before != picture.cells).any(axis=(1, 2)))
        gutter = self.gutter
        for row in changed.tolist():
            self.refresh(Region(gutter.left, gutter.top + row, picture.cells.shape[1], 1))

    def fade(self, old: bool) -> None:
        """An old picture is drawn dark: nobody may take it for the present."""
        if old != self._faded:
            self._faded = old
            self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.content_size.width
        if self._cells is None:
            word = "no picture yet" if y == self.content_size.height // 2 else ""
            return Strip([Segment(word.center(width)[:width], self.rich_style)])
        if y >= len(self._cells) or self._cells.shape[1] != width:
            return Strip.blank(width, self.rich_style)  # of another size: the next one fits
        row = self._cells[y] // 3 if self._faded else self._cells[y]
        segments = draw_row(row, self._look)
        if self._look.ascii:
            segments = [Segment(segment.text, self.rich_style) for segment in segments]
        return Strip(segments, width)


class Pictures:
    """Reads frames in a thread and hands drawn pictures to `seen` (called from that thread)."""

    def __init__(
        self,
        backend: Backend,
        look: Look,
        bits: int,
        seen: Callable[[Picture], None],
        crashed: Callable[[BaseException], None],
    ) -> None:
        self._backend = backend
        self._bits = bits
        self._around = int(look.background[1:], 16)
        self._seen = seen
        self._crashed = crashed
        self._sizes: dict[str, tuple[int, int]] = {}
        self._fastest_s = SSH_FASTEST_S if os.environ.get("SSH_CONNECTION") else FASTEST_S
        self.period_s = self._fastest_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tui-pictures", daemon=True)
        self._thread.start()

    def want(self, sizes: dict[str, tuple[int, int]]) -> None:
        """Which cameras to draw, and at how many rows and columns."""
        self._sizes = sizes

    def adapt(self, share: float) -> None:
        """Draw less or more often, when the screen takes `share` of a core."""
        if share > SHARE:
            self.period_s = min(SLOWEST_S, self.period_s * 1.25)
        elif share < SHARE * 0.8:
            self.period_s = max(self._fastest_s, self.period_s / 1.5)

    def close(self, wait_s: float = 1.0) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join(wait_s)

    def _run(self) -> None:
        drawn: dict[str, tuple[int, tuple[int, int]]] = {}
        try:
            while not self._ended.is_set():
                for camera, size in self._sizes.items():
                    frame = self._backend.frame(camera)
                    if frame is None or drawn.get(camera) == (frame.stamp_ns, size):
                        continue
                    drawn[camera] = (frame.stamp_ns, size)
                    rgb = np.frombuffer(frame.rgb, np.uint8)
                    rgb = rgb.reshape(frame.height, frame.width, 3)
                    cells = shrink(rgb, *size, self._bits, self._around)
                    self._seen(Picture(camera, frame.stamp_ns, cells))
                self._ended.wait(self.period_s)
        except Exception as error:  # noqa: BLE001 - a thread's end must reach the crash report
            self._crashed(error)
