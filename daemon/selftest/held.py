"""Steps with the whole arm held: signs, droop, the firmware's law, and the way down."""

import math

from daemon.control.arm import JOINTS
from daemon.selftest.facts import JOINT_DIRECTIONS
from daemon.selftest.findings import Findings
from daemon.selftest.person import Answer
from daemon.selftest.rig import TICK_HZ, Rig, RunawayError
from drivers.calibration import JOINT_NAMES
from drivers.variant import TWELVE, VARIANTS

NUDGE_RAD = math.radians(3.0)
NUDGE_RAD_S = math.radians(8.0)
_FARTHEST_RAD = math.radians(12.0)  # of a goal that nothing follows: 550 permille of push
_FOLLOWED_RAD = math.radians(1.5)  # more than backlash
_AVERAGED_S = 0.5
_P_COEFFICIENT = 16
_STARTUP_PERMILLE = 16.0
_LAW_PERMILLE = 30.0
_WEIGHT_PERMILLE = 40.0  # below it friction may hold the joint anywhere
_DROOP_12V_DEG = 7.0
_SAG_SHARE = 0.10
_SINKING_RAD_S = 0.5
_LOST_SHARE = 1 / 200


def signs(rig: Rig, found: Findings) -> None:
    """Each joint by 3 degrees and back, toward the middle of its range."""
    for joint, (name, directions) in enumerate(JOINT_DIRECTIONS.items()):
        way = rig.inward(joint)
        words = directions[way < 0]
        if not rig.consent(f"Next: {name} moves by 3°, {words}, and back."):
            continue
        try:
            moved = rig.creep(joint, way, NUDGE_RAD, _FARTHEST_RAD, NUDGE_RAD_S)
        except RunawayError:
            found.note(f"sign-{name}", "moves against its goals", False)
            raise
        seen = rig.look(f"Did {name} move {words}?")
        _note_sign(found, name, moved, seen)


def _note_sign(found: Findings, name: str, moved_rad: float, seen: Answer) -> None:
    """By hand, by eye and by the goal: one contradiction is enough, the goal alone is not."""
    by_hand = found.measured.get(f"sign-{name}")
    said = f"{math.degrees(moved_rad):+.1f}° toward the goal, seen: {seen.value}"
    follows = moved_rad > _FOLLOWED_RAD
    if by_hand is not None:
        said = f"{by_hand[0]}; {said}"
    if not follows or seen is Answer.NO or (by_hand is not None and by_hand[1] == "contradicted"):
        found.note(f"sign-{name}", said, False)
        return
    outside = seen is Answer.YES or by_hand is not None
    found.note(f"sign-{name}", said, True if outside else None)


def raised(rig: Rig, found: Findings, poses: tuple[tuple[float, ...], ...], peak: float) -> None:
    """Droop and law in poses that hold a weight, from the folded one outwards and back."""
    droops: list[float] = []
    errors: list[float] = []
    for pose in poses:
        rig.move([pose], peak)
        droop_deg, law = _hold(rig)
        droops.append(droop_deg)
        errors += law
    for pose in reversed(poses[:-1]):
        rig.move([pose], peak)
    softer = TWELVE.stall_nm / VARIANTS.get(found.supply, TWELVE).stall_nm
    found.note(
        "droop",
        ", ".join(f"{value:.1f}°" for value in droops),
        max(droops) <= _DROOP_12V_DEG * softer,
    )
    holds = max(errors) <= _LAW_PERMILLE if errors else None
    said = f"{len(errors)} joints, off by {max(errors):.0f}" if errors else "no joint held a weight"
    found.note("law", said, holds)


def _hold(rig: Rig) -> tuple[float, list[float]]:
    """The largest droop, degrees, and how far each weighty joint's load is off the law."""
    ticks = round(_AVERAGED_S * TICK_HZ)
    loads, leads, angles = [0.0] * JOINTS, [0.0] * JOINTS, [0.0] * JOINTS
    arm = rig.arm
    for _ in range(ticks):
        rig.tick()
        for joint in range(JOINTS):
            loads[joint] += arm.loads_permille()[joint] / ticks
            leads[joint] += (arm.goal_ticks[joint] - arm.position_ticks[joint]) / ticks
            angles[joint] += abs(arm.gate.applied_rad[joint] - arm.position_rad[joint]) / ticks
    off = []
    for load, lead in zip(loads[:5], leads[:5], strict=True):
        if abs(load) >= _WEIGHT_PERMILLE:
            # One tick of dead zone; P/4 permille for each tick of error; the start-up force.
            wanted = max(0.0, abs(lead) - 1.0) * _P_COEFFICIENT / 4 + _STARTUP_PERMILLE
            off.append(abs(abs(load) - wanted) if load * lead > 0 else abs(load) + wanted)
    return math.degrees(max(angles[:5])), off


def down(rig: Rig, found: Findings) -> None:
    """The governed release from the pose the arm is held in, measured."""
    if not rig.consent(
        "Last: the governed release. The arm sinks by itself for two to four seconds and is limp "
        "then. Hold a hand under it without touching it; the plug stays in reach."
    ):
        return
    found.sinking_rad_s = rig.release()
    found.note(
        "release",
        f"fastest joint {found.sinking_rad_s:.2f} rad/s",
        found.sinking_rad_s <= _SINKING_RAD_S,
    )


def whole_run(rig: Rig, found: Findings) -> None:
    """The facts about everything that went by."""
    seen = rig.seen
    found.note(
        "replies", f"{seen.lost} of {seen.replies} lost", seen.lost <= seen.replies * _LOST_SHARE
    )
    speeds = sorted(seen.speeds_ticks_s)
    if any(speeds):
        steps = all(speed % 50 == 0 for speed in speeds)
        found.note("velocity-quantum", f"{len(speeds)} values, {speeds[0]} to {speeds[-1]}", steps)
    if math.isfinite(seen.lowest_v) and found.present_v > 0:
        kept = seen.lowest_v >= found.present_v * (1 - _SAG_SHARE)
        found.note("sag", f"{found.present_v:.1f} V at rest, {seen.lowest_v:.1f} V lowest", kept)


def hottest(rig: Rig) -> str:
    """Which servo became how warm."""
    joint = max(range(JOINTS), key=lambda each: rig.seen.highest_c[each])
    return f"{JOINT_NAMES[joint]} {rig.seen.highest_c[joint]:.0f} °C"
