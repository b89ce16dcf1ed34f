"""What a plant is made of: which arms, which seed, how much time a byte takes.

One struct, the same for the process (`--options JSON`) and for lock-step. The drive perturbations
are drawn here from the seed; masses and frictions are drawn by `sim.model`, so that plant and twin
differ in both.
"""

import math
import random
from dataclasses import dataclass
from typing import Literal

import msgspec

from robotd.errors import ConfigError
from sim.plant.calibration import JointMap

JOINTS_PER_ARM = 6


class PlantOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything a caller may choose.

    seed: where the block lies at the start (a later `reset` takes its own).
    plant_seed: which of many plants; null is the nominal one, equal to the twin.
    task: whose objects stand on the table, by its name in `config/tasks`.
    bimanual: two followers (and leaders), `left_` and `right_`.
    leader: whether leader arms are there.
    zero_time: bytes take no time on the wire.
    physics_step_ms: 1 or 2; the servos' law always runs at 1 kHz.
    noise_ticks: standard deviation of the encoder's noise before rounding.
    publish_hz: rate of the state slots (the renderer's clock).
    supply: what the followers are made of and fed with: 12V, 7.4V, or 7.4 V servos on a 5V brick.
    mounts: encoders as a person's calibration has them, by arm; an arm not named has the shipped ones.
    realtime_priority: ask for SCHED_FIFO (kept quiet where it is refused; `stats` tells).
    """

    seed: int = 0
    plant_seed: int | None = 1
    task: str = "block_in_bowl"
    bimanual: bool = False
    leader: bool = True
    objects: bool = True
    zero_time: bool = False
    physics_step_ms: int = 2
    noise_ticks: float = 0.25
    publish_hz: float = 60.0
    supply: Literal["12V", "7.4V", "5V"] = "12V"
    realtime_priority: bool = False
    mounts: dict[str, tuple[JointMap, ...]] = {}

    def __post_init__(self) -> None:
        if self.physics_step_ms not in (1, 2):
            raise ValueError("physics_step_ms must be 1 or 2")
        if not 1.0 <= self.publish_hz <= 500.0:
            raise ValueError("publish_hz must be within 1 and 500")
        if not 0.0 <= self.noise_ticks <= 5.0:
            raise ValueError("noise_ticks must be within 0 and 5")

    @property
    def nominal_v(self) -> float:
        """The voltage on the followers' brick."""
        return float(self.supply.removesuffix("V"))

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Name prefixes of the arms, left first."""
        return ("left_", "right_") if self.bimanual else ("",)


def decode_options(text: str) -> PlantOptions:
    """Options from JSON. Raises ConfigError when they cannot be used."""
    try:
        return msgspec.json.decode(text.encode(), type=PlantOptions)
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"The plant's options cannot be used: {error}.",
            "A misspelt option, or a value of another type or range.",
            f"Use only: {', '.join(PlantOptions.__struct_fields__)}.",
        ) from error


@dataclass(frozen=True, slots=True)
class DriveParameters:
    """What separates one set of six servos from the next. Tuples in bus order."""

    backlash_rad: tuple[float, ...] = (0.0,) * JOINTS_PER_ARM
    torque_scale: tuple[float, ...] = (1.0,) * JOINTS_PER_ARM
    delay_ms: int = 0
    supply_v: float = 12.0

    @classmethod
    def drawn(cls, plant_seed: int | None, arm: str, nominal_v: float = 12.0) -> "DriveParameters":
        """The drives of one arm of one plant; None gives ideal ones. `nominal_v` is the brick's.

        Backlash measured on C018 was 0.87-1.3 deg, its specification says 0.5 (servo-and-twin
        facts 3.1).
        """
        if plant_seed is None:
            return cls(supply_v=nominal_v)
        draw = random.Random(f"plant-drives-{plant_seed}-{arm}")
        joints = range(JOINTS_PER_ARM)
        return cls(
            backlash_rad=tuple(math.radians(draw.uniform(0.4, 1.1)) for _ in joints),
            torque_scale=tuple(draw.uniform(0.95, 1.05) for _ in joints),
            delay_ms=draw.choice((0, 2, 4)),
            supply_v=draw.uniform(11.9, 12.3) * nominal_v / 12.0,
        )
