"""Steps with a limp arm, and with one light joint driven alone: nothing here can drop or lift."""

from daemon.control.arm import SERVO_IDS
from daemon.selftest.facts import JOINT_DIRECTIONS
from daemon.selftest.findings import Findings
from daemon.selftest.person import Answer
from daemon.selftest.rig import TICK_HZ, Rig, StoppedError
from drivers import registers as r
from drivers.bus import collect
from drivers.calibration import JOINT_NAMES
from drivers.identity import identify_servo
from drivers.so101 import VoltageReading
from drivers.variant import identify
from robotd.clock import NS_PER_MS

_HAND_RAD = 0.14  # 8 degrees
_HAND_PATIENCE_S = 30.0
_READS = 200
_READ_DEADLINE_NS = 50 * NS_PER_MS
_GOAL_TICKS = 4
_WRIST_ROLL = 4
_SWING_TICKS = 91  # 8 degrees: asks for 380 permille at P = 16, more at the factory's 32
_LOW_PERMILLE, _MORE_PERMILLE, _TOLD_APART = 100, 400, 150
_SWING_S = 0.35


def who_is_there(rig: Rig, found: Findings) -> None:
    """Model, firmware, supply. Raises StoppedError when the arm is not whole."""
    servos = [
        identify_servo(rig.bus, name, i) for name, i in zip(JOINT_NAMES, SERVO_IDS, strict=True)
    ]
    for servo in servos:
        problem = servo.problem()
        if problem is not None:
            raise StoppedError(problem.what, problem.likely, problem.do)
    versions = sorted({servo.firmware for servo in servos if servo.firmware})
    found.firmware = ", ".join(f"{major}.{minor}" for major, minor in versions)
    models = sorted({str(servo.model) for servo in servos})
    found.note("model", f"model {', '.join(models)}, firmware {found.firmware}", len(versions) == 1)
    locks = [rig.bus.read(i, r.LOCK) for i in SERVO_IDS]
    # Another program may have opened it since power-on: LeRobot leaves 0 behind when it lets go.
    found.note("lock-boot", " ".join(map(str, locks)), True if all(locks) else None)


def supply(rig: Rig, found: Findings) -> None:
    """7.4 V or 12 V, confirmed by a person who reads the label. Raises StoppedError when the brick
    is not the servos'."""
    readings = [
        VoltageReading(
            name,
            servo_id,
            rig.bus.read(servo_id, r.PRESENT_VOLTAGE) / 10,
            rig.bus.read(servo_id, r.MIN_VOLTAGE_LIMIT) / 10,
            rig.bus.read(servo_id, r.MAX_VOLTAGE_LIMIT) / 10,
        )
        for name, servo_id in zip(JOINT_NAMES, SERVO_IDS, strict=True)
    ]
    kind = identify(readings)
    if kind.variant is None or kind.outside:
        raise StoppedError(
            "; ".join(kind.outside) or "There are 7.4 V and 12 V servos on one wire.",
            "The brick is another kit's, or a servo was replaced by one of the other kind.",
            "Use the brick that belongs to the servos, and six servos of one kind.",
        )
    volts = f"{kind.variant.name} servos on {kind.lowest_present_v:.1f} V"
    told = rig.look(
        f"These say that they are {volts}. Does the label on the servos and on the brick agree?"
    )
    if told is Answer.NO:
        found.note("supply", f"{volts}; the label says otherwise", False)
        raise StoppedError(
            f"The servos say {kind.variant.name}, the label says otherwise.",
            "A servo of another kit, or a register that was rewritten.",
            "Find out which servos these are before anything moves them.",
        )
    found.supply, found.present_v = kind.variant.name, kind.lowest_present_v
    found.note("supply", f"{volts}, label {told.value}", True if told is Answer.YES else None)


def limp(rig: Rig, found: Findings) -> None:
    """Loads and goals of a limp arm, its sensors, and a hand that moves it."""
    arm = rig.arm
    rig.wait(0.3)
    loads = arm.loads_permille()
    found.note("limp-load", " ".join(map(str, loads)), not any(loads))
    apart = []
    for servo_id in SERVO_IDS:
        block = rig.bus.read_block(servo_id, r.PRESENT_POSITION.address, 13)
        here, goal = (
            r.PRESENT_POSITION.decode(block[0:2]),
            r.INTERPOLATED_GOAL.decode(block[11:13]),
        )
        apart.append(abs(goal - here))
    found.note("limp-goal", f"{max(apart)} ticks apart", max(apart) <= _GOAL_TICKS)
    degrees = arm.temperatures_c()
    sane = min(degrees) >= 5 and max(degrees) <= 50 and max(degrees) - min(degrees) <= 20
    found.note("temperature", f"{min(degrees):.0f} to {max(degrees):.0f} °C", sane)
    if rig.person.hands:
        _by_hand(rig, found)


def _by_hand(rig: Rig, found: Findings) -> None:
    followed = []
    for joint, (name, directions) in enumerate(JOINT_DIRECTIONS.items()):
        way = rig.inward(joint)
        if not rig.consent(
            f"The arm is limp. Support it, and after Return move {name} "
            f"{directions[way < 0]}, by some 20°."
        ):
            continue
        moved = _moved(rig, joint)
        followed.append(abs(moved) >= _HAND_RAD)
        if followed[-1]:
            found.note(f"sign-{name}", f"{moved:+.2f} rad by hand", moved * way > 0)
        rig.person.tell(f"  {name} moved by {moved:+.2f} rad")
    if followed:
        said = f"{sum(followed)} of {len(followed)} joints followed"
        found.note("hand", said, all(followed) if len(followed) == len(JOINT_NAMES) else None)


def _moved(rig: Rig, joint: int) -> float:
    """How far a joint is moved by hand, rad; returns when it is enough, or nobody moves it."""
    start = rig.arm.position_rad[joint]
    moved = 0.0
    for _ in range(round(_HAND_PATIENCE_S * TICK_HZ)):
        rig.tick()
        moved = rig.arm.position_rad[joint] - start
        if abs(moved) >= _HAND_RAD:
            break
    return moved


def usb(rig: Rig, found: Findings) -> None:
    """How long reads take on this adapter."""
    for fact, read, most_ms in (
        ("usb-2", _read_positions, 1.5),
        ("usb-15", _read_telemetry, 3.0),
    ):
        times_ms = []
        for _ in range(_READS):
            began_ns = rig.clock.now_ns()
            read(rig)
            times_ms.append((rig.clock.now_ns() - began_ns) / NS_PER_MS)
        times_ms.sort()
        p50, p99 = times_ms[_READS // 2], times_ms[_READS * 99 // 100]
        found.note(fact, f"p50 {p50:.2f} ms, p99 {p99:.2f} ms", p50 <= most_ms)
        found.telemetry_p99_ms = p99  # of the last one, which is the telemetry
    # A slow adapter makes the ticks of this run longer, not its replies lost.
    slow_ns = min(_READ_DEADLINE_NS, round(2 * found.telemetry_p99_ms * NS_PER_MS))
    rig.read_deadline_ns = max(rig.read_deadline_ns, slow_ns)


def _read_positions(rig: Rig) -> None:
    rig.bus.sync_read(r.PRESENT_POSITION, retries=0)


def _read_telemetry(rig: Rig) -> None:
    collect([rig.bus], rig.clock.now_ns() + _READ_DEADLINE_NS)


def one_joint(rig: Rig, found: Findings) -> None:
    """What a goal, register 48 and register 16 do, on wrist_roll alone: it holds no weight."""
    if not rig.consent(
        "Now wrist_roll alone is driven, by 8° to and fro, with less than half of its torque; "
        "all other joints stay limp. Keep fingers away from the gripper."
    ):
        return
    servo = SERVO_IDS[_WRIST_ROLL]
    power_on = rig.bus.read(servo, r.MAX_TORQUE_LIMIT)
    locked = rig.bus.read(servo, r.LOCK)
    try:
        _goal_is_torque(rig, found, servo)
        _which_register(rig, found, servo)
    finally:
        # Whatever was found out, this joint is left as it was: limp, with its own numbers.
        rig.bus.sync_write(r.TORQUE_ENABLE, {servo: 0})
        rig.bus.write(servo, r.MAX_TORQUE_LIMIT, power_on)
        rig.bus.write(servo, r.TORQUE_LIMIT, power_on)
        rig.bus.write(servo, r.LOCK, locked)
    rig.wait(0.5)
    off = rig.bus.read(servo, r.TORQUE_ENABLE)
    found.note("off-is-off", f"register 40 is {off}", off == 0)


def _goal_is_torque(rig: Rig, found: Findings, servo: int) -> None:
    rig.bus.sync_write(r.TORQUE_ENABLE, {servo: 0})
    rig.bus.write(servo, r.TORQUE_LIMIT, _LOW_PERMILLE)
    before = rig.bus.read(servo, r.TORQUE_ENABLE)
    rig.bus.sync_write(r.GOAL_POSITION, {servo: rig.bus.read(servo, r.PRESENT_POSITION)})
    rig.wait(0.1)
    after = rig.bus.read(servo, r.TORQUE_ENABLE)
    found.note("goal-is-torque", f"{before}, then {after}", (before, after) == (0, 1))
    if after != 1:  # what follows needs a driven joint
        rig.bus.sync_write(r.TORQUE_ENABLE, {servo: 1})


def _which_register(rig: Rig, found: Findings, servo: int) -> None:
    start = rig.bus.read(servo, r.PRESENT_POSITION)
    away = 1 if start < 2048 else -1  # toward the middle of the turn
    low = _largest_load(rig, servo, start + away * _SWING_TICKS)
    rig.bus.write(servo, r.TORQUE_LIMIT, _MORE_PERMILLE)
    more = _largest_load(rig, servo, start - away * _SWING_TICKS)
    found.note(
        "48-at-once",
        f"load {low} under 100, {more} under 400",
        low <= _LOW_PERMILLE + 5 and more > _TOLD_APART,
    )
    rig.bus.write(servo, r.LOCK, 1)  # so that nothing of this is kept in flash
    rig.bus.write(servo, r.MAX_TORQUE_LIMIT, _LOW_PERMILLE)
    load = _largest_load(rig, servo, start + away * _SWING_TICKS)
    limit = rig.bus.read(servo, r.TORQUE_LIMIT)
    found.note(
        "16-not-at-once",
        f"load {load}, register 48 still {limit}",
        load > _TOLD_APART and limit == _MORE_PERMILLE,
    )
    _largest_load(rig, servo, start)


def _largest_load(rig: Rig, servo: int, goal_ticks: int) -> int:
    """Send one servo to a goal and return the largest duty that it used on the way."""
    rig.bus.sync_write(r.GOAL_POSITION, {servo: goal_ticks})
    largest = 0
    for _ in range(round(_SWING_S * TICK_HZ)):
        rig.tick()
        largest = max(largest, abs(rig.arm.loads_permille()[_WRIST_ROLL]))
    return largest
