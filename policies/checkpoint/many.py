"""Several moments asked of one policy at once, and pictures that it was shown before.

For the probe, which asks hundreds of times, often with the same pictures and other joints. Only what
answers each moment as if it were alone may be asked so: LeRobot's ACT, whose pipelines work row by
row and whose pictures go through one network each.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.checkpoint.loading import Checkpoint
from policies.model import Model

_ROW_BY_ROW = {
    "RenameObservationsProcessorStep",
    "AddBatchDimensionProcessorStep",
    "DeviceProcessorStep",
    "NormalizerProcessorStep",
    "UnnormalizerProcessorStep",
}
_MOST_BYTES = 512 << 20  # of what is remembered


def answers_many(model: Model) -> bool:
    """Whether `predict_many` gives what `predict` would give one by one."""
    if not isinstance(model, Checkpoint) or model.kind != "act":
        return False
    steps = (*model.preprocess.steps, *model.postprocess.steps)
    return all(type(step).__name__ in _ROW_BY_ROW for step in steps)


def predict_many(
    model: Model, moments: Sequence[Mapping[str, npt.NDArray[Any]]], task: str
) -> npt.NDArray[np.float64]:
    """One chunk for each moment [B, T, A], in the checkpoint's units; see `Model.predict`."""
    import torch
    from lerobot.policies.utils import prepare_observation_for_inference

    assert isinstance(model, Checkpoint)
    device = torch.device(model.device)
    alone = [
        prepare_observation_for_inference({k: np.array(v) for k, v in each.items()}, device, task)
        for each in moments
    ]
    batch = {
        key: torch.cat([each[key] for each in alone]) if torch.is_tensor(value) else value
        for key, value in alone[0].items()
    }
    with torch.no_grad():
        chunks = model.policy.predict_action_chunk(model.preprocess(batch))
        said = model.postprocess(chunks).to("cpu", torch.float64).numpy()
    return np.asarray(said, np.float64)


@contextmanager
def pictures_remembered(model: Model) -> Iterator[None]:
    """While it lasts, what an ACT's picture network made of a picture is not computed twice."""
    network: Any = getattr(model.policy, "model", None) if isinstance(model, Checkpoint) else None
    own = getattr(network, "backbone", None)
    if model.kind != "act" or network is None or own is None:
        yield
        return
    network.backbone = _remembering(own)
    try:
        yield
    finally:
        network.backbone = own


def _remembering(own: Any) -> Any:
    import torch

    class Remembering(torch.nn.Module):  # type: ignore[misc]
        """Stands for a network that answers each picture alone, with LeRobot's `feature_map`."""

        def __init__(self) -> None:
            super().__init__()
            self.own = own
            self.known: dict[bytes, Any] = {}
            self.bytes = 0

        def forward(self, pictures: Any) -> dict[str, Any]:
            keys = [hashlib.sha256(each.cpu().numpy().tobytes()).digest() for each in pictures]
            new = [i for i, key in enumerate(keys) if key not in self.known]
            here = dict.fromkeys(keys)
            if new:
                for i, found in zip(new, self.own(pictures[new])["feature_map"], strict=True):
                    here[keys[i]] = found
                    if self.bytes < _MOST_BYTES:
                        self.known[keys[i]] = found.clone()
                        self.bytes += found.nbytes
            features = [self.known[k] if here[k] is None else here[k] for k in keys]
            return {"feature_map": torch.stack(features)}

    return Remembering()
