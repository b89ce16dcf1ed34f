"""Soft start: how much of its speed the arm has after a hand-over. Pure but for its memory.

Whoever takes the arm may have taken the wrong one, or stand too near: the first half second is
slow, whatever is asked for. While the torque limits are still on their way up (after a person's
hand was in the cell, or after a fault) nothing moves at all, because a weak arm would be left
behind by its goal and jump after it.
"""


class SoftStart:
    """The share of the configured speed, 0 to 1."""

    def __init__(self, ramp_ns: int) -> None:
        self._ramp_ns = ramp_ns
        self._from_ns = 0

    def share(self, handover_ns: int, weak: bool, now_ns: int) -> float:
        """What may be used in this tick. `weak`: the torque limits still rise."""
        self._from_ns = now_ns if weak else max(self._from_ns, handover_ns)
        if self._ramp_ns <= 0:
            return 0.0 if weak else 1.0
        return min(1.0, max(0.0, (now_ns - self._from_ns) / self._ramp_ns))
