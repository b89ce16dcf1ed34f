"""Whether the pictures of a recording reach the model as those of its training did. Pure.

A model that was shown mean 0 and spread 1 and now gets ±60, or one flat value, sees nothing, however
good the picture is. Sound statistics cannot do that: pixels lie within 0 … 1 and pictures of anything
spread by a tenth of that or more.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from policies.probe.samples import Array

_FAR, _FLAT = 6.0, 0.05  # standard deviations of the training's pictures
_PICTURE = 0.02  # of 0 … 1: a picture that spreads less is itself of one colour

type Picture = npt.NDArray[np.uint8]


def out_of_range(
    statistics: Mapping[str, tuple[Array, Array]], shown: Mapping[str, Sequence[Picture]]
) -> str:
    """What is wrong with the first input whose pictures arrive out of range; empty when none do.

    `statistics` has the mean and standard deviation [3] of each input that is normalised by them,
    `shown` the pictures it gets, uint8 [H, W, 3].
    """
    for key, (mean, std) in statistics.items():
        pictures = shown.get(key, ())
        if not pictures:
            continue
        pixels = np.stack([each[::4, ::4] for each in pictures]).astype(np.float64) / 255.0
        arrives = (pixels - mean.reshape(3)) / np.maximum(std.reshape(3), 1e-12)
        far, spread = float(np.sqrt((arrives**2).mean())), float(arrives.std(axis=(0, 1, 2)).max())
        words = f"{key} reaches it with values of {far:.2g} and a spread of {spread:.2g}"
        if far > _FAR or (spread < _FLAT and float(pixels.std()) > _PICTURE):
            return f"{words}, in its training both were about 1 (its statistics: {_of(mean, std)})"
    return ""


def _of(mean: Array, std: Array) -> str:
    return f"mean {float(mean.mean()):.2g}, spread {float(std.mean()):.2g} for pixels of 0 to 1"
