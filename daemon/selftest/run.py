"""The selftest from the first question to the record: which step comes when, and what it needs.

Pure of terminal, files and ports: the rig and the person are passed in.
"""

import math
from dataclasses import dataclass

import msgspec

from config.schema import Config
from daemon.control.arm import SERVO_IDS, FollowerArm
from daemon.control.build import OpenPort, arm_limits, settings_of
from daemon.control.link import BusLink
from daemon.control.settings import CoreSettings
from daemon.selftest import held, limp
from daemon.selftest.evidence import capped
from daemon.selftest.findings import Findings
from daemon.selftest.person import Person
from daemon.selftest.record import Record
from daemon.selftest.rig import TICK_HZ, Rig, StoppedError
from drivers.calibration import JOINT_NAMES, Calibration
from drivers.joint_map import JointMap
from robotd.clock import Clock
from robotd.errors import RobotdError

_FOLDED_JOINTS = (1, 2)  # lift and elbow: what reaches out
_FOLDED_RAD = math.radians(30.0)
PEAK_RAD_S = math.radians(20.0)  # of every move: a person has time to say stop


@dataclass(frozen=True, slots=True)
class Subject:
    """Which arm of which robot. `at` is wall time, ISO 8601."""

    config: Config
    arm: str
    at: str

    @property
    def id(self) -> str:
        """The id of the arm's calibration, by which the record is kept."""
        return self.config.arms[self.arm].id


def make_rig(
    subject: Subject, calibration: Calibration, open_port: OpenPort, clock: Clock, person: Person
) -> Rig:
    """The arm with a selftest's limits: the caps of an arm that nobody has tried."""
    config, name = subject.config, subject.arm
    offsets_rad = [math.radians(d) for d in config.arms[name].joint_offset_deg]
    joint_map = JointMap(calibration, offsets_rad)
    limits = capped(config)
    arm = FollowerArm(
        name,
        BusLink(name, lambda: open_port(name, "follower"), SERVO_IDS, clock),
        joint_map,
        arm_limits(limits, joint_map),
        limits.torque_limit_permille,
        TICK_HZ,
    )
    return Rig(arm, calibration, settings_of(config), clock, person)


def run(subject: Subject, rig: Rig) -> tuple[Record, RobotdError | None]:
    """Go through all steps; returns the record, and what ended it early, if anything did.

    Whatever is raised, the arm is let down, and torque off read back, before this returns.
    """
    found = Findings()
    trouble: RobotdError | None = None
    try:
        with rig:
            _steps(subject, rig, found)
    except RobotdError as error:
        trouble = error
    except KeyboardInterrupt:
        trouble = StoppedError(
            "Stopped by Ctrl-C or a signal.",
            "Somebody pressed it, or the terminal was closed.",
            "The arm was let down and is limp; start again when you are ready.",
        )
    return _record(subject, rig, found, trouble), trouble


def _steps(subject: Subject, rig: Rig, found: Findings) -> None:
    settings = settings_of(subject.config)
    rig.connect()
    if not rig.arm.released:
        rig.consent(
            "Torque is on: the arm is stiff, after a crash or another program. It is let down "
            "slowly now. Support it."
        )
        rig.release()
    limp.who_is_there(rig, found)
    limp.supply(rig, found)
    rig.arm.torque_limit_permille = capped(_fitted(subject, found.supply)).torque_limit_permille
    limp.usb(rig, found)
    limp.limp(rig, found)
    limp.one_joint(rig, found)
    _held_steps(settings, rig, found)
    held.whole_run(rig, found)


def _fitted(subject: Subject, supply: str) -> Config:
    """The robot with the servos that were found: weaker ones need more of their duty."""
    arm = msgspec.structs.replace(subject.config.arms[subject.arm], supply=supply)
    return msgspec.structs.replace(subject.config, arms={subject.arm: arm})


def _held_steps(settings: CoreSettings, rig: Rig, found: Findings) -> None:
    if not rig.consent(
        "Now the whole arm is taken: registers as LeRobot sets them, torque low, goal where it "
        "is, torque up to its cap within a second. It may sag a few degrees. Fold it onto its "
        "stops first, hands off, one on the plug."
    ):
        return
    _folded(rig, settings.rest_rad)
    rig.take()
    held.signs(rig, found)
    if not rig.consent(
        "Now it rises slowly from where it is into two poses 11 cm above the table and comes "
        "back, at 20°/s. The table around must be clear."
    ):
        return
    # The path that parking takes, the other way round: it was laid clear of the table.
    held.raised(rig, found, (settings.via_rad[:6], settings.home_rad[:6]), PEAK_RAD_S)
    held.down(rig, found)


def _folded(rig: Rig, rest_rad: tuple[float, ...]) -> None:
    """Raises StoppedError for an arm that is not near the pose from which the way up is known."""
    for joint in _FOLDED_JOINTS:
        off_rad = abs(rig.arm.position_rad[joint] - rest_rad[joint])
        if off_rad > _FOLDED_RAD:
            raise StoppedError(
                f"{JOINT_NAMES[joint]} is {math.degrees(off_rad):.0f}° from the resting pose.",
                "The arm is not folded onto its own stops, or its calibration is not this arm's.",
                "Fold it: upper arm back, forearm down onto it, hand to the table; then again.",
            )


def _record(subject: Subject, rig: Rig, found: Findings, trouble: RobotdError | None) -> Record:
    return Record(
        arm=subject.id,
        at=subject.at,
        simulated=subject.config.simulation is not None,
        finished=trouble is None and "release" in found.measured,
        stopped_by="" if trouble is None else trouble.what,
        firmware=found.firmware,
        supply=found.supply,
        present_v=found.present_v,
        telemetry_p99_ms=round(found.telemetry_p99_ms, 3),
        heaviest_hold_permille=rig.seen.heaviest_permille,
        sinking_rad_s=round(found.sinking_rad_s, 3),
        facts=found.facts(),
    )
