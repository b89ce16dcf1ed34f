"""How long nothing new was seen, counted only while somebody looked. Pure.

A machine that was paused (a virtual one, a laptop's lid, a debugger on the guard itself) wakes up
with old stamps everywhere and nothing wrong. So one long gap between two looks counts as little as a
short one: silence is what was watched, not what a clock says.
"""

LONGEST_LOOK_NS = 100_000_000
"""Twice the guard's period: what a gap between two looks counts at most."""


class Silence:
    """Fed with a count at every look; `ns` is how long that count has stood still."""

    def __init__(self) -> None:
        self.ns = 0
        self._seen: object = None
        self._looked_ns = 0

    def look(self, now_ns: int, seen: object) -> int:
        """Take a look. `seen` is anything that changes when there is news. Returns `ns`."""
        if seen != self._seen:
            self.ns, self._seen = 0, seen
        else:
            self.ns += min(now_ns - self._looked_ns, LONGEST_LOOK_NS)
        self._looked_ns = now_ns
        return self.ns
