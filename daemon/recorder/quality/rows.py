"""An episode's rows and evidence as arrays, for the quality gate. Old evidence lacks columns."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from daemon.recorder import tables
from daemon.recorder.schema import EpisodeSpec
from daemon.recorder.tables import ACTION, STATE
from robotd.clock import NS_PER_MS

_HARDLY_SEEN = ("wrist_roll", "gripper")

type Floats = npt.NDArray[np.float64]
type Ints = npt.NDArray[np.int64]
type Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EpisodeRows:
    """One episode. `state` and `action` are [rows, joints] in the dataset's units; the others [rows].

    `deadline_ns` and `capture_ns` are CLOCK_MONOTONIC; a row without a capture time has -1.
    """

    fps: int
    joints: tuple[str, ...]
    state: Floats
    action: Floats
    deadline_ns: Ints
    tick_index: Ints
    missed_ticks: Ints
    read_age_ms: Floats
    capture_ns: dict[str, Ints]
    repeated: dict[str, Bools]

    @classmethod
    def of(cls, spec: EpisodeSpec, rows: pa.Table, evidence: pa.Table) -> Self:
        """From a journal's tables."""
        count = rows.num_rows

        def column(name: str, absent: int) -> npt.NDArray[Any]:
            if name not in evidence.column_names:
                return np.full(count, absent)
            kind = evidence.schema.field(name).type
            filled = evidence[name].fill_null(pa.scalar(absent).cast(kind))
            return np.asarray(filled.to_numpy())

        names = [camera.name for camera in spec.cameras]
        return cls(
            fps=spec.fps,
            joints=tuple(name.removesuffix(".pos") for name in spec.state_names),
            state=tables.matrix(rows[STATE]).astype(np.float64),
            action=tables.matrix(rows[ACTION]).astype(np.float64),
            deadline_ns=column("deadline_ns", 0),
            tick_index=column("tick_index", 0),
            missed_ticks=column("missed_ticks", 0),
            read_age_ms=column("read_age_ns", 0) / NS_PER_MS,
            capture_ns={name: column(f"capture_ns/{name}", -1) for name in names},
            repeated={name: column(f"repeated/{name}", 0).astype(bool) for name in names},
        )

    @property
    def travel(self) -> Floats:
        """How far the joint that moved most went since the row before, [rows], the first 0. Of those
        that carry the arm: what wrist_roll and gripper do, a camera may hardly see."""
        seen = [at for at, name in enumerate(self.joints) if not name.endswith(_HARDLY_SEEN)]
        steps = np.abs(np.diff(self.state[:, seen], axis=0)).max(axis=1, initial=0.0)
        return np.asarray(np.concatenate([[0.0], steps])[: len(self.state)], np.float64)
