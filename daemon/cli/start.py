"""Start the daemon; returns when it is ready. It detaches unless --foreground.

With nothing configured it moves nothing, never falls back to the simulation, and says what to do.
--sim is the simulated arm: the same daemon with its body in MuJoCo, under a name of its own, so it
runs beside a real one.
"""

import argparse
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from robotd import errors, paths
from robotd.client import Robot, running_instances
from robotd.messages import Shutdown

READY_TIMEOUT_S = 40.0
_STOP_TIMEOUT_S = 90.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="the robot's name (default: the configuration's)")
    parser.add_argument("--sim", action="store_true", help="with the body in MuJoCo")
    parser.add_argument("--config", help="a configuration file, or the name of a shipped profile")
    parser.add_argument("--foreground", action="store_true", help="do not detach; log here")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    if args.foreground:
        command = _command(args.name, args.sim, args.config)
        os.execv(command[0], [*command, "--foreground"])
    ready = start_daemon(args.name, simulated=args.sim, config=args.config)
    if args.json:
        print(json.dumps(ready))
        return 0
    print(f"{ready['name']} is ready after {ready['seconds']:.1f} s; torque is untouched.")
    print("Next: robotd status, robotd arm, robotd tui.")
    return 0


def start_daemon(
    name: str | None, *, simulated: bool, config: str | None = None
) -> dict[str, object]:
    """Start a daemon in the background and wait until it is ready.

    Returns its name and the seconds it took. Raises the error that kept it from starting.
    """
    reader, writer = os.pipe()
    began_s = time.monotonic()
    process = subprocess.Popen(
        [*_command(name, simulated, config), "--ready-fd", str(writer)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(writer,),
        start_new_session=True,
        cwd="/",
    )
    os.close(writer)
    try:
        line = _read_line(reader, process)
    finally:
        os.close(reader)
    answer = json.loads(line)
    if "what" in answer:
        kind = getattr(errors, str(answer.get("kind")), errors.DaemonError)
        raise kind(answer["what"], answer["likely"], answer["do"])
    started = [each for each in running_instances().values() if each.pid == process.pid]
    chosen = started[0].name if started else str(name)
    return {"name": chosen, "seconds": round(time.monotonic() - began_s, 2)}


def stop_daemon(name: str) -> None:
    """Ask a daemon to stop and wait until it is gone. Does nothing when none of that name runs."""
    instance = running_instances().get(name)
    if instance is None:
        return
    with Robot(instance) as robot:
        robot.request(Shutdown(), timeout_s=_STOP_TIMEOUT_S)
    deadline_s = time.monotonic() + _STOP_TIMEOUT_S
    while name in running_instances():
        if time.monotonic() > deadline_s:
            raise errors.DaemonError(
                f"{name} has not ended after {_STOP_TIMEOUT_S:g} s.",
                "The arm is being parked, or a process hangs.",
                f"Look: robotd status --name {name}, robotd logs --name {name}.",
            )
        time.sleep(0.05)


def _command(name: str | None, simulated: bool, config: str | None) -> list[str]:
    command = [sys.executable, "-m", "daemon.supervisor"]
    if simulated:
        command.append("--sim")
    if name:
        command += ["--name", name]
    if config:
        # A path is the person's own; a bare name may be a shipped profile.
        path = Path(config)
        command += ["--config", str(path.resolve()) if path.exists() else config]
    return command


def _read_line(descriptor: int, process: "subprocess.Popen[bytes]") -> bytes:
    """The one line that the daemon says of itself. Raises DaemonError when none comes."""
    found = b""
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while not found.endswith(b"\n") and (left_s := deadline_s - time.monotonic()) > 0:
        readable, _, _ = select.select([descriptor], [], [], left_s)
        if not readable:
            break
        data = os.read(descriptor, 65_536)
        if not data:
            break
        found += data
    if found.endswith(b"\n"):
        return found
    died = process.poll()
    happened = f"ended with {died}" if died is not None else f"is silent after {READY_TIMEOUT_S} s"
    raise errors.DaemonError(
        f"The daemon {happened}.",
        "It could not start one of its processes.",
        f"Look: robotd logs (in {paths.state_dir()}).",
    )
