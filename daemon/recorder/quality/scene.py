"""The quality gate on where a camera stands: its still background against that of an episode before.

A background is the median of pictures over the episode, and which cells of it stood still: a moving
arm and things that were carried drop out, of a wrist camera the fingers remain. Two are compared by
their edges (slopes of grey), so that light and exposure matter little. Pure.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from daemon.recorder.quality import limits
from daemon.recorder.quality.finding import Finding

type Floats = npt.NDArray[np.floating[Any]]

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
    scores, each = _scores(old, new)
    reach = limits.SEARCH_CELLS
    unmoved, parts = float(scores[reach, reach]), each[reach, reach]
    textured = _textured(old, new)
    if unmoved >= limits.SAME_VIEW:
        return Alignment(unmoved, unmoved, (0, 0), 0, int(textured.sum()), (0, 0))
    down, right = divmod(int(scores.argmax()), scores.shape[1])
    bests = each.reshape(-1, each.shape[2])
    places = np.stack(np.divmod(bests.argmax(axis=0), scores.shape[1])) - reach
    far = np.hypot(*places) >= limits.SHIFT_CELLS
    gained = bests.max(axis=0) - parts >= limits.SHIFT_GAIN
    moved = np.flatnonzero(textured & far & gained & (bests.max(axis=0) >= limits.KNOWN_VIEW))
    usual = moved[np.argsort(np.hypot(*places[:, moved]))[len(moved) // 2]] if len(moved) else 0
    return Alignment(
        unmoved,
        float(scores.max()),
        (right - reach, down - reach),
        len(moved),
        int(textured.sum()),
        (int(places[1, usual]), int(places[0, usual])) if len(moved) else (0, 0),
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


def _scores(old: _Edges, new: _Edges) -> tuple[Floats, Floats]:
    """Agreement of the edges were everything moved by (down, right), each -reach..reach: of all of
    them [shifts, shifts] and of those in each part of the new picture [shifts, shifts, parts]."""
    height, width = old.still.shape
    reach = limits.SEARCH_CELLS
    size = (height + reach, width + reach)  # beyond that a shift would wrap around

    def spectrum(values: Floats) -> npt.NDArray[np.complex128]:
        return np.fft.rfft2(values, size)

    before = [np.conj(spectrum(each)) for each in (old.right, old.down, old.power, old.still)]
    shifts = np.arange(-reach, reach + 1)
    agreed: list[Floats] = []
    first: list[Floats] = []
    second: list[Floats] = []
    for rows in _thirds(height):
        for columns in _thirds(width):
            part = np.zeros((height, width), np.float32)
            part[rows, columns] = 1.0
            right, down, power, still = (
                spectrum(each * part) for each in (new.right, new.down, new.power, new.still)
            )
            for sums, product in (
                (agreed, right * before[0] + down * before[1]),
                (first, still * before[2]),
                (second, power * before[3]),
            ):
                sums.append(np.fft.irfft2(product, size)[np.ix_(shifts, shifts)])
    tops, olds, news = (np.stack(sums, axis=-1) for sums in (agreed, first, second))
    return _ratio(tops.sum(-1), olds.sum(-1), news.sum(-1)), _ratio(tops, olds, news)


def _ratio(top: Floats, first: Floats, second: Floats) -> Floats:
    """The agreement, 0 where there are no edges to speak of (the transforms leave crumbs)."""
    product = np.maximum(first, 0.0) * np.maximum(second, 0.0)
    return np.where(product > 1.0, top / np.sqrt(np.maximum(product, 1.0)), 0.0)


def _thirds(length: int) -> list[slice]:
    edges = [length * part // _PARTS for part in range(_PARTS + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(edges)]


def _textured(old: _Edges, new: _Edges) -> npt.NDArray[np.bool_]:
    """Which parts have edges enough in both."""
    height, width = old.still.shape
    sums = [
        min(float(each.power[rows, columns].sum()) for each in (old, new))
        for rows in _thirds(height)
        for columns in _thirds(width)
    ]
    return np.asarray(np.sqrt(sums) >= limits.TEXTURE / 2)


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
    where = _displaced(own, scale)
    if not where:
        return None
    return Finding(
        code="camera_moved",
        severity="warn",
        camera=camera,
        what=f"{camera} moved since the last episode: {where} of where it was.",
        do="Put the camera back and fix it, or go on from here in a new dataset",
    )


def bump_findings(
    ends: Mapping[str, tuple[Scene, Scene]], widths_px: Mapping[str, int]
) -> list[Finding]:
    """Cameras that were pushed while the episode ran: their views in its first and last third."""
    found = []
    for camera, (early, late) in ends.items():
        own = align(early, late)
        where = _displaced(own, widths_px[camera] / limits.THUMB_WIDTH) if own is not None else ""
        if where:
            found.append(
                Finding(
                    code="camera_bumped",
                    severity="warn",
                    camera=camera,
                    what=f"{camera} was moved during the episode: {where} of where it was at the "
                    "start.",
                    do="Redo the episode once the camera is fixed. Fine if the arm only carried the "
                    "one thing that its view has edges of",
                )
            )
    return found


def _displaced(own: Alignment, scale: float) -> str:
    """Where the view's edges went, in the real picture's pixels; empty where they stayed."""
    shifted = (
        np.hypot(*own.shift) >= limits.SHIFT_CELLS
        and own.best >= limits.KNOWN_VIEW
        and own.best - own.unmoved >= limits.SHIFT_GAIN
    )
    apart = own.parts_moved >= 2 and 2 * own.parts_moved >= own.parts
    if not shifted and not apart:
        return ""
    right, down = own.shift if shifted else own.part_shift
    words = [
        f"{abs(cells) * scale:.0f} px {word}"
        for cells, word in (
            (right, "right" if right > 0 else "left"),
            (down, "down" if down > 0 else "up"),
        )
        if cells
    ]
    how = "everything lies" if shifted else "turned, tilted or zoomed, its parts lie some"
    return f"{how} {' and '.join(words)}"


def _changed(camera: str, own: Alignment) -> Finding | None:
    if own.best >= limits.OTHER_VIEW:
        return None
    return Finding(
        code="camera_view",
        severity="warn",
        camera=camera,
        what=f"{camera} does not show what it showed in the last episode.",
        do="Look at its picture (robotd tui): was it turned away, or was the table cleared?",
    )
