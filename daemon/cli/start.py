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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robotd import errors, paths
from robotd.client import Robot, running_instances
from robotd.messages import Shutdown

READY_TIMEOUT_S = 40.0
_ANSWER_S = 15.0  # of a busy daemon
_SILENT_S = 20.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="the robot's name (default: the configuration's)")
    parser.add_argument("--sim", action="store_true", help="with the body in MuJoCo")
    parser.add_argument(
        "--task", help="--sim: whose things stand on the table: block_in_bowl, push_block, …"
    )
    parser.add_argument("--config", help="a configuration file, or the name of a shipped profile")
    parser.add_argument("--foreground", action="store_true", help="do not detach; log here")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    if args.foreground:
        _warn_of_logout()
        command = _command(args.name, args.sim, args.config, args.task)
        os.execv(command[0], [*command, "--foreground"])
    ready = start_daemon(args.name, simulated=args.sim, config=args.config, task=args.task)
    for note in ready.get("notes", ()):
        print(f"rehearsal: {note}", file=sys.stderr)
    _warn_of_logout()
    if args.json:
        print(json.dumps(ready))
        return 0
    print(f"{ready['name']} is ready after {ready['seconds']:.1f} s; torque is untouched.")
    print("Next: robotd status, robotd arm, robotd tui.")
    return 0


def _warn_of_logout() -> None:
    """logind empties /run/user/UID when the user's last session ends, also under a daemon."""
    if paths.lost_at_logout():
        print(
            "When your last session ends, the system empties the folder that robotd works in "
            f"({paths.runtime_root()}): clients no longer reach it.\n"
            "  do:     loginctl enable-linger",
            file=sys.stderr,
        )


def start_daemon(
    name: str | None, *, simulated: bool, config: str | None = None, task: str | None = None
) -> dict[str, Any]:
    """Start a daemon in the background and wait until it is ready.

    Returns its name, the seconds it took and what a rehearsal could not carry over. Raises the
    error that kept it from starting.
    """
    reader, writer = os.pipe()
    began_s = time.monotonic()
    process = subprocess.Popen(
        [*_command(name, simulated, config, task), "--ready-fd", str(writer)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(writer,),
        start_new_session=True,
        cwd="/",
    )
    os.close(writer)
    try:
        answer = _read_answer(reader, process)
    finally:
        os.close(reader)
    if "what" in answer:
        kind = getattr(errors, str(answer.get("kind")), errors.DaemonError)
        raise kind(answer["what"], answer["likely"], answer["do"])
    started = [each for each in running_instances().values() if each.pid == process.pid]
    chosen = started[0].name if started else str(name)
    seconds = round(time.monotonic() - began_s, 2)
    return {"name": chosen, "seconds": seconds, "notes": answer.get("notes", [])}


def stop_daemon(name: str, said: Callable[[str], None] = lambda _: None) -> None:
    """Ask a daemon to stop and wait until it is gone. Does nothing when none of that name runs.

    It knows how long its arm takes, so it is waited for as long as it publishes its state; `said`
    is told what it is at. Raises DaemonError when it goes silent, or when it could not let the arm
    down.
    """
    instance = running_instances().get(name)
    if instance is None:
        return
    left_stiff, message = "", ""
    with Robot(instance) as robot:
        robot.watch(0.2)  # listens from now on
        robot.request(Shutdown(), timeout_s=_ANSWER_S)
        heard_s = time.monotonic()
        while name in running_instances() or left_stiff == "":
            status = robot.watch(0.2)
            if status is not None:
                heard_s, left_stiff = time.monotonic(), status.left_stiff
                if status.message != message:
                    message = status.message
                    said(message)
            elif name not in running_instances():
                break
            elif time.monotonic() - heard_s > _SILENT_S:
                raise errors.DaemonError(
                    f"{name} has said nothing for {_SILENT_S:g} s and has not ended.",
                    "It hangs. The arm may be stiff.",
                    "Support the arm and pull the plug of the servo supply; then look: "
                    f"robotd logs --name {name}.",
                )
    if left_stiff:
        what, likely, do = (*left_stiff.splitlines(), "", "")[:3]
        raise errors.DaemonError(
            what, likely.removeprefix("  likely: "), do.removeprefix("  do:").strip()
        )


def _command(name: str | None, simulated: bool, config: str | None, task: str | None) -> list[str]:
    command = [sys.executable, "-m", "daemon.supervisor"]
    if simulated:
        command.append("--sim")
    if name:
        command += ["--name", name]
    if task:
        command += ["--task", task]
    if config:
        # A path is the person's own; a bare name may be a shipped profile.
        path = Path(config)
        command += ["--config", str(path.resolve()) if path.exists() else config]
    return command


def _read_answer(descriptor: int, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """What the daemon says of itself: up, or why not. Raises DaemonError when it says nothing.

    Before that it may say what it waits for (the arm of a killed daemon comes down first): that is
    passed on, and waited for.
    """
    found = b""
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while (left_s := deadline_s - time.monotonic()) > 0:
        readable, _, _ = select.select([descriptor], [], [], left_s)
        data = os.read(descriptor, 65_536) if readable else b""
        if not data:
            break
        *lines, found = (found + data).split(b"\n")
        for line in lines:
            answer: dict[str, Any] = json.loads(line)
            if "waiting" not in answer:
                return answer
            seconds = float(answer["seconds"])
            print(f"{answer['waiting']} (up to {seconds:.0f} s) …", file=sys.stderr, flush=True)
            deadline_s = max(deadline_s, time.monotonic() + seconds + READY_TIMEOUT_S)
    died = process.poll()
    happened = f"ended with {died}" if died is not None else f"is silent after {READY_TIMEOUT_S} s"
    raise errors.DaemonError(
        f"The daemon {happened}.",
        "It could not start one of its processes.",
        f"Look: robotd logs (in {paths.state_dir()}).",
    )
