"""The quality gate on where a camera stands: its still background against that of an episode before.

A background is the median of pictures over the episode, and which cells of it stood still: a moving
arm and things that were carried drop out, of a wrist camera the fingers remain. Two are compared by
their edges (slopes of grey), so that light and exposure matter little. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from daemon.recorder import quality_limits as limits
from daemon.recorder.quality_finding import Finding

type Floats = npt.NDArray[np.float32]

_PARTS = 3  # the picture is also compared in 3 x 3 parts: turned or zoomed, they move apart


@dataclass(frozen=True, slots=True)
class Scene:
    """What stood still before a camera: `median` uint8 [h, w], `still` bool [h, w]."""

    median: npt.NDArray[np.uint8]
    still: npt.NDArray[np.bool_]


class Alignment(NamedTuple):
    """How one background lies over another. Scores 0..1; shifts in cells (right, down)."""

    unmoved: float
    best: float
    shift: tuple[int, int]
    parts_moved: int
    parts: int
    part_shift: tuple[int, int]


def scene_of(pictures: Sequence[npt.NDArray[np.uint8]]) -> Scene | None:
    """The background of small grey pictures [h, w]; None without any."""
    if not pictures:
        return None
    low, middle, high = np.percentile(np.stack(pictures), [10, 50, 90], axis=0)
    return Scene(middle.round().astype(np.uint8), high - low < limits.STATIC_SPREAD)


def align(before: Scene, now: Scene) -> Alignment | None:
    """How the edges that stand still in both lie over each other; None where there are too few."""
    if before.median.shape != now.median.shape:
        return None
    old, new = _Edges.of(before), _Edges.of(now)
    if min(old.strength, new.strength) < limits.TEXTURE:
        return None
    if min(old.still.mean(), new.still.mean()) < limits.STATIC_SHARE:
        return None
    whole, parts = _scores(old, new, 0, 0)
    textured = _textured(old, new)
    if whole >= limits.SAME_VIEW:
        return Alignment(whole, whole, (0, 0), 0, int(textured.sum()), (0, 0))
    best, shift = whole, (0, 0)
    part_best, part_shift = parts.copy(), np.zeros((len(parts), 2), np.int64)
    reach = limits.SEARCH_CELLS
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            score, each = _scores(old, new, right, down)
            if score > best:
                best, shift = score, (right, down)
            better = each > part_best
            part_best[better] = each[better]
            part_shift[better] = (right, down)
    far = np.hypot(*part_shift.T) >= limits.SHIFT_CELLS
    gained = (part_best >= limits.KNOWN_VIEW) & (part_best - parts >= limits.SHIFT_GAIN)
    moved = textured & far & gained
    largest = int(np.argmax(np.where(moved, np.hypot(*part_shift.T), -1)))
    right, down = part_shift[largest].tolist()
    return Alignment(
        whole, best, shift, int(moved.sum()), int(textured.sum()), (int(right), int(down))
    )


@dataclass(frozen=True, slots=True)
class _Edges:
    """Slopes of a background's grey, zero where it does not stand still; all float32 [h, w]."""

    right: Floats
    down: Floats
    power: Floats
    still: Floats

    @classmethod
    def of(cls, scene: Scene) -> "_Edges":
        down, right = np.gradient(scene.median.astype(np.float32))
        still = scene.still.copy()
        still[1:] &= scene.still[:-1]
        still[:-1] &= scene.still[1:]
        still[:, 1:] &= scene.still[:, :-1]
        still[:, :-1] &= scene.still[:, 1:]
        mask = still.astype(np.float32)
        right, down = right * mask, down * mask
        return cls(right, down, right**2 + down**2, mask)

    @property
    def strength(self) -> float:
        return float(np.sqrt(self.power.sum()))


def _scores(old: _Edges, new: _Edges, right: int, down: int) -> tuple[float, Floats]:
    """Agreement of all edges, and of those in each part, were everything moved by (right, down)."""
    height, width = old.still.shape
    here = (slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right)))
    there = (
        slice(max(0, -down), height + min(0, -down)),
        slice(max(0, -right), width + min(0, -right)),
    )
    both = np.zeros((3, height, width), np.float32)
    both[0][here] = old.right[there] * new.right[here] + old.down[there] * new.down[here]
    both[1][here] = old.power[there] * new.still[here]
    both[2][here] = new.power[here] * old.still[there]
    parts = _by_part(both)
    agreed, first, second = parts.sum(axis=1)
    each = parts[0] / np.maximum(np.sqrt(parts[1] * parts[2]), 1e-3)
    return float(agreed / max(np.sqrt(first * second), 1e-3)), each.astype(np.float32)


def _by_part(maps: Floats) -> Floats:
    """Sums [n, parts] of maps [n, h, w] over a grid of parts."""
    _, height, width = maps.shape
    rows = [height * part // _PARTS for part in range(_PARTS)]
    columns = [width * part // _PARTS for part in range(_PARTS)]
    sums = np.add.reduceat(np.add.reduceat(maps, rows, axis=1), columns, axis=2)
    return np.asarray(sums.reshape(len(maps), -1))


def _textured(old: _Edges, new: _Edges) -> npt.NDArray[np.bool_]:
    power = _by_part(np.stack([old.power, new.power]))
    return np.asarray(np.sqrt(power.min(axis=0)) >= limits.TEXTURE / 2)


def scene_findings(
    now: Mapping[str, Scene], before: Mapping[str, Scene], widths_px: Mapping[str, int]
) -> list[Finding]:
    """Cameras in each other's place, moved, or shown something else since the scenes `before`.

    `widths_px` are the real pictures' widths, so that a shift can be said in their pixels.
    """
    found = []
    for camera, scene in now.items():
        if camera not in before:
            continue
        own = align(before[camera], scene)
        if own is None or own.unmoved >= limits.SAME_VIEW:
            continue
        other = _other(camera, scene, own, before)
        if other:
            found.append(_swapped(camera, other))
            continue
        scale = widths_px[camera] / limits.THUMB_WIDTH
        finding = _moved(camera, own, scale) or _changed(camera, own)
        if finding is not None:
            found.append(finding)
    return found


def _other(camera: str, scene: Scene, own: Alignment, before: Mapping[str, Scene]) -> str:
    """The camera whose last view this is; empty where it is its own."""
    if own.best >= limits.KNOWN_VIEW:
        return ""
    for name, each in before.items():
        match = align(each, scene) if name != camera else None
        if match is not None and match.best >= limits.SWAPPED_VIEW:
            return name
    return ""


def _swapped(camera: str, other: str) -> Finding:
    return Finding(
        code="camera_swapped",
        severity="bad",
        camera=camera,
        what=f"{camera} shows what {other} showed in the last episode.",
        do=f"Exchange the cameras' plugs, or cameras.{camera}.device and cameras.{other}.device; "
        "then redo the episode",
    )


def _moved(camera: str, own: Alignment, scale: float) -> Finding | None:
    shifted = (
        np.hypot(*own.shift) >= limits.SHIFT_CELLS
        and own.best >= limits.KNOWN_VIEW
        and own.best - own.unmoved >= limits.SHIFT_GAIN
    )
    apart = own.parts_moved >= 2 and 2 * own.parts_moved >= own.parts
    if not shifted and not apart:
        return None
    right, down = own.shift if shifted else own.part_shift
    words = [
        f"{abs(cells) * scale:.0f} px {word}"
        for cells, word in (
            (right, "right" if right > 0 else "left"),
            (down, "down" if down > 0 else "up"),
        )
        if cells
    ]
    how = "everything lies" if shifted else "it was turned, tilted or zoomed: parts lie up to"
    return Finding(
        code="camera_moved",
        severity="warn",
        camera=camera,
        what=f"{camera} moved since the last episode: {how} {' and '.join(words)} of where it was.",
        do="Put the camera back and fix it, or go on from here in a new dataset",
    )


def _changed(camera: str, own: Alignment) -> Finding | None:
    if own.best >= limits.OTHER_VIEW or own.parts_moved:
        return None
    return Finding(
        code="camera_view",
        severity="warn",
        camera=camera,
        what=f"{camera} does not show what it showed in the last episode.",
        do="Look at it (robotd tui, v): was it turned away, or was the table cleared?",
    )
