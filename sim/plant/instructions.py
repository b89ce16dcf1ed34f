"""What each instruction makes of one servo: the reply it earns and how long the servo is busy with
it.

SYNC_READ and SYNC_WRITE are not here: they address many servos, so the bus takes them apart.
"""

from sim.plant.registers import decode_sign
from sim.plant.servo import MIDPOINT, Servo
from sim.plant.wire import Instruction

REBOOT_NS = 800_000_000
FLASH_PROGRAM_NS = 3_000_000
"""An EPROM write with Lock 0 programs flash: milliseconds in which the servo hears nothing."""


def execute(servo: Servo, code: int, parameters: bytes) -> tuple[bytes | None, int]:
    """Carry out one instruction.

    Returns the parameters of the reply (None: no reply of its own) and the busy time in ns. Who may
    answer a broadcast is the bus's business.
    """
    match code:
        case Instruction.PING:
            return b"", 0
        case Instruction.READ:
            return (servo.read(parameters[0], parameters[1]) if len(parameters) == 2 else b""), 0
        case Instruction.REBOOT:
            servo.power_on()
            return None, REBOOT_NS
    programmed = _change(servo, code, parameters)
    return (b"" if servo.memory[8] else None), FLASH_PROGRAM_NS * programmed


def _change(servo: Servo, code: int, parameters: bytes) -> bool:
    """Instructions that change the servo; True when flash was programmed."""
    match code:
        case Instruction.WRITE if parameters:
            return servo.write(parameters[0], parameters[1:])
        case Instruction.REG_WRITE if parameters:
            servo.register_write(parameters[0], parameters[1:])
        case Instruction.ACTION:
            return servo.action()
        case Instruction.RECOVER:
            servo.recover()
            return True
        case Instruction.BACKUP:
            servo.store_backup()
            return True
        case Instruction.RESET:
            servo.reset_turns()
            servo.law.reset(servo.position)
        case Instruction.CALIBRATE:
            given = int.from_bytes(parameters[:2], "little")
            servo.calibrate(decode_sign(given, 15) if len(parameters) >= 2 else MIDPOINT)
            return True
    return False
