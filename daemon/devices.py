"""Which serial device and which calibration an arm of the configuration means.

With `--sim` the supervisor has put the virtual servos' paths into the configuration and points
`HF_LEROBOT_CALIBRATION` at the shipped calibrations, so nothing here knows the difference.
"""

from config.schema import Config
from drivers.calibration import (
    Calibration,
    Role,
    load_robot_calibration,
    load_teleoperator_calibration,
)
from drivers.serial_port import PySerialPort, SerialPort, resolve_serial_device


def open_device(config: Config, arm_name: str, role: Role) -> SerialPort:
    """Open an arm's serial device, alone. Raises BusError or PortInUseError."""
    arm = config.arms[arm_name]
    port = arm.leader.port if role == "leader" and arm.leader is not None else arm.port
    return PySerialPort(resolve_serial_device(port))


def calibration_of(config: Config, arm_name: str, role: Role) -> Calibration:
    """The calibration of an arm. Raises CalibrationError."""
    arm = config.arms[arm_name]
    if role == "leader" and arm.leader is not None:
        return load_teleoperator_calibration(arm.leader.id)
    return load_robot_calibration(arm.id)
