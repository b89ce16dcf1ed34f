"""Pictures as a Pi0 was trained to see them: a square with the picture's shape kept and bars added.

Four programs made these bars in four ways, and a policy that sees another kind than in training has
a quarter of its pixels wrong without a word (640x480: 25 %). Which one it was comes with the
checkpoint.

| mode | resize | bars | value of a bar |
|---|---|---|---|
| openpi | PIL bilinear, on bytes, antialiased | half on each side | -1 (black) |
| lerobot06 | torch bilinear on floats, not antialiased (0.5, 0.6) | half on each side | -1 |
| lerobot04 | the same (0.4) | half on each side | -3: -1 before the range was mapped |
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


def _resized(picture: Picture, side: int) -> Picture:
    """openpi's resize of bytes [H, W, 3] to fit into the square: PIL's, down to its rounding.

    Torch's own on bytes takes a quarter of the time, but rounds its weights to 16 bits: 0.1 to 0.6 %
    of the values of a noisy picture then differ by one, and 8 % of one that grows, some by two.
    """
    from PIL import Image

    height, width = picture.shape[:2]
    if (height, width) == (side, side):
        return picture
    rows, columns = resized_shape(height, width, side)
    small = Image.fromarray(picture).resize((columns, rows), resample=Image.Resampling.BILINEAR)
    return np.asarray(small)


def stacked(pictures: Sequence[Picture], side: int, mode: PadMode, pool: Executor) -> Pixels:
    """Pictures as the network takes them: [V, 3, side, side], each made by a thread of its own.

    PIL takes 1.5 ms to bring 640x480 down to 224 and lets other threads run meanwhile.
    """
    out = np.empty((len(pictures), 3, side, side), np.float32)

    def make(index: int) -> None:
        _put(pictures[index], mode, out[index])

    others = [pool.submit(make, index) for index in range(1, len(pictures))]
    make(0)
    for other in others:
        other.result()
    return out


def pixels(picture: Picture, side: int, mode: PadMode) -> Pixels:
    """A picture [H, W, 3] as the network takes it: [3, side, side] float32 in -1..1."""
    out = np.empty((3, side, side), np.float32)
    _put(picture, mode, out)
    return out


def _put(picture: Picture, mode: PadMode, out: Pixels) -> None:
    """Fill `out` [3, side, side]."""
    side = out.shape[-1]
    if mode != "openpi":
        out[:] = _torch_pixels(picture, side, mode)
        return
    values = _resized(picture, side).astype(np.float32)
    values *= np.float32(2.0 / 255.0)
    values -= np.float32(1.0)
    rows, columns = values.shape[:2]
    if (rows, columns) != (side, side):
        out.fill(-1.0)
    top, left = (side - rows) // 2, (side - columns) // 2
    out[:, top : top + rows, left : left + columns] = values.transpose(2, 0, 1)


def _torch_pixels(picture: Picture, side: int, mode: PadMode) -> Pixels:
    import torch
    import torch.nn.functional as fn

    height, width = picture.shape[:2]
    # Left in the order of a camera's bytes: only what is left of them is put into planes.
    image: Any = torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None]
    image /= 255.0
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
