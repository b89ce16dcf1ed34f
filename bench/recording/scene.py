"""What `bench record` films: pictures that carry their number, and rows that carry theirs.

A picture's number is 16 squares of black or white along its upper edge, which no encoder blurs away;
the rest is a grainy texture that slides past, so that it costs an encoder what a real one costs. So
what a dataset shows in each row can be read back from its decoded frames and compared with what its
state says. Pure.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from drivers.cameras.synthetic import texture

FPS = 30
WIDTH, HEIGHT = 640, 480
CAMERAS = ("overhead", "wrist")
_BITS = 16
_SQUARE = WIDTH // _BITS
_STEP_PIXELS = 3
_MARGIN = _SQUARE // 4
_SPAN = 1000  # values of one joint's count: far inside every calibrated range
_ZERO = 2048 - _SPAN // 2

type Picture = npt.NDArray[np.uint8]


class Scene:
    """Numbered pictures, uint8 [480, 640, 3]."""

    def __init__(self) -> None:
        self._texture = texture(WIDTH, HEIGHT)

    def picture(self, number: int) -> Picture:
        """The picture of that number (0 … 65535)."""
        start = number * _STEP_PIXELS % WIDTH
        picture = self._texture[:, start : start + WIDTH].copy()
        for bit in range(_BITS):
            shade = 255 if number >> bit & 1 else 0
            picture[:_SQUARE, bit * _SQUARE : (bit + 1) * _SQUARE] = shade
        return picture


def number_in(picture: npt.NDArray[np.uint8]) -> int:
    """The number that a picture carries, however it was encoded."""
    number = 0
    for bit in range(_BITS):
        left = bit * _SQUARE
        square = picture[_MARGIN : _SQUARE - _MARGIN, left + _MARGIN : left + _SQUARE - _MARGIN]
        number |= int(square.mean() > 127) << bit
    return number


def positions(count: int) -> list[int]:
    """Encoder ticks of six joints that say `count` (0 … 999999): thousands in the second joint."""
    return [_ZERO + count % _SPAN, _ZERO + count // _SPAN, _ZERO, _ZERO, _ZERO, _ZERO]


def count_in(state: Sequence[float], said: npt.NDArray[np.float32]) -> int:
    """The count that a recorded state says; `said` [1000, 6] is what each encoder tick became."""
    low = int(np.abs(said[:, 0] - state[0]).argmin())
    high = int(np.abs(said[:, 1] - state[1]).argmin())
    return high * _SPAN + low


def all_positions() -> list[list[int]]:
    """Encoder ticks of all joints for every value that one joint takes."""
    return [[_ZERO + value] * 6 for value in range(_SPAN)]
