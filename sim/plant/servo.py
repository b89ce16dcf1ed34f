"""One STS3215: 88 bytes of memory with their side effects, and a millisecond of its firmware.

The servo knows nothing of packets or time on the wire (`sim.plant.bus`) nor of the world
(`sim.plant.physics`): it is told its shaft's angle once a millisecond and answers with the duty of
its output stage.
"""

import math
import random
import struct
from collections.abc import Callable

from sim.plant import registers as reg
from sim.plant.electrical import (
    C018,
    CURRENT_UNIT_A,
    FREE_CURRENT_A,
    ServoVariant,
    Winding,
)
from sim.plant.law import Mode, PositionLaw
from sim.plant.protection import STEP_MS, Limits, Protection
from sim.plant.registers import Phase, read_raw, read_value, write_raw, write_value

CALIBRATE_TORQUE = 128
"""Written to Torque_Enable: make the present position 2048."""
TORQUE_DAMPING = 2
MIDPOINT = 2048

_TURNS = (
    10 * 4096
)  # added before truncation so that int() rounds the same way on both sides of zero
_NOISE_SAMPLES = 4096
_VELOCITY_WINDOW_MS = 20
_VELOCITY_SCALE = 1000 // _VELOCITY_WINDOW_MS  # quantum 50 step/s
_STEP_S = STEP_MS / 1000.0
_RAD_S_PER_TICK = math.tau / 4096.0 / _STEP_S
_GOAL, _GOAL_END = 42, 44
_GOAL_MODES = (Mode.POSITION, Mode.STEP)  # modes in which a goal position means something
_TURN_MODES = (Mode.VELOCITY, Mode.STEP)  # modes that count turns
_NO_RECONFIGURATION = frozenset((40, 42, 43, 55))  # torque, goal and lock are no parameters
_TELEMETRY = struct.Struct("<HHHBBBBBHHH")  # registers 56 to 72


class Servo:
    """One servo. `memory` is what READ sees, `flash` what survives a power cycle."""

    def __init__(
        self,
        servo_id: int,
        *,
        variant: ServoVariant = C018,
        shaft_ticks: float = 2048.0,
        noise_ticks: float = 0.0,
        seed: int = 0,
        overrides: dict[str, int] | None = None,
    ) -> None:
        """`overrides` are EPROM registers (name to value) written at the factory bench."""
        self.variant = variant
        self.flash = reg.factory_memory()
        write_raw(self.flash, "id", servo_id)
        for name, value in (overrides or {}).items():
            write_value(self.flash, name, value)
        self.backup = bytes(self.flash)
        self.memory = bytearray(self.flash)
        self.law = PositionLaw(self.memory)
        self._law_tick = self.law.tick
        self.protection = Protection()
        self.winding = Winding()
        self.powered = True
        self.offline_until_ns = 0
        self.flash_writes = 0
        self.forced_status = 0
        self.supply_v = variant.nominal_v
        self.current_a = FREE_CURRENT_A
        self.on_torque_change: Callable[[], None] | None = None
        draw = random.Random(f"encoder-{seed}-{servo_id}")
        self._noise = [draw.gauss(0.0, noise_ticks) + _TURNS + 0.5 for _ in range(_NOISE_SAMPLES)]
        self._shaft_ticks = shaft_ticks
        self._turns = 0
        self._misread_ticks = 0
        self._misread_turns = 0
        self.position = 0
        self._registered: tuple[int, bytes] | None = None
        self.power_on()

    # --- power -----------------------------------------------------------------------------------

    def power_on(self, torque_enable: int = 0) -> None:
        """Boot: registers from flash, Lock 1, Torque_Limit from Max_Torque_Limit, torque off.

        `torque_enable=1` is the fault of a servo that comes back stiff, holding where it woke.
        """
        self.powered = True
        self.memory[:] = self.flash
        write_raw(self.memory, "torque_limit", read_raw(self.memory, "max_torque_limit"))
        self._registered = None
        self._count = 0
        self._filtered = float(int(self._shaft_ticks + _TURNS + 0.5))
        self._output_permille = 0.0
        self._velocity_steps_s = 0
        self._speed_mark_ticks = self._shaft_ticks
        self.duty = 0.0
        self.protection.reset()
        self._configure()
        self.reset_turns()
        self._velocity_mark = self.position
        self.law.reset(self.position)
        self.memory[40] = torque_enable
        self._torque_changed()

    def power_off(self) -> None:
        """The plug is out: no torque, no replies."""
        self.powered = False
        self.memory[40] = 0
        self.duty = 0.0
        self._torque_changed()

    def place_shaft(self, shaft_ticks: float) -> None:
        """The shaft was put here by hand between two ticks; a servo with torque holds it here."""
        self._shaft_ticks = self._speed_mark_ticks = shaft_ticks
        self._filtered = float(int(shaft_ticks + _TURNS + 0.5))
        self.reset_turns()
        self._velocity_mark = self.position
        self.law.reset(self.position)

    def reset_turns(self) -> None:
        """Forget whole turns: the present position is within one turn again."""
        raw = int(self._filtered + 0.5) - _TURNS
        self._turns = (raw - self._offset) // 4096
        self._update_position()

    # --- registers -------------------------------------------------------------------------------

    @property
    def servo_id(self) -> int:
        """Register 5."""
        return self.memory[5]

    @property
    def torque_enable(self) -> int:
        """Register 40: 0 free, 1 on, 2 damping."""
        return self.memory[40]

    @property
    def status(self) -> int:
        """Register 65, live: every reply carries it as its error byte."""
        return self.protection.status | self.forced_status

    def read(self, address: int, length: int) -> bytes | None:
        """READ: clamped at the end of the table; None (no reply) behind it."""
        if address > reg.LAST_READABLE:
            return None
        self._refresh()
        return bytes(self.memory[address : min(address + length, reg.LAST_READABLE + 1)])

    def write(self, address: int, data: bytes) -> bool:
        """WRITE: read-only bytes are skipped without complaint. True when flash was programmed."""
        memory = self.memory
        if address == _GOAL and len(data) == 2:  # a streamed goal: the write that comes all day
            memory[_GOAL:_GOAL_END] = data
            self._goal_written()
            return False
        unlocked = memory[55] == 0
        torque_before = memory[40]
        programmed = reconfigure = False
        for number, byte in enumerate(data, start=address):
            if number not in reg.WRITABLE_ADDRESSES:
                continue
            if memory[number] != byte:
                memory[number] = byte
                reconfigure = reconfigure or number not in _NO_RECONFIGURATION
            if unlocked and number in reg.EPROM_ADDRESSES and self.flash[number] != byte:
                self.flash[number] = byte
                programmed = True
        self.flash_writes += programmed
        if reconfigure:
            self._configure()
        self._after_write(address, address + len(data), torque_before)
        return programmed

    def _after_write(self, first: int, end: int, torque_before: int) -> None:
        def touched(address: int, size: int = 1) -> bool:
            return first < address + size and end > address

        memory = self.memory
        if touched(31, 2) or touched(18) or touched(33):
            self._update_position()
            self.law.reset(self.position)
        if touched(40):
            if memory[40] == CALIBRATE_TORQUE:
                memory[40] = 0
                self.calibrate(MIDPOINT)
            if memory[40] and not torque_before:
                self.law.reset(self.position)
                self.protection.torque_enabled()
        if memory[40] != torque_before:
            self._torque_changed()
        if touched(_GOAL, 2):
            self._goal_written()

    def _goal_written(self) -> None:
        """The firmware switches torque on by itself when a goal arrives (facts 0.1)."""
        if self.law.mode not in _GOAL_MODES:
            return
        memory = self.memory
        if memory[40] != 1:
            memory[40] = 1
            self.law.reset(self.position)
            self.protection.torque_enabled()
            self._torque_changed()
        goal = memory[_GOAL] | memory[_GOAL + 1] << 8
        self.law.set_goal(goal if goal < 0x8000 else 0x8000 - goal, self.position)

    def register_write(self, address: int, data: bytes) -> None:
        """REG_WRITE: keep it until ACTION."""
        self._registered = (address, data)
        self.memory[64] = 1

    def action(self) -> bool:
        """ACTION: do what REG_WRITE left. True when flash was programmed."""
        pending, self._registered = self._registered, None
        self.memory[64] = 0
        return self.write(*pending) if pending is not None else False

    def calibrate(self, wanted: int) -> None:
        """Make the present position `wanted`; the offset goes to flash whatever Lock says."""
        raw = (int(self._filtered + 0.5) - _TURNS) & 4095
        offset = (raw - wanted + 2048) % 4096 - 2048
        write_value(self.memory, "homing_offset", offset)
        self.flash[31:33] = self.memory[31:33]
        self.flash_writes += 1
        self._configure()
        self.reset_turns()
        self.law.reset(self.position)

    def store_backup(self) -> None:
        """BACKUP: the EPROM of now becomes what RECOVER restores."""
        self.backup = bytes(self.flash)

    def recover(self) -> None:
        """RECOVER: EPROM from the backup; the id stays."""
        for address in reg.EPROM_ADDRESSES - {5}:
            self.memory[address] = self.flash[address] = self.backup[address]
        self.flash_writes += 1
        self._configure()
        self._update_position()
        self.law.reset(self.position)

    def misread(self, ticks: int, *, within_turn: bool) -> None:
        """Tell a position that is `ticks` off from now on, or off by whole turns. The servo's own
        law goes by the right one: the shaft does not move for it."""
        self._misread_ticks = ticks if within_turn else 0
        self._misread_turns = 0 if within_turn else ticks

    # --- firmware --------------------------------------------------------------------------------

    def tick(self, shaft_ticks: float) -> float:
        """One millisecond with the shaft at `shaft_ticks` (unwrapped): signed duty in -1..1."""
        self._shaft_ticks = shaft_ticks
        count = self._count = self._count + 1
        raw = int(shaft_ticks + self._noise[count & 4095])
        self._filtered = filtered = 0.2 * self._filtered + 0.8 * raw
        if self._plain_feedback:
            position = self.position = (int(filtered + 0.5) - self._offset) & 4095
        else:
            self._update_position()
            position = self.position
        output = self._law_tick(position) if self.memory[40] == 1 else 0.0
        if not count % STEP_MS:
            self._output_permille = output
            self._slow_step()
        if output:
            cap = self.protection.cap_permille
            if output > cap:
                output = cap
            elif output < -cap:
                output = -cap
        self.duty = duty = output * self._drive_sign
        return duty

    def _slow_step(self) -> None:
        """Every 10 ms: current, heat, protection; every 20 ms the velocity register."""
        speed = (self._shaft_ticks - self._speed_mark_ticks) * _RAD_S_PER_TICK
        self._speed_mark_ticks = self._shaft_ticks
        if not self._count % _VELOCITY_WINDOW_MS:
            moved = (self.position - self._velocity_mark + 2048) % 4096 - 2048
            self._velocity_steps_s = moved * _VELOCITY_SCALE
            self._velocity_mark = self.position
        driven = self.memory[40] != 0
        variant = self.variant
        winding_a = 0.0
        self.current_a = FREE_CURRENT_A
        if driven:
            winding_a = variant.winding_current_a(self.duty, self.supply_v, speed)
            drawn_a = self.duty * winding_a
            if drawn_a > 0.0:
                self.current_a += drawn_a
        self.winding.step(winding_a, variant.resistance_ohm, driven, _STEP_S)
        latched = self.protection.step(
            self._limits,
            self.memory[40] == 1,
            self._output_permille,
            self.position,
            self.current_a,
            self.winding.temperature_c,
            self.supply_v,
        )
        if latched and self.memory[40]:
            self.memory[40] = 0
            self.duty = 0.0
            self._torque_changed()

    def _configure(self) -> None:
        memory = self.memory
        self._offset = read_value(memory, "homing_offset")
        phase = memory[18]
        self._drive_sign = -0.001 if phase & Phase.DRIVE_REVERSED else 0.001
        self._feedback_reversed = bool(phase & Phase.FEEDBACK_REVERSED)
        self._counts_turns = bool(phase & Phase.MULTI_TURN) or memory[33] in _TURN_MODES
        self._plain_feedback = not (self._feedback_reversed or self._counts_turns)
        self._limits = Limits.from_memory(memory)
        self.law.configure(memory)

    def _update_position(self) -> None:
        raw = int(self._filtered + 0.5) - _TURNS
        if self._feedback_reversed:
            raw = 4095 - raw
        if self._counts_turns:
            self.position = raw - self._offset - 4096 * self._turns
        else:
            self.position = (raw - self._offset) & 4095

    def _torque_changed(self) -> None:
        if self.on_torque_change is not None:
            self.on_torque_change()

    def _refresh(self) -> None:
        """Bring the telemetry registers up to date; done on reading, not every millisecond."""
        memory = self.memory
        speed = self._velocity_steps_s
        moving = abs(speed) >= max(memory[80] * 50, 50) or (memory[40] == 1 and self.law.moving)
        position = self.position
        if self._misread_ticks:
            position = (position + self._misread_ticks) & 4095
        position += self._misread_turns
        sense = not memory[18] & Phase.NO_CURRENT_SENSE
        _TELEMETRY.pack_into(
            memory,
            56,
            _signed(position, 0x8000),
            _signed(speed, 0x8000),
            _signed(round(self.duty * 1000), 0x400),
            min(255, int(self.supply_v * 10 + 0.5)),
            min(255, int(self.winding.temperature_c + 0.5)),
            memory[64],
            self.protection.status | self.forced_status,
            moving,
            # The firmware's internal goal follows the shaft while torque is off.
            _signed(int(self.law.profile) if memory[40] else self.position, 0x8000),
            int(self.current_a / CURRENT_UNIT_A + 0.5) if sense else 0,
            _signed(round(self.law.velocity * 1000), 0x8000),
        )


def _signed(value: int, sign: int) -> int:
    """Sign-magnitude with the sign in the bit of value `sign`."""
    if 0 <= value < sign:
        return value
    return min(value, sign - 1) if value > 0 else min(-value, sign - 1) | sign
