"""Is the robot well? The verdict over the figures, with what to do about each reason. Pure.

A verdict that cries for nothing is switched off by its users, so every threshold below is for
something that a person can be told to do, and none trips on what a busy machine does by itself (a
loop that counts as silent after three periods trips on the scheduler's jitter alone).
What the machine refused (priority, locked memory, an own core) is shown with what would allow it,
and only its effect, ticks late or missed, counts.
"""

from dataclasses import dataclass

from robotd.health import Reason
from robotd.states import State

ABSENT = "absent"
GOOD, DEGRADED, BAD = "good", "degraded", "bad"

# Of the ticks of the last ten seconds. One in a hundred is a jerk that can be seen; at one in ten
# goals arrive at less than the rate they were planned for. Under three nothing is said: a laptop's
# host takes its core away for 28 ms now and then.
MISSED_FEW = 3
MISSED_DEGRADED, MISSED_BAD = 0.01, 0.1
# Of a period, p99 of the lateness: goals are evaluated at nominal deadlines, so being late alone
# bends no path, but from half a period on the next tick is in danger.
LATE_DEGRADED = 0.5
# Of the replies asked for in the last minute, of one servo. Single ones are invisible on purpose.
LOST_FEW = 5
LOST_DEGRADED = 0.01
# A servo that is armed is a fault after ten reads; a limp one may be unplugged by a person.
UNHEARD_MS = 1_000.0
CAMERA_STALE_MS = 1_000.0
# Half of the pictures that may wait for an encoder before it is given the one before again.
ENCODER_BEHIND_S = 1.0


@dataclass(frozen=True, slots=True)
class ServoFigures:
    """One servo as it is judged. `age_ms` is negative when it never answered."""

    name: str
    servo_id: int
    age_ms: float
    temperature_c: float
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServoLosses:
    """How many replies of one servo were lost in the last minute."""

    name: str
    servo_id: int
    lost: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What the verdict is made of. `fault` and `fault_do` are words for a person, or empty."""

    simulated: bool
    state: State
    fault: str
    fault_do: str
    starting: bool
    ticked: bool
    tick_hz: int
    recent_ticks: int
    recent_missed: int
    late_p99_us: float
    servos: tuple[ServoFigures, ...]
    lines: dict[str, tuple[ServoLosses, ...]]  # every serial line, its servos along the chain
    asked_last_minute: int
    reopened_last_minute: int
    derate_from_c: float
    stop_at_c: float
    twin: str
    twin_finding: tuple[str, str]  # what the mirror finds, confirmed, and what to do; or empty
    guard: str
    guard_what: str
    guard_do: str
    processes: dict[str, str]
    cameras: dict[str, float | None]  # how old the newest picture is, in ms; None: there is none
    disk_left_s: float | None = None  # only while that is low
    encoder_behind_s: float = 0.0


def judge(figures: Figures) -> tuple[str, tuple[Reason, ...]]:
    """The verdict, and why it is not `good`, the worst first."""
    bad = [*_stopped(figures), *_unheard(figures), *_starved(figures), *_too_hot(figures)]
    degraded = [
        *_waiting(figures),
        *_late(figures),
        *_line(figures),
        *_servos(figures),
        *_others(figures),
        *_recording(figures),
    ]
    verdict = BAD if bad else DEGRADED if degraded else GOOD
    return verdict, (*bad, *degraded)


def _stopped(figures: Figures) -> list[Reason]:
    if figures.state is not State.FAULT:
        return []
    what = figures.fault or "The arm is in a fault that control cannot name."
    return [Reason(what=what, do=figures.fault_do or "Look at the arm, then: robotd clear.")]


def _unheard(figures: Figures) -> list[Reason]:
    """Servos that do not answer, wherever the state machine stands: a limp arm is not judged by
    control, and a person wants to know before arming. A fault has said it; behind a dead control
    the answers are old whatever the servos do."""
    if figures.starting or not figures.ticked or figures.state is State.FAULT:
        return []
    silent = [s for s in figures.servos if not 0 <= s.age_ms < UNHEARD_MS]
    if not silent:
        return []
    if len(silent) == len(figures.servos):
        return [
            Reason(
                what="No servo answers.",
                do="Check the servo supply and the USB cable of the servo board; robotd reopens "
                "the port by itself. Then: robotd doctor bus, with the daemon stopped.",
            )
        ]
    first = silent[0]
    names = ", ".join(servo.name for servo in silent)
    return [
        Reason(
            what=f"No answer from {names}.",
            do=f"Reseat the cable into servo {first.servo_id} ({first.name}); if those behind it "
            "answer, its own plug or board.",
        )
    ]


def _missed_part(figures: Figures) -> float:
    due = figures.recent_ticks + figures.recent_missed
    return figures.recent_missed / due if due and figures.recent_missed >= MISSED_FEW else 0.0


def _starved(figures: Figures) -> list[Reason]:
    part = _missed_part(figures)
    return [_missed(figures, part)] if part > MISSED_BAD else []


def _missed(figures: Figures, part: float) -> Reason:
    return Reason(
        what=f"{figures.recent_missed} ticks were missed in the last ten seconds "
        f"({100 * part:.0f} %).",
        do="See what takes the processor (top), end it or move it to another machine; "
        "docs/hardware.md, Health, says how control gets priority and a core of its own.",
    )


def _too_hot(figures: Figures) -> list[Reason]:
    hot = [s for s in figures.servos if s.temperature_c >= figures.stop_at_c]
    return [
        Reason(
            what=f"{servo.name} is {servo.temperature_c:.0f} °C hot.",
            do="Support the arm, robotd disarm, and let it cool for ten minutes.",
        )
        for servo in hot
    ]


def _waiting(figures: Figures) -> list[Reason]:
    if figures.state is State.ESTOP:
        return [
            Reason(
                what="The software stop was pressed.",
                do="Look at the arm, then: robotd clear.",
            )
        ]
    if figures.starting:
        return [Reason(what="robotd is starting.", do="Wait some seconds and look again.")]
    return []


def _late(figures: Figures) -> list[Reason]:
    part = _missed_part(figures)
    reasons = [_missed(figures, part)] if MISSED_DEGRADED < part <= MISSED_BAD else []
    limit_us = LATE_DEGRADED * 1e6 / figures.tick_hz
    if figures.late_p99_us > limit_us and not part:
        reasons.append(
            Reason(
                what=f"One tick in a hundred begins {figures.late_p99_us / 1000:.1f} ms late.",
                do="See what takes the processor (top); docs/hardware.md, Health, says how control "
                "gets priority and a core of its own.",
            )
        )
    return reasons


def _line(figures: Figures) -> list[Reason]:
    reasons = []
    if figures.reopened_last_minute:
        reasons.append(
            Reason(
                what="The serial device went away and came back in the last minute.",
                do="Fasten the USB cable of the servo board; a hub or a long cable does this too.",
            )
        )
    for line, servos in figures.lines.items():
        reasons += _losses(line, servos, figures.asked_last_minute, figures.simulated)
    return reasons


def _losses(
    line: str, servos: tuple[ServoLosses, ...], asked: int, simulated: bool
) -> list[Reason]:
    """Lost replies, with the place where they begin: behind a bad cable all servos lose them."""
    worst = max((servo.lost for servo in servos), default=0)
    if worst < LOST_FEW or worst <= LOST_DEGRADED * asked:
        return []
    first = next(servo for servo in servos if 2 * servo.lost >= worst)
    if first.servo_id == 1:
        what = f"All servos of the {line} lose replies: {worst} of {asked} in the last minute."
        if simulated:
            do = "The virtual servos do not get their turn: see what takes the processor (top)."
        else:
            do = (
                "Fasten the USB cable of the servo board, take other devices off its hub, and see "
                "what takes the processor (top)."
            )
    else:
        what = f"{first.name} lost {first.lost} of {asked} replies in the last minute."
        do = f"Reseat the cable into servo {first.servo_id}, at both ends, and its plugs."
    return [Reason(what=what, do=do)]


def _servos(figures: Figures) -> list[Reason]:
    warm = [
        s for s in figures.servos if figures.derate_from_c <= s.temperature_c < figures.stop_at_c
    ]
    reasons = [
        Reason(
            what=f"{servo.name} is {servo.temperature_c:.0f} °C warm and moves slower.",
            do="Let it rest in a pose where it carries nothing, or robotd disarm.",
        )
        for servo in warm
    ]
    for servo in figures.servos:
        if servo.flags and figures.state is not State.FAULT:
            reasons.append(
                Reason(
                    what=f"{servo.name} complains of {', '.join(servo.flags)}.",
                    do="robotd arm --check says what that means and what helps.",
                )
            )
    return reasons


def _guard(figures: Figures, said: list[Reason]) -> list[Reason]:
    if figures.guard_what and figures.state is not State.FAULT:
        return [Reason(what=figures.guard_what, do=figures.guard_do)]
    if figures.guard == ABSENT and not any("guard" in reason.what for reason in said):
        return [
            Reason(
                what="No guard watches: if control hangs, only the plug lets go of the arm.",
                do="Read why: robotd logs guard; then robotd stop and robotd start.",
            )
        ]
    return []


def _others(figures: Figures) -> list[Reason]:
    reasons = [
        Reason(
            what=f"The process {name} is {word}.",
            do=f"Read why: robotd logs {name}. robotd stop and robotd start try it again.",
        )
        for name, word in figures.processes.items()
        if name != "control" and word.startswith(("dead", "restarting"))
    ]
    if figures.starting:
        return reasons
    reasons += _guard(figures, reasons)
    if figures.twin == ABSENT:
        reasons.append(
            Reason(
                what="The twin says nothing: no plan of a policy or a replay is let through.",
                do="Read why: robotd logs twin.",
            )
        )
    elif figures.twin_finding[0] and figures.state is not State.FAULT:
        what, do = figures.twin_finding
        reasons.append(Reason(what=f"The twin finds: {what}.", do=do))
    reasons += [
        Reason(
            what=f"The camera {name} "
            + ("has sent no picture." if age_ms is None else f"is {age_ms / 1000:.0f} s behind."),
            do=f"Check its cable; robotd logs camera-{name} says more.",
        )
        for name, age_ms in figures.cameras.items()
        if age_ms is None or age_ms > CAMERA_STALE_MS
    ]
    return reasons


def _recording(figures: Figures) -> list[Reason]:
    reasons = []
    if figures.disk_left_s is not None:
        reasons.append(
            Reason(
                what=f"The disk has room for {figures.disk_left_s / 60.0:.0f} more minutes of "
                "recording.",
                do="Free space (df -h), or move datasets away.",
            )
        )
    if figures.encoder_behind_s >= ENCODER_BEHIND_S:
        reasons.append(
            Reason(
                what=f"The video encoder is {figures.encoder_behind_s:.1f} s behind.",
                do="End what else takes the processor (top), or record smaller pictures; those "
                "that come too late are the one before again, and flagged.",
            )
        )
    return reasons
