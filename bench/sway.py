"""A client that moves the arm for a benchmark: a slow sway, so that every tick has a goal to write.

Two joints swing a quarter of a period apart: when one turns round the other is fastest, so the goal
changes by two encoder ticks or more in every tick of 120 Hz. An unchanged goal would not be
written, and nothing could be measured.
"""

import math
import time
from threading import Event, Thread
from types import TracebackType

from robotd.client import Robot
from robotd.errors import RobotdError
from robotd.messages import Goal, Hold, Instance, Teleop

GOALS_HZ = 30
_PERIOD_S = 4.0
_SOURCE = "scripted"


class Sway:
    """Sends goals around `centre_rad` at 30 Hz from a thread of its own, from `with` to its end.

    `joints` are the two that swing, by index (twice the same for one); `amplitude_rad` how far to
    each side. The swing grows over its first period, so that it begins where the arm stands.
    """

    def __init__(
        self,
        instance: Instance,
        centre_rad: tuple[float, ...],
        joints: tuple[int, int],
        amplitude_rad: float,
    ) -> None:
        self._instance = instance
        self._centre_rad = centre_rad
        self._joints = joints
        self._amplitude_rad = amplitude_rad
        self._stop = Event()
        self._error: RobotdError | None = None
        self._thread = Thread(target=self._work, name="sway")

    def __enter__(self) -> "Sway":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error

    def goal_rad(self, at_s: float) -> tuple[float, ...]:
        """What is asked for `at_s` seconds after the beginning."""
        goal = list(self._centre_rad)
        amplitude = self._amplitude_rad * min(1.0, at_s / _PERIOD_S)
        angle = math.tau * at_s / _PERIOD_S
        first, second = self._joints
        goal[first] += amplitude * math.sin(angle)
        if second != first:
            goal[second] += amplitude * math.cos(angle)
        return tuple(goal)

    def _work(self) -> None:
        try:
            with Robot(self._instance) as robot:
                version = int(robot.request(Teleop(source=_SOURCE))["handover_version"])
                began_s = time.monotonic()
                number = 0
                while not self._stop.is_set():
                    goal = self.goal_rad(time.monotonic() - began_s)
                    robot.request(Goal(source=_SOURCE, handover_version=version, goal_rad=goal))
                    number += 1
                    time.sleep(max(0.0, began_s + number / GOALS_HZ - time.monotonic()))
                robot.request(Hold())
        except RobotdError as error:
            self._error = error
