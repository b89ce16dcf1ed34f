"""Which serial device and which calibration an arm of the configuration means.

`port: plant` is the virtual servos of `--sim`: their pty lies in the runtime folder. Calibrations lie
where LeRobot keeps them; with `--sim` the daemon points `HF_LEROBOT_CALIBRATION` at the folder that
the plant filled with what its servos hold, so nothing here needs to know the difference.
"""

from pathlib import Path

from config.schema import Arm, Config
from drivers.calibration import Calibration, Role, find_calibration, load_calibration
from drivers.serial_port import PySerialPort, SerialPort, resolve_serial_device

PLANT = "plant"


def joint_prefix(config: Config, arm_name: str) -> str:
    """The prefix of an arm's joints and devices: none for a single arm, else `left_`, `right_`."""
    return "" if len(config.arms) == 1 else f"{arm_name}_"


def plant_device(config: Config, arm_name: str, role: Role) -> str:
    """The name of an arm's virtual bus: `follower`, `leader`, `left_follower`, …"""
    return f"{joint_prefix(config, arm_name)}{role}"


def device_path(runtime: Path, config: Config, arm_name: str, role: Role) -> Path:
    """The serial device of an arm. Raises BusError when its by-id name is not there."""
    port = _port(config.arms[arm_name], role)
    if port == PLANT:
        return runtime / "plant" / plant_device(config, arm_name, role)
    return resolve_serial_device(port)


def open_device(runtime: Path, config: Config, arm_name: str, role: Role) -> SerialPort:
    """Open an arm's serial device, alone. Raises BusError or PortInUseError."""
    return PySerialPort(device_path(runtime, config, arm_name, role))


def calibration_of(config: Config, arm_name: str, role: Role) -> Calibration:
    """The calibration of an arm. Raises CalibrationError."""
    arm = config.arms[arm_name]
    arm_id = arm.leader.id if role == "leader" and arm.leader is not None else arm.id
    return load_calibration(find_calibration(arm_id, role))


def _port(arm: Arm, role: Role) -> str:
    if role == "leader":
        assert arm.leader is not None, "the configuration names no leader for this arm"
        return arm.leader.port
    return arm.port
