"""What the numbers of a converted dataset mean, where they no longer are as robotd records them.

`robotd/convention.json` is written by `robotd dataset convert`. A dataset without one is as its
recorder made it: robotd's say their units beside each episode, LeRobot's do not say.
"""

from pathlib import Path
from typing import Literal

import msgspec

from daemon.recorder.transaction import SIDECAR
from robotd.errors import DatasetError

PATH = f"{SIDECAR}/convention.json"

type JointUnits = Literal["", "degrees", "radians", "range_m100_100"]
type Gripper = Literal["percent_open", "fraction_open", "fraction_closed"]
type Actions = Literal["absolute", "delta"]


class Convention(msgspec.Struct, frozen=True, kw_only=True):
    """The meaning of state and action. As recorded, but for `units`, which may be unknown ("").

    `gripper`: 0 closed .. 100 open, 0 closed .. 1 open, or 0 open .. 1 closed. `actions`: the goal
    itself, or (grippers excepted) the goal minus the state of the same row.
    """

    units: JointUnits = ""
    gripper: Gripper = "percent_open"
    actions: Actions = "absolute"

    @property
    def recordable(self) -> bool:
        """Whether robotd's own rows mean the same, so that an episode of an arm could join them."""
        return (
            self.units in ("", "degrees")
            and self.gripper == "percent_open"
            and self.actions == "absolute"
        )

    def in_words(self) -> str:
        """For a person: `degrees, gripper percent_open, actions absolute`."""
        units = self.units or "units unknown"
        return f"{units}, gripper {self.gripper}, actions {self.actions}"


def read_convention(root: Path) -> Convention | None:
    """What a conversion noted in the dataset `root`; None where there was none.

    Raises DatasetError when the note cannot be read.
    """
    path = root / PATH
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Convention)
    except (OSError, msgspec.DecodeError) as error:
        raise DatasetError(
            f"{path} cannot be read: {error}.",
            "It was edited by hand, or written by a newer robotd.",
            "Convert the dataset again from its source.",
        ) from error


def check_recordable(root: Path) -> Convention | None:
    """What a conversion noted; raises DatasetError when it made numbers robotd does not record."""
    convention = read_convention(root)
    if convention is not None and not convention.recordable:
        raise DatasetError(
            f"{root} holds {convention.in_words()}: no arm's episodes can join it.",
            "It was made by `robotd dataset convert`, for training.",
            "Record into the dataset it was made from, or a new one, and convert again.",
        )
    return convention
