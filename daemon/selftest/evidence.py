"""What selftests change in a robot's configuration, before any process sees it. Pure.

Until every arm of a robot has had one that confirmed what is needed, speed and torque are capped.
Afterwards the caps are gone, a slow adapter gets the read deadline that it needs, and limits and
twin are those of the servos that were found. A simulated robot has no selftest to wait for: its
servos are what its profile says.
"""

from collections.abc import Mapping

import msgspec

from config.schema import Arm, Config, Limits
from daemon.selftest.record import Record
from drivers.variant import TWELVE, VARIANTS
from robotd.messages import Check

_ASSUMED = "12V"
_DEADLINE_SHARE = 2.0  # of the p99 of a read: what is later is lost
_LATEST_DEADLINE_SHARE = 0.75  # of a tick
_HOLD_SHARE = 1.34  # of the heaviest hold that a selftest saw; 450 for the virtual arm's 336

type Records = Mapping[str, Record | None]


def with_evidence(config: Config, records: Records) -> Config:
    """The configuration as it holds with these records, by the arm's name in it."""
    known = _of_real_arms(config, records)
    arms = {name: _fitted(config, arm, known[name]) for name, arm in config.arms.items()}
    config = msgspec.structs.replace(config, arms=arms)
    if config.simulation is not None:
        return config
    if not all(record is not None and record.trusted for record in known.values()):
        return msgspec.structs.replace(config, limits=capped(config))
    deadline_ms = read_deadline_ms(config, known)
    control = msgspec.structs.replace(config.control, read_deadline_ms=deadline_ms)
    reset = reset_permille(config, known)
    limits = msgspec.structs.replace(config.limits, reset_torque_permille=reset)
    return msgspec.structs.replace(config, control=control, limits=limits)


def reset_permille(config: Config, records: Records) -> int:
    """The configured cap of the reset phase, or more where an arm was measured to need it: one
    with cameras and cables on it is heavier than the model. In the 12 V servo's permille."""
    heaviest_nm = max(
        (
            record.heaviest_hold_permille / 1000 * VARIANTS.get(record.supply, TWELVE).stall_nm
            for record in records.values()
            if record
        ),
        default=0.0,
    )
    needed = round(_HOLD_SHARE * heaviest_nm / TWELVE.stall_nm * 1000)
    return max(config.limits.reset_torque_permille, min(1000, needed))


def read_deadline_ms(config: Config, records: Records) -> float:
    """The configured deadline, or more where an adapter was measured to need it: twice the p99 of
    a whole read, and at most three quarters of a tick."""
    measured = max((record.telemetry_p99_ms for record in records.values() if record), default=0.0)
    most = _LATEST_DEADLINE_SHARE * 1000.0 / config.control.tick_hz
    ours = config.control.read_deadline_ms
    return max(ours, min(_DEADLINE_SHARE * measured, most))


def hardware_checks(config: Config, records: Records) -> tuple[Check, ...]:
    """The arming list's lines: what was found out about each arm, or that nobody has tried.

    `config` is the one that `with_evidence` made.
    """
    if config.simulation is not None:
        return ()
    known = _of_real_arms(config, records)
    several = len(known) > 1
    return tuple(
        _check(config, f"{name}: hardware" if several else "hardware", config.arms[name], record)
        for name, record in known.items()
    )


def _of_real_arms(config: Config, records: Records) -> dict[str, Record | None]:
    """The record of each arm; one of a virtual arm says nothing about a real one."""
    found: dict[str, Record | None] = {}
    for name in config.arms:
        record = records.get(name)
        found[name] = None if record is None or record.simulated else record
    return found


def _fitted(config: Config, arm: Arm, record: Record | None) -> Arm:
    """The arm with its servos named: as configured, as found, or as is assumed."""
    if config.simulation is not None:
        return msgspec.structs.replace(arm, supply=config.simulation.supply)
    if arm.supply != "auto":
        return arm
    found = record.supply if record is not None and record.supply else _ASSUMED
    return msgspec.structs.replace(arm, supply=found)


def untried_permille(config: Config) -> int:
    """The torque cap until a selftest: as many newton metres from every kind of servo, as far as
    it goes. The setting is in the 12 V servo's permille; the weakest arm decides."""
    stalls_nm = [VARIANTS.get(arm.supply, TWELVE).stall_nm for arm in config.arms.values()]
    stronger = TWELVE.stall_nm / min(stalls_nm)
    return min(1000, round(config.limits.untried_torque_permille * stronger))


def capped(config: Config) -> Limits:
    """The limits of an arm that nobody has tried."""
    limits = config.limits
    return msgspec.structs.replace(
        limits,
        speed_deg_s=tuple(min(v, limits.untried_speed_deg_s) for v in limits.speed_deg_s),
        torque_limit_permille=tuple(
            min(v, untried_permille(config)) for v in limits.torque_limit_permille
        ),
    )


def _check(config: Config, name: str, arm: Arm, record: Record | None) -> Check:
    limits = config.limits
    caps = (
        f"at most {limits.untried_speed_deg_s:g}°/s and {untried_permille(config) / 10:g} % "
        f"torque; servos taken for {arm.supply} ones"
    )
    if record is None:
        return Check(
            name=name,
            outcome="warn",
            detail=f"no selftest has run on {arm.id}: {caps}",
            do="One hand on the plug of the servo supply. robotd stop, then robotd selftest "
            "--hardware: docs/hardware.md",
        )
    if not record.trusted:
        return Check(
            name=name,
            outcome="warn",
            detail=f"the selftest of {record.at[:10]} did not confirm "
            f"{', '.join(record.missing) or 'all of its steps'}: {caps}",
            do="One hand on the plug. robotd stop, then robotd selftest --hardware again",
        )
    wrong = [fact.id for fact in record.facts if fact.verdict == "contradicted"]
    said = f", contradicted {', '.join(wrong)}" if wrong else ""
    return Check(
        name=name,
        outcome="pass",
        detail=f"selftest of {record.at[:10]} confirmed {record.count('confirmed')} facts{said}; "
        f"{arm.supply} servos, read deadline {config.control.read_deadline_ms:g} ms, "
        f"reset torque {limits.reset_torque_permille / 10:g} %",
    )
