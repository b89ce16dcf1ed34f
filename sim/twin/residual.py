"""What the torques from outside mean: a name for what is wrong with the arm, or nothing. Pure of time and process.

Fed with one `Moment` a tick. A payload is nobody's fault: up to half a kilogram at the fingers is estimated in every
moment, and only what it cannot explain counts. In the order of precedence:

* JOINT_SIGN: a joint's motor drives it away from its goal (drive turned around, encoder not), or it weighs what it
  would weigh if it stood mirrored (drive and encoder turned around; lift and elbow only, gravity holds no other);
* SWAPPED_ARM: one arm's goals move the other arm;
* COLLISION: torque on several joints that no payload explains;
* STALLED: on one joint only; TWIN_DIVERGED when that does not end;
* SLIPPED: a joint gives way although its goal stands and its motor holds against it.

What joints cannot show is not here: two arms whose ports *and* files are swapped, a turned-around pan, roll or wrist
whose encoder turned with it, a horn some degrees off. Those need an eye, or the calibration in the servos (arming).
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from robotd.states import Fault
from sim.twin.apply import Vector
from sim.twin.torques import Moment

PER_ARM = 6
BODY = 5
GRIPPER = 5  # grips: what it feels is its work
LIFT, ELBOW = 1, 2

LIMITS_NM = (1.2, 1.6, 1.4, 1.4, 1.0)
"""Unexplained torque that counts, pan to roll: some 5 N at the fingers. Pick and place of the expert in eight plants
stays below 0.8, full speed and acceleration of the gate below 0.4; a person or a policy that corrects a hand that
stands on something by 7 degrees presses with 1.0 to 1.2."""
MOST_PAYLOAD_KG = 0.5
CONFIRM_NS = 80_000_000
DIVERGED_NS = 3_000_000_000
ALSO_SHARE = 0.5
"""A second joint that feels this share of its limit makes a stall a collision."""

AWAY_NM = 0.5
AWAY_RAD = math.radians(4.0)
"""A motor that drives this hard away from a goal this far off is turned around. Braking at full speed takes 0.3 N.m
(the law's D term), and only near the goal."""
FLEES_NM = 0.8
FLEES_RAD_S = 0.3
FLEES_SHARE = 0.25
"""A servo may report its duty before the direction bit turns it around; then what it says and what happens differ by
twice the motor's torque, within this share and `WEIGHS_NM`."""
AWAY_NS = 60_000_000
WEIGHS_NM = 0.35
"""How well a mirrored joint has to explain lift and elbow: friction and the model's error."""
WEIGHS_NS = 150_000_000
HEAVY_NM = 0.3
PROVEN_NS = 1_000_000_000
"""Of a weight carried as the model says: then a joint's sign is right until the arm is let go."""

WINDOW_NS = 400_000_000  # slip
SLIP_RAD = math.radians(4.0)
STANDING_GOAL_RAD = math.radians(1.0)
SLIP_NM = 0.5
CROSSED_RAD = math.radians(8.0)
CROSSED_NS = 800_000_000


@dataclass(frozen=True, slots=True)
class MirrorFinding:
    """A finding, the joint in the robot it is worst at (-1: none), and since when it holds."""

    fault: Fault
    joint: int = -1
    since_ns: int = 0


NOTHING = MirrorFinding(Fault.NONE)


class Weight(Protocol):
    """Who can say what holds the arm in another pose."""

    def gravity_nm(self, position_rad: Vector) -> Vector: ...


class _Lasting:
    """Since when a condition has held without a gap."""

    __slots__ = ("since_ns",)

    def __init__(self) -> None:
        self.since_ns = -1

    def holds(self, condition: bool, now_ns: int, long_enough_ns: int) -> bool:
        if not condition:
            self.since_ns = -1
            return False
        if self.since_ns < 0:
            self.since_ns = now_ns
        return now_ns - self.since_ns >= long_enough_ns


class _Past:
    """Goals and positions of the last `window_ns`."""

    __slots__ = ("_kept", "_window_ns")

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._kept: deque[tuple[int, Vector, Vector]] = deque()

    def remember(self, moment: Moment) -> tuple[int, Vector, Vector]:
        """Keep a moment; returns the oldest one kept: stamp, goal and position."""
        kept = self._kept
        kept.append((moment.stamp_ns, moment.goal_rad, moment.position_rad))
        while moment.stamp_ns - kept[0][0] > self._window_ns:
            kept.popleft()
        return kept[0]


class Detector:
    """The memory of one robot's findings."""

    def __init__(self, arms: int) -> None:
        self._arms = arms
        self._limits = np.tile(np.array((*LIMITS_NM, math.inf)), arms)
        self.reset()

    def reset(self) -> None:
        """The arm was let go: nothing that was seen still counts, joint signs must be proven anew."""
        self._recent = _Past(WINDOW_NS)
        self._past = _Past(CROSSED_NS)
        self._hit = _Lasting()
        self._away = [_Lasting() for _ in range(self._arms * PER_ARM)]
        self._mirrored = _Lasting()
        self._proven_ns = dict.fromkeys(self._weighed(), 0)
        self._last_ns = -1

    def look(self, moment: Moment, weight: Weight) -> MirrorFinding:
        """Judge a moment. `weight` may be asked for other poses and then leaves the model there."""
        now_ns = moment.stamp_ns
        step_ns = now_ns - self._last_ns if self._last_ns >= 0 else 0
        self._last_ns = now_ns
        unexplained = self._without_payload(moment.external_nm, moment.payload_nm_kg)
        self._prove(moment, unexplained, step_ns)
        then = self._recent.remember(moment)
        return (
            self._driven_away(moment)
            or self._crossed(moment)
            or self._pushed(moment, unexplained, weight)
            or self._slipped(moment, then, unexplained)
            or NOTHING
        )

    # --- payload ----------------------------------------------------------------------------------

    def _without_payload(self, external_nm: Vector, row_nm_kg: Vector) -> Vector:
        """What is left [n] after the payload that explains most of it, arm by arm."""
        left = external_nm.copy()
        for arm in range(self._arms):
            body = slice(arm * PER_ARM, arm * PER_ARM + BODY)
            row = row_nm_kg[body]
            size = float(row @ row)
            if size > 0.0:
                mass_kg = min(max(-float(row @ left[body]) / size, 0.0), MOST_PAYLOAD_KG)
                left[body] += mass_kg * row
        return left

    # --- sign -------------------------------------------------------------------------------------

    def _weighed(self) -> list[int]:
        return [arm * PER_ARM + joint for arm in range(self._arms) for joint in (LIFT, ELBOW)]

    def _prove(self, moment: Moment, unexplained: Vector, step_ns: int) -> None:
        """Count the time in which a joint carried its weight with the sign that the model says."""
        for joint, proven_ns in self._proven_ns.items():
            if proven_ns >= PROVEN_NS:
                continue
            weight = abs(float(moment.gravity_nm[joint]))
            # Mirrored, twice the weight would be missing.
            if weight > HEAVY_NM and abs(float(unexplained[joint])) < weight:
                self._proven_ns[joint] = proven_ns + step_ns

    def _driven_away(self, moment: Moment) -> MirrorFinding | None:
        """A joint whose motor drives it away from its goal, or that moves as if it did."""
        motor, error = moment.motor_nm, moment.error_rad
        against = motor * error
        reversed_nm = np.abs(moment.external_nm + 2.0 * motor)
        away = (against < 0.0) & (np.abs(motor) > AWAY_NM) & (np.abs(error) > AWAY_RAD)
        away |= (
            (against > 0.0)
            & (np.abs(motor) > FLEES_NM)
            & (moment.velocity_rad_s * error < -FLEES_RAD_S * np.abs(error))
            & (reversed_nm < WEIGHS_NM + FLEES_SHARE * np.abs(motor))
        )
        for joint, lasting in enumerate(self._away):
            if lasting.holds(bool(away[joint]), moment.stamp_ns, AWAY_NS):
                return MirrorFinding(Fault.JOINT_SIGN, joint, lasting.since_ns)
        return None

    def _turned(self, moment: Moment, arm: int, weight: Weight) -> int:
        """The joint of `arm` that must stand mirrored for the weights to fit; -1 for none.

        Zero is the middle of the range in the model, so a joint whose drive and encoder were turned around stands at
        minus its angle.
        """
        pair = [arm * PER_ARM + LIFT, arm * PER_ARM + ELBOW]
        if np.abs(moment.velocity_rad_s[pair]).max() > 1.0:
            return -1  # inertia is not looked at here
        for joint in pair:
            if self._proven_ns[joint] >= PROVEN_NS:
                continue
            turned = moment.position_rad.copy()
            turned[joint] = -turned[joint]
            held = weight.gravity_nm(turned)
            held[joint] = -held[joint]
            # External torque if the arm weighed what it weighs so.
            external = moment.external_nm + held - moment.gravity_nm
            if np.abs(external[pair]).max() < WEIGHS_NM:
                return joint
        return -1

    # --- swapped ----------------------------------------------------------------------------------

    def _crossed(self, moment: Moment) -> MirrorFinding | None:
        """Two arms of which one does what the other is asked to."""
        if self._arms < 2:
            return None
        past = self._past.remember(moment)
        asked = (moment.goal_rad - past[1]).reshape(self._arms, PER_ARM)
        done = (moment.position_rad - past[2]).reshape(self._arms, PER_ARM)
        for arm in range(self._arms):
            for other in range(self._arms):
                if other == arm:
                    continue
                wanted = np.abs(asked[arm]) > CROSSED_RAD
                ignored = np.abs(done[arm]) < 0.25 * np.abs(asked[arm])
                mirrored = done[other] * np.sign(asked[arm]) > 0.5 * np.abs(asked[arm])
                unasked = np.abs(asked[other]) < 0.25 * np.abs(asked[arm])
                crossed = wanted & ignored & mirrored & unasked
                crossed[GRIPPER] = False
                if crossed.any():
                    joint = arm * PER_ARM + int(crossed.argmax())
                    return MirrorFinding(Fault.SWAPPED_ARM, joint, past[0])
        return None

    # --- pushed -----------------------------------------------------------------------------------

    def _pushed(self, moment: Moment, unexplained: Vector, weight: Weight) -> MirrorFinding | None:
        share = np.abs(unexplained) / self._limits
        worst = int(share.argmax())
        now_ns = moment.stamp_ns
        if not self._hit.holds(bool(share[worst] > 1.0), now_ns, CONFIRM_NS):
            self._mirrored.since_ns = -1
            return None
        arm = worst // PER_ARM
        since_ns = self._hit.since_ns
        turned = self._turned(moment, arm, weight) if worst % PER_ARM in (LIFT, ELBOW) else -1
        if self._mirrored.holds(turned >= 0, now_ns, WEIGHS_NS):
            return MirrorFinding(Fault.JOINT_SIGN, turned, since_ns)
        if turned >= 0 or any(each.since_ns >= 0 for each in self._away):
            return None  # it will have its name in a moment
        felt = share[arm * PER_ARM : arm * PER_ARM + BODY] > ALSO_SHARE
        if felt.sum() > 1:
            return MirrorFinding(Fault.COLLISION, worst, since_ns)
        lasts = now_ns - since_ns > DIVERGED_NS
        return MirrorFinding(Fault.TWIN_DIVERGED if lasts else Fault.STALLED, worst, since_ns)

    def _slipped(
        self, moment: Moment, then: tuple[int, Vector, Vector], unexplained: Vector
    ) -> MirrorFinding | None:
        """A joint that was moved, by weight or by hand, while its goal stood."""
        moved = moment.position_rad - then[2]
        far = np.abs(moved) > SLIP_RAD
        far[GRIPPER::PER_ARM] = False
        if not far.any():
            return None
        slipped = (
            far
            & (np.abs(moment.goal_rad - then[1]) < STANDING_GOAL_RAD)
            & (unexplained * np.sign(moved) > SLIP_NM)
        )
        if not slipped.any():
            return None
        return MirrorFinding(Fault.SLIPPED, int(slipped.argmax()), then[0])
