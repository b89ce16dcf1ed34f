"""The tick's arithmetic, done once for nothing while the wire carries the replies.

Between two ticks other programs have the core, and afterwards the caches: the gate's first call
after 6 ms of sleep takes three to four times as long as its second. The wire is busy for 1.6 ms with six
servos' replies, and nobody needs control then. So the pure parts that stand between the last reply
and the goal are called on the values of the last tick, and what they return is thrown away. On two
busy virtual cores (load 6) that takes the tick's gate stage from 241 to 172 us (p50), and the tick's overhead from 0.80
and 0.82 ms to 0.61 and 0.66 ms (`robotd bench tick --load encode,policy`, two runs of 12 s each way, in turn).
"""

from collections.abc import Sequence

from daemon.control import watch
from daemon.control.arm import FollowerArm
from daemon.control.gate import Asked, Body, apply

_AWAY_RAD = 1e-3  # a goal that is somewhere else, so that no part of the gate is skipped
_NEVER = 1_000_000


def rehearse(arms: Sequence[FollowerArm], dt_s: float) -> None:
    """Judge and gate every arm once. Changes nothing and sends nothing."""
    for arm in arms:
        watch.judge(arm.views(), True, _NEVER, arm.limits.stop_at_c)
        body = Body(arm.temperatures_c(), arm.loads_permille(), arm.limit_now_permille)
        asked = Asked(tuple(value + _AWAY_RAD for value in arm.gate.applied_rad))
        applied = apply(asked, arm.position_rad, body, arm.gate, arm.limits, dt_s)
        arm.joint_map.goal_ticks(applied.goal_rad)
