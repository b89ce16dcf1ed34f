"""What is said of an arm whose control is dead or silent, by what the guard does about it. Pure."""

from daemon.guard.machine import Guarding
from daemon.guard.report import GuardReport
from daemon.supervisor.words import CONTROL_DIED, CONTROL_SILENT

_DIED = "the control process died while it held the arm"
_HUNG = "the control process hung while it held the arm and was ended"
_WAIT = (
    "Take hold of the arm or stand clear. When it is down, `robotd clear` starts control again; why "
    "it died: robotd logs control."
)
_AT_WORK = {
    Guarding.KILLING: "the guard ends it",
    Guarding.TAKING: "the guard takes the arm",
    Guarding.HOLDING: "the guard holds the arm",
    Guarding.RELEASING: "the guard lets the arm down",
}

CONTROL_SILENT_LIMP = (
    "control is silent; the arm is limp",
    "Nothing moves. It is ended and started again by itself; why: robotd logs control.",
)


def busy(report: GuardReport | None) -> bool:
    """Whether the guard has the arm, or is about to take it from a dead control."""
    if report is None:
        return False
    return report.state.at_work or (report.state is Guarding.WATCHING and report.held)


def died(report: GuardReport | None) -> tuple[str, str]:
    """Control died with torque on: what happened, and what to do."""
    if report is None:
        return CONTROL_DIED
    happened = _HUNG if report.killed else _DIED
    if report.state is Guarding.DOWN:
        down = f"{happened}; the guard let the arm down"
        if report.what:
            return f"{down}. {report.what}", report.do
        return down, "`robotd clear` starts control again, limp. Why it died: robotd logs control."
    if report.state is Guarding.CANNOT:
        return f"{happened}; the guard cannot let it down: {report.what}", report.do
    if not busy(report):
        return CONTROL_DIED
    return f"{happened}; {_AT_WORK.get(report.state, 'the guard takes the arm')}", _WAIT


def silent(report: GuardReport | None) -> tuple[str, str]:
    """Control lives and does not tick, with torque on."""
    if report is None or not busy(report):
        return CONTROL_SILENT
    if report.state is Guarding.WATCHING:
        return "control is silent; the guard takes the arm if it stays so", _WAIT
    return f"control is silent; {_AT_WORK[report.state]}", _WAIT
