"""Pictures as a Pi0 was trained to see them: a square with the picture's shape kept and bars added.

Four programs made these bars in four ways, and a policy that sees another kind than in training has
a quarter of its pixels wrong without a word (640x480: 25 %). Which one it was comes with the
checkpoint.

| mode | resize | bars | value of a bar |
|---|---|---|---|
| openpi | PIL bilinear, on bytes, antialiased | half on each side | -1 (black) |
| lerobot06 | torch bilinear on floats, not antialiased (0.6) | half on each side | -1 |
| lerobot04 | the same (0.4, 0.5) | half on each side | -3: -1 before the range was mapped |
| lerobot03 | the same (up to 0.3) | left and top only | -1 |
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

PadMode = Literal["openpi", "lerobot06", "lerobot04", "lerobot03"]
PAD_MODES: tuple[str, ...] = get_args(PadMode)

Picture = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.float32]


def resized_shape(height: int, width: int, side: int) -> tuple[int, int]:
    """The size of a picture that fits into a square of `side` pixels."""
    ratio = max(width / side, height / side)
    return int(height / ratio), int(width / ratio)


def resize_with_pad(picture: Picture, side: int) -> Picture:
    """openpi's resize, on bytes [H, W, 3] to [side, side, 3]: exact, down to PIL's rounding."""
    from PIL import Image

    height, width = picture.shape[:2]
    if (height, width) == (side, side):
        return picture
    inner = resized_shape(height, width, side)
    small = Image.fromarray(picture).resize(
        (inner[1], inner[0]), resample=Image.Resampling.BILINEAR
    )
    square = np.zeros((side, side, 3), np.uint8)
    top, left = (side - inner[0]) // 2, (side - inner[1]) // 2
    square[top : top + inner[0], left : left + inner[1]] = np.asarray(small)
    return square


def stacked(pictures: Sequence[Picture], side: int, mode: PadMode, pool: Executor) -> Pixels:
    """Pictures as the network takes them: [V, 3, side, side], each made by a thread of its own.

    PIL takes 1.5 ms to bring 640x480 down to 224 and lets other threads run meanwhile.
    """
    out = np.empty((len(pictures), 3, side, side), np.float32)

    def make(index: int) -> None:
        out[index] = pixels(pictures[index], side, mode)

    others = [pool.submit(make, index) for index in range(1, len(pictures))]
    make(0)
    for other in others:
        other.result()
    return out


def pixels(picture: Picture, side: int, mode: PadMode) -> Pixels:
    """A picture [H, W, 3] as the network takes it: [3, side, side] float32 in -1..1."""
    if mode == "openpi":
        square = resize_with_pad(picture, side)
        seen = square.astype(np.float32)
        seen *= np.float32(2.0 / 255.0)
        seen -= np.float32(1.0)
        return seen.transpose(2, 0, 1)
    return _torch_pixels(picture, side, mode)


def _torch_pixels(picture: Picture, side: int, mode: PadMode) -> Pixels:
    import torch
    import torch.nn.functional as fn

    height, width = picture.shape[:2]
    image: Any = torch.from_numpy(np.array(picture.transpose(2, 0, 1)))[None]
    image = image.to(torch.float32) / 255.0
    if (height, width) != (side, side):
        inner = resized_shape(height, width, side)
        image = fn.interpolate(image, size=inner, mode="bilinear", align_corners=False)
        rows, columns = side - inner[0], side - inner[1]
        if mode == "lerobot03":
            bars = (columns, 0, rows, 0)
        else:
            bars = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        image = fn.pad(image, bars, value=-1.0 if mode == "lerobot04" else 0.0)
    out: Pixels = (image[0] * 2.0 - 1.0).numpy()
    return out
