"""Who moves the arm while a command runs: a source that is given the arm and taken off it again.

A leader is read by control itself. A script runs the simulated task's expert through the same
client as any program. A policy has its own process. The keyboard needs a screen and lives in the
TUI.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from threading import Event, Thread

from robotd.client import Robot
from robotd.errors import RobotdError, StateError
from robotd.messages import Hold, RunPolicy, Teleop

_GRACE_S = 2.0  # a program that lives ends the run itself, before the daemon does
SOURCES = ("leader", "keyboard", "scripted")


@contextmanager
def source(
    robot: Robot,
    name: str,
    seconds: float | None = None,
    *,
    unrehearsed: bool = False,
    despite_probe: bool = False,
) -> Iterator[Callable[[], bool]]:
    """Give the arm to `name` for the length of the `with`, then hold.

    A policy holds by itself a moment after `seconds`, should this program die before. A real arm
    takes one that was never rehearsed only as `unrehearsed`, and any arm one whose probe failed only
    as `despite_probe`, which a person has to say.

    Yields a function that says whether the source has finished by itself (a script does, a person
    does not). Raises StateError for a source that cannot be used here.
    """
    if name == "scripted":
        yield from _scripted(robot)
        return
    if name not in ("policy", "leader"):
        raise StateError(
            f"{name!r} cannot move the arm from here.",
            "The keyboard jog needs a screen of its own.",
            "Use robotd tui for the keyboard; --source leader or scripted here.",
        )
    limit_s = None if seconds is None else seconds + _GRACE_S
    try:
        run = RunPolicy(seconds=limit_s, unrehearsed=unrehearsed, despite_probe=despite_probe)
        robot.request(run if name == "policy" else Teleop(source=name))
    except KeyboardInterrupt:
        _let_go(robot)  # it may have been given before the answer came
        raise
    try:
        yield lambda: False
    finally:
        _let_go(robot)


def _let_go(robot: Robot) -> None:
    """Hold, unless the arm was stopped meanwhile: then it is nobody's, and stays as it is."""
    with suppress(StateError):
        robot.request(Hold())


def _scripted(robot: Robot) -> Iterator[Callable[[], bool]]:
    """Run the expert in a thread with a connection of its own (a connection is one thread's)."""
    if not robot.instance.simulated:
        raise StateError(
            "The scripted operator works only with --sim.",
            "It is told where the block is, which only the simulation knows.",
            "Start one: robotd start --sim. On a real arm use --source leader.",
        )
    done, stop = Event(), Event()
    errors: list[RobotdError] = []
    run_expert = import_module("sim.operator").run

    def work() -> None:
        try:
            with Robot(robot.instance) as own:
                run_expert(own, stop)
        except RobotdError as error:
            errors.append(error)
        finally:
            done.set()

    thread = Thread(target=work, name="scripted operator")
    thread.start()
    try:
        yield done.is_set
    finally:
        stop.set()
        thread.join()
        _let_go(robot)
        if errors:
            raise errors[0]
