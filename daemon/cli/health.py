"""How well the robot does, on one screen: verdict, reasons with what to do, loop, bus, servos, twin.

Exit status 0 for good and degraded, 1 for bad and where no daemon answers: what a monitor needs.
--json prints the same object that stands as `health` in `robotd status --json`.
"""

import argparse
import sys

import msgspec

from daemon.cli.main import add_json, add_name
from robotd.client import Robot, running_instances
from robotd.errors import DaemonError
from robotd.health import HealthStatus, Reason, ServoHealth, Spread
from robotd.messages import Status

_ANSWER_S = 5.0  # a daemon that needs longer is not well


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    try:
        with Robot.connect(args.name, timeout_s=_ANSWER_S) as robot:
            status = robot.status()
    except DaemonError as error:
        if args.json:
            nobody = HealthStatus(reasons=(Reason(what=error.what, do=error.do),))
            print(msgspec.json.encode(nobody).decode())
        # With several robots only the rest of the error says how to name one.
        print(error if running_instances() else error.what, file=sys.stderr)
        return 1
    if args.json:
        print(msgspec.json.encode(status.health).decode())
    else:
        print(text(status))
    return 1 if status.health.verdict == "bad" else 0


def text(status: Status) -> str:
    """The screen."""
    health = status.health
    sim = "SIM  " if status.simulated else ""
    lines = [
        f"{status.name}  {sim}{health.verdict.upper()}  "
        f"{status.state}, torque {status.torque}, up {_span(status.uptime_s)}"
    ]
    for reason in health.reasons:
        lines += [f"  {reason.what}", f"    do: {reason.do}"]
    kept = (
        f"{health.hz:.1f} of {status.loop.tick_hz} Hz, {health.missed} missed, "
        f"p99 {health.p99_us / 1000:.2f} ms late, {status.loop.rss_mb:.0f} MB"
    )
    lines.append(f"  loop    {kept if health.hz else 'no figures yet: it began this moment'}")
    lines.append(f"  granted {_granted(health)}")
    lines += [f"          no {grant}: {why}" for grant, why in health.rt.why.items()]
    bus = health.bus
    lines.append(
        f"  bus     {bus.errors} replies lost ({bus.errors_last_minute} in the last minute), "
        f"{bus.coasted} ticks coasted, reopened {_times(bus.reopened)}"
    )
    if bus.lost:
        lines.append(
            "          " + ", ".join(f"{name} {count}" for name, count in bus.lost.items())
        )
    lines += [_servo(servo) for servo in health.servos]
    twin = f"{health.twin.verdict}, {health.twin.residual_rad:.3f} rad"
    lines.append(f"  twin    {twin}; guard {health.guard}")
    lines += _processes(health.processes)
    return "\n".join([*lines, *_stages(health)])


def _granted(health: HealthStatus) -> str:
    rt = health.rt
    words = ["SCHED_FIFO"] if rt.fifo else []
    words += ["locked memory"] if rt.mlock else []
    words += [f"core {rt.affinity} to itself"] if rt.affinity is not None else []
    return ", ".join(words) or "nothing"


def _processes(words: dict[str, str]) -> list[str]:
    """Those that run by name, the others with their word."""
    lines = ["  running " + ", ".join(name for name, word in words.items() if word == "running")]
    others = [f"{name} {word}" for name, word in words.items() if word != "running"]
    return [*lines, "  others  " + ", ".join(others)] if others else lines


def _servo(servo: ServoHealth) -> str:
    flags = f"  {', '.join(servo.flags)}" if servo.flags else ""
    return (
        f"  servo   {servo.name:20} {servo.temp_c:3.0f} °C {servo.volt_v:5.1f} V "
        f"{servo.load:5.0f} % {servo.current_a:5.2f} A{flags}"
    )


def _stages(health: HealthStatus) -> list[str]:
    """The stages of the tick: the last ten seconds, and the longest since control started."""
    if not health.stages:
        return []
    head = (
        f"  {'stage, µs':10} {'p50':>8} {'p99':>8} {'p99.9':>8} {'max':>8} {'max since start':>16}"
    )
    return [head, *(_stage(stage, health) for stage in health.stages)]


def _stage(name: str, health: HealthStatus) -> str:
    stage = health.stages[name]
    recent: Spread = stage.last_10_s
    values = (recent.p50_us, recent.p99_us, recent.p999_us, recent.max_us)
    figures = " ".join(f"{value:8.0f}" for value in values)
    return f"  {name:10} {figures} {stage.since_start.max_us:16.0f}"


def _times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
