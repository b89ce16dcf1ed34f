"""Rehearsal in shadow: a running robot's own cameras and joints, every chunk to its twin only.

The daemon does it (`daemon.supervisor.shadowing`) and keeps the verdict; here it is asked for and watched. A replay
looks at nothing, so of the real arm it needs only where it stands: read from shared memory, nothing is asked of
the daemon.
"""

import time
from collections.abc import Callable

from robotd.client import Robot
from robotd.clock import NS_PER_S
from robotd.errors import StateError
from robotd.layouts import tick_layout
from robotd.messages import EndShadow, Shadow, ShadowStatus
from robotd.shm import RingReader

_GRACE_S = 15.0
_OLD_NS = NS_PER_S


def shadow_policy(
    robot: Robot, seconds: float, task: str, said: Callable[[ShadowStatus], None]
) -> ShadowStatus:
    """Let the policy that is loaded look and propose for `seconds`; returns how it ended.

    `said` is told how it stands, some times a second. Interrupted, it ends the shadow. Raises StateError when it
    is refused or broke off, with the reason.
    """
    number = int(robot.request(Shadow(seconds=seconds, task=task))["shadow"])
    over = False
    try:
        end_s = time.monotonic() + seconds + _GRACE_S
        while time.monotonic() < end_s:
            status = robot.watch(0.5)
            if status is None or status.shadow.number < number:
                continue
            now = status.shadow
            if now.number > number:
                break  # another client's
            said(now)
            if now.phase != "running":
                over = True
                break
    finally:
        if not over:
            robot.request(EndShadow())
    if not over:
        raise StateError(
            f"The shadow did not end within {seconds + _GRACE_S:g} s.",
            "The daemon is silent, or another client rehearses too.",
            "Look: robotd status, robotd logs.",
        )
    if now.phase == "failed":
        raise StateError(now.error, now.likely, now.do)
    return now


def measured_ticks(robot: Robot) -> tuple[int, ...]:
    """Where the arm's encoders stand now [joints]. Raises StateError when nobody has read them lately."""
    ring = RingReader(robot.runtime / "ticks", tick_layout(len(robot.instance.joints)))
    try:
        tick = ring.latest()
    finally:
        ring.close()
    old = tick is None or time.monotonic_ns() - int(tick["deadline_ns"]) > _OLD_NS
    if (
        tick is None
        or old
        or min(tick["present_age_ns"]) < 0
        or max(tick["present_age_ns"]) > _OLD_NS
    ):
        raise StateError(
            f"Where {robot.instance.name}'s joints stand is not known.",
            "The control process does not tick, or a servo does not answer.",
            "Look: robotd status; robotd arm --check names what is missing.",
        )
    return tuple(int(each) for each in tick["present_position_ticks"])
