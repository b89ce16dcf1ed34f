"""The selftest on the virtual arm in lock-step, and people who answer and lay hands on it."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from config.schema import Config
from daemon.selftest.facts import JOINT_DIRECTIONS
from daemon.selftest.person import Answer
from daemon.selftest.record import Record
from daemon.selftest.rig import Rig
from daemon.selftest.run import Subject, make_rig, run
from drivers.calibration import Calibration, MotorCalibration
from learning.world import PlantPort, lockstep_config
from robotd.clock import VirtualClock
from robotd.errors import RobotdError
from sim.plant.calibration import plant_calibration
from sim.plant.lockstep import LockStepPlant
from sim.plant.options import PlantOptions

JOINTS = list(JOINT_DIRECTIONS)
PUSH_RAD_S = 0.8


class Stage:
    """One virtual arm and one person beside it."""

    def __init__(
        self, person: "Someone", options: PlantOptions | None = None, config: Config | None = None
    ) -> None:
        self.plant = LockStepPlant(options or PlantOptions(leader=False), seed=0)
        self.clock = VirtualClock(self.plant.now_ns, self._advance)
        self.person = person
        person.stage = self
        content = plant_calibration("follower")
        calibration: Calibration = {n: MotorCalibration(**m) for n, m in content.items()}
        self.subject = Subject(config or lockstep_config(), "arm", "2026-11-21T12:00:00Z")
        self.fastest_limp_rad_s = 0.0
        self.rig: Rig = make_rig(
            self.subject,
            calibration,
            lambda _name, _role: PlantPort(self.plant.port("follower")),
            self.clock,
            person,
        )

    def _advance(self, to_ns: int) -> None:
        self.person.push()
        self.plant.advance(to_ns)

    def run(self) -> tuple[Record, RobotdError | None]:
        return run(self.subject, self.rig)

    def torque(self) -> list[int]:
        return self.plant.truth().arms[0].torque_enable

    def memory(self, servo: int, register: int, size: int = 1) -> int:
        raw = self.plant.world.arm("follower").servos[servo - 1].memory
        return int.from_bytes(raw[register : register + size], "little")


class Someone:
    """A person who follows what is said: moves the joint that is named, and tells what they see.

    `backwards` names a joint whose reading goes the other way. `eyes` answers questions about what
    the arm did; `says` may answer in its place.
    """

    def __init__(
        self,
        hands: bool = True,
        eyes: Answer = Answer.YES,
        says: Callable[[str], Answer | None] = lambda _question: None,
        backwards: str = "",
    ) -> None:
        self.hands = hands
        self.heard: list[str] = []
        self.stage: Any = None
        self._eyes = eyes
        self._says = says
        self._next = Answer.YES
        self._pushing: int | None = None
        self._way = 1
        self._backwards = backwards

    def tell(self, text: str) -> None:
        self.heard.append(text)

    def ask(self, question: str, *, seen: bool) -> None:
        self.heard.append(question)
        said = self._says(question)
        self._next = said if said is not None else self._eyes if seen else Answer.YES
        named = [joint for joint in JOINTS if f"move {joint} " in question]
        self._pushing = JOINTS.index(named[0]) if named and "limp" in question else None
        if named:
            plus, _ = JOINT_DIRECTIONS[named[0]]
            self._way = 1 if plus in question else -1
            if named[0] == self._backwards:  # as with a servo that was built in turned around
                self._way = -self._way

    def answer(self) -> Answer | None:
        return self._next

    def push(self) -> None:
        """Lay a hand on the joint that was asked for: it moves at a hand's pace, as was said."""
        if self._pushing is None or self.stage.torque() != [0] * 6:
            return
        physics = self.stage.plant.world.physics
        dof = physics.index.arms[0].dof[self._pushing]
        physics.data.qvel[dof] = PUSH_RAD_S * self._way


def verdicts(record: Record) -> dict[str, str]:
    return {fact.id: fact.verdict for fact in record.facts}


def angle_deg(stage: Stage, joint: int) -> float:
    return math.degrees(float(np.asarray(stage.plant.truth().arms[0].position_rad)[joint]))
