"""What a person may change in a policy's actions before they become goals: the gripper's bias and clip.

Everything here comes after the model and its embodiment, and before the units border, the executor,
the twin and the gate: limits are always last, so no modifier can lift one. Values are LeRobot's:
the gripper 0 closed .. 100 open. What is not finite stays so and is refused later, by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robotd.errors import CheckpointError

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GripperChange:
    """Opens or closes the gripper more than the policy asks: first `bias`, then the bounds.

    In percent of its opening; a negative bias grips harder. With nothing set nothing changes.
    """

    bias: float = 0.0
    low: float = 0.0
    high: float = 100.0

    def __post_init__(self) -> None:
        if not (-100 <= self.bias <= 100 and 0 <= self.low <= self.high <= 100):
            raise CheckpointError(
                f"The gripper cannot be changed by {self.bias:g} within {self.low:g} to "
                f"{self.high:g}.",
                "Bias is -100 to 100 percent of the opening, the bounds 0 (closed) to 100 (open), "
                "the lower first.",
                "For example --gripper-bias -5 --gripper-clip 0:80.",
            )

    @property
    def nothing(self) -> bool:
        """Whether it changes no action that a calibrated gripper can follow."""
        return self.bias == 0 and self.low == 0 and self.high == 100

    def apply(self, actions: Array, grippers: Sequence[int]) -> Array:
        """Actions [T, A] with the values at `grippers` changed; the others are left as they are."""
        if self.nothing:
            return actions
        changed = np.array(actions)
        where = list(grippers)
        changed[..., where] = np.clip(changed[..., where] + self.bias, self.low, self.high)
        return changed


def parse_clip(text: str) -> tuple[float, float]:
    """Read `LOW:HIGH` in percent of the gripper's opening; empty: all of it.

    Raises CheckpointError for anything else.
    """
    if not text:
        return (0.0, 100.0)
    low, colon, high = text.partition(":")
    try:
        return (float(low), float(high if colon else ""))
    except ValueError as error:
        raise CheckpointError(
            f"{text!r} says no bounds of the gripper.",
            "It needs two numbers and a colon, in percent of its opening.",
            "Write it like 0:80 (0 closed, 100 open).",
        ) from error


def gripper_indices(joints: Sequence[str]) -> tuple[int, ...]:
    """Where the grippers stand among joint names (`gripper.pos`, `left_gripper.pos`)."""
    return tuple(i for i, name in enumerate(joints) if name.split(".")[0].endswith("gripper"))
