"""Between two episodes of a policy: the arm goes home, and the things go back where they were."""

import argparse
import time
from importlib import import_module

from daemon.cli.keys import Keys
from daemon.cli.numbers import positive_number
from daemon.cli.session import StoppedByPersonError, wait_for
from robotd.client import Robot
from robotd.errors import StateError
from robotd.messages import Home

_HOME_TIMEOUT_S = 30.0


def add_reset_seconds(parser: argparse.ArgumentParser) -> None:
    """The option for sessions without a person at the keys."""
    parser.add_argument(
        "--reset-seconds", type=positive_number, help="go on after this long instead of on Space"
    )


def set_the_scene(robot: Robot, keys: Keys, reset_s: float | None) -> bool:
    """Home, then wait until the scene is laid out anew; False when the person wants no more.

    The simulated table is laid out at once. On a real one a person does it and presses Space, or
    has said with `reset_s` how long it takes. Raises StateError when neither is possible.
    """
    if not (robot.instance.simulated or keys.present or reset_s is not None):
        raise StateError(
            "Nobody can say when the things are back in their places.",
            "There is no terminal to press Space in, and --reset-seconds was not given.",
            "Give --reset-seconds 15, or --episodes 1.",
        )
    robot.request(Home())
    try:
        at_home = "the home pose"
        wait_for(robot, lambda s: s.state == "holding", _HOME_TIMEOUT_S, at_home, keys)
    except StoppedByPersonError as stopped:
        print(f"  {stopped.what}", flush=True)
        return False
    if robot.instance.simulated:
        import_module("sim.layout").lay_out(robot)
        return True
    told = f"going on in {reset_s:g} s" if reset_s is not None else "Space goes on, q ends"
    print(f"  put the things back ({told})", flush=True)
    end_s = time.monotonic() + (reset_s if reset_s is not None else float("inf"))
    while time.monotonic() < end_s:
        key = keys.read(timeout_s=0.2)
        if key == "estop":
            robot.estop()
            return False
        if key == "stop":
            return False
        if key == "toggle":
            break
    return True
