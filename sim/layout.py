"""Lay the block out anew on the simulated table: between two episodes, what a person does by hand."""

import argparse
import sys

from robotd.client import Robot
from robotd.errors import StateError
from sim.plant.world_client import WorldClient


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="which robot, when several run (or $ROBOTD_NAME)")
    parser.add_argument("--seed", type=int, help="where it lies (default: the next one)")


def run(args: argparse.Namespace) -> int:
    with Robot.connect(args.name) as robot:
        sys.stdout.write(f"laid out, seed {lay_out(robot, args.seed)}\n")
    return 0


def lay_out(robot: Robot, seed: int | None = None) -> int:
    """Put the block where `seed` says, None for the seed after the current one; returns it.

    Raises StateError for a real arm, DaemonError when the plant does not answer.
    """
    if not robot.instance.simulated:
        raise StateError(
            f"{robot.instance.name} is a real arm.",
            "Only a simulated table can be laid out by a command.",
            "Put the things back by hand.",
        )
    world = WorldClient(robot.runtime)
    try:
        chosen = world.truth().seed + 1 if seed is None else seed
        world.reset(chosen)
    finally:
        world.close()
    return chosen
