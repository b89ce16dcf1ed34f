"""What both forwards are shown: something made up from a seed, or something that was recorded.

A recording is an `.npz` with the names of openpi's own vectors: `image_<camera>` uint8 [H, W, 3],
`image_masks`, `state`, `tokenized_prompt`, `tokenized_prompt_mask`, `noise`, and optionally
`actions_<n>`: what came out of it elsewhere with n steps.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.checkpoint.pi0_layout import Pi0Dims
from policies.pi0.sampling import NetworkInputs
from robotd.errors import CheckpointError

Array = npt.NDArray[np.float32]

_VIEWS = 3
_PROMPT = {"pi0": 48, "pi05": 200}
CAMERAS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
"""openpi's order of views."""


@dataclass(frozen=True, slots=True)
class Shown:
    """`noise` [1, T, A]. `recorded` is what came out elsewhere, by the number of steps."""

    inputs: NetworkInputs
    noise: Array
    words: str
    recorded: dict[int, Array] = field(default_factory=dict)


def made_up(kind: str, dims: Pi0Dims, horizon: int, seed: int) -> Shown:
    """Smooth pictures, the last one masked out; a prompt that fills a third; a normal state."""
    chance = np.random.default_rng(seed)
    side, length = dims.image_size, _PROMPT.get(kind, 48)
    coarse = chance.uniform(-1, 1, (_VIEWS, 3, 8, 8))
    rows = np.minimum(np.arange(side) * 8 // side, 7)
    words = np.arange(length) < length // 3
    ids = chance.integers(2, dims.vocabulary, length)
    width = dims.state or dims.action
    return Shown(
        NetworkInputs(
            pixels=coarse[:, :, rows][:, :, :, rows].astype(np.float32),
            views=np.arange(_VIEWS) < _VIEWS - 1,
            ids=np.where(words, ids, 0).astype(np.int64),
            words=words,
            state=chance.normal(0, 0.5, width).astype(np.float32),
        ),
        chance.normal(0, 1, (1, horizon, dims.action)).astype(np.float32),
        f"made up from seed {seed}",
    )


def recorded(path: Path) -> Shown:
    """What a file holds. Raises CheckpointError for one that is not such a recording."""
    try:
        with np.load(path, allow_pickle=False) as file:
            data: dict[str, Any] = {name: file[name] for name in file.files}
        names = [f"image_{camera}" for camera in CAMERAS if f"image_{camera}" in data]
        pictures = np.stack([data[name].astype(np.float32) / 127.5 - 1.0 for name in names])
        return Shown(
            NetworkInputs(
                pixels=np.ascontiguousarray(np.moveaxis(pictures, -1, 1)),
                views=np.asarray(data["image_masks"]).reshape(-1).astype(bool),
                ids=data["tokenized_prompt"].reshape(-1).astype(np.int64),
                words=data["tokenized_prompt_mask"].reshape(-1).astype(bool),
                state=data["state"].reshape(-1).astype(np.float32),
            ),
            data["noise"].astype(np.float32).reshape(1, *data["noise"].shape[-2:]),
            str(path),
            {
                int(name.removeprefix("actions_")): data[name].reshape(data["noise"].shape[-2:])
                for name in data
                if name.startswith("actions_") and name.removeprefix("actions_").isdigit()
            },
        )
    except (OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path} is no recording of a Pi0's inputs: {type(error).__name__} {error}.",
            "It is another kind of file, or was cut short.",
            "It needs image_base_0_rgb (uint8), image_masks, state, tokenized_prompt, "
            "tokenized_prompt_mask and noise; or leave --inputs out.",
        ) from error
