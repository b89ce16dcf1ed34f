"""The lock-step world: the daemon's own control code on a virtual clock, its body in the plant.

`ControlCore`, gate, arming and drivers are those of the arm; only the serial line, the clock and the runtime folder
are replaced by a plant in the same process, a `VirtualClock` and plain memory. Nothing here waits for real time, so
an episode of twelve seconds takes about one, and the same seed gives the same episode on every machine.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from config.loader import load
from config.scene import with_task
from config.schema import Config
from daemon.control.build import build_core
from daemon.control.exchange import Command, MemoryExchange
from drivers.calibration import JOINT_NAMES, Calibration, MotorCalibration, Role
from drivers.joint_map import GRIPPER_CLOSED_RAD
from drivers.serial_port import SerialPort
from robotd.clock import NS_PER_S, VirtualClock
from robotd.errors import BusError, StateError
from robotd.states import RequestKind, Source, State
from sim.plant.calibration import TICKS_PER_RAD, JointMap, plant_calibration
from sim.plant.lockstep import LockStepPlant, VirtualPort
from sim.plant.options import PlantOptions

Tick = Mapping[str, Any]
"""One record of `robotd.layouts.tick_layout`."""

PLANTS = 8
"""How many different plants a collection or an evaluation goes through. Each has its own masses, frictions, backlash,
delay and supply voltage."""

_FIRST_EVALUATION_PLANT = 101
_PATIENCE_S = 30.0


def demonstration_plant(seed: int) -> int:
    """The plant (1..8) that the demonstration of that seed is recorded in."""
    return 1 + seed % PLANTS


def evaluation_plant(seed: int) -> int:
    """The plant (101..108) that the episode of that seed is judged in: never one that was trained in."""
    return _FIRST_EVALUATION_PLANT + seed % PLANTS


def lockstep_config(
    config: Config | None = None,
    task: str | None = None,
    *,
    picture_size: tuple[int, int] | None = None,
    told: bool = True,
) -> Config:
    """The shipped simulated robot (or `config`), without what lock-step has not: leader arms.

    `task`: another task's things on the table. `picture_size`: width and height of every camera's pictures, in pixels.
    Not `told`: without observation.environment_state. Raises ConfigError when there is no task of that name.
    """
    chosen = load(simulated=True).config if config is None else config
    chosen = chosen if task is None else with_task(chosen, task)
    arms = {name: msgspec.structs.replace(arm, leader=None) for name, arm in chosen.arms.items()}
    cameras = chosen.cameras
    if picture_size is not None:
        width, height = picture_size
        cameras = {
            name: msgspec.structs.replace(camera, width=width, height=height)
            for name, camera in cameras.items()
        }
    recording = chosen.recording
    if not told:
        recording = msgspec.structs.replace(recording, environment_state=False)
    return msgspec.structs.replace(chosen, arms=arms, cameras=cameras, recording=recording)


def lockstep_calibrations(config: Config) -> dict[str, Calibration]:
    """The plant's calibrations by the ids that the configuration gives its arms."""
    return {arm.id: _calibration(config, name) for name, arm in config.arms.items()}


def _device(config: Config, arm_name: str) -> str:
    return "follower" if len(config.arms) == 1 else f"{arm_name}_follower"


def _calibration(config: Config, arm_name: str) -> Calibration:
    content = plant_calibration(_device(config, arm_name))
    return {name: MotorCalibration(**motor) for name, motor in content.items()}


def mounted(calibration: Calibration, offsets_deg: Sequence[float]) -> tuple[JointMap, ...]:
    """The plant's encoders for an arm that is calibrated so: where its horns must then sit.

    A body joint stands at its offset in the middle of its range; the gripper is closed at the range's low end.
    """
    maps = []
    for (name, motor), offset_deg in zip(calibration.items(), offsets_deg, strict=True):
        half_rad = (motor.range_max - motor.range_min) / 2.0 / TICKS_PER_RAD
        gripper = name == JOINT_NAMES[-1]
        centre_rad = GRIPPER_CLOSED_RAD + half_rad if gripper else math.radians(offset_deg)
        maps.append(
            JointMap(
                name=name,
                servo_id=motor.id,
                range_min=motor.range_min,
                range_max=motor.range_max,
                homing_offset=motor.homing_offset,
                low_rad=centre_rad - half_rad,
                high_rad=centre_rad + half_rad,
            )
        )
    return tuple(maps)


@contextmanager
def _pulled_cable() -> Iterator[None]:
    """What a serial device raises when its cable is not in."""
    try:
        yield
    except OSError as error:
        raise BusError(
            f"The virtual line stopped working ({error.strerror}).",
            "Its cable was pulled.",
            "Put it in again.",
        ) from error


class PlantPort:
    """The plant's port as `drivers.serial_port.SerialPort`: replies are there as soon as asked for."""

    def __init__(self, port: VirtualPort) -> None:
        self._port = port

    def write(self, data: bytes) -> None:
        with _pulled_cable():
            self._port.write(data)

    def read_available(self) -> bytes:
        with _pulled_cable():
            return self._port.read(4096)

    def fileno(self) -> int | None:
        return None

    def flush_input(self) -> None:
        self._port.reset_input_buffer()

    def close(self) -> None:
        self._port.close()


@dataclass(frozen=True, slots=True)
class RowTruth:
    """What really was when a row was made: for judging outcomes, never for control.

    The object is the block, or the drawer's handle. `held`: both fingers touch it. `grip_margin`: how many times the
    block's weight the pads could hold. `in_hand_m`: from the tool centre to the object, in the hand's frame.
    """

    object_xyz_m: tuple[float, float, float]
    object_speed_m_s: float
    gripper_rad: float
    opened_m: float
    held: bool
    grip_margin: float
    in_hand_m: tuple[float, ...]


class LockStepWorld:
    """One robot in one plant in virtual time. Drive it with `tick`; close it at the end.

    `config` comes from `lockstep_config`; `seed` says where the task's object lies, `plant_seed` which plant it is.
    `calibrations`, by arm, are a person's own: the plant's servos are then calibrated and mounted as those say.
    """

    def __init__(
        self,
        config: Config,
        seed: int,
        plant_seed: int,
        calibrations: Mapping[str, Calibration] | None = None,
    ) -> None:
        self.config = config
        self.seed = seed
        bimanual = len(config.arms) == 2
        own = {} if calibrations is None else dict(calibrations)
        mounts = {
            _device(config, name): mounted(each, config.arms[name].joint_offset_deg)
            for name, each in own.items()
        }
        options = PlantOptions(
            plant_seed=plant_seed,
            task=PlantOptions().task if config.simulation is None else config.simulation.task,
            leader=False,
            bimanual=bimanual,
            mounts=mounts,
            supply="12V" if config.simulation is None else config.simulation.supply,
        )
        self.plant = LockStepPlant(options, seed=seed)
        self.clock = VirtualClock(self.plant.now_ns, self.plant.advance)
        self.exchange = MemoryExchange()
        self.core = build_core(
            config,
            lambda name, _role: own.get(name) or _calibration(config, name),
            self._open,
            self.exchange,
            self.clock,
        )
        self.ticks_per_row = config.control.tick_hz // config.recording.fps
        self._start_ns = self.clock.now_ns()
        self._index = -1

    def _open(self, arm_name: str, _role: Role) -> SerialPort:
        with _pulled_cable():
            return PlantPort(self.plant.port(_device(self.config, arm_name)))

    def close(self) -> None:
        """Give the virtual device back."""
        self.core.close()

    # --- time -------------------------------------------------------------------------------------

    def tick(self) -> Tick:
        """Do the next control tick and return its record."""
        self._index += 1
        deadline_ns = self._start_ns + self._index * NS_PER_S // self.config.control.tick_hz
        self.clock.sleep_until_ns(deadline_ns)
        self.core.tick(self._index, deadline_ns)
        assert self.exchange.last_tick is not None
        return self.exchange.last_tick

    def is_row(self, tick: Tick) -> bool:
        """Whether a dataset row and an observation are made at this tick."""
        return int(tick["index"]) % self.ticks_per_row == 0

    # --- states -----------------------------------------------------------------------------------

    def arm(self) -> None:
        """Take the arm as a person would, where it is.

        Raises StateError when a check of the arming list failed.
        """
        self.exchange.ask(RequestKind.ARM)
        self._until(State.HOLDING)

    def arm_and_home(self) -> None:
        """Take the arm as a person would and bring it to the home pose.

        Raises StateError when a check of the arming list failed.
        """
        self.arm()
        self.exchange.ask(RequestKind.HOME)
        self.tick()
        self._until(State.HOLDING)

    def give_to(self, kind: RequestKind, source: Source = Source.NONE) -> Tick:
        """Hand the arm to a source; returns the first tick of the new hand-over.

        Raises StateError when control refuses.
        """
        self.exchange.ask(kind, source)
        tick = self.tick()
        if not State(tick["state"]).moving:
            raise StateError(
                f"Control stayed in {State(tick['state']).name} when asked for {kind.name}.",
                "The arm is not armed, or a fault is latched.",
                "Call arm_and_home first.",
            )
        return tick

    def command(self, tick: Tick, source: Source, goal_rad: tuple[float, ...]) -> None:
        """The newest goal of a scripted or keyboard source, for the hand-over of `tick`."""
        version = int(tick["handover_version"])
        self.exchange.newest_command = Command(source, version, self.clock.now_ns(), goal_rad)

    def _until(self, wanted: State) -> None:
        limit = int(_PATIENCE_S * self.config.control.tick_hz)
        for _ in range(limit):
            state = State(self.tick()["state"])
            if state is wanted:
                return
            if state in (State.FAULT, State.ESTOP):
                break
        failed = [
            f"{check.name}: {check.detail}"
            for _, checks, _ in self.exchange.reports
            for check in checks
            if check.outcome == "fail"
        ]
        raise StateError(
            f"The virtual arm did not come to {wanted.name}: {'; '.join(failed) or 'no check failed'}.",
            "Configuration and plant do not fit together.",
            "Look at the arming list above.",
        )

    # --- truth ------------------------------------------------------------------------------------

    def environment(self) -> dict[str, Any]:
        """The record of layout `environment_state` as the plant would publish it now."""
        return {"stamp_ns": self.clock.now_ns(), "values": tuple(self.plant.environment_state())}

    def truth(self) -> RowTruth:
        """What a judge sees now."""
        truth = self.plant.truth()
        x, y, z = truth.block_m
        arm = truth.arms[0]
        held = arm.touches_block_fixed and arm.touches_block_moving
        site = self.plant.index.arms[0].tcp_site
        axes = self.plant.data.site_xmat[site].reshape(3, 3)
        in_hand = (np.array(truth.block_m) - arm.tcp_m) @ axes
        return RowTruth(
            object_xyz_m=(x, y, z),
            object_speed_m_s=truth.block_speed_m_s,
            gripper_rad=arm.gripper_rad,
            opened_m=truth.opened_m,
            held=held,
            grip_margin=self.plant.world.grip_margin() if held else 0.0,
            in_hand_m=tuple(in_hand.tolist()),
        )


@contextmanager
def lockstep_world(
    config: Config,
    seed: int,
    plant_seed: int,
    calibrations: Mapping[str, Calibration] | None = None,
) -> Iterator[LockStepWorld]:
    """A world that is armed and home, closed at the end."""
    world = LockStepWorld(config, seed, plant_seed, calibrations)
    try:
        world.arm_and_home()
        yield world
    finally:
        world.close()
