"""How well the robot does, in figures and a verdict: `robotd health`, and `health` in the status.

The supervisor computes it from what the other processes publish, so a loop that hangs is reported by
its own silence. `good`: nothing to do. `degraded`: it works, and something should be looked at.
`bad`: it does not, or not for long; a person has to do something now.
"""

import msgspec


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why the verdict is not `good`: what is the matter, and what to do about it."""

    what: str
    do: str


class RealtimeHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine granted to control. `affinity` is its own core; None: it shares them all.

    `why` says for each that was refused what would allow it; one that nobody asked for is not there.
    """

    fifo: bool = False
    mlock: bool = False
    affinity: int | None = None
    why: dict[str, str] = {}


class BusHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The serial lines since control started.

    `errors`: replies that did not come in time, followers' and leaders'; `lost` has them by joint
    (`leader …` for a leader's). `coasted`: ticks in which an older value of some follower's servo
    had to do. `reopened`: times that a device was opened again.
    """

    errors: int = 0
    coasted: int = 0
    reopened: int = 0
    errors_last_minute: int = 0
    lost: dict[str, int] = {}


class ServoHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One servo, newest tick. `load` is the motor's duty in percent; `flags` its complaints."""

    name: str
    temp_c: float
    volt_v: float
    load: float
    current_a: float
    flags: tuple[str, ...] = ()


class TwinHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The mirror. `verdict`: agrees, limp (nothing is compared), absent, off, or what it finds
    wrong by the name of the fault (collision, stalled, slipped, joint_sign, swapped_arm,
    twin_diverged).

    `residual_rad` is the largest of all joints.
    """

    residual_rad: float = 0.0
    verdict: str = "off"


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How the times of one stage are spread, in microseconds; percentiles within 3.2 %."""

    count: int = 0
    p50_us: float = 0.0
    p99_us: float = 0.0
    p999_us: float = 0.0
    max_us: float = 0.0


class StageHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of the tick (`robotd.layouts.STAGES`)."""

    last_10_s: Spread = Spread()
    since_start: Spread = Spread()


class HealthStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `robotd health` shows. `hz`, `p99_us` (of `late`): the last ten seconds.

    `missed`: ticks skipped since control started. `guard`: what the guard says of itself, or absent.
    """

    verdict: str = "bad"
    reasons: tuple[Reason, ...] = ()
    hz: float = 0.0
    missed: int = 0
    p99_us: float = 0.0
    rt: RealtimeHealth = RealtimeHealth()
    bus: BusHealth = BusHealth()
    servos: tuple[ServoHealth, ...] = ()
    twin: TwinHealth = TwinHealth()
    stages: dict[str, StageHealth] = {}
    guard: str = "absent"
    processes: dict[str, str] = {}
