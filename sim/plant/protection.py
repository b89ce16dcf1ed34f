"""A servo's self-protection: overload, over-current, temperature and voltage (servo-and-twin facts
2.1).

Stepped every 10 ms, the unit of the registers. The machine decides two things besides the status
bits: the largest duty the output stage may use, and whether torque is switched off for good.
"""

from dataclasses import dataclass

from sim.plant.electrical import CURRENT_UNIT_A
from sim.plant.registers import Status, read_raw

STEP_MS = 10
OVERLOAD_TRAVEL_TICKS = 50
_NOISE_TICKS = 2  # per step; a filtered encoder flickers by one
_SETTLE_MS = 50  # temperature and over-voltage must last this long
_TEMPERATURE_HYSTERESIS_C = 6
UNLIMITED_PERMILLE = 1000.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Protection registers, in physical units."""

    unload_mask: int
    overload_permille: int
    protective_permille: int
    overload_ms: int
    current_a: float
    current_ms: int
    temperature_c: int
    minimum_v: float
    maximum_v: float

    @classmethod
    def from_memory(cls, memory: bytearray) -> "Limits":
        """Read registers 13 to 38."""
        return cls(
            unload_mask=memory[19],
            overload_permille=memory[36] * 10,
            protective_permille=memory[34] * 10,
            overload_ms=memory[35] * 10,
            current_a=read_raw(memory, "protection_current") * CURRENT_UNIT_A,
            current_ms=memory[38] * 10,
            temperature_c=memory[13],
            minimum_v=memory[15] / 10.0,
            maximum_v=memory[14] / 10.0,
        )


class Protection:
    """The four machines of one servo. `status` holds their bits, `cap_permille` the duty they
    allow."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Power-on."""
        self.status = 0
        self.cap_permille = UNLIMITED_PERMILLE
        self._overload_ms = 0
        self._travel_ticks = 0
        self._last_position = 0
        self._trip_sign = 0
        self._current_ms = 0
        self._hot_ms = 0
        self._high_ms = 0
        self._calm = True

    def torque_enabled(self) -> None:
        """Torque_Enable was written 1, or a goal re-energised the servo: the current latch starts
        over."""
        self.status &= ~Status.OVER_CURRENT
        self._current_ms = 0

    def step(
        self,
        limits: Limits,
        torque_on: bool,
        output_permille: float,
        position: int,
        current_a: float,
        temperature_c: float,
        voltage_v: float,
    ) -> bool:
        """Ten milliseconds. `output_permille` is the law's output before this machine cuts it.

        Returns True when torque must be switched off (over-current with its mask bit set).
        """
        overload = limits.overload_permille
        if (
            self._calm
            and -overload <= output_permille <= overload
            and current_a < limits.current_a
            and temperature_c <= limits.temperature_c
            and limits.minimum_v <= voltage_v <= limits.maximum_v
        ):
            return False  # nothing is counting and nothing starts to: nearly always
        self._step_overload(limits, torque_on, output_permille, position)
        self._step_temperature(limits, temperature_c)
        self._step_voltage(limits, voltage_v)
        latched = self._step_current(limits, torque_on, current_a)
        self.cap_permille = self._cap(limits)
        counting = self._overload_ms or self._current_ms or self._hot_ms or self._high_ms
        self._calm = not (counting or self.status)
        return latched

    def _cap(self, limits: Limits) -> float:
        tripped = self.status & limits.unload_mask
        if tripped & (Status.TEMPERATURE | Status.VOLTAGE | Status.ENCODER):
            return 0.0
        if tripped & Status.OVERLOAD:
            return float(limits.protective_permille)
        return UNLIMITED_PERMILLE

    def _step_overload(
        self, limits: Limits, torque_on: bool, output_permille: float, position: int
    ) -> None:
        moved = abs(position - self._last_position)
        self._last_position = position
        sign = (output_permille > 0) - (output_permille < 0)
        if self.status & Status.OVERLOAD:
            relaxed = abs(output_permille) < limits.protective_permille
            if not torque_on or relaxed or sign != self._trip_sign:
                self.status &= ~Status.OVERLOAD
                self._overload_ms = 0
            return
        if not torque_on or abs(output_permille) <= limits.overload_permille:
            self._overload_ms = 0
            return
        if self._overload_ms == 0:
            self._travel_ticks = moved = 0  # where it was before the window does not count
        self._overload_ms += STEP_MS
        if moved >= _NOISE_TICKS:
            self._travel_ticks += moved
        if self._travel_ticks >= OVERLOAD_TRAVEL_TICKS:
            self._overload_ms = 0
        elif self._overload_ms >= limits.overload_ms:
            self.status |= Status.OVERLOAD
            self._trip_sign = sign

    def _step_current(self, limits: Limits, torque_on: bool, current_a: float) -> bool:
        if current_a < limits.current_a:
            self._current_ms = 0
            if torque_on:
                self.status &= ~Status.OVER_CURRENT
            return False
        self._current_ms += STEP_MS
        if self._current_ms < limits.current_ms:
            return False
        self.status |= Status.OVER_CURRENT
        return bool(limits.unload_mask & Status.OVER_CURRENT)

    def _step_temperature(self, limits: Limits, temperature_c: float) -> None:
        if temperature_c > limits.temperature_c:
            self._hot_ms += STEP_MS
            if self._hot_ms >= _SETTLE_MS:
                self.status |= Status.TEMPERATURE
            return
        self._hot_ms = 0
        if temperature_c <= limits.temperature_c - _TEMPERATURE_HYSTERESIS_C:
            self.status &= ~Status.TEMPERATURE

    def _step_voltage(self, limits: Limits, voltage_v: float) -> None:
        self._high_ms = self._high_ms + STEP_MS if voltage_v > limits.maximum_v else 0
        if voltage_v < limits.minimum_v or self._high_ms >= _SETTLE_MS:
            self.status |= Status.VOLTAGE
        elif self._high_ms == 0:
            self.status &= ~Status.VOLTAGE
