"""Whether an arm of this machine moves now, as its daemon says."""

import time

import msgspec

from robotd.client import Robot, running_instances
from robotd.clock import NS_PER_S
from robotd.states import State

_WAIT_S = 0.02
_FRESH_NS = 2 * NS_PER_S


class Arms:
    """Listens to every daemon of this user. Asks nothing of them, so it slows none down."""

    def __init__(self) -> None:
        self._robots: dict[int, Robot] = {}
        self._moved_ns: dict[int, int] = {}

    def moving(self) -> bool:
        """Whether somebody's goals move an arm, by states not older than two seconds.

        What a daemon of another version says cannot be read and counts as an arm at rest.
        """
        running = {each.pid: each for each in running_instances().values()}
        for pid in set(self._robots) - set(running):
            self._robots.pop(pid).close()
            self._moved_ns.pop(pid, None)
        for pid, instance in running.items():
            robot = self._robots.get(pid)
            if robot is None:
                robot = self._robots[pid] = Robot(instance)
            try:
                status = robot.watch(_WAIT_S)
            except msgspec.MsgspecError:
                continue
            if status is not None:
                moves = State[status.state.upper()].moving
                self._moved_ns[pid] = status.stamp_ns if moves else 0
        now_ns = time.monotonic_ns()
        return any(stamp > 0 and now_ns - stamp < _FRESH_NS for stamp in self._moved_ns.values())
