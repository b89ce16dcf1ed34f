"""What a person is told of a policy that has the arm: why the arm waits, and what became of its chunks.

A checkpoint that "does nothing" mostly proposes something that the twin does not let pass, or
proposes to stand still. Both are seen here, while it happens and in the line at the end.
"""

import math
import re
from collections import Counter

from robotd.errors import StateError
from robotd.messages import Status

STANDS_DEG = 2.0  # less than this is what a held arm sags and breathes
_NUMBER = re.compile(r"\d+(\.\d+)?")


class Waits:
    """Why the arm waited, each kind of reason once: two that differ in their numbers are one."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._words: dict[str, str] = {}

    def line(self, reason: str) -> str:
        """What is to be said of `reason`, which is empty while the arm does not wait."""
        if not reason:
            return ""
        kind = _NUMBER.sub("#", reason)
        self._seen[kind] += 1
        self._words[kind] = reason
        return f"  the arm waits: {reason}" if self._seen[kind] == 1 else ""

    @property
    def commonest(self) -> str:
        """The newest words of the commonest kind; empty when it never waited."""
        return self._words[self._seen.most_common(1)[0][0]] if self._seen else ""


class Played:
    """One episode, from the first status in which the policy has the arm to the last."""

    def __init__(self, policy: str) -> None:
        self._policy = policy
        self._counts: tuple[int, int] | None = None  # the twin's own, since it was started
        self._passed = self._refused = 0
        self._bounds_rad: dict[str, tuple[float, float]] = {}
        self._waits = Waits()

    def see(self, status: Status) -> str:
        """The line that a status is worth: why the arm waits, once for each kind of reason."""
        self._count(status.twin.plans_passed, status.twin.plans_rejected)
        for joint in status.joints:
            at = joint.position_rad
            low, high = self._bounds_rad.get(joint.name, (at, at))
            self._bounds_rad[joint.name] = (min(low, at), max(high, at))
        return self._waits.line(status.policy.error)

    def summary(self) -> str:
        """How many chunks the twin let pass, how far the arm moved, and what it means if it stood."""
        passed, refused = self._passed, self._refused
        joint, deg = self._furthest()
        line = (
            f"  {passed} chunks passed the twin, {refused} did not; "
            f"the arm moved {deg:.0f}° at most ({joint})"
        )
        if not passed or deg >= STANDS_DEG:
            return line
        return (
            f"{line}\n"
            "  it proposes the pose that the arm is in: trained too little, an average of its data, "
            "blind to its pictures,\n"
            f"  or the scene is unlike its data. {self._probe()}"
        )

    def raise_if_nothing(self) -> None:
        """Raise StateError when a whole episode went by and no chunk was followed."""
        if (
            self._passed or self._furthest()[1] >= STANDS_DEG
        ):  # its first may be from before a status
            return
        refused = self._refused
        reason = self._waits.commonest
        what = f"none of its {refused} chunks passed the twin" if refused else "it made no chunk"
        raise StateError(
            f"The policy moved nothing: {what}.",
            f"Mostly: {reason}." if reason else "It is slower than the episode is long.",
            f"{self._probe()}: units, statistics, another robot, or a start unlike its data.",
        )

    def _probe(self) -> str:
        return f"robotd probe --policy {self._policy} --dataset NAME says why in a minute"

    def _count(self, passed: int, refused: int) -> None:
        """Add what was judged since the last status; a twin that was restarted counts from 0."""
        before = self._counts or (passed, refused)
        self._counts = passed, refused
        self._passed += passed - before[0] if passed >= before[0] else passed
        self._refused += refused - before[1] if refused >= before[1] else refused

    def _furthest(self) -> tuple[str, float]:
        moved = {name: math.degrees(high - low) for name, (low, high) in self._bounds_rad.items()}
        name = max(moved, key=moved.__getitem__, default="no joint")
        return name, moved.get(name, 0.0)
