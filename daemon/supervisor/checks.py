"""The supervisor's part of the arming list, and the merging with control's. Pure.

Control looks at the bus, the registers and the calibration. Here is what a person also needs before
the arm moves: a loop that ticks, cameras that see, a twin that answers, room on the disk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robotd.messages import CameraStatus, Check, PolicyStatus, TwinStatus

TICK_STALE_MS = 500.0
FRAME_STALE_MS = 1000.0
RESIDUAL_WARN_DEG = 15.0  # a droop under load is 6; a tooth of the horn's spline is 14


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known outside the bus. `disk_free_gb` None: not known."""

    tick_age_ms: float | None
    joints_read: bool
    simulated: bool
    cameras: Sequence[CameraStatus]
    twin_wanted: bool
    twin: TwinStatus
    recorder: str
    processes: Mapping[str, str]
    policy: PolicyStatus
    leader_wanted: bool
    leader_ready: bool
    disk_free_gb: float | None
    disk_wanted_gb: float
    hardware: Sequence[Check] = ()  # what selftests found out about the real arms


def surroundings_checks(now: Surroundings) -> tuple[Check, ...]:
    """Everything that the supervisor can say before the arm is taken."""
    checks = [_loop(now), *(_camera(camera) for camera in now.cameras), _twin(now), _recorder(now)]
    checks.append(_disk(now))
    checks += now.hardware
    if now.leader_wanted:
        checks.append(_leader(now))
    if now.policy.phase != "none":
        checks.append(_policy(now.policy))
        if now.policy.camera_differences:
            checks.append(_policy_cameras(now.policy))
        if now.policy.rehearsal and (now.policy.rehearsed or not now.simulated):
            checks.append(_rehearsal(now.policy))
        if now.policy.probed:
            checks.append(_probe(now.policy))
    return tuple(checks)


def failed(checks: Sequence[Check]) -> list[str]:
    """The names of the checks that forbid arming."""
    return [check.name for check in checks if check.outcome == "fail"]


def _loop(now: Surroundings) -> Check:
    if now.tick_age_ms is None or now.tick_age_ms > TICK_STALE_MS:
        return Check(
            name="control loop",
            outcome="fail",
            detail=f"no tick ({now.processes.get('control', 'not started')})",
            do="Look: robotd logs control",
        )
    return Check(name="control loop", outcome="pass", detail=f"tick {now.tick_age_ms:.0f} ms ago")


def _camera(camera: CameraStatus) -> Check:
    name = f"camera {camera.name}"
    if camera.age_ms is None:
        return Check(
            name=name,
            outcome="fail",
            detail="no picture yet",
            do=f"Plug it in, or remove it from the profile; robotd logs camera-{camera.name}",
        )
    if camera.age_ms > FRAME_STALE_MS:
        return Check(
            name=name,
            outcome="fail",
            detail=f"last picture {camera.age_ms / 1000:.1f} s ago",
            do=f"Plug it in again; it comes back by itself. robotd logs camera-{camera.name}",
        )
    size = f"{camera.width}x{camera.height}"
    return Check(name=name, outcome="pass", detail=f"{size}, {camera.age_ms:.0f} ms old")


def _twin(now: Surroundings) -> Check:
    if not now.twin_wanted:
        return Check(name="twin", outcome="warn", detail="switched off in the configuration")
    if not now.twin.alive:
        return Check(
            name="twin",
            outcome="fail",
            detail=f"does not answer ({now.processes.get('twin', 'not started')})",
            do="Look: robotd logs twin",
        )
    if not now.joints_read:
        return Check(name="twin", outcome="pass", detail="answers; no joint was read yet")
    worst = max((abs(value) for value in now.twin.residual_deg), default=0.0)
    if worst > RESIDUAL_WARN_DEG:
        return Check(
            name="twin",
            outcome="warn",
            detail=f"model and arm differ by {worst:.1f}°",
            do="Is the calibration this arm's? Is something held or in the way?",
        )
    return Check(name="twin", outcome="pass", detail=f"agrees within {worst:.1f}°")


def _recorder(now: Surroundings) -> Check:
    if now.recorder != "running":
        return Check(
            name="recorder",
            outcome="warn",
            detail=now.recorder,
            do="Nothing can be recorded until it runs: robotd logs recorder",
        )
    return Check(name="recorder", outcome="pass", detail="ready")


def _disk(now: Surroundings) -> Check:
    if now.disk_free_gb is None:
        return Check(name="disk", outcome="warn", detail="free space is not known")
    if now.disk_free_gb < now.disk_wanted_gb:
        return Check(
            name="disk",
            outcome="warn",
            detail=f"{now.disk_free_gb:.1f} GB free, {now.disk_wanted_gb:g} wanted to record",
            do="Free space, or lower recording.min_free_gb",
        )
    return Check(name="disk", outcome="pass", detail=f"{now.disk_free_gb:.0f} GB free")


def _leader(now: Surroundings) -> Check:
    if now.leader_ready:
        return Check(name="leader", outcome="pass", detail="answers")
    return Check(
        name="leader",
        outcome="warn",
        detail="does not answer",
        do="Check its cable and power; the other sources work without it",
    )


def _policy(policy: PolicyStatus) -> Check:
    if policy.phase in ("ready", "running"):
        detail = f"{policy.kind}, {policy.inference_ms:.0f} ms a chunk"
        return Check(name="policy", outcome="pass", detail=detail)
    return Check(
        name="policy",
        outcome="warn",
        detail=f"{policy.phase} {policy.error}".strip(),
        do="It cannot move the arm yet; robotd logs policy",
    )


def _policy_cameras(policy: PolicyStatus) -> Check:
    """How this robot's cameras differ from those the policy was trained with."""
    return Check(
        name="policy cameras",
        outcome="warn",
        detail="; ".join(policy.camera_differences),
        do=policy.camera_do,
    )


def _rehearsal(policy: PolicyStatus) -> Check:
    """What is known of the loaded policy on this robot; a simulated one need not be rehearsed."""
    outcome = "warn" if policy.rehearsal_do else "pass"
    return Check(name="rehearsal", outcome=outcome, detail=policy.rehearsal, do=policy.rehearsal_do)


def _probe(policy: PolicyStatus) -> Check:
    """Whether the loaded policy does what people did. A failed probe forbids running the policy, not
    taking the arm: a person may still move it."""
    outcome = "pass" if policy.probed == "pass" else "warn"
    return Check(name="probe", outcome=outcome, detail=policy.probe, do=policy.probe_do)
