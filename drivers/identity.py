"""Who answers on a servo bus: one that is well, complaining, of another model, doubled, or nobody.

LeRobot calls each of these "Missing motor IDs". They need different hands: a cable, a look at the
power supply, another servo, or setting an id again; so they are told apart here.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from drivers.bus import Probe, ServoBus
from drivers.registers import (
    FIRMWARE_MAJOR,
    MODEL_NUMBER,
    STS3215_MODEL_NUMBER,
    TELEMETRY_ADDRESS,
    TELEMETRY_LENGTH,
    ServoStatus,
)
from robotd.clock import NS_PER_MS
from robotd.errors import BusError

LISTEN_NS: Final = 5 * NS_PER_MS
"""How long a second servo with the same id has to be heard: five USB frames after the first."""

_TIMEOUTS_NS: Final = (20 * NS_PER_MS, 50 * NS_PER_MS, 100 * NS_PER_MS)
"""One a try. The first exchange after opening a port may take 80 ms; only the third silence is a
servo that is not there."""

_NO_COMPLAINT: Final = ServoStatus(0)
_IDENTITY_LENGTH: Final = MODEL_NUMBER.address + MODEL_NUMBER.size  # firmware and model, 0..4


class Presence(Enum):
    """What was found under a servo id."""

    WELL = "well"
    FAULTED = "faulted"  # answers, and its status byte complains
    WRONG_MODEL = "wrong model"
    DUPLICATE = "duplicate"  # more than one servo answered
    GARBLED = "garbled"  # bytes came, never a whole reply: two servos at once, or noise
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class ServoIdentity:
    """One id's occupant. `model` and `firmware` are None where nothing readable answered."""

    joint: str
    servo_id: int
    presence: Presence
    model: int | None = None
    firmware: tuple[int, int] | None = None
    status: ServoStatus = _NO_COMPLAINT

    def problem(self) -> BusError | None:
        """Return what is wrong in three sentences, or None for a servo that is well."""
        who = f"{self.joint} (servo {self.servo_id})"
        match self.presence:
            case Presence.WELL:
                return None
            case Presence.FAULTED:
                return _status_problem(who, self.status)
            case Presence.WRONG_MODEL:
                return BusError(
                    f"{who} is model {self.model}, not an STS3215 ({STS3215_MODEL_NUMBER}).",
                    "Another kind of servo is built in, or another robot is on this port.",
                    "Check that the profile's port is this arm's.",
                )
            case Presence.DUPLICATE:
                return BusError(
                    f"More than one servo answers as {who}.",
                    "Two servos carry the same id; new ones all come as 1.",
                    "Connect one servo at a time and run `lerobot-setup-motors`.",
                )
            case Presence.GARBLED:
                return BusError(
                    f"{who} answers, but never readably.",
                    "Two servos with one id talk over each other, or a plug makes bad contact.",
                    "Reseat the cables at this servo; if it stays, run `lerobot-setup-motors`.",
                )
        return BusError(
            f"{who} does not answer.",
            "A loose daisy-chain cable before it, no servo power, or it carries another id.",
            f"Check the power supply and the cable into servo {self.servo_id}.",
        )


def identify_servo(bus: ServoBus, joint: str, servo_id: int) -> ServoIdentity:
    """Find out who answers under an id. Only reads. Raises BusError when the line is gone."""
    identity = _probe(bus, servo_id, FIRMWARE_MAJOR.address, _IDENTITY_LENGTH)
    if identity.reply is None:
        presence = Presence.GARBLED if identity.discarded_bytes else Presence.ABSENT
        return ServoIdentity(joint, servo_id, presence)
    firmware = (identity.reply.data[0], identity.reply.data[1])
    model = MODEL_NUMBER.decode(identity.reply.data[MODEL_NUMBER.address :])
    # Two servos send the same identity at once and sound like one; their measurements differ.
    measured = _probe(bus, servo_id, TELEMETRY_ADDRESS, TELEMETRY_LENGTH)
    error = (measured.reply or identity.reply).error
    if identity.surplus or measured.surplus:
        presence = Presence.DUPLICATE
    elif measured.reply is None:
        presence = Presence.GARBLED
    elif model != STS3215_MODEL_NUMBER:
        presence = Presence.WRONG_MODEL
    else:
        presence = Presence.FAULTED if error else Presence.WELL
    return ServoIdentity(joint, servo_id, presence, model, firmware, ServoStatus(error))


def _probe(bus: ServoBus, servo_id: int, address: int, length: int) -> Probe:
    """Ask until something readable comes; keep count of what was not."""
    discarded_bytes = 0
    for timeout_ns in _TIMEOUTS_NS:
        probe = bus.probe(servo_id, address, length, timeout_ns, LISTEN_NS)
        discarded_bytes += probe.discarded_bytes
        if probe.reply is not None:
            return probe
    return Probe(None, 0, discarded_bytes)


_STATUS_HELP: Final = {
    ServoStatus.VOLTAGE: (
        "the supply voltage is outside its limits",
        "The power supply does not match the servos (7.4 V and 12 V kinds), or it sags.",
        "Check the supply's label and its plug; `robotd status` shows the measured voltage.",
    ),
    ServoStatus.ENCODER: (
        "its position sensor fails",
        "The magnetic encoder is damaged or its magnet moved.",
        "Cut the power and turn it on again; if it stays, replace the servo.",
    ),
    ServoStatus.OVER_TEMPERATURE: (
        "it is too hot",
        "It has been holding a load for a long time.",
        "Support the arm by hand, disarm, and let it cool for ten minutes.",
    ),
    ServoStatus.OVER_CURRENT: (
        "it drew too much current and let go",
        "The joint is blocked, or the arm carries too much.",
        "Free the joint, then arm again.",
    ),
    ServoStatus.OVERLOAD: (
        "it is overloaded and pushes with reduced force",
        "The joint pushes against something, or the gripper squeezed for over 2 s.",
        "Free the joint or open the gripper; moving the goal back clears it.",
    ),
}


def _status_problem(who: str, status: ServoStatus) -> BusError:
    known = [_STATUS_HELP[bit] for bit in ServoStatus if status & bit]
    if not known:
        return BusError(
            f"{who} reports the unknown status 0x{status:02x}.",
            "A firmware newer than robotd's table.",
            "Cut the servo power, turn it on again, and report the number if it stays.",
        )
    complaints = " and ".join(what for what, _, _ in known)
    return BusError(f"{who} says that {complaints}.", known[0][1], known[0][2])
