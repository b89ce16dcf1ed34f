"""The twin process: `python -m sim.twin --runtime DIR`, started by the supervisor.

It reads `config.json`, follows the tick ring, judges every proposal and passes it on as `plan` with its verdict,
and says in the slot `twin` how far arm and model differ and whether the way to the resting pose is clear. It
outlives the supervisor for as long as control lives, because control parks by its word.
"""

import argparse
import logging
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from config.joints import joint_names
from config.schema import Config
from robotd import layouts
from robotd.clock import NS_PER_MS, NS_PER_S, Clock, MonotonicClock
from robotd.plan_words import Refusal, sentence
from robotd.shm import SlotWriter
from robotd.states import Fault, HomeWay, PlanReason
from sim.twin.core import TwinCore, trajectory_of
from sim.twin.link import LateProposals, LateTicks
from sim.twin.origin import Origin

log = logging.getLogger("twin")

POLL_S = 0.004
"""How often the proposal slot is looked at: well below a row, 2 % of a core."""
_LOOK_NS = 200 * NS_PER_MS
_PUBLISH_NS = 50 * NS_PER_MS
_WAYS_NS = 250 * NS_PER_MS
_QUIET_NS = 3 * NS_PER_S
_NO_REFUSAL = Refusal(PlanReason.NONE)


class TwinProcess:
    """The loop's state. `step` does one pass; nothing in it waits."""

    def __init__(self, runtime: Path, config: Config, clock: Clock) -> None:
        self._clock = clock
        self._core = TwinCore(config, clock.now_ns)
        self._names = joint_names(config), tuple(config.twin.obstacles)
        joints = self._core.joints
        self._ticks = LateTicks(runtime / "ticks", joints)
        self._proposals = LateProposals(runtime / "proposal", joints)
        self._plan = SlotWriter(runtime / "plan", layouts.plan_layout(joints))
        self._twin = SlotWriter(runtime / "twin", layouts.twin_layout(joints))
        self._told = (Fault.NONE, -1)  # a finding that is new is said at once
        self._park_clear = False
        self._home_way = HomeWay.UNKNOWN
        self._park_from_ns = 0
        self._ways_ns = self._published_ns = self._looked_ns = 0
        self.heard_ns = clock.now_ns()

    def step(self) -> None:
        """Look at the runtime folder once and answer what is new."""
        now_ns = self._clock.now_ns()
        if now_ns - self._looked_ns >= _LOOK_NS:
            self._looked_ns = now_ns
            self._ticks.look()
            self._proposals.look()
        tick = self._ticks.newest()
        if tick is not None:
            self.heard_ns = now_ns
            self._core.observe(tick)
        proposal = self._proposals.newest()
        if proposal is not None:
            self._answer(proposal)
            self._publish(now_ns)
        elif tick is not None and now_ns - self._ways_ns >= _WAYS_NS:
            self._ways_ns = now_ns
            self._park_clear = self._core.park_is_clear()
            self._home_way = self._core.home_way()
            self._park_from_ns = int(tick["deadline_ns"])
        finding = self._core.finding
        news = (finding.fault, finding.joint) != self._told
        if news or now_ns - self._published_ns >= _PUBLISH_NS:
            self._told = finding.fault, finding.joint
            self._publish(now_ns)

    def _answer(self, proposal: Mapping[str, Any]) -> None:
        plan = trajectory_of(proposal, self._core.joints)
        said = self._core.judge(plan, self._clock.now_ns(), Origin.of(proposal))
        if said.refusal is not None:
            log.warning("plan %d: %s", proposal["id"], self._sentence(said.refusal))
        self._plan.write(
            {
                **proposal,
                "verdict": int(said.verdict),
                "reason": int(said.reason),
                "reason_joint": said.joint,
                "verdict_us": min(said.elapsed_us, 0xFFFFFFFF),
                "judged_ns": self._clock.now_ns(),
            }
        )

    def _sentence(self, refusal: Refusal) -> str:
        return sentence(refusal, *self._names)

    def _publish(self, now_ns: int) -> None:
        self._published_ns = now_ns
        last = self._core.last
        refusal = self._core.refusal or _NO_REFUSAL
        self._twin.write(
            {
                "stamp_ns": now_ns,
                "residual_rad": self._core.residual_rad.tolist(),
                "park_clear": int(self._park_clear),
                "home_way": int(self._home_way),
                **self._core.finding_record(),
                "park_from_ns": self._park_from_ns,
                "plans_passed": self._core.passed,
                "plans_rejected": self._core.rejected,
                "last_verdict": int(last.verdict),
                "last_reason": int(last.reason or PlanReason.NONE),
                "last_verdict_us": min(last.elapsed_us, 0xFFFFFFFF),
                "refused_ns": self._core.refused_ns,
                "refused_reason": int(refusal.reason),
                "refused_joint": refusal.joint,
                "refused_waypoint": refusal.waypoint,
                "refused_into_s": refusal.into_s,
                "refused_amount": refusal.amount,
                "refused_body": refusal.body,
                "refused_against": refusal.against,
            }
        )

    def close(self) -> None:
        self._plan.close()
        self._twin.close()


class _Terminate:
    """A SIGTERM, noted for the loop."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sim.twin")
    parser.add_argument("--runtime", type=Path, required=True)
    runtime: Path = parser.parse_args().runtime
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    supervisor = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor owns Ctrl-C
    terminate = _Terminate()
    signal.signal(signal.SIGTERM, terminate)
    config = msgspec.json.decode((runtime / "config.json").read_bytes(), type=Config)
    clock = MonotonicClock()
    process = TwinProcess(runtime, config, clock)
    log.info("watching %d joints", 6 * len(config.arms))
    while not terminate.asked:
        process.step()
        orphaned = supervisor == 1 or os.getppid() != supervisor  # 1: it was gone before we looked
        if orphaned and clock.now_ns() - process.heard_ns > _QUIET_NS:
            log.info("supervisor and control are gone")
            break
        time.sleep(POLL_S)
    process.close()


if __name__ == "__main__":
    main()
