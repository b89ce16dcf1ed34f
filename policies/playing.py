"""How a person asked for a policy to be played: at which speed, and with which changes.

A chunk's actions are moments of the training's clock. Played at another rate by accident they are a
faster, wilder motion that nobody trained, so another speed is something that is said
(`--time-scale`), bounded, shown, and part of what a rehearsal is about.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from policies.actions import Array, GripperChange, gripper_indices, parse_clip
from robotd.clock import NS_PER_S
from robotd.errors import CheckpointError
from robotd.policy_channel import Load

_SLOWEST, _FASTEST = 0.1, 2.0
"""Below it a demonstration takes minutes, and stiction shows; above it the gate bends every path."""


@dataclass(frozen=True, slots=True)
class Played:
    """`time_scale` 0.5 plays at half the speed of the training; `grippers` are places in an action."""

    time_scale: float = 1.0
    gripper: GripperChange = field(default_factory=GripperChange)
    grippers: tuple[int, ...] = ()

    def step_ns(self, fps: float) -> int:
        """The time between two actions of a chunk that was trained at `fps`."""
        return round(NS_PER_S / (fps * self.time_scale))

    def change(self, actions: Array) -> Array:
        """Actions [T, A] in LeRobot's units as they are to be followed; limits come after."""
        return self.gripper.apply(actions, self.grippers)

    @property
    def words(self) -> str:
        """What is changed in the actions, for a person; empty when nothing is."""
        change = self.gripper
        if change.nothing:
            return ""
        said = [f"gripper {change.bias:+g}"] if change.bias else []
        if (change.low, change.high) != (0.0, 100.0):
            said.append(f"gripper within {change.low:g} to {change.high:g}")
        return ", ".join(said)


AS_TRAINED = Played()


def played(request: Load, joints: Sequence[str]) -> Played:
    """What a request asks for. Raises CheckpointError for what cannot be."""
    if not _SLOWEST <= request.time_scale <= _FASTEST:
        raise CheckpointError(
            f"Chunks cannot be played at {request.time_scale:g} times the speed of their training.",
            f"It must be {_SLOWEST:g} to {_FASTEST:g}; 1 is the speed they were trained at.",
            "Leave it out, or say --time-scale 0.5 to play at half the speed.",
        )
    low, high = parse_clip(request.gripper_clip)
    return Played(
        request.time_scale, GripperChange(request.gripper_bias, low, high), gripper_indices(joints)
    )
