"""The twin that `robotd bench preflight` asks, and the gate beside it.

One `TwinCore` of the simulated robot, shown the goals and poses that came before a chunk and then asked, as the twin's
process is. Between two chunks it is shown a disarmed arm, so that nothing is left of the one before.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from bench.bad_chunks import BadChunk
from bench.chunk_truth import TICK_NS, Standing, TruthPlant, Vector
from bench.good_chunks import SEEN_HZ, GoodChunk
from daemon.control.build import arm_limits
from daemon.control.gate import ArmLimits, Asked, Body, GateState, apply
from drivers.joint_map import JointMap
from learning.world import lockstep_calibrations, lockstep_config
from robotd.clock import NS_PER_S
from robotd.layouts import tick_layout
from robotd.states import LimitedBy, Source, State, Verdict
from sim.twin.core import TwinCore
from sim.twin.origin import Origin

AT_NS = 1_000 * NS_PER_S
HANDOVER_VERSION = 7
HANDOVER_NS = AT_NS - 20 * NS_PER_S
TIMED_WAYPOINTS = 100
_PLENTY_MS = 1_000.0
_JOINTS = 6


class Judge:
    """Asks the twin about chunks. Every answer is None for a pass, else why not, in words."""

    def __init__(self) -> None:
        shipped = lockstep_config()
        twin = msgspec.structs.replace(shipped.twin, verdict_budget_ms=_PLENTY_MS)
        self._config = msgspec.structs.replace(shipped, twin=twin)
        self._core = TwinCore(self._config, time.monotonic_ns)
        self._blank = {
            each.name: 0 if each.count == 1 else (0,) * each.count
            for each in tick_layout(_JOINTS).fields
        }
        calibration = next(iter(lockstep_calibrations(shipped).values()))
        offset_deg = next(iter(shipped.arms.values())).joint_offset_deg
        self._limits = _limits(self._config, calibration, offset_deg)
        self._plants: dict[int, TruthPlant] = {}
        self.wall_ms: list[float] = []
        self.cpu_ms: list[float] = []

    def plant(self, seed: int) -> TruthPlant:
        """The plant of that seed, made once."""
        if seed not in self._plants:
            self._plants[seed] = TruthPlant(seed)
        return self._plants[seed]

    # --- the twin ---------------------------------------------------------------------------------

    def good(self, chunk: GoodChunk) -> str | None:
        """What the twin says of a good chunk."""
        self._see(chunk.applied_rad, chunk.measured_rad)
        return self._ask(BadChunk(chunk, ""), say=True)

    def bad(self, bad: BadChunk) -> str | None:
        """What the twin says of a chunk that is bad by construction."""
        self._see(bad.chunk.applied_rad, bad.chunk.measured_rad)
        return self._ask(bad)

    def standing(self, bad: BadChunk, standing: Standing) -> str | None:
        """What the twin says of a chunk that begins where the plant's arm stands."""
        times = 4
        self._see(
            np.array([standing.applied_rad] * times), np.array([standing.measured_rad] * times)
        )
        return self._ask(bad)

    def _see(self, applied_rad: Vector, measured_rad: Vector) -> None:
        count = len(applied_rad)
        self._core.observe(self._tick(AT_NS - count * NS_PER_S // SEEN_HZ, State.DISARMED))
        for number in range(count):
            at_ns = AT_NS - (count - 1 - number) * NS_PER_S // SEEN_HZ
            self._core.observe(
                self._tick(
                    at_ns,
                    State.POLICY,
                    applied_rad=tuple(applied_rad[number].tolist()),
                    present_position_rad=tuple(measured_rad[number].tolist()),
                )
            )

    def _tick(self, at_ns: int, state: State, **values: Any) -> dict[str, Any]:
        return self._blank | {
            "deadline_ns": at_ns,
            "state": int(state),
            "handover_version": HANDOVER_VERSION,
            "handover_ns": HANDOVER_NS,
            **values,
        }

    def _ask(self, bad: BadChunk, say: bool = False) -> str | None:
        chunk = bad.chunk
        observed_ns = AT_NS + round(chunk.observed_s * NS_PER_S)
        if bad.from_before:
            observed_ns = HANDOVER_NS - 1
        origin = Origin(Source.POLICY, HANDOVER_VERSION - bad.handover, observed_ns)
        plan = chunk.plan(AT_NS)
        cpu_ns = time.thread_time_ns()
        said = self._core.judge(plan, AT_NS, origin)
        if said.verdict is Verdict.PASS and len(chunk.goals_rad) == TIMED_WAYPOINTS:
            self.cpu_ms.append((time.thread_time_ns() - cpu_ns) / 1e6)
            self.wall_ms.append(said.elapsed_us / 1e3)
        if said.refusal is None:
            return None
        if not say:
            return said.reason.words
        return f"{said.reason.words}: {said.refusal}"

    # --- the gate ---------------------------------------------------------------------------------

    def gate(
        self, standing: Standing
    ) -> Callable[[tuple[float, ...] | None, Vector], Sequence[float]]:
        """The gate as a filter of goals, from an arm that stands."""
        last = GateState.at_rest(standing.applied_rad)

        def through(requested: tuple[float, ...] | None, measured: Vector) -> Sequence[float]:
            nonlocal last
            applied = apply(
                Asked(requested), measured.tolist(), _COOL, last, self._limits, TICK_NS / NS_PER_S
            )
            last = applied.state
            return applied.goal_rad

        return through

    def gate_acts(self, bad: BadChunk) -> bool:
        """Whether the gate alone limits or holds something in a chunk, the arm being where its goal is."""
        plan = bad.chunk.plan(AT_NS)
        last = GateState.at_rest(tuple(bad.chunk.applied_rad[-1].tolist()))
        limited = LimitedBy.NOTHING
        for at_ns in range(AT_NS, plan.end_ns, TICK_NS):
            applied = apply(
                Asked(plan.evaluate(at_ns)),
                last.applied_rad,
                _COOL,
                last,
                self._limits,
                TICK_NS / NS_PER_S,
            )
            last = applied.state
            for flag in applied.limited_by:
                limited |= flag
        return bool(limited & _ACTS)


_COOL = Body((30.0,) * _JOINTS, (0.0,) * _JOINTS, (1000.0,) * _JOINTS)
_ACTS = LimitedBy.NOT_FINITE | LimitedBy.RANGE | LimitedBy.STEP | LimitedBy.SPEED


def _limits(config: Any, calibration: Any, offset_deg: Sequence[float]) -> ArmLimits:
    offset_rad = tuple(float(np.radians(value)) for value in offset_deg)
    return arm_limits(config.limits, JointMap(calibration, offset_rad))
