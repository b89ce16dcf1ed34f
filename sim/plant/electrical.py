"""Motor, winding temperature and supply: what a servo's duty costs in amperes and does to the
others.

Pure state machines stepped every 10 ms. Figures are the published ones of each gear variant
(servo-and-twin facts 3.1); the winding resistance, the torque constant and the back-EMF follow
from stall torque, stall current and no-load speed.
"""

import math
from dataclasses import dataclass

AMBIENT_C = 25.0
THERMAL_RESISTANCE_C_PER_W = 2.84
"""15 kg.cm held on a C018 (half of stall, 8.1 W in the winding) settled at 48 C (facts 3.1)."""
THERMAL_TIME_S = 200.0  # that took about ten minutes: three time constants
FREE_CURRENT_A = 0.02  # electronics of one idle servo
CURRENT_UNIT_A = 0.0065


@dataclass(frozen=True, slots=True)
class ServoVariant:
    """One STS3215 gear and winding at its nominal voltage."""

    name: str
    nominal_v: float
    stall_nm: float
    stall_a: float
    no_load_rad_s: float

    @property
    def resistance_ohm(self) -> float:
        """Winding, bridge and leads."""
        return self.nominal_v / self.stall_a

    @property
    def back_emf_nm_s(self) -> float:
        """Braking torque per rad/s while the bridge drives or shorts the motor; none when it
        floats."""
        return self.stall_nm / self.no_load_rad_s

    @property
    def generator_v_s(self) -> float:
        """Back-EMF in volts per rad/s at the output."""
        return self.nominal_v / self.no_load_rad_s

    def torque_nm(self, duty: float, supply_v: float) -> float:
        """Torque of a standing shaft; back-EMF and friction belong to the physics."""
        return self.stall_nm * duty * supply_v / self.nominal_v

    def supply_current_a(self, duty: float, supply_v: float, speed_rad_s: float) -> float:
        """Current drawn from the supply (never negative: the bridge feeds nothing back)."""
        winding_a = self.winding_current_a(duty, supply_v, speed_rad_s)
        return max(0.0, duty * winding_a)

    def winding_current_a(self, duty: float, supply_v: float, speed_rad_s: float) -> float:
        """Current in the winding, signed like the torque it makes."""
        return (duty * supply_v - self.generator_v_s * speed_rad_s) / self.resistance_ohm


_RPM = math.tau / 60.0
C001 = ServoVariant("C001", 7.4, 1.91, 2.0, 52 * _RPM)
C018 = ServoVariant("C018", 12.0, 2.94, 2.7, 45 * _RPM)
C044 = ServoVariant("C044", 7.4, 1.06, 2.0, 94 * _RPM)
C046 = ServoVariant("C046", 7.4, 0.81, 2.0, 122 * _RPM)

FOLLOWER_12V = (C018,) * 6
FOLLOWER_7V4 = (C001,) * 6
LEADER_7V4 = (C044, C001, C044, C046, C046, C046)


class Winding:
    """Temperature of one servo: a single thermal mass over ambient."""

    def __init__(self, ambient_c: float = AMBIENT_C) -> None:
        self._ambient_c = ambient_c
        self.temperature_c = ambient_c
        self._heated_c: float | None = None

    def heat(self, celsius: float | None) -> None:
        """Keep it at a temperature whatever it does; None: cold again, at ambient."""
        self._heated_c = celsius
        self.temperature_c = self._ambient_c if celsius is None else celsius

    def step(
        self, winding_a: float, resistance_ohm: float, duty_on: bool, elapsed_s: float
    ) -> None:
        """Heat by the copper loss for `elapsed_s`; a floating bridge carries no current."""
        if self._heated_c is not None:
            return
        power_w = winding_a * winding_a * resistance_ohm if duty_on else 0.0
        settled_c = self._ambient_c + power_w * THERMAL_RESISTANCE_C_PER_W
        self.temperature_c += (settled_c - self.temperature_c) * elapsed_s / THERMAL_TIME_S


class Supply:
    """The power brick and the daisy chain of one arm: the voltage sags with the sum of all
    currents."""

    def __init__(self, open_circuit_v: float, resistance_ohm: float = 0.12) -> None:
        self.open_circuit_v = open_circuit_v
        self._resistance_ohm = resistance_ohm
        self.voltage_v = open_circuit_v

    def step(self, total_a: float) -> None:
        """Settle to the voltage under `total_a`."""
        self.voltage_v = max(0.0, self.open_circuit_v - self._resistance_ohm * total_a)
