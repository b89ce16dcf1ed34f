"""Which embodiment a checkpoint is of: said, noted beside it, or shown by what lies in it.

A wrong embodiment moves the arm to wrong places without any error, so there is no default: where
nothing decides, it is asked for, with the rows there are. Every answer comes with its source.
Which actions are relative to the state is the row's, unless the sidecar's `delta_mask` says it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from config.embodiment import Embodiment, described, load_embodiment, rows, with_delta
from policies.checkpoint.evidence import SIDECAR, Sidecar, Units, read_sidecar
from policies.checkpoint.norms import ACTION, ASSETS, STATE, Stats, read_assets
from robotd.errors import CheckpointError

ARM = "so101"
_JOINTS = 5
_HUNDRED = 100.5  # ±100 is clamped where it is recorded; half a unit for rounding
_FRACTION = 1.05
_TURN_RAD = np.pi + 0.1
_NEARER = 2.0  # times as near to 0 as to the state's: the actions' mean is around 0


@dataclass(frozen=True, slots=True)
class Chosen:
    """One embodiment, its name, and where it is known from."""

    name: str
    row: Embodiment
    source: str

    @property
    def units(self) -> Units:
        """What robotd speaks to its arm."""
        return "range_m100_100" if self.row.robot_units == "range_m100_100" else "degrees"


def choose_embodiment(asked: str, folder: Path, kind: str, units: str = "") -> Chosen:
    """The embodiment of the checkpoint in `folder`, with the sidecar's `delta_mask` if it has one.

    `asked` is what a person said, as a name or a file; `units` what is known of the units besides.
    Raises CheckpointError where nothing decides, ConfigError for a name that there is not.
    """
    sidecar = read_sidecar(folder)
    found = _choose(asked, folder, kind, units, sidecar)
    row = with_delta(found.row, sidecar.delta_mask) if sidecar.delta_mask else found.row
    if row.delta_mask == found.row.delta_mask:
        return found
    return replace(found, row=row, source=f"{found.source}, delta_mask of {SIDECAR}")


def _choose(asked: str, folder: Path, kind: str, units: str, sidecar: Sidecar) -> Chosen:
    if asked:
        return Chosen(asked, load_embodiment(asked), "asked for")
    if sidecar.embodiment:
        return Chosen(sidecar.embodiment, load_embodiment(sidecar.embodiment), SIDECAR)
    known = rows()
    assets = read_assets(folder, sidecar.asset_id)
    for name, row in known.items():
        recognised = assets.chosen in (name, *row.recognise.asset_ids)
        if assets.chosen and recognised and kind in (row.recognise.kinds or (kind,)):
            return Chosen(name, row, f"the statistics' name {ASSETS}/{assets.chosen}")
    units, source = (units or sidecar.units), "units said" if units else SIDECAR
    state = assets.stats.get(STATE, {})
    if not units and _beyond_hundred(state):
        units, source = "degrees", "statistics of the state"
    named = {"degrees": "so101", "range_m100_100": "so101-m100"}.get(units, "")
    if not named:
        raise unknown(folder, known, "so101-radians" if _within_a_turn(state) else "")
    if not sidecar.delta_mask and not _relative(assets.stats):
        raise _absolute_or_relative(folder, named)
    by = source if source.startswith("statistics") else f"{source} ({units})"
    return Chosen(named, known[named], by)


def _reach(state: Stats) -> npt.NDArray[np.float64] | None:
    """How far each of an SO-101's six values went; None for what is not six, filled up with 0."""
    if not {"q01", "q99"} <= set(state):
        return None
    reach: npt.NDArray[np.float64] = np.maximum(np.abs(state["q01"]), np.abs(state["q99"])).ravel()
    if len(reach) < _JOINTS + 1 or np.any(reach[_JOINTS + 1 :] > 0):
        return None
    return reach[: _JOINTS + 1]


def _beyond_hundred(state: Stats) -> bool:
    """Whether six values can only be degrees; within ±100 they look like LeRobot's ±100."""
    reach = _reach(state)
    return reach is not None and bool((reach[:_JOINTS] > _HUNDRED).any())


def _within_a_turn(state: Stats) -> bool:
    """Whether six values look like radians and a gripper's fraction. It proves nothing: a gripper in
    radians does, too, and so does whatever was scaled to ±1. It is only offered."""
    reach = _reach(state)
    return (
        reach is not None
        and bool((reach[:_JOINTS] <= _TURN_RAD).all() and (reach[:_JOINTS] > 0).any())
        and bool(0 < reach[_JOINTS] <= _FRACTION)
    )


def _relative(stats: Mapping[str, Stats]) -> bool:
    """Whether an arm's actions are seen to be relative to its state: their mean lies around 0, and
    not with the state's. False, too, where the two are one place or a mean is missing."""
    if not all("mean" in stats.get(key, {}) for key in (STATE, ACTION)):
        return False
    state, action = (stats[key]["mean"].reshape(-1)[:_JOINTS] for key in (STATE, ACTION))
    if len(state) != len(action):
        return False
    return bool(np.abs(action).sum() * _NEARER < np.abs(action - state).sum())


def _absolute_or_relative(folder: Path, name: str) -> CheckpointError:
    still = msgspec.json.encode({"embodiment": name, "delta_mask": [False] * 6}).decode()
    return CheckpointError(
        f"Nothing says whether the actions of {folder} are where the joints go, or how far from where "
        "they are.",
        f"The units are known ({name}); in the statistics the actions' mean does not lie clearly "
        "around 0, where relative ones have it.",
        f"openpi's way, relative but for the gripper: --embodiment {name}. Absolute, as LeRobot "
        f"trains: {still} in {SIDECAR} beside the weights.",
    )


def unknown(folder: Path, known: Mapping[str, Embodiment], likely: str = "") -> CheckpointError:
    """Nothing decides: what there is to choose from, and which of it the numbers look like."""
    arms = [f"{name} ({described(row)})" for name, row in known.items() if row.robot == ARM]
    looks = f" The numbers look most like {likely}, which proves nothing." if likely else ""
    return CheckpointError(
        f"Nothing says on which robot, and in which units, {folder} was trained.",
        f"It has no {SIDECAR}, its statistics fit several conventions, and their name is of no "
        f"known robot.{looks}",
        f"Say it: --embodiment NAME, one of {'; '.join(arms)}. For good: robotd_ckpt.json "
        'beside the weights, {"embodiment": "so101"}.',
    )
