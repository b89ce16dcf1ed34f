"""Make something go wrong on the simulated arm, to see what robotd does: fault, clear, list, power.

robotd sim fault silent --servo elbow_flex --for 2s
robotd sim fault loss --value 20
robotd sim fault list
robotd sim fault clear
robotd sim power off
"""

import argparse
import re
import sys

from config.joints import ARM_JOINTS
from robotd.client import Robot
from robotd.errors import StateError
from sim.plant import world_messages as msg
from sim.plant.fault_table import table
from sim.plant.world_client import WorldClient

_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, None: 1.0}


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    fault = actions.add_parser(
        "fault",
        help="set a fault, list them, or clear",
        description=f"The faults, and what each does to the simulated arm:\n\n{table()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fault.add_argument("fault", help="a fault's name, list, or clear", metavar="NAME|list|clear")
    fault.add_argument("--servo", help="id 1..6 or joint, for example elbow_flex")
    fault.add_argument("--value", type=int, help="the fault's number, in the unit of the table")
    fault.add_argument("--for", dest="lasts", type=seconds, help="2s, 500ms; default: until clear")
    fault.add_argument("--replies", type=int, help="spoil so many replies (faults of replies)")
    power = actions.add_parser("power", help="cut the servos' supply, or give it back")
    power.add_argument("power", choices=("on", "off"))
    power.add_argument("--stiff", action="store_true", help="on: the servos come back with torque")
    for each in (fault, power):
        each.add_argument(
            "--arm", help="follower, leader, left_follower, … (default: the follower)"
        )
        each.add_argument("--name", help="which robot, when several run (or $ROBOTD_NAME)")


def run(args: argparse.Namespace) -> int:
    with Robot.connect(args.name) as robot:
        if not robot.instance.simulated:
            raise StateError(
                f"{robot.instance.name} is a real arm.",
                "Only a simulated arm's faults can be set by a command.",
                "Try them on one: robotd start --sim.",
            )
        world = WorldClient(robot.runtime)
        left = "left_follower" if len(robot.instance.joints) > len(ARM_JOINTS) else "follower"
        try:
            said = _act(world, args, args.arm or left)
        except msg.WorldError as error:
            raise StateError(
                f"The simulated arm refuses: {error}.",
                "The fault does not exist, or not like this.",
                "See what there is: robotd sim fault --help.",
            ) from error
        finally:
            world.close()
    sys.stdout.write(f"{said}\n")
    return 0


def _act(world: WorldClient, args: argparse.Namespace, arm: str) -> str:
    if args.action == "power":
        world.ask(msg.Power(args.power == "on", arm, int(args.stiff)))
        return f"{arm}: power {args.power}"
    if args.fault == "list":
        return "\n".join(_said(each) for each in world.faults()) or "no fault is set"
    if args.fault == "clear":
        world.clear_faults(arm)
        return f"{arm}: no fault any more"
    world.fault(
        args.fault,
        servo_of(args.servo),
        arm=arm,
        value=args.value,
        seconds=args.lasts,
        replies=args.replies,
    )
    return f"{arm}: {args.fault}"


def _said(fault: msg.FaultNow) -> str:
    where = "" if fault.servo_id is None else f" {ARM_JOINTS[fault.servo_id - 1]}"
    value = "" if fault.value is None else f" {fault.value}"
    left = "until cleared" if fault.seconds_left is None else f"{fault.seconds_left:.1f} s more"
    return f"{fault.arm}{where}: {fault.kind}{value}, {left}"


def servo_of(text: str | None) -> int | None:
    """The servo id of an id or a joint's name. Raises StateError for neither."""
    if text is None:
        return None
    if text in ARM_JOINTS:
        return ARM_JOINTS.index(text) + 1
    if text.isdecimal():
        return int(text)
    raise StateError(
        f"'{text}' is no servo.",
        "Neither an id nor a joint.",
        f"Write 1..{len(ARM_JOINTS)}, or one of: {', '.join(ARM_JOINTS)}.",
    )


def seconds(text: str) -> float:
    """A time as a person writes it, in seconds. Raises ArgumentTypeError for anything else."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}' is no time: write 2s, 500ms or 1min")
    return float(found[1]) * _SECONDS[found[2]]
