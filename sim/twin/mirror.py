"""The mirror: where the arm should be by its goals, beside where it is. The difference is a sensor.

A model follows the applied goals with a servo's lag and the sag of gravity. What is left between it and the measured
joints is friction and backlash (within 2 degrees), or a payload, a stall, a collision, a swapped joint. Which of them
it is, `sim.twin.residual` says from the torques.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sim.twin.apply import FollowState, TwinBody, Vector
from sim.twin.residual import NOTHING, Detector, MirrorFinding
from sim.twin.torques import TorqueObserver

OLDEST_NS = 50_000_000
"""A joint that was not heard for longer is not judged: its motor and its motion are of different times."""

LONGEST_STEP_S = 0.1
"""After a longer gap between two ticks the model starts again from what is measured."""


class Mirror:
    """Follows one robot tick by tick."""

    def __init__(self, body: TwinBody) -> None:
        self._body = body
        self._state: FollowState | None = None
        self._stamp_ns = 0
        self._observer = TorqueObserver(body)
        self._detector = Detector(len(body.index.arms))
        self.finding: MirrorFinding = NOTHING

    @property
    def state(self) -> FollowState | None:
        """Where the model stands, corrected by the newest measurement; None before the first armed tick."""
        return self._state

    @property
    def residual_rad(self) -> Vector:
        """Measured minus modelled [n]; zero while nothing is commanded."""
        return np.zeros(self._body.joints) if self._state is None else self._state.offset_rad

    def observe(self, tick: Mapping[str, Any], armed: bool) -> None:
        """Take one tick (layout `tick`) and say what it shows: `residual_rad` and `finding`."""
        stamp_ns = tick["deadline_ns"]
        continues = self.update(stamp_ns, armed, tick["applied_rad"], tick["present_position_rad"])
        if not continues or max(tick["present_age_ns"]) > OLDEST_NS:
            self._observer.reset()
            self._detector.reset()
            self.finding = NOTHING
            return
        moment = self._observer.observe(tick)
        if moment is not None:
            self.finding = self._detector.look(moment, self._observer)

    def update(
        self,
        stamp_ns: int,
        armed: bool,
        applied_rad: Sequence[float],
        measured_rad: Sequence[float],
    ) -> bool:
        """Take one tick: its deadline, whether control holds the arm, its goal [n] and the measured joints [n].

        A disarmed arm hangs where it is: there is nothing to compare. Returns whether the model went on from the
        tick before (False: it began anew).
        """
        step_s = (stamp_ns - self._stamp_ns) * 1e-9
        self._stamp_ns = stamp_ns
        if not armed:
            self._state = None
            return False
        if self._state is None or not 0.0 < step_s <= LONGEST_STEP_S:
            self._state = self._body.start(applied_rad, measured_rad)
            return False
        followed = self._body.follow(self._state, applied_rad, step_s)
        self._state = self._body.measured(followed, measured_rad)
        return True
