"""What the numbers of a converted dataset mean, where they no longer are as robotd records them.

`robotd/convention.json` is written by `robotd dataset convert`. A dataset without one is as its
recorder made it: robotd's say their units beside each episode, LeRobot's do not say.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

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


def alike(one: Convention, other: Convention) -> bool:
    """Whether the numbers of two datasets mean the same, as far as that is known."""
    units_differ = bool(one.units and other.units and one.units != other.units)
    return not units_differ and (one.gripper, one.actions) == (other.gripper, other.actions)


def write_convention(root: Path, convention: Convention) -> None:
    """Note in the new dataset `root` what its numbers mean."""
    (root / PATH).parent.mkdir(exist_ok=True)
    (root / PATH).write_bytes(msgspec.json.format(msgspec.json.encode(convention), indent=2))


def write_common(root: Path, sources: Sequence[Path]) -> None:
    """Note in `root` what was noted of those of `sources` that were converted, if any was.

    Raises DatasetError when two of them do not mean the same.
    """
    if not any((source / PATH).exists() for source in sources):
        return
    common: Convention | None = None
    for source in sources:
        one = convention_of(source) or Convention()
        if common is not None and not alike(common, one):
            raise DatasetError(
                f"{source} holds {one.in_words()}, the others {common.in_words()}.",
                "One of them was converted.",
                "Convert them alike first (robotd dataset convert).",
            )
        common = one if common is None or not common.units else common
    if common is not None:
        write_convention(root, common)


def convention_of(root: Path) -> Convention | None:
    """What robotd noted of the numbers in `root`, when it converted or recorded them; else None.

    Raises DatasetError when a note cannot be read, or episodes are in different units.
    """
    noted = read_convention(root)
    if noted is not None:
        return noted
    units = {page.get("spec", {}).get("units") for page in episode_pages(root)} - {None, ""}
    if len(units) > 1:
        raise DatasetError(
            f"The episodes of {root} are in {' and '.join(sorted(map(str, units)))}.",
            "Datasets of different settings were merged.",
            "`robotd dataset check` says which episodes are in what.",
        )
    return Convention(units=units.pop()) if units else None


def episode_pages(root: Path) -> list[dict[str, Any]]:
    """The pages beside the episodes that robotd recorded, as they are. Raises DatasetError."""
    pages = []
    for path in sorted((root / SIDECAR / "episodes").glob("episode-*/episode.json")):
        try:
            pages.append(msgspec.json.decode(path.read_bytes(), type=dict[str, Any]))
        except (OSError, msgspec.DecodeError) as error:
            raise DatasetError(
                f"{path} cannot be read: {error}.",
                "The file was damaged, or edited by hand.",
                "`robotd dataset check` says what else is; restore it from a backup.",
            ) from error
    return pages


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
