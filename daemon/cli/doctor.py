"""Look at a part of the robot closely, without a daemon and without writing anything.

  robotd doctor bus                 who is on the bus, firmware, supply, complaints, settings
  robotd doctor bus --cross-check   the same arm read through the vendor's SDK too
  robotd doctor env                 what policies run in: driver, torch, JAX, GL, video, disk, hub

Torque stays as it is. The daemon has the bus to itself while it runs: stop it first.
Exit status 0 when everything is as it should be.
"""

import argparse
from pathlib import Path

import msgspec

from config.loader import load
from config.schema import Config
from daemon.cli import doctor_env
from daemon.cli.main import add_json
from drivers import cross_check
from drivers.calibration import (
    Calibration,
    Role,
    load_robot_calibration,
    load_teleoperator_calibration,
)
from drivers.identity import Presence, ServoIdentity
from drivers.registers import ALL_REGISTERS, PRESENT_TEMPERATURE
from drivers.serial_port import resolve_serial_device
from drivers.so101 import SERVO_IDS, So101Arm, So101Follower, So101Leader, open_bus
from robotd import paths
from robotd.client import running_instances
from robotd.clock import MonotonicClock
from robotd.errors import CalibrationError, ConfigError, PortInUseError

_PLANT = "plant"
_ON_ARMING = "robotd writes these when it arms the limp arm."
_MIXED = "LeRobot refuses such an arm: bring all to one version with Feetech's FD software."
_LEADER = "robotd only reads a leader; lerobot-teleoperate sets these when it connects."


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One bus to look at. `id` None: no calibration is known for it."""

    name: str
    port: str
    role: Role = "follower"
    id: str | None = None


class ServoFound(msgspec.Struct, frozen=True, kw_only=True):
    """One servo. What nothing readable answered is None."""

    joint: str
    id: int
    presence: str
    firmware: str | None = None
    volt_v: float | None = None
    volt_limits_v: tuple[float, float] | None = None
    temp_c: float | None = None
    torque: bool | None = None
    problem: str = ""
    do: str = ""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One bus. `registers` and `calibration` are differences, a sentence each; robotd writes the
    first on arming, the second a person has to decide. None: not compared, because a servo does not
    answer or no calibration is known."""

    line: Line
    well: bool
    servos: tuple[ServoFound, ...]
    registers: tuple[str, ...] | None = None
    calibration: tuple[str, ...] | None = None
    compared: int = 0
    vendor: tuple[str, ...] | None = None
    drifted: tuple[str, ...] = ()


def configure(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    bus = parts.add_parser("bus", help="the servos and their registers")
    bus.add_argument("--name", help="which robot's configuration (default: the only one)")
    bus.add_argument("--port", help="only this serial device, configured or not")
    bus.add_argument(
        "--cross-check",
        action="store_true",
        help="compare every register with what the vendor's SDK reads",
    )
    add_json(bus)
    env = parts.add_parser("env", help="driver, torch, JAX, GL, video, disk and hub")
    add_json(env)


def run(args: argparse.Namespace) -> int:
    if args.part == "env":
        return doctor_env.run(args.json)
    found = [_look(line, args.cross_check) for line in _lines(args.name, args.port)]
    if args.json:
        print(msgspec.json.encode(found).decode())
    else:
        print("\n".join(text(each) for each in found))
    return 0 if all(each.well for each in found) else 1


def _lines(name: str | None, port: str | None) -> list[Line]:
    """The buses that are meant. Raises ConfigError when none is configured or none can be."""
    if port is None:
        lines = _configured(load(name).config)
        if any(line.port == _PLANT for line in lines):
            raise ConfigError(
                "A simulated arm has no cable to look at.",
                "The configuration has `port: plant`.",
                "Name a real robot with --name, or a serial device with --port.",
            )
        return lines
    device = resolve_serial_device(port)
    try:
        known = _configured(load(name).config)
    except ConfigError:
        if name is not None:
            raise
        known = []  # nothing has to be configured to look at a device
    return [
        next(
            (line for line in known if _same(line.port, device)),
            Line(name=device.name, port=str(device)),
        )
    ]


def _configured(config: Config) -> list[Line]:
    lines = []
    for name, arm in config.arms.items():
        lines.append(Line(name=name, port=arm.port, id=arm.id))
        if arm.leader is not None:
            port, arm_id = arm.leader.port, arm.leader.id
            lines.append(Line(name=f"{name} leader", port=port, role="leader", id=arm_id))
    return lines


def _same(port: str, device: Path) -> bool:
    """Whether a configured port is that device; one that is not plugged in is none."""
    path = Path(port).expanduser()
    return path.exists() and path.samefile(device)


def _look(line: Line, cross: bool) -> Found:
    device = resolve_serial_device(line.port)
    _refuse_a_daemons(device)
    bus = open_bus(str(device), MonotonicClock())
    try:
        arm = So101Leader(bus) if line.role == "leader" else So101Follower(bus)
        identities = arm.identify()
        answers = all(each.presence in (Presence.WELL, Presence.FAULTED) for each in identities)
        servos = _measured(arm, identities) if answers else tuple(map(_servo, identities))
        registers = tuple(map(str, arm.check_registers())) if answers else None
        calibration = _calibration(arm, line) if answers else None
        own = cross_check.read_own(bus) if answers and cross else None
    finally:
        bus.close()
    differences = []
    if own is not None:
        differences = cross_check.compare(own, cross_check.read_vendor(str(device), SERVO_IDS))
    wrong = tuple(_difference(arm, each) for each in differences if each.matters)
    return Found(
        line=line,
        well=not any(each.problem for each in servos) and not calibration and not wrong,
        servos=servos,
        registers=registers,
        calibration=calibration,
        compared=len(ALL_REGISTERS) * len(servos) if own is not None else 0,
        vendor=wrong if own is not None else None,
        drifted=tuple(_difference(arm, each) for each in differences if not each.matters),
    )


def _refuse_a_daemons(device: Path) -> None:
    """Raise PortInUseError with the name of the robotd that this device belongs to, if it does."""
    for name in running_instances():
        try:
            file = paths.runtime_dir(name) / "config.json"
            config = msgspec.json.decode(file.read_bytes(), type=Config)
        except (OSError, msgspec.DecodeError):
            continue  # it ends just now, or is of another version: then the lock itself refuses
        if any(_same(line.port, device) for line in _configured(config)):
            raise PortInUseError(
                f"{device} belongs to robotd {name!r}, which is running.",
                "The daemon has the bus to itself: two readers would take each other's replies.",
                f"Stop it first: robotd stop --name {name}. What it sees itself: robotd health "
                f"--name {name}.",
            )


def _servo(identity: ServoIdentity) -> ServoFound:
    problem = identity.problem()
    return ServoFound(
        joint=identity.joint,
        id=identity.servo_id,
        presence=identity.presence.value,
        firmware=None if identity.firmware is None else "{}.{}".format(*identity.firmware),
        problem="" if problem is None else problem.what,
        do="" if problem is None else problem.do,
    )


def _measured(arm: So101Arm, identities: tuple[ServoIdentity, ...]) -> tuple[ServoFound, ...]:
    volts = arm.check_voltage()
    torque = arm.read_torque_enable()
    temperatures_c = arm.bus.sync_read(PRESENT_TEMPERATURE)
    return tuple(
        msgspec.structs.replace(
            _servo(identity),
            volt_v=supply.present_v,
            volt_limits_v=(supply.minimum_v, supply.maximum_v),
            temp_c=temperatures_c[identity.servo_id],
            torque=torque[identity.joint],
        )
        for identity, supply in zip(identities, volts, strict=True)
    )


def _calibration(arm: So101Arm, line: Line) -> tuple[str, ...] | None:
    """How the servos differ from the arm's calibration file; None where no file is known."""
    if line.id is None:
        return None
    try:
        calibration: Calibration = (
            load_teleoperator_calibration(line.id)
            if line.role == "leader"
            else load_robot_calibration(line.id)
        )
    except CalibrationError as error:
        return (f"{error.what} {error.do}",)
    return tuple(map(str, arm.check_calibration(calibration)))


def _difference(arm: So101Arm, each: cross_check.Difference) -> str:
    joint = next(name for name, servo_id in arm.joints.items() if servo_id == each.servo_id)
    register = each.register
    within = "" if each.tolerance is None else f" (measured; {each.tolerance} apart would be fine)"
    return (
        f"{joint} (servo {each.servo_id}): {register.name} ({register.address}) is {each.own} by "
        f"robotd and {each.vendor} by the SDK{within}"
    )


def text(found: Found) -> str:
    """One bus as a person reads it."""
    lines = [f"{found.line.name}  {found.line.port}"]
    for servo in found.servos:
        lines.append(f"  {servo.joint:14} {servo.id}  {_words(servo)}")
        if servo.problem:
            lines += [f"    {servo.problem}", f"    do: {servo.do}"]
    if found.registers is None:
        return "\n".join([*lines, "  not every servo answers: nothing else was read"])
    versions = sorted({servo.firmware for servo in found.servos if servo.firmware is not None})
    if len(versions) > 1:
        lines += [f"  firmware       mixed: {', '.join(versions)}", f"    do: {_MIXED}"]
    remedy = _LEADER if found.line.role == "leader" else _ON_ARMING
    lines += _section("settings", found.registers, "as LeRobot sets them", remedy)
    if found.calibration is None:
        lines.append("  calibration    not compared: no arm of a configuration is on this port")
    else:
        lines += _section(
            "calibration",
            found.calibration,
            "file and servos agree",
            "Another arm's file, or calibrated since: correct the id, or lerobot-calibrate.",
        )
    if found.vendor is not None:
        said = f"{found.compared} registers read the same by the vendor's SDK"
        remedy = "Read again; if it stays, report it with this list: one of both is wrong."
        lines += _section("cross-check", found.vendor, said, remedy)
        lines += [f"    measured meanwhile: {each}" for each in found.drifted]
    return "\n".join(lines)


def _words(servo: ServoFound) -> str:
    words = [servo.presence]
    if servo.firmware is not None:
        words.append(f"firmware {servo.firmware}")
    if servo.volt_v is not None and servo.volt_limits_v is not None:
        low, high = servo.volt_limits_v
        words.append(f"{servo.volt_v:.1f} V (its limits: {low:.1f}…{high:.1f})")
    if servo.temp_c is not None:
        words.append(f"{servo.temp_c:.0f} °C")
    if servo.torque is not None:
        words.append("torque on" if servo.torque else "limp")
    return ", ".join(words)


def _section(name: str, differences: tuple[str, ...], fine: str, do: str) -> list[str]:
    if not differences:
        return [f"  {name:14} {fine}"]
    return [
        f"  {name:14} {len(differences)} differ",
        *(f"    {each}" for each in differences),
        f"    do: {do}",
    ]
