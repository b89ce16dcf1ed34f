"""What the colours of a film's lines mean, written into its pictures: who is sent a film has no help text."""

from collections.abc import Iterable

import cv2

from sim.view.compose import Rgb
from sim.view.lines import BLIND, EXECUTED, FLOW, PASSED, PAST, REFUSED, SAMPLE, Line, Rgba

_WORDS: tuple[tuple[Rgba, str], ...] = (
    (PASSED, "what it is about to do"),
    (REFUSED, "refused by the twin"),
    (PAST, "plans before"),
    (EXECUTED, "the way that was gone"),
    (SAMPLE, "other answers"),
    (BLIND, "with the camera covered"),
    (FLOW, "out of noise"),
)
_LEFT_PX, _TOP_PX, _ROW_PX, _SWATCH_PX = 12, 18, 20, 22
_INK, _SHADOW = (235, 238, 242), (12, 15, 22)


def meanings(lines: Iterable[Line]) -> list[tuple[Rgba, str]]:
    """The colours that are there, each with its words."""
    there = {line.rgba[:3] for line in lines}
    return [(rgba, words) for rgba, words in _WORDS if rgba[:3] in there]


def explain(picture: Rgb, lines: Iterable[Line]) -> None:
    """Write what the lines mean into the upper left of a picture of the twin, uint8 [H, W, 3]."""
    for number, (rgba, words) in enumerate(meanings(lines)):
        y = _TOP_PX + number * _ROW_PX
        colour = tuple(round(255 * part) for part in rgba[:3])
        begin, end = (_LEFT_PX, y - 4), (_LEFT_PX + _SWATCH_PX, y - 4)
        cv2.line(picture, begin, end, _SHADOW, 6, cv2.LINE_AA)
        cv2.line(picture, begin, end, colour, 3, cv2.LINE_AA)
        at = (_LEFT_PX + _SWATCH_PX + 10, y)
        for ink, width in ((_SHADOW, 3), (_INK, 1)):
            cv2.putText(picture, words, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, ink, width, cv2.LINE_AA)
