"""The virtual arm in lock-step, with the few questions that these tests ask of its servos."""

from collections.abc import Iterator
from typing import Any

import pytest

from daemon.control.exchange import Command
from learning.world import LockStepWorld, lockstep_config
from robotd.states import RequestKind, Source, State
from sim.plant.world_messages import Registers

RAISED_RAD = (0.0, -0.4, 0.3, 0.5, 0.0, 0.3)
SINKING_RAD_S = 0.5


class Bench:
    """A world, with the few questions that these tests ask of the servos."""

    def __init__(self) -> None:
        self.world = LockStepWorld(lockstep_config(), seed=0, plant_seed=1)
        self.core = self.world.core
        self.exchange = self.world.exchange
        self.fastest_rad_s = 0.0
        self.tick: Any = None

    def run(self, seconds: float) -> None:
        """Let time pass; remembers the fastest body joint seen meanwhile."""
        for _ in range(round(seconds * 120)):
            self.tick = self.world.tick()
            speeds = self.world.plant.truth().arms[0].velocity_rad_s[:5]
            self.fastest_rad_s = max(self.fastest_rad_s, *map(abs, speeds))

    def until(self, state: State, seconds: float = 25.0) -> float:
        """Let time pass until `state`; returns how long it took."""
        for tick in range(round(seconds * 120)):
            self.run(1 / 120)
            if self.core.state is state:
                return tick / 120
        raise AssertionError(f"still {self.core.state.name}, not {state.name}")

    def ask(self, kind: RequestKind, source: Source = Source.NONE) -> None:
        self.exchange.ask(kind, source)
        self.run(1 / 120)

    def memory(self, servo: int) -> bytes:
        return bytes.fromhex(self.world.plant.handle(Registers(servo))["memory"])

    def torque(self) -> list[int]:
        return self.world.plant.truth().arms[0].torque_enable

    def goals(self) -> list[int]:
        return [self.memory(servo)[42] | self.memory(servo)[43] << 8 for servo in range(1, 7)]

    def pose_rad(self) -> list[float]:
        return self.world.plant.truth().arms[0].position_rad

    def armed(self) -> "Bench":
        self.ask(RequestKind.ARM)
        self.until(State.HOLDING)
        return self

    def raised(self) -> "Bench":
        """Armed, and moved by goals to a pose that gravity would drop."""
        self.armed()
        self.ask(RequestKind.TELEOP, Source.SCRIPTED)
        self.send(RAISED_RAD, seconds=3.0)
        self.fastest_rad_s = 0.0
        return self

    def raised_with_supervisor(self) -> "Bench":
        """Raised, under a supervisor that lives until this returns."""
        alive = self.run

        def run(seconds: float) -> None:
            for _ in range(round(seconds * 120)):
                self.exchange.supervisor_ns = self.world.clock.now_ns()
                alive(1 / 120)

        self.run = run  # type: ignore[method-assign]
        self.raised()
        self.run = alive  # type: ignore[method-assign]
        return self

    def send(self, goal_rad: tuple[float, ...], seconds: float) -> None:
        for _ in range(round(seconds * 30)):
            version = self.core.handover.version
            self.exchange.newest_command = Command(
                Source.SCRIPTED, version, self.world.clock.now_ns(), goal_rad
            )
            self.run(4 / 120)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.world.close()
