"""What the robot is doing: state and torque, joints, loop, recording. --paths: where things are."""

import argparse

import msgspec

from daemon.cli.checkpoint import played_differently
from daemon.cli.main import add_json, add_name
from daemon.selftest import record as selftest
from robotd import paths
from robotd.client import Robot, running_instances
from robotd.latency import STAGES
from robotd.messages import PolicyStatus, Status


def configure(parser: argparse.ArgumentParser) -> None:
    add_name(parser)
    add_json(parser)
    parser.add_argument("--paths", action="store_true", help="print the folders robotd uses")


def run(args: argparse.Namespace) -> int:
    if args.paths:
        return _paths(args.name, args.json)
    with Robot.connect(args.name) as robot:
        status = robot.status()
        if args.json:
            print(msgspec.json.encode(status).decode())
        else:
            print(text(status))
    return 0


def text(status: Status) -> str:
    """The state as a person reads it in a terminal."""
    sim = "SIM  " if status.simulated else ""
    lines = [
        f"{status.name}  {sim}{status.state.upper()}  torque {status.torque}"
        + (f"  source {status.source}" if status.source != "none" else "")
    ]
    if status.fault:
        lines += [f"  fault: {status.fault}", f"  do:    {status.fault_do}"]
    if status.message:
        lines.append(f"  {status.message}")
    loop = status.loop
    lines.append(
        f"  loop {loop.tick_hz} Hz, p99 {loop.late_p99_us / 1000:.2f} ms late, "
        f"{loop.missed_ticks} of {loop.ticks} ticks missed, {loop.scheduler}, "
        f"{loop.rss_mb:.0f} MB, health {status.health.verdict}"
    )
    for joint in status.joints:
        limited = f"  limited by {joint.limited_by}" if joint.limited_by else ""
        lines.append(
            f"  {joint.name:20} {joint.position_units:8.1f}  goal {joint.applied_units:8.1f}  "
            f"{joint.temperature_c:3.0f} °C {joint.load_percent:5.0f} % {joint.voltage_v:5.1f} V  "
            f"age {joint.age_ms:4.0f} ms{limited}"
        )
    for camera in status.cameras:
        age = "no frame yet" if camera.age_ms is None else f"{camera.age_ms:.0f} ms old"
        lines.append(f"  camera {camera.name:13} {camera.width}x{camera.height}  {age}")
    twin = status.twin
    if twin.plans_passed or twin.plans_rejected:
        lines.append(
            f"  twin: {twin.plans_passed} plans passed, {twin.plans_rejected} not; "
            f"the newest: {twin.verdict}, in {twin.last_verdict_ms:.1f} ms"
        )
    if twin.refused_ago_s is not None:
        lines.append(f"  not passed {twin.refused_ago_s:.0f} s ago: {twin.last_reason}")
    lines += _policy(status.policy)
    recording = status.recording
    if recording.phase != "closed":
        lines.append(
            f"  recording {recording.phase}: {recording.dataset}, "
            f"{recording.episodes_kept} of {recording.episodes_wanted} kept"
        )
    if recording.offer:
        lines.append(f"  {recording.offer}")
    return "\n".join(lines)


def _policy(policy: PolicyStatus) -> list[str]:
    """The loaded policy, and where the time of its chunks goes."""
    if policy.phase == "none":
        return []
    how = f", {policy.mode}, {policy.n_action_steps} actions a chunk" if policy.mode else ""
    lines = [f"  policy {policy.phase}: {policy.kind or policy.path}{how}"]
    if policy.error:
        lines.append(f"    {policy.error}")
        if policy.do:
            lines.append(f"    do: {policy.do}")
    if policy.probed in ("warn", "fail"):
        lines.append(f"    probe {policy.probe}")
    lines += [f"    {line}" for line in played_differently(policy)]
    if policy.latency:
        stages = (
            f"{stage} {policy.latency[stage].p50_ms:.1f}"
            for stage in STAGES
            if stage in policy.latency
        )
        total = policy.latency["total"]
        lines.append(f"    p50 ms: {', '.join(stages)}")
        lines.append(f"    picture to goal: p95 {total.p95_ms:.1f}, most {total.max_ms:.1f} ms")
    return lines


def _paths(name: str | None, as_json: bool) -> int:
    found = {
        "configuration": str(paths.config_dir()),
        "runtime": str(paths.runtime_root()),
        "state and logs": str(paths.state_dir()),
        "cache": str(paths.cache_dir()),
        "datasets": str(paths.lerobot_home()),
        "calibration": str(paths.calibration_dir()),
        "selftests": str(selftest.folder()),
    }
    for each in running_instances():
        if name in (None, each):
            found[f"runtime of {each}"] = str(paths.runtime_dir(each))
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        for what, path in found.items():
            print(f"{what:18} {path}")
    return 0
