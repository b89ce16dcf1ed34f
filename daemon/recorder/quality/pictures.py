"""The quality gate on one camera's pictures: standing still, black, washed out, covered.

`PictureWatch` looks at every frame while it is decoded for the statistics anyway, as a small grey
picture; what it remembers of an hour is a few numbers a frame and one background.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from daemon.recorder.quality import limits
from daemon.recorder.quality.finding import Bools, Finding, longest, runs, span
from daemon.recorder.quality.rows import EpisodeRows
from daemon.recorder.quality.scene import Scene, scene_of

_BUSY = "Is the machine too busy (robotd health)? "

type Grey = npt.NDArray[np.uint8]
type Levels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sight:
    """What one camera showed, [rows] each, in grey levels: `change` is the greatest of any cell since
    the row before (first 0), `spread` the standard deviation, `dark` and `bright` shares of cells.
    `ends` are the backgrounds of its first and last third, `scene` that of all of it."""

    change: Levels
    spread: Levels
    dark: Levels
    bright: Levels
    scene: Scene | None
    ends: tuple[Scene, Scene] | None = None


class PictureWatch:
    """Looks at an episode's `rows` frames of one camera, in order: `see` each, then `sight`."""

    def __init__(self, width: int, height: int, rows: int) -> None:
        self.size = thumb_size(width, height)
        self._numbers = np.zeros((4, rows), np.float32)
        wanted = np.linspace(0, rows - 1, min(limits.SCENE_FRAMES, rows)).round().astype(int)
        self._wanted = set(wanted.tolist())
        self._kept: list[Grey] = []
        self._before: npt.NDArray[np.int16] | None = None
        self._reformatter = VideoReformatter()

    def see(self, index: int, frame: Any) -> None:
        """One decoded PyAV frame, that of row `index`."""
        width, height = self.size
        small = self._reformatter.reformat(frame, width, height, "gray", interpolation="AREA")
        self.see_grey(index, small.to_ndarray().astype(np.uint8, copy=False))

    def see_grey(self, index: int, grey: Grey) -> None:
        """The same from a small picture, uint8 [height, width] of `size`."""
        if index >= self._numbers.shape[1]:
            return  # more frames than rows: publishing refuses that by itself
        signed = grey.astype(np.int16)
        change = 0 if self._before is None else int(np.abs(signed - self._before).max())
        self._before = signed
        dark, bright = grey <= limits.BLACK_LEVEL, grey >= limits.BRIGHT_LEVEL
        self._numbers[:, index] = (change, grey.std(), dark.mean(), bright.mean())
        if index in self._wanted:
            self._kept.append(grey.copy())

    def sight(self) -> Sight:
        """What was seen."""
        change, spread, dark, bright = self._numbers
        third = len(self._kept) // 3
        early, late = scene_of(self._kept[:third]), scene_of(self._kept[len(self._kept) - third :])
        ends = None if early is None or late is None else (early, late)
        return Sight(change, spread, dark, bright, scene_of(self._kept), ends)


def thumb_size(width: int, height: int) -> tuple[int, int]:
    """Columns and rows of the small picture, both even."""
    return limits.THUMB_WIDTH, max(2, round(limits.THUMB_WIDTH * height / width / 2) * 2)


def picture_findings(rows: EpisodeRows, camera: str, sight: Sight) -> list[Finding]:
    """Everything that one camera's pictures tell by themselves."""
    found = (
        _dark(rows, camera, sight) + _bright(rows, camera, sight) + _covered(rows, camera, sight)
    )
    standing = _standing(rows, camera, sight)
    return found + standing + ([] if found else _repeated(rows, camera, sight, bool(standing)))


def _dark(rows: EpisodeRows, camera: str, sight: Sight) -> list[Finding]:
    black = sight.dark >= limits.BLACK_SHARE
    if not black.any():
        return []
    first, last = _around(black)
    share = float(black.mean())
    return [
        Finding(
            code="black",
            severity="bad" if share > 0.1 or _seconds(black, rows) >= limits.FROZEN_S else "warn",
            camera=camera,
            what=f"{camera} is black in {int(black.sum())} pictures, "
            f"{span((first, last), rows.fps)}.",
            do="Lens cap, light, or a loose cable: look at its picture (robotd tui), then redo",
            from_s=first / rows.fps,
            to_s=last / rows.fps,
        )
    ]


def _bright(rows: EpisodeRows, camera: str, sight: Sight) -> list[Finding]:
    white = sight.bright >= limits.BRIGHT_SHARE
    if _seconds(white, rows) < limits.COVERED_S and white.mean() < limits.REPEATED_SHARE:
        return []
    first, last = _around(white)
    return [
        Finding(
            code="overexposed",
            severity="warn" if white.mean() < 0.5 else "bad",
            camera=camera,
            what=f"{camera} is washed out in {int(white.sum())} pictures, "
            f"{span((first, last), rows.fps)}.",
            do="Less light, or a fixed exposure: v4l2-ctl --set-ctrl auto_exposure=1",
            from_s=first / rows.fps,
            to_s=last / rows.fps,
        )
    ]


def _covered(rows: EpisodeRows, camera: str, sight: Sight) -> list[Finding]:
    flat = sight.spread < limits.FLAT_SPREAD
    flat &= (sight.dark < limits.BLACK_SHARE) & (sight.bright < limits.BRIGHT_SHARE)
    if _seconds(flat, rows) < limits.COVERED_S:
        return []
    first, last = longest(flat)
    return [
        Finding(
            code="covered",
            severity="warn" if flat.mean() < 0.5 else "bad",
            camera=camera,
            what=f"{camera} shows nothing but one shade {span((first, last), rows.fps)}.",
            do="Something was on or before the lens: clear it and redo the episode",
            from_s=first / rows.fps,
            to_s=last / rows.fps,
        )
    ]


def _standing(rows: EpisodeRows, camera: str, sight: Sight) -> list[Finding]:
    """The same picture for longer than a moment, though the arm moved."""
    least = limits.FROZEN_S * rows.fps
    moved = np.cumsum(rows.travel)
    stretches = [
        (first, last)
        for first, last in runs(_same_picture(rows, camera, sight))
        if last - first >= least and moved[last - 1] - moved[first - 1] >= limits.FROZEN_TRAVEL
    ]
    if not stretches:
        return []
    first, last = max(stretches, key=lambda run: run[1] - run[0])
    flags = rows.repeated.get(camera)
    flagged = flags is not None and bool(flags[first:last].mean() > 0.5)
    cause = "no new one came" if flagged else "the camera sent it again and again"
    seconds = sum(last - first for first, last in stretches) / rows.fps
    more = "" if len(stretches) == 1 else f" ({seconds:.1f} s in all)"
    return [
        Finding(
            code="picture_frozen",
            severity="bad",
            camera=camera,
            what=f"{camera} shows one picture {span((first - 1, last), rows.fps)}{more} while the "
            f"arm moved: {cause}.",
            do=f"Redo the episode. {_BUSY if flagged else ''}Replug the camera; "
            f"robotd logs camera-{camera}",
            from_s=(stretches[0][0] - 1) / rows.fps,
            to_s=stretches[-1][1] / rows.fps,
        )
    ]


def _repeated(rows: EpisodeRows, camera: str, sight: Sight, standing: bool) -> list[Finding]:
    """Single pictures shown twice, beside those that stood."""
    if standing or len(rows.state) < 2:
        return []
    moving = rows.travel * rows.fps >= limits.MOVING_PER_S
    again = _same_picture(rows, camera, sight) & moving
    flags = rows.repeated.get(camera)
    if flags is not None:
        again |= flags
    share = float(again.mean())
    if share < limits.REPEATED_SHARE:
        return []
    return [
        Finding(
            code="picture_repeated",
            severity="bad" if share >= limits.REPEATED_BAD_SHARE else "warn",
            camera=camera,
            what=f"{camera} shows the picture of the row before in {share * 100:.0f} % of the rows.",
            do="The camera is slower than the rows: more light (it lowers its rate in the dark), a "
            "smaller size, another USB socket; or the machine is too busy: robotd health",
        )
    ]


def _same_picture(rows: EpisodeRows, camera: str, sight: Sight) -> Bools:
    same = sight.change < limits.CHANGED
    flags = rows.repeated.get(camera)
    if flags is not None:
        same |= flags
    same[:1] = False
    return same


def _around(mask: Bools) -> tuple[int, int]:
    """From the first to the last True."""
    where = np.flatnonzero(mask)
    return int(where[0]), int(where[-1]) + 1


def _seconds(mask: Bools, rows: EpisodeRows) -> float:
    """How long the longest stretch of True is."""
    first, last = longest(mask)
    return (last - first) / rows.fps
