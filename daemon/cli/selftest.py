"""Walk through an arm's first day: what robotd believes of it is confirmed or contradicted.

It runs instead of the daemon and moves the arm, slowly, after asking. A person stands beside it
with a hand on the plug. What was found is kept for the arm; until then it is armed with capped
speed and torque. --sim walks through it on a virtual arm of its own.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from config.loader import load
from config.schema import Config
from daemon.cli.main import add_json, add_name
from daemon.devices import Devices, calibration_of
from daemon.selftest import body, record
from daemon.selftest.person import Assenting, Person, Terminal
from daemon.selftest.record import Record
from daemon.selftest.run import Subject, make_rig
from daemon.selftest.run import run as run_steps
from robotd.client import running_instances
from robotd.clock import MonotonicClock
from robotd.errors import ConfigError, DaemonError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_json(parser)
    parser.add_argument(
        "--hardware", action="store_true", required=True, help="the arm and its servos"
    )
    parser.add_argument("--sim", action="store_true", help="on a virtual arm, with its own plant")
    parser.add_argument("--config", help="a configuration file, or the name of a shipped profile")
    parser.add_argument("--arm", help="which arm of a robot that has two: left or right")
    parser.add_argument("--yes", action="store_true", help="consent to every step beforehand")
    parser.add_argument("--no-hands", action="store_true", help="nobody moves the limp arm")
    parser.add_argument(
        "--share", type=Path, metavar="FILE", help="write the result without names to FILE too"
    )


def run(args: argparse.Namespace) -> int:
    config = load(args.name, args.config, simulated=args.sim).config
    name = _which_arm(config, args.arm)
    _refuse_beside_a_daemon(config.name)
    out = sys.stderr if args.json else sys.stdout
    person: Person = Assenting(out) if args.yes else Terminal(not args.no_hands, out)
    with (
        tempfile.TemporaryDirectory(prefix="robotd-selftest-") as folder,
        body.of(config, Path(folder)) as present,
        _stoppable(),
    ):
        subject = Subject(present, name, datetime.now(UTC).isoformat(timespec="seconds"))
        calibration = calibration_of(present, name, "follower")
        port = Devices(present)
        rig = make_rig(subject, calibration, port.open, MonotonicClock(), person)
        found, trouble = run_steps(subject, rig)
    kept = record.save(found)
    if args.share is not None:
        args.share.write_bytes(record.text(record.shareable(found)))
    if args.json:
        sys.stdout.buffer.write(record.text(found))
    else:
        print(_text(found, kept))
    if trouble is not None:
        raise trouble
    return 1 if found.count("contradicted") else 0


def _which_arm(config: Config, wanted: str | None) -> str:
    names = list(config.arms)
    if wanted in names:
        return str(wanted)
    if wanted is None and len(names) == 1:
        return names[0]
    raise ConfigError(
        f"The robot {config.name} has the arms {', '.join(names)}.",
        "One arm is tried at a time, and it was not said which." if wanted is None else "A typo.",
        f"Add --arm {names[0]}.",
    )


def _refuse_beside_a_daemon(name: str) -> None:
    if name in running_instances():
        raise DaemonError(
            f"robotd runs for {name}; the selftest needs the arm for itself.",
            "Nothing but one program writes a motor.",
            f"robotd stop --name {name}, then the selftest again.",
        )


@contextmanager
def _stoppable() -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or hang-up ends the steps; then the arm comes down undisturbed."""

    def stop(_number: int, _frame: object) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, stop) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _text(found: Record, kept: Path) -> str:
    width = max(len(fact.id) for fact in found.facts)
    lines = ["", f"{found.arm}: {found.supply or 'servos unknown'}, firmware {found.firmware}"]
    lines += [
        f"  {fact.verdict:12} {fact.id:{width}}  {fact.measured or fact.text}"
        for fact in found.facts
    ]
    lines.append(
        f"{found.count('confirmed')} confirmed, {found.count('contradicted')} contradicted, "
        f"{found.count('unclear')} unclear, {found.count('not tried')} not tried"
    )
    if found.simulated:
        lines.append("A virtual arm: this says nothing about a real one.")
    elif found.trusted:
        lines.append("The next start gives this arm its full speed and torque.")
    else:
        lines.append(f"Speed and torque stay capped; missing: {', '.join(found.missing)}")
    lines.append(f"Kept in {kept}")
    return os.linesep.join(lines)
