"""The words for what the arm is doing, who is moving it and what held it back.

Shared by every process and by the client. The numbers go through shared memory, so they are never
reused; new ones are appended.
"""

from enum import IntEnum, IntFlag


class State(IntEnum):
    """The motion state. Torque is *not* part of it: it is read from the servos and shown beside."""

    DISARMED = 0
    ARMING = 1
    HOLDING = 2
    TELEOP = 3
    POLICY = 4
    REPLAY = 5
    HOMING = 6
    PARKING = 7
    RELEASING = 8
    FAULT = 9
    ESTOP = 10

    @property
    def moving(self) -> bool:
        """Whether somebody's goals move the arm in this state."""
        return self in (State.TELEOP, State.POLICY, State.REPLAY, State.HOMING, State.PARKING)

    @property
    def armed(self) -> bool:
        """Whether control holds the arm with torque in this state."""
        return self.moving or self is State.HOLDING


class Torque(IntEnum):
    """What the servos' Torque_Enable registers said when last read."""

    OFF = 0
    ON = 1
    UNKNOWN = 2
    MIXED = 3


class Source(IntEnum):
    """Who asked for the goal of a tick."""

    NONE = 0
    LEADER = 1
    KEYBOARD = 2
    SCRIPTED = 3
    REPLAY = 4
    POLICY = 5
    HOMING = 6
    HOLD = 7
    CORRECTION = 8
    SHADOW = 9  # of a rehearsal: no hand-over has this owner, so no plan of it is followed


class LimitedBy(IntFlag):
    """Why a joint's applied goal is not the requested one."""

    NOTHING = 0
    NOT_FINITE = 1
    STALE = 2
    RANGE = 4
    VERDICT = 8
    STEP = 16
    SPEED = 32
    ACCELERATION = 64
    WORKSPACE = 128
    TORQUE = 256
    TEMPERATURE = 512
    SQUEEZE = 1024
    STARVED = 2048
    LOST = 4096
    SUPPLY = 8192
    BLOCKED = 16384

    def words(self) -> str:
        """The reasons as a person reads them; empty when nothing limited."""
        return ", ".join(_LIMIT_WORDS[flag] for flag in LimitedBy if flag in self)


_LIMIT_WORDS = {
    LimitedBy.NOT_FINITE: "a goal that is not a number",
    LimitedBy.STALE: "stale goals",
    LimitedBy.RANGE: "joint range",
    LimitedBy.VERDICT: "the twin's verdict",
    LimitedBy.STEP: "step",
    LimitedBy.SPEED: "speed",
    LimitedBy.ACCELERATION: "acceleration",
    LimitedBy.WORKSPACE: "workspace",
    LimitedBy.TORQUE: "torque",
    LimitedBy.TEMPERATURE: "temperature",
    LimitedBy.SQUEEZE: "squeeze (gripper holds something)",
    LimitedBy.STARVED: "no plan left to follow",
    LimitedBy.LOST: "a servo that does not answer",
    LimitedBy.SUPPLY: "supply voltage",
    LimitedBy.BLOCKED: "a joint that pushes against something",
}


class Fault(IntEnum):
    """Why control went to FAULT. The words for each are in `daemon.supervisor.words`."""

    NONE = 0
    BUS_LOST = 1
    SERVO_LOST = 2
    SERVO_REBOOTED = 3
    SERVO_STATUS = 4
    OVERHEATED = 5
    STALLED = 6
    ARMING_FAILED = 7
    TWIN_DIVERGED = 8
    COLLISION = 9
    SLIPPED = 10
    JOINT_SIGN = 11
    SWAPPED_ARM = 12
    SUPPLY_VOLTAGE = 13
    ENCODER = 14


class RequestKind(IntEnum):
    """What the supervisor asks of control, in order, through the `requests` ring."""

    ARM = 1
    DISARM = 2  # park if the path is clear, then governed release
    RELEASE = 3  # governed release where the arm is
    CLEAR = 4
    HOLD = 5
    HOME = 6
    TELEOP = 7
    POLICY = 8
    REPLAY = 9
    STOP = 10  # like DISARM, then the control process ends
    CORRECT = 11  # a person takes over from a policy, anchored
    CHECK = 12  # run the arming list and write nothing


class HomeWay(IntEnum):
    """The way to the home pose that the twin found clear."""

    UNKNOWN = 0  # no twin, or it has not looked yet
    STRAIGHT = 1
    DRAWN_IN = 2  # the straight way is not: first draw the arm in, then turn, then stretch
    BLOCKED = 3


class Verdict(IntEnum):
    """What the twin said of a plan."""

    NONE = 0
    PASS = 1
    REJECT = 2
    LATE = 3  # no verdict within its time budget


class PlanReason(IntEnum):
    """Why the twin did not pass a plan."""

    NONE = 0
    EMPTY = 1
    NOT_FINITE = 2
    RANGE = 3
    SPEED = 4
    JUMP = 5
    LINK_ON_TABLE = 6
    LINK_ON_LINK = 7
    FINGERS_IN_TABLE = 8
    ARMS_MEET = 9
    LATE = 10
    STALE = 11
    LINK_ON_OBSTACLE = 12

    @property
    def words(self) -> str:
        """The reason as a person reads it; empty for none."""
        return _PLAN_REASON_WORDS[self]


_PLAN_REASON_WORDS = {
    PlanReason.NONE: "",
    PlanReason.EMPTY: "a plan without waypoints",
    PlanReason.NOT_FINITE: "a goal that is not a number",
    PlanReason.RANGE: "a goal far beyond the joint's range",
    PlanReason.SPEED: "faster than the arm can follow",
    PlanReason.JUMP: "it begins far from where the arm is",
    PlanReason.LINK_ON_TABLE: "a link would hit the table",
    PlanReason.LINK_ON_LINK: "the arm would hit itself",
    PlanReason.FINGERS_IN_TABLE: "the fingers would press into the table",
    PlanReason.ARMS_MEET: "the arms would hit each other",
    PlanReason.LATE: "no verdict in time",
    PlanReason.STALE: "it was made from an old observation",
    PlanReason.LINK_ON_OBSTACLE: "it would hit a thing that stands around the arm",
}
