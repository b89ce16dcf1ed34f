"""Faults put into a world and taken out again: what each line of `fault_table` does to the plant.

Every fault is a pair: how to do it, and how to undo it. The undo is kept until a person clears the
fault, sets it anew, or its time on the plant's clock is over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sim.plant.arm import Arm
from sim.plant.fault_table import FAULTS, FaultSpec, Reach
from sim.plant.faults import FaultKind
from sim.plant.registers import Status, write_raw
from sim.plant.servo import Servo
from sim.plant.world_messages import FaultNow, SetFault, WorldError

_BITS = {
    "voltage_bit": Status.VOLTAGE,
    "encoder_bit": Status.ENCODER,
    "temperature_bit": Status.TEMPERATURE,
    "current_bit": Status.OVER_CURRENT,
    "overload_bit": Status.OVERLOAD,
}
_GHOST_TICKS = 1_234  # where the second servo of an id stands: not where the first one does
_MS_PER_S = 1_000
_TURN = 4_096

Undo = Callable[[], None]
_Key = tuple[str, str, int | None]  # arm, fault, servo


class Cable(Protocol):
    """An arm's USB cable."""

    def plug(self, elsewhere: bool = False) -> None:
        """Put it in, as the device it was or as another tty."""

    def unplug(self) -> None:
        """Pull it."""


@dataclass(slots=True)
class _Standing:
    """A fault that is set."""

    value: int | None
    until_ms: int | None
    undo: Undo


class Injector:
    """The faults of one world. Time is the plant's, in ms."""

    def __init__(
        self, arms: Mapping[str, Arm], set_stuck: Callable[[str, int, bool], None]
    ) -> None:
        self.cables: dict[str, Cable] = {}
        self._arms = arms
        self._set_stuck = set_stuck
        self._standing: dict[_Key, _Standing] = {}

    def inject(self, request: SetFault, now_ms: int) -> None:
        """Set a fault. Raises WorldError for one that does not exist or cannot be set so."""
        spec, arm = self._checked(request)
        key = (request.arm, spec.name, request.servo_id)
        before = self._standing.pop(key, None)
        if before is not None:
            before.undo()
        value = request.value
        if value is None and spec.value is not None:
            value = spec.value.default
        undo = self._do(spec, arm, request, value)
        if spec.momentary or request.replies is not None:
            return
        until_ms = None if request.seconds is None else now_ms + int(request.seconds * _MS_PER_S)
        self._standing[key] = _Standing(value, until_ms, undo)

    def expire(self, now_ms: int) -> None:
        """Undo what was set for a time that is over."""
        if not self._standing:
            return
        over = [
            key
            for key, standing in self._standing.items()
            if standing.until_ms is not None and standing.until_ms <= now_ms
        ]
        for key in over:
            self._standing.pop(key).undo()

    def clear(self, arm: str) -> None:
        """Undo everything that was set on one arm, the newest first."""
        for key in [key for key in reversed(self._standing) if key[0] == arm]:
            self._standing.pop(key).undo()
        self._arms[arm].bus.faults.clear()  # what was set for a number of replies

    def now(self, now_ms: int) -> list[FaultNow]:
        """What is set, the oldest first."""
        return [
            FaultNow(
                arm,
                kind,
                servo_id,
                each.value,
                None if each.until_ms is None else (each.until_ms - now_ms) / _MS_PER_S,
            )
            for (arm, kind, servo_id), each in self._standing.items()
        ]

    # --- what may be asked ------------------------------------------------------------------------

    def _checked(self, request: SetFault) -> tuple[FaultSpec, Arm]:
        spec = FAULTS.get(request.kind)
        if spec is None:
            raise WorldError(f"no fault {request.kind!r}: {', '.join(FAULTS)}")
        arm = self._arms.get(request.arm)
        if arm is None:
            raise WorldError(f"no arm {request.arm!r}: {', '.join(self._arms)}")
        ids = [servo.servo_id for servo in arm.servos]
        if request.servo_id is None and spec.reach in (Reach.SERVO, Reach.JOINT):
            raise WorldError(f"{spec.name} is of one servo: say which ({ids[0]}..{ids[-1]})")
        if request.servo_id is not None and spec.reach is Reach.ARM:
            raise WorldError(f"{spec.name} is of the whole arm, not of one servo")
        if request.servo_id is not None and request.servo_id not in ids:
            raise WorldError(f"no servo {request.servo_id} on {request.arm}")
        if request.onward and not spec.counts_replies:
            raise WorldError(f"{spec.name} cannot be had from one servo on")
        if request.replies is not None and not (spec.counts_replies and request.replies > 0):
            raise WorldError(f"{spec.name} is not counted in {request.replies} replies")
        if request.seconds is not None and not (request.seconds > 0 and not spec.momentary):
            raise WorldError(f"{spec.name} cannot last {request.seconds:g} s")
        if request.value is not None:
            allowed = spec.value
            if allowed is None:
                raise WorldError(f"{spec.name} takes no value")
            if not allowed.minimum <= request.value <= allowed.maximum:
                raise WorldError(
                    f"{spec.name} takes {allowed.minimum}..{allowed.maximum} {allowed.unit}"
                )
        return spec, arm

    # --- doing ------------------------------------------------------------------------------------

    def _do(self, spec: FaultSpec, arm: Arm, request: SetFault, value: int | None) -> Undo:
        if spec.counts_replies:
            return _spoil(spec, arm, request, value)
        if spec.reach is Reach.ARM:
            return self._do_arm(spec.name, arm, value or 0)
        if spec.name == "loss":
            return _lose(arm, request.servo_id, value or 1)
        servo = next(each for each in arm.servos if each.servo_id == request.servo_id)
        if spec.name == "stuck":
            servo_id = servo.servo_id
            self._set_stuck(arm.name, servo_id, True)
            return lambda: self._set_stuck(arm.name, servo_id, False)
        if spec.name == "duplicate_id":
            return _double(arm, servo)
        return _change(spec.name, servo, value or 0)

    def _do_arm(self, name: str, arm: Arm, value: int) -> Undo:
        line = arm.bus.line
        match name:
            case "stall":
                line.stall_ms = value
                return lambda: setattr(line, "stall_ms", 0)
            case "slow_usb":
                line.frame_late_ms = value
                return lambda: setattr(line, "frame_late_ms", None)
            case "supply":
                before_v, arm.supply.open_circuit_v = arm.supply.open_circuit_v, value / 10
                return lambda: setattr(arm.supply, "open_circuit_v", before_v)
            case "unplug" | "unplug_moved":
                cable = self.cables.get(arm.name)
                if cable is None:
                    raise WorldError(f"{name} needs a cable, and {arm.name} has none here")
                cable.unplug()
                return lambda: cable.plug(elsewhere=name == "unplug_moved")
        arm.power(False)
        return lambda: arm.power(True, int(name == "power_cut_stiff"))


def _spoil(spec: FaultSpec, arm: Arm, request: SetFault, value: int | None) -> Undo:
    first = request.servo_id or 0
    cut = spec.name == "cable_break"
    kind = FaultKind.SILENT if cut else FaultKind(spec.name)
    ids = [servo.servo_id for servo in arm.servos]
    spoilt = [each for each in ids if each == first or ((cut or request.onward) and each > first)]
    if kind is FaultKind.WRONG_ID and value == -1:
        value = None
    for servo_id in spoilt:
        arm.bus.faults.set(servo_id, kind, value=value, replies=request.replies)

    def undo() -> None:
        for servo_id in spoilt:
            arm.bus.faults.clear(servo_id)

    return undo


def _lose(arm: Arm, servo_id: int | None, one_in: int) -> Undo:
    ids = [servo.servo_id for servo in arm.servos if servo_id in (None, servo.servo_id)]
    for each in ids:
        arm.bus.faults.lose(each, one_in)

    def undo() -> None:
        for each in ids:
            arm.bus.faults.lose(each, None)

    return undo


def _double(arm: Arm, servo: Servo) -> Undo:
    """A factory-new servo that was given the same id: it hears, obeys and talks at the same time."""
    ghost = Servo(servo.servo_id, variant=servo.variant, shaft_ticks=_GHOST_TICKS)
    arm.bus.servos.append(ghost)
    return lambda: arm.bus.servos.remove(ghost)


def _change(name: str, servo: Servo, value: int) -> Undo:
    """What is wrong inside one servo."""
    if name in _BITS:
        bit = _BITS[name]
        servo.forced_status |= bit
        return lambda: setattr(servo, "forced_status", servo.forced_status & ~bit)
    match name:
        case "hot":
            servo.winding.heat(value)
            return lambda: servo.winding.heat(None)
        case "encoder_jump":
            servo.misread(value, within_turn=True)
            return lambda: servo.misread(0, within_turn=True)
        case "encoder_turns":
            servo.misread(_TURN * value, within_turn=False)
            return lambda: servo.misread(0, within_turn=True)
        case "firmware":
            return _factory(servo, "firmware_minor", value)
        case "model":
            return _factory(servo, "model_number", value)
    servo.power_on()
    return lambda: None


def _factory(servo: Servo, register: str, value: int) -> Undo:
    """Another value in a register that no instruction can write."""
    before = bytes(servo.flash)
    write_raw(servo.flash, register, value)
    write_raw(servo.memory, register, value)

    def undo() -> None:
        for address in range(5):
            servo.flash[address] = servo.memory[address] = before[address]

    return undo
