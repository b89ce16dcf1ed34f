"""Which serial device and which calibration an arm of the configuration means.

With `--sim` the supervisor has put the virtual servos' paths into the configuration and points
`HF_LEROBOT_CALIBRATION` at the shipped calibrations, so nothing here knows the difference.
"""

from pathlib import Path

from config.schema import Config
from drivers.calibration import (
    Calibration,
    Role,
    load_robot_calibration,
    load_teleoperator_calibration,
)
from drivers.serial_identity import SerialIdentity
from drivers.serial_port import SERIAL_BY_ID, PySerialPort, SerialPort


class Devices:
    """Opens the arms' serial devices, again and again: each is the same adapter every time."""

    def __init__(self, config: Config, root: Path = SERIAL_BY_ID) -> None:
        """`root` is where the by-id links are."""
        self._config = config
        self._root = root
        self._known: dict[tuple[str, Role], SerialIdentity] = {}

    def open(self, arm_name: str, role: Role) -> SerialPort:
        """Open an arm's serial device, alone. Raises BusError or PortInUseError."""
        identity = self._known.get((arm_name, role))
        if identity is None:
            arm = self._config.arms[arm_name]
            port = arm.leader.port if role == "leader" and arm.leader is not None else arm.port
            identity = self._known[arm_name, role] = SerialIdentity(port, self._root)
        path = identity.path()
        opened = PySerialPort(path)
        identity.opened(path)
        return opened


def calibration_of(config: Config, arm_name: str, role: Role) -> Calibration:
    """The calibration of an arm. Raises CalibrationError."""
    arm = config.arms[arm_name]
    if role == "leader" and arm.leader is not None:
        return load_teleoperator_calibration(arm.leader.id)
    return load_robot_calibration(arm.id)
