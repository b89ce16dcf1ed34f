"""A robot in lock-step that faults are put into while it moves, and what the tests ask of it.

The core, its drivers and the virtual servos are the real ones; only time is virtual. Not a test.
"""

from functools import cache
from itertools import pairwise

from config.loader import load
from daemon.control.build import build_core
from daemon.control.core import ControlCore
from daemon.control.exchange import MemoryExchange
from drivers.calibration import MotorCalibration
from learning.world import LockStepWorld, PlantPort, lockstep_config
from robotd.clock import NS_PER_S, VirtualClock
from robotd.errors import BusError
from robotd.messages import Check
from robotd.states import RequestKind, Source, State
from sim.plant.calibration import plant_calibration
from sim.plant.lockstep import LockStepPlant
from sim.plant.options import PlantOptions
from sim.plant.world_messages import ClearFaults, SetFault

TICK_HZ = 120
SINKING_RAD_S = 0.5
"""No joint sinks faster, whatever lets the arm down."""
BEFORE_S = 0.6
"""Of the way home before the fault comes: the arm is at speed."""
ELBOW = 3
"""The servo that things happen to: its joint carries weight and has neighbours on both sides."""


class Robot:
    """One armed robot that goes home, with its fastest motion and its biggest goal step noted."""

    def __init__(self) -> None:
        self.world = LockStepWorld(lockstep_config(), seed=0, plant_seed=1)
        self.core = self.world.core
        self.applied: list[tuple[float, ...]] = []
        self.fastest_rad_s = 0.0

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds * TICK_HZ)):
            tick = self.world.tick()
            self.applied.append(tuple(tick["applied_rad"]))
            speeds = self.world.plant.truth().arms[0].velocity_rad_s[:5]
            self.fastest_rad_s = max(self.fastest_rad_s, *map(abs, speeds))

    def until(self, *states: State, seconds: float = 25.0) -> "Robot":
        """Let time pass until one of `states`."""
        for _ in range(round(seconds * TICK_HZ)):
            if self.core.state in states:
                return self
            self.run(1 / TICK_HZ)
        raise AssertionError(f"still {self.core.state.name} after {seconds} s")

    def is_in(self, *states: State) -> bool:
        """Whether the core is in one of `states` now."""
        return self.core.state in states

    def ask(self, kind: RequestKind) -> None:
        """Ask as the supervisor would."""
        self.world.exchange.ask(kind)
        self.run(2 / TICK_HZ)

    def on_its_way(self) -> "Robot":
        """Armed at rest, and then at speed on its way home."""
        self.ask(RequestKind.ARM)
        self.until(State.HOLDING)
        self.applied.clear()
        self.ask(RequestKind.HOME)
        self.run(BEFORE_S)
        self.fastest_rad_s = 0.0
        return self

    def fault(
        self,
        name: str,
        servo: int | None = None,
        *,
        value: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """What `robotd sim fault` does."""
        request = SetFault(servo, name, value=value, seconds=seconds)
        self.world.plant.handle(request)

    def mend(self) -> None:
        """What `robotd sim fault clear` does, and the time that the port's back-off may take."""
        self.world.plant.handle(ClearFaults())
        self.run(1.0)

    def checks(self) -> dict[str, Check]:
        """The arming list as a person gets it, looking only."""
        self.world.exchange.reports.clear()
        self.ask(RequestKind.CHECK)
        for _ in range(600):
            self.run(1 / TICK_HZ)
            if self.world.exchange.reports and self.world.exchange.reports[-1][2]:
                return {check.name: check for check in self.world.exchange.reports[-1][1]}
        raise AssertionError("the arming list does not end")

    def torque(self) -> list[int]:
        """Register 40 of all six, as the servos have it."""
        return self.world.plant.truth().arms[0].torque_enable

    def pose_rad(self) -> list[float]:
        """Where the arm really is."""
        return self.world.plant.truth().arms[0].position_rad

    def biggest_step(self) -> float:
        """The biggest change of a goal from tick to tick, as a share of what the speed limit
        allows."""
        limits = self.core.arms[0].limits.speed_rad_s
        return max(
            abs(b - a) * TICK_HZ / limit
            for before, after in pairwise(self.applied)
            for a, b, limit in zip(before, after, limits, strict=True)
        )

    def close(self) -> None:
        self.world.close()


@cache
def way_home() -> tuple[tuple[float, ...], ...]:
    """The goals of the same way home with nothing wrong."""
    robot = Robot()
    robot.on_its_way()
    robot.until(State.HOLDING)
    robot.close()
    return tuple(robot.applied)


class Pair:
    """A follower and a leader in one plant, in lock-step."""

    def __init__(self) -> None:
        config = load(simulated=True).config
        self.plant = LockStepPlant(PlantOptions(leader=True))
        self.clock = VirtualClock(self.plant.now_ns, self.plant.advance)
        self.exchange = MemoryExchange()
        self.core: ControlCore = build_core(
            config,
            lambda _name, role: {
                joint: MotorCalibration(**motor) for joint, motor in plant_calibration(role).items()
            },
            lambda _name, role: self._open(role),
            self.exchange,
            self.clock,
        )
        self.applied: list[tuple[float, ...]] = []
        self._start_ns = self.clock.now_ns()
        self._index = -1

    def _open(self, role: str) -> PlantPort:
        try:
            return PlantPort(self.plant.port(role))
        except OSError as error:
            raise BusError(f"The {role}'s line is gone.", "Its cable.", "Plug it in.") from error

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds * TICK_HZ)):
            self._index += 1
            deadline_ns = self._start_ns + self._index * NS_PER_S // TICK_HZ
            self.clock.sleep_until_ns(deadline_ns)
            self.core.tick(self._index, deadline_ns)
            assert self.exchange.last_tick is not None
            self.applied.append(tuple(self.exchange.last_tick["applied_rad"]))

    def ask(self, kind: RequestKind, source: Source = Source.NONE) -> None:
        self.exchange.ask(kind, source)
        self.run(2 / TICK_HZ)

    def close(self) -> None:
        self.core.close()
