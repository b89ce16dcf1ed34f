"""What is wrong with the arm, judged once a tick from what the servos said. Pure.

A single lost read is nothing. Three in a row are *degraded*; ten are a fault with a name. A servo
that reports torque off while the arm is armed, or has forgotten what arming wrote, has lost its
supply or rebooted: that is a fault, and nothing but arming switches it on again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from robotd.states import Fault, Torque

# Register 65 (and the error byte of every reply).
VOLTAGE_BIT = 0x01
ENCODER_BIT = 0x02
TEMPERATURE_BIT = 0x04
CURRENT_BIT = 0x08
OVERLOAD_BIT = 0x20  # `daemon.control.stall` answers it; on the gripper it is no fault


class ServoView(msgspec.Struct, frozen=True, gc=False):
    """One servo as the watch sees it. Made a dozen times a tick."""

    misses: int  # reads missed in a row
    status: int
    temperature_c: float
    torque: Torque
    restarted: bool = False
    doubts: int = 0  # position readings in a row that it cannot have got to


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault and the joint (index in the arm) it is about; -1 for the whole bus."""

    fault: Fault
    joint: int


def judge(
    servos: Sequence[ServoView], armed: bool, fault_after: int, stop_at_c: float
) -> Finding | None:
    """The worst thing wrong with one arm, or None."""
    if all(servo.misses >= fault_after for servo in servos):
        return Finding(Fault.BUS_LOST, -1)
    for joint, servo in enumerate(servos):
        if servo.misses >= fault_after:
            return Finding(Fault.SERVO_LOST, joint)
        if servo.doubts >= fault_after:
            return Finding(Fault.ENCODER, joint)
    if not armed:
        return None
    for joint, servo in enumerate(servos):
        if servo.torque is Torque.OFF or servo.restarted:
            return Finding(Fault.SERVO_REBOOTED, joint)
        if servo.temperature_c >= stop_at_c or servo.status & TEMPERATURE_BIT:
            return Finding(Fault.OVERHEATED, joint)
        if servo.status & (ENCODER_BIT | CURRENT_BIT):
            return Finding(Fault.SERVO_STATUS, joint)
    return None


def degraded(servos: Sequence[ServoView], after: int) -> bool:
    """Whether any servo has given no position to go by in `after` reads or more in a row."""
    return any(max(servo.misses, servo.doubts) >= after for servo in servos)
