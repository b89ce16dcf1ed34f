"""The records that robotd's processes exchange through shared memory, and who writes each.

| file       | kind | writer            | readers                            |
|------------|------|-------------------|------------------------------------|
| ticks      | ring | control           | everybody                          |
| bus        | ring | control           | supervisor (black box)             |
| requests   | ring | supervisor        | control                            |
| command    | slot | supervisor        | control (goals of people, scripts) |
| heartbeat  | slot | supervisor        | control                            |
| report     | slot | control           | supervisor (arming list, as JSON)  |
| guard      | slot | guard             | supervisor (what it does, as JSON) |
| timing     | slot | control           | supervisor                         |
| proposal   | slot | policy, replay    | twin                               |
| plan       | slot | twin              | control                            |
| twin       | slot | twin              | control, supervisor, TUI           |
| policy     | slot | policy, replay    | supervisor, TUI, recorder          |
| chunks     | ring | policy            | supervisor, recorder (`latency.py`)|
| frames-<n> | ring | camera n          | recorder, policy, TUI              |

All stamps are CLOCK_MONOTONIC nanoseconds (or the virtual clock's in lock-step). Joint arrays are
in the robot's joint order: six per arm in bus order, left before right.
"""

from functools import cache

from robotd.histogram import CELLS
from robotd.shm import Field, Layout

TICKS_KEPT = 7_200  # one minute at 120 Hz
REQUESTS_KEPT = 64
BUS_KEPT = 8_192  # some ten seconds of one line at 120 Hz
BUS_BYTES = 160  # the six replies to a telemetry request have 126
PLAN_WAYPOINTS = 128  # an ACT chunk has 100, a Pi0 chunk 50
REPORT_BYTES = 16_384

TICK_VERSION = 1


@cache
def tick_layout(joints: int) -> Layout:
    """One control tick: all telemetry, what was requested and what was applied."""
    return Layout(
        "tick",
        TICK_VERSION,
        [
            Field("index", "Q"),
            Field("deadline_ns", "q"),
            Field("read_ns", "q"),  # when the telemetry block was complete
            Field("write_ns", "q"),  # when the goal left; 0 when none was written
            Field("state", "B"),
            Field("torque", "B"),
            Field("source", "B"),
            Field("fault", "B"),
            Field("fault_joint", "i"),  # -1: not one joint
            Field("bus_ok", "B"),  # every servo answered this tick
            Field("degraded", "B"),  # three reads or more were missed in a row
            Field("handover_version", "Q"),
            Field("handover_ns", "q"),
            Field("command_age_ns", "q"),  # -1: no command
            Field("plan_id", "Q"),  # 0: no plan is being followed
            Field("plan_index", "i"),  # waypoint in that plan, -1: none
            Field("plan_verdict", "B"),
            Field("missed_ticks", "Q"),  # since start
            Field("read_us", "I"),
            Field("gate_us", "I"),
            Field("write_us", "I"),
            Field("late_us", "I"),  # start of the tick behind its deadline
            Field("estop_presses", "Q"),
            Field("last_request", "Q"),
            Field("park_clear", "B"),
            Field("home_way", "B"),  # a `robotd.states.HomeWay`
            Field("present_position_rad", "d", joints),
            Field("present_position_ticks", "i", joints),
            Field("present_velocity_rad_s", "d", joints),  # differentiated and filtered over 50 ms
            Field("present_age_ns", "q", joints),
            Field("present_load_permille", "i", joints),
            Field("present_voltage_v", "f", joints),
            Field("present_temperature_c", "f", joints),
            Field("present_current_a", "f", joints),
            Field("servo_status", "B", joints),
            Field("requested_rad", "d", joints),
            Field("applied_rad", "d", joints),
            Field("goal_ticks", "i", joints),  # the goal register's value; -1: none ever written
            Field("torque_limit_permille", "i", joints),
            Field("limited_by", "I", joints),
            Field("leader_position_rad", "d", joints),
            Field("leader_age_ns", "q"),  # -1: no leader
        ],
    )


STAGES = ("late", "read", "gate", "write", "read_back", "publish", "work", "period")
"""The parts of a tick that are timed, each in microseconds; `daemon/control/stages.py` says what
each one is."""


@cache
def timing_layout(joints: int) -> Layout:
    """How control kept time and what the line lost, since it started: `robotd.histogram` cells.

    Every field is eight bytes wide, so that control can keep it all in one array of numbers.
    """
    return Layout(
        "timing",
        1,
        [
            Field("stamp_ns", "q"),
            Field("ticks", "Q"),
            Field("missed", "Q"),  # ticks that were skipped
            Field("coasted", "Q"),  # ticks in which an older value of some servo had to do
            Field("reopened", "Q"),  # times that a serial device was opened again
            Field("lost", "Q", joints),  # replies of each servo that did not come in time
            Field("leader_lost", "Q", joints),  # of the leaders', each beside its own arm
            *(Field(stage, "Q", CELLS) for stage in STAGES),
        ],
    )


BUS = Layout(
    "bus",
    1,
    [
        Field("stamp_ns", "q"),
        Field("line", "B"),  # follower and leader of each arm, in the configuration's order
        Field("direction", "B"),  # 0 to the servos, 1 from them
        Field("length", "H"),  # of what passed; `data` holds its beginning
        Field("data", "B", BUS_BYTES),
    ],
)

REQUEST = Layout(
    "request",
    1,
    [
        Field("id", "Q"),
        Field("kind", "B"),
        Field("source", "B"),
        Field("stamp_ns", "q"),
    ],
)

HEARTBEAT = Layout(
    "heartbeat",
    2,
    # reset_phase: a recording waits between two episodes, so a person's hand is in the cell.
    [Field("stamp_ns", "q"), Field("pid", "Q"), Field("reset_phase", "B")],
)

REPORT = Layout("report", 1, [Field("length", "I"), Field("json", "B", REPORT_BYTES)])

GUARD_BYTES = 2_048
GUARD = Layout("guard", 1, [Field("length", "I"), Field("json", "B", GUARD_BYTES)])


@cache
def command_layout(joints: int) -> Layout:
    """The newest goal from a person or a script."""
    return Layout(
        "command",
        1,
        [
            Field("source", "B"),
            Field("handover_version", "Q"),
            Field("stamp_ns", "q"),
            Field("goal_rad", "d", joints),
        ],
    )


@cache
def plan_layout(joints: int) -> Layout:
    """Timed waypoints: waypoint k is due at `start_ns + k * step_ns`.

    A proposal (policy to twin) and a plan (twin to control) have the same layout; the twin fills in
    `verdict`, `verdict_us`, `judged_ns` and `reason`.
    """
    return Layout(
        "plan",
        2,
        [
            Field("id", "Q"),
            Field("source", "B"),
            Field("handover_version", "Q"),
            Field("observation_ns", "q"),  # the observation the plan was made from
            Field("start_ns", "q"),
            Field("step_ns", "q"),
            Field("waypoints", "I"),
            Field("verdict", "B"),
            Field("reason", "B"),
            Field("reason_joint", "i"),
            Field("verdict_us", "I"),
            Field("judged_ns", "q"),  # when the twin answered; who asked may read it much later
            Field("goal_rad", "d", joints * PLAN_WAYPOINTS),
        ],
    )


@cache
def twin_layout(joints: int) -> Layout:
    """What the mirror sees: residual between the commanded twin and the measured arm."""
    return Layout(
        "twin",
        3,
        [
            Field("stamp_ns", "q"),
            Field("residual_rad", "d", joints),
            Field("park_clear", "B"),
            Field("home_way", "B"),  # a `robotd.states.HomeWay`
            Field("finding", "B"),  # what is wrong, a `robotd.states.Fault`; 0: nothing
            Field("finding_joint", "i"),  # -1: not one joint
            Field("finding_since_ns", "q"),
            Field("park_from_ns", "q"),  # tick whose goal the park path was checked from
            Field("plans_passed", "Q"),
            Field("plans_rejected", "Q"),
            Field("last_verdict", "B"),
            Field("last_reason", "B"),
            Field("last_verdict_us", "I"),
            # The newest refusal, as `robotd.plan_words.Refusal`; refused_ns 0: there was none.
            Field("refused_ns", "q"),
            Field("refused_reason", "B"),
            Field("refused_joint", "i"),
            Field("refused_waypoint", "i"),
            Field("refused_into_s", "d"),
            Field("refused_amount", "d"),
            Field("refused_body", "B"),
            Field("refused_against", "B"),
        ],
    )


POLICY = Layout(
    "policy",
    1,
    [
        Field("stamp_ns", "q"),
        Field("ready", "B"),
        Field("chunk_id", "Q"),
        Field("observation_age_us", "I"),  # oldest input of the last chunk when inference began
        Field("inference_us", "I"),  # the chunk's own time, device synchronised
        Field("chunks", "Q"),
        Field("finished", "B"),  # a replay that has played its last action
    ],
)

ENVIRONMENT_STATE_SIZE = 7
ENVIRONMENT_STATE = Layout(
    "environment_state",
    1,
    [Field("stamp_ns", "q"), Field("values", "d", ENVIRONMENT_STATE_SIZE)],
)
ENVIRONMENT_STATE_NAMES = (
    "block_x_m",
    "block_y_m",
    "block_z_m",
    "block_cos_2yaw",
    "block_sin_2yaw",
    "bowl_x_m",
    "bowl_y_m",
)
