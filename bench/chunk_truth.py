"""What a chunk really does to an arm: rolled in the plant, with no check in the way.

Ground truth for the pre-flight, independent of it: the servos' firmware law, masses and frictions of one of many
plants, MuJoCo's contacts with the table, the arm itself and the bowl's staves. Nothing of the twin is used. The plan's
goals go straight into the servos' goal registers 120 times a second; a `Filter` (the gate) may stand between.
"""

import copy
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from robotd.clock import NS_PER_S
from robotd.trajectory import Trajectory
from sim.model.scene import set_arm_position
from sim.plant.lockstep import LockStepPlant
from sim.plant.options import PlantOptions

Vector = npt.NDArray[np.float64]
Filter = Callable[[tuple[float, ...] | None, Vector], Sequence[float]]
"""Requested goal (None: none is due) and measured joints of a tick; the goal that is applied."""

TICK_NS = NS_PER_S // 120
SETTLE_S = 0.7
AFTER_S = 0.4
"""After its last waypoint a plan is watched on: the arm trails its goal by 0.1-0.2 s."""

SUSTAINED_TICKS = 6
"""A press is what lasts 50 ms: the smallest force of so many ticks in a row. A light knock is none."""

NEAR_M = 0.03
"""A pose is near something at this distance: the sag of a stretched arm."""

KINDS = ("table", "fingers", "self", "bowl")
"""Links on the table, fingers on the table, the arm on itself, anything on the bowl."""

_GOAL_REGISTER = 42
_TORQUE_REGISTER = 40
_FAR_M = (0.52, 0.44)


@dataclass(frozen=True, slots=True)
class Standing:
    """An arm that stands: its last goal and its measured joints, [6] each, and how hard it presses on anything."""

    applied_rad: tuple[float, ...]
    measured_rad: tuple[float, ...]
    force_n: float


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a roll came to: the hardest sustained press in newtons, on which of `KINDS` it went above the threshold
    (None: it did not), and after how many seconds."""

    force_n: float
    kind: str | None
    after_s: float


class TruthPlant:
    """One plant that chunks are rolled in, one after the other."""

    def __init__(self, plant_seed: int) -> None:
        self._plant = LockStepPlant(PlantOptions(plant_seed=plant_seed, leader=False))
        self._physics = self._plant.world.physics
        self._arm = self._physics.arms[0]
        self._joints = self._physics.index.arms[0]
        self._plant.world.set_object(*_FAR_M, 0.0)  # a block in the way is the task's business
        self._kind = self._kinds()
        self._near_model = copy.deepcopy(self._plant.model)
        self._near_model.geom_margin[:] = NEAR_M
        self._near_data: Any = mujoco.MjData(self._near_model)

    def near(self, goals_rad: Vector, kinds: Sequence[str]) -> bool:
        """Whether a pose of `goals_rad` [N, 6] brings something of `kinds` within 3 cm (the arm and itself: into
        contact), which is worth rolling. Sag and lag are left to the roll."""
        wanted = [KINDS.index(kind) for kind in kinds]
        own = KINDS.index("self")
        data = self._near_data
        for goal in goals_rad[::3]:
            data.qpos[self._joints.qpos] = goal
            mujoco.mj_kinematics(self._near_model, data)
            mujoco.mj_collision(self._near_model, data)
            if data.ncon:
                pairs = data.contact.geom[: data.ncon]
                kinds_here = self._kind[pairs[:, 0], pairs[:, 1]]
                touching = data.contact.dist[: data.ncon] < 0.0
                if (np.isin(kinds_here, wanted) & (touching | (kinds_here != own))).any():
                    return True
        return False

    def _kinds(self) -> npt.NDArray[np.int8]:
        """For each pair of geoms the kind of their contact; -1: none that counts."""
        index, arm = self._physics.index, self._joints
        fingers = sorted(arm.fixed_finger_geoms | arm.moving_finger_geoms)
        links = sorted(arm.link_geoms)
        own = links + fingers
        kind = np.full((self._plant.model.ngeom,) * 2, -1, dtype=np.int8)

        def mark(some: Sequence[int], others: Sequence[int], number: int) -> None:
            kind[np.ix_(some, others)] = number
            kind[np.ix_(others, some)] = number

        mark(own, own, KINDS.index("self"))
        mark(fingers, fingers, -1)  # a hand may close
        mark(links, sorted(index.table_geoms), KINDS.index("table"))
        mark(fingers, sorted(index.table_geoms), KINDS.index("fingers"))
        mark(own, sorted(index.bowl_geoms), KINDS.index("bowl"))
        return kind

    def stand(self, goal_rad: Sequence[float]) -> Standing:
        """Put the arm at `goal_rad`, hold it there and let it sag."""
        physics = self._physics
        set_arm_position(physics.data, self._joints, goal_rad)
        mujoco.mj_forward(physics.model, physics.data)
        physics.resync_servos()
        for servo in self._arm.servos:
            servo.write(_TORQUE_REGISTER, b"\x01")
        self._goal(goal_rad)
        self._wait(SETTLE_S)
        goal = tuple(map(float, goal_rad))
        return Standing(goal, tuple(self._measured().tolist()), float(self._feel().max()))

    def roll(self, plan: Trajectory, threshold_n: float, through: Filter | None = None) -> Pressed:
        """Follow `plan` from its start with the arm as it stands, until it presses on something with more than
        `threshold_n` or the plan is over."""
        ticks = 1 + round((plan.end_ns - plan.start_ns + AFTER_S * NS_PER_S) / TICK_NS)
        felt: deque[Vector] = deque(maxlen=SUSTAINED_TICKS)
        hardest = np.zeros(len(KINDS))
        for number in range(ticks):
            requested = plan.evaluate(plan.start_ns + number * TICK_NS)
            if through is not None:
                self._goal(through(requested, self._measured()))
            elif requested is not None:
                self._goal(requested)
            self._wait(TICK_NS / NS_PER_S)
            felt.append(self._feel())
            if len(felt) == SUSTAINED_TICKS:
                hardest = np.maximum(hardest, np.min(felt, axis=0))
                if hardest.max() > threshold_n:
                    kind = KINDS[int(hardest.argmax())]
                    return Pressed(float(hardest.max()), kind, number * TICK_NS / NS_PER_S)
        return Pressed(float(hardest.max()), None, ticks * TICK_NS / NS_PER_S)

    def _wait(self, seconds: float) -> None:
        self._plant.advance(self._plant.now_ns + round(seconds * NS_PER_S))

    def _measured(self) -> Vector:
        measured: Vector = np.array(self._physics.data.qpos[self._joints.qpos], dtype=np.float64)
        return measured

    def _goal(self, goal_rad: Sequence[float]) -> None:
        for servo, joint, angle in zip(self._arm.servos, self._arm.maps, goal_rad, strict=True):
            ticks = round(joint.present_ticks(float(angle)))
            ticks = min(max(ticks, joint.range_min), joint.range_max)
            servo.write(_GOAL_REGISTER, ticks.to_bytes(2, "little"))

    def _feel(self) -> Vector:
        """Newtons on each of `KINDS` now."""
        data: Any = self._physics.data
        total = np.zeros(len(KINDS))
        if data.ncon:
            pairs = data.contact.geom[: data.ncon]
            kinds = self._kind[pairs[:, 0], pairs[:, 1]]
            for contact in np.flatnonzero(kinds >= 0):
                wrench = np.zeros(6)
                mujoco.mj_contactForce(self._physics.model, data, int(contact), wrench)
                total[kinds[contact]] += wrench[0]
        return total
