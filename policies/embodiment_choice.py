"""Which embodiment a checkpoint is of: said, noted beside it, or shown by what lies in it.

A wrong embodiment moves the arm to wrong places without any error, so there is no default: where
nothing decides, it is asked for, with the rows there are. Every answer comes with its source.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config.embodiment import Embodiment, described, load_embodiment, rows
from policies.checkpoint.evidence import SIDECAR, Units, read_sidecar
from policies.checkpoint.norms import ASSETS, STATE, Stats, read_assets
from robotd.errors import CheckpointError

ARM = "so101"
_JOINTS = 5
_HUNDRED = 100.5  # ±100 is clamped where it is recorded; half a unit for rounding
_FRACTION = 1.05
_TURN_RAD = math.pi + 0.1


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
    """The embodiment of the checkpoint in `folder`.

    `asked` is what a person said, as a name or a file; `units` what is known of the units besides.
    Raises CheckpointError where nothing decides, ConfigError for a name that there is not.
    """
    if asked:
        return Chosen(asked, load_embodiment(asked), "asked for")
    sidecar = read_sidecar(folder)
    if sidecar.embodiment:
        return Chosen(sidecar.embodiment, load_embodiment(sidecar.embodiment), SIDECAR)
    known = rows()
    assets = read_assets(folder, sidecar.asset_id)
    for name, row in known.items():
        named = assets.chosen in (name, *row.recognise.asset_ids)
        if assets.chosen and named and kind in (row.recognise.kinds or (kind,)):
            return Chosen(name, row, f"the statistics' name {ASSETS}/{assets.chosen}")
    units, source = (units or sidecar.units), "units said" if units else SIDECAR
    if units == "range_m100_100":
        return Chosen("so101-m100", known["so101-m100"], f"{source} ({units})")
    found = by_statistics(assets.stats.get(STATE, {}))
    if found and (not units or found == "so101"):
        return Chosen(found, known[found], "statistics of the state")
    if units == "degrees":
        return Chosen("so101", known["so101"], f"{source} ({units})")
    raise unknown(folder, known)


def by_statistics(state: Stats) -> str:
    """The SO-101 row that a state's quantiles leave as the only one; empty where several fit.

    Six values beyond ±100 are degrees; five within a turn and a gripper between 0 and 1 are
    radians; in between, degrees and ±100 look alike.
    """
    if not {"q01", "q99"} <= set(state):
        return ""
    reach = np.maximum(np.abs(state["q01"]), np.abs(state["q99"])).reshape(-1)
    if len(reach) < _JOINTS + 1 or np.any(reach[_JOINTS + 1 :] > 0):
        return ""
    joints, gripper = reach[:_JOINTS], reach[_JOINTS]
    if (joints > _HUNDRED).any():
        return "so101"
    if (joints <= _TURN_RAD).all() and (joints > 0).any() and 0 < gripper <= _FRACTION:
        return "so101-radians"
    return ""


def unknown(folder: Path, known: Mapping[str, Embodiment]) -> CheckpointError:
    """Nothing decides: what there is to choose from."""
    arms = [f"{name} ({described(row)})" for name, row in known.items() if row.robot == ARM]
    return CheckpointError(
        f"Nothing says on which robot, and in which units, {folder} was trained.",
        f"It has no {SIDECAR}, its statistics fit several conventions, and their name is of no "
        "known robot.",
        f"Say it: --embodiment NAME, one of {'; '.join(arms)}. For good: robotd_ckpt.json "
        'beside the weights, {"embodiment": "so101"}.',
    )
