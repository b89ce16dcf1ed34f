"""What the commands share: the arming list with its one consent, waiting for a state."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from daemon.cli.keys import Keys
from robotd.client import Robot
from robotd.clock import NS_PER_S
from robotd.errors import DaemonError, StateError
from robotd.messages import Arm, Check, Hold, Status
from robotd.states import State

_MARKS = {"pass": "ok  ", "warn": "warn", "fail": "FAIL"}
_ON_ITS_WAY = ("homing", "parking")
ARMING_TIMEOUT_S = 30.0

STOP_WORDS = "Software stop: F12 in the TUI, or robotd estop. The plug is the emergency stop."


def print_checks(checks: list[Check]) -> None:
    """The arming list, a line each, with what to do under each that is not fine."""
    for check in checks:
        print(f"  {_MARKS.get(check.outcome, check.outcome)}  {check.name:22} {check.detail}")
        if check.outcome != "pass" and check.do:
            print(f"        {'':22} {check.do}")


def arm_with_consent(robot: Robot, yes: bool) -> None:
    """Print the arming list, ask once, arm. Does nothing when the arm is armed already.

    Raises StateError when a check failed, consent was not given, or nobody can be asked.
    """
    status = robot.status()
    if State[status.state.upper()].armed:
        return
    data = robot.request(Arm(consent=False), timeout_s=ARMING_TIMEOUT_S)
    checks = msgspec.convert(data.get("checks", []), list[Check])
    print(f"Arming list of {status.name}:")
    print_checks(checks)
    failed = [check.name for check in checks if check.outcome == "fail"]
    if failed:
        raise StateError(
            f"The arm cannot be armed: {', '.join(failed)}.",
            "See the lines marked FAIL above.",
            "Mend what they name, then try again.",
        )
    if not status.simulated:
        print(STOP_WORDS)
    if not yes and not ask(f"Take the arm {'(simulated) ' if status.simulated else ''}now?"):
        raise StateError(
            "The arm was not armed.",
            "Consent was not given.",
            "Run the command again and answer y, or give --yes.",
        )
    robot.request(Arm(consent=True), timeout_s=ARMING_TIMEOUT_S)


def ask(question: str) -> bool:
    """Ask a person for a yes. False without a terminal."""
    if not sys.stdin.isatty():
        return False
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # Ctrl-D is no consent
        print()
        return False


class StoppedByPersonError(StateError):
    """A person pressed a key that ends what was waited for."""


def wait_for(
    robot: Robot,
    reached: Callable[[Status], bool],
    timeout_s: float,
    what: str,
    keys: Keys | None = None,
) -> Status:
    """Watch until `reached`. Raises StateError on fault or e-stop, DaemonError when it is late.

    What was published before the call does not count: it may show the state before a request. The
    time in which the arm is on its own way home or to rest does not count either: how long that
    takes is the configured speed's, and it ends by itself. With `keys`, x stops and q or Esc holds;
    then it raises StoppedByPersonError.
    """
    began_ns = time.monotonic_ns()
    end_ns = began_ns + int(timeout_s * NS_PER_S)
    while time.monotonic_ns() < end_ns:
        if keys is not None:
            _hear(robot, keys, what)
        status = robot.watch(timeout_s=0.5 if keys is None else 0.1)
        if status is None or status.stamp_ns < began_ns:
            continue
        if status.state in _ON_ITS_WAY:
            end_ns = time.monotonic_ns() + int(timeout_s * NS_PER_S)
        if reached(status):
            return status
        if status.state in ("fault", "estop"):
            raise StateError(
                f"{status.name} went to {status.state}: {status.fault or 'e-stop pressed'}.",
                status.message or "See robotd status and robotd logs.",
                status.fault_do or "Look at the arm, then: robotd clear.",
            )
    raise DaemonError(
        f"Waited {timeout_s:g} s for: {what}.",
        "The robot is slower than expected, or something holds it.",
        "Look: robotd status, robotd logs.",
    )


def _hear(robot: Robot, keys: Keys, what: str) -> None:
    key = keys.read(timeout_s=0.0)
    if key not in ("estop", "stop"):
        return
    if key == "estop":
        robot.estop()
    else:
        robot.request(Hold())
    raise StoppedByPersonError(
        f"{'Software stop' if key == 'estop' else 'Stopped'} while waiting for {what}.",
        "A person pressed a key.",
        "Look at the arm, then: robotd clear." if key == "estop" else "robotd disarm lets it down.",
    )


def printable(data: Mapping[str, Any]) -> str:
    """One line of JSON."""
    return msgspec.json.encode(data).decode()
