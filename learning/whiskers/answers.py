"""What a policy said of one observation, as paths of the fingertips: to be drawn, and in figures."""

from collections.abc import Sequence

import numpy as np

from learning.whiskers.numbers import (
    ChunkNumbers,
    Points,
    apart_m,
    endpoint_speed_m_s,
    moves_m,
    spread_m,
)
from learning.whiskers.sheaf import Drawn
from learning.whiskers.watched import Array, Said
from policies.plan import Chunk
from robotd.clock import NS_PER_S
from sim.twin.apply import TwinBody
from sim.twin.roll import swept_m


class Answers:
    """Fingertip paths [arms, T, 3] of all that was said; goals put straight on the model, without lag or sag."""

    def __init__(self, body: TwinBody, said: Said) -> None:
        self._body = body
        self.tips = self._path(said.chunk)
        self.samples = tuple(self._path(each) for each in said.samples)
        self.blind = None if said.blind is None else self._path(said.blind)
        self.flow = () if said.flow is None else tuple(self._path(each) for each in said.flow)

    def _path(self, chunk_rad: Array) -> Points:
        return swept_m(self._body, chunk_rad)

    def drawn(self, plan: Points, passed: bool = True) -> Drawn:
        """As lines: `plan` is where the fingertips are expected."""
        return Drawn(plan, passed, self.samples, self.blind, self.flow)

    def numbers(
        self,
        chunk: Chunk,
        before: Chunk | None,
        tips: Points,
        at_s: float,
        passed: bool | None = None,
    ) -> ChunkNumbers:
        """The figures of one chunk; `tips` [arms, 3] is where the fingertips are."""
        return ChunkNumbers(
            at_s=round(at_s, 3),
            moves_m=moves_m(self.tips),
            begins_off_m=float(np.linalg.norm(self.tips[:, 0] - tips, axis=1).max()),
            endpoint_speed_m_s=endpoint_speed_m_s(self.tips, chunk.step_ns / NS_PER_S),
            sample_spread_m=spread_m([self.tips, *self.samples]) if self.samples else None,
            replan_m=None if before is None else self._replan_m(chunk, before),
            blind_m=None if self.blind is None else apart_m(self.tips, self.blind),
            passed=passed,
        )

    def _replan_m(self, chunk: Chunk, before: Chunk) -> float | None:
        """How far the chunk is from the one before where both speak."""
        steps = np.arange(len(chunk.actions_rad), dtype=np.int64)
        then, covered = before.at(chunk.observation_ns + steps * chunk.step_ns)
        if not covered.any():
            return None
        return apart_m(self.tips[:, covered], self._path(then[covered]))


def words_of(numbers: ChunkNumbers | None) -> str:
    """The newest chunk in one line."""
    if numbers is None:
        return "no plan yet"
    return _words(
        [
            ("moves", numbers.moves_m, "mm"),
            ("ends at", numbers.endpoint_speed_m_s, "mm/s"),
            ("samples", numbers.sample_spread_m, "mm"),
            ("replan", numbers.replan_m, "mm"),
            ("blind", numbers.blind_m, "mm"),
        ]
    )


def _words(parts: Sequence[tuple[str, float | None, str]]) -> str:
    known = ((name, value, unit) for name, value, unit in parts if value is not None)
    return "   ".join(f"{name} {value * 1000:.0f} {unit}" for name, value, unit in known)
