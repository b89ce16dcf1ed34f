"""Real troubles for an arm at work, by seed: a joint that jams, a hand that pushes, a wall, a turned-around motor.

Each begins at a moment of a pick-and-place episode in which it matters: a jam takes the joint that moves fastest, a
wall stands where the hand is going. Everything happens in the plant; control, gate and twin learn of it by what the
servos say.
"""

import math
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import mujoco
import numpy as np

from learning.world import LockStepWorld, Tick
from robotd.states import Fault, LimitedBy
from sim.plant.world_messages import Push, Stuck

KINDS = ("jam", "push", "wall", "turned")
WATCHED_S = 3.0
"""How long after its beginning a trouble is waited for."""

_EARLIEST_S, _LATEST_S = 1.0, 9.0
_JAM_RAD_S = math.radians(25.0)  # of the goal: a joint that is asked to move
_WALL_M_S = 0.10
_WALL_AHEAD_M = 0.10
_WALL_BELOW_M = 0.015
_PUSH_N = (8.0, 14.0)
_PUSH_S = 1.0
_BODY = 5
_PHASE = 18
_DRIVE_REVERSED = 1


class Trouble(Protocol):
    """Something that goes wrong once."""

    def try_to_begin(self, world: LockStepWorld, goal_speed_rad_s: np.ndarray[Any, Any]) -> bool:
        """Begin if this is a moment for it."""
        ...

    def go_on(self, world: LockStepWorld, elapsed_s: float) -> None:
        """What it does later."""
        ...


class Jam:
    """The joint that moves fastest stands still."""

    def try_to_begin(self, world: LockStepWorld, goal_speed_rad_s: np.ndarray[Any, Any]) -> bool:
        joint = int(np.abs(goal_speed_rad_s[:_BODY]).argmax())
        if abs(goal_speed_rad_s[joint]) < _JAM_RAD_S:
            return False
        world.plant.handle(Stuck(servo_id=joint + 1))
        return True

    def go_on(self, world: LockStepWorld, elapsed_s: float) -> None:
        """It stays stuck."""


class HandPush:
    """A hand pushes the gripper or the forearm, sideways or up, for a second. (Down is what a payload does.)"""

    def __init__(self, draw: random.Random) -> None:
        around, up = draw.uniform(-math.pi, math.pi), draw.uniform(0.0, 0.8)
        flat = math.sqrt(1.0 - up * up)
        size_n = draw.uniform(*_PUSH_N)
        self._force = [
            size_n * flat * math.cos(around),
            size_n * flat * math.sin(around),
            size_n * up,
        ]
        self._link = draw.choice(("gripper", "lower_arm"))

    def try_to_begin(self, world: LockStepWorld, goal_speed_rad_s: np.ndarray[Any, Any]) -> bool:
        world.plant.handle(Push(self._force, self._link))
        return True

    def go_on(self, world: LockStepWorld, elapsed_s: float) -> None:
        if elapsed_s > _PUSH_S:
            world.plant.handle(Push([0.0, 0.0, 0.0], self._link))


class Wall:
    """The bowl stands where the hand is going, higher than the hand."""

    def try_to_begin(self, world: LockStepWorld, goal_speed_rad_s: np.ndarray[Any, Any]) -> bool:
        plant = world.plant
        site, model, data = plant.index.arms[0].tcp_site, plant.model, plant.data
        speed = np.zeros(6)
        mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_SITE, site, speed, 0)
        flat = speed[3:5]
        size = float(np.linalg.norm(flat))
        if size < _WALL_M_S:
            return False
        at = data.site_xpos[site]
        model.body_pos[plant.index.bowl_body][:2] = at[:2] + flat / size * _WALL_AHEAD_M
        model.body_pos[plant.index.bowl_body][2] = at[2] - _WALL_BELOW_M
        return True

    def go_on(self, world: LockStepWorld, elapsed_s: float) -> None:
        """It stands."""


class TurnedMotor:
    """One body joint's motor is driven the wrong way round (Phase bit 0) from now on."""

    def __init__(self, draw: random.Random) -> None:
        self._servo = draw.randrange(1, _BODY + 1)

    def try_to_begin(self, world: LockStepWorld, goal_speed_rad_s: np.ndarray[Any, Any]) -> bool:
        servo = world.plant.world.arm("follower").servos[self._servo - 1]
        servo.write(_PHASE, bytes([servo.memory[_PHASE] ^ _DRIVE_REVERSED]))
        return True

    def go_on(self, world: LockStepWorld, elapsed_s: float) -> None:
        """It stays so."""


def trouble_of(kind: str, seed: int) -> Trouble:
    """The trouble of that kind and seed."""
    draw = random.Random(f"trouble-{kind}-{seed}")
    match kind:
        case "jam":
            return Jam()
        case "push":
            return HandPush(draw)
        case "wall":
            return Wall()
        case "turned":
            return TurnedMotor(draw)
    raise ValueError(f"no trouble {kind!r}: {', '.join(KINDS)}")


def begins_after_s(kind: str, seed: int) -> float:
    """From when on the trouble looks for its moment, seconds after the episode began."""
    return random.Random(f"when-{kind}-{seed}").uniform(_EARLIEST_S, _LATEST_S)


@dataclass(slots=True)
class Seen:
    """What protection did in one episode. Times in seconds since it began; negative: it did not."""

    fault: Fault = Fault.NONE
    fault_joint: int = -1
    fault_s: float = -1.0
    first_s: float = -1.0  # the first sign: a finding of the mirror, a goal moved back, a fault
    first: str = ""
    warnings: Counter[str] | None = None
    _before: tuple[str, ...] = ()

    def take(self, tick: Mapping[str, Any] | Tick, finding: Fault, at_s: float) -> None:
        """Look at a tick and at what the mirror said of it."""
        signs: list[str] = []
        if finding is not Fault.NONE:
            signs.append(f"mirror: {finding.name.lower()}")
        if any(LimitedBy.BLOCKED & flags for flags in tick["limited_by"]):
            signs.append("goal moved back")
        if self.warnings is None:
            self.warnings = Counter()
        self.warnings.update(sign for sign in signs if sign not in self._before)
        self._before = tuple(signs)
        if tick["fault"] and self.fault is Fault.NONE:
            self.fault, self.fault_joint = Fault(tick["fault"]), int(tick["fault_joint"])
            self.fault_s = at_s
            signs.append(self.fault.name.lower())
        if signs and self.first_s < 0.0:
            self.first_s, self.first = at_s, signs[0]
