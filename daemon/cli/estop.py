"""Software stop: no goal passes, the arm freezes and is let down; again: limp now.

It goes through shared memory, past the daemon's broker. It is not an emergency stop: the plug is.
With several robots and no --name it stops all of them.
"""

import argparse
import os

from daemon.cli.main import add_name
from robotd.client import Robot, choose_instance, running_instances


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)


def run(args: argparse.Namespace) -> int:
    name = args.name or os.environ.get("ROBOTD_NAME")
    instances = list(running_instances().values())
    if name or not instances:
        instances = [choose_instance(name)]
    for instance in instances:
        robot = Robot(instance)
        robot.estop()
        robot.close()
        print(f"{instance.name}: software stop pressed. Pressed again while stopped: limp at once.")
    print("The plug is the emergency stop. When it is safe: robotd clear.")
    return 0
