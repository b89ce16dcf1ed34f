"""A black box as a story: when, what, where, the states, the numbers around it. Pure.

`tell` makes a value that `--json` prints as it is; `words` makes the lines for a person.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from daemon.blackbox.folder import Box
from robotd.clock import NS_PER_S
from robotd.states import Fault, LimitedBy, State, Torque

AROUND_S = (-2.0, -1.0, -0.5, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
SUMMARY_S = 10.0  # before the fault: what limited, what was lost

Tick = Mapping[str, Any]


class Change(msgspec.Struct, frozen=True):
    """The state, torque or fault became another. `at_s` is against the onset."""

    at_s: float
    words: str


class JointRow(msgspec.Struct, frozen=True):
    """One joint at one tick."""

    at_s: float
    joint: str
    requested_deg: float
    applied_deg: float
    measured_deg: float
    age_ms: float
    load_percent: float
    current_a: float
    temperature_c: float
    voltage_v: float
    torque_limit_percent: float
    status: int
    limited_by: str


class Story(msgspec.Struct, frozen=True):
    """What a box tells."""

    id: str
    robot: str
    simulated: bool
    when: str  # ISO 8601, the place's own time
    kind: str
    fault: str
    joint: str  # empty: not one joint
    what: str
    do: str
    kept_s: tuple[float, float]  # the first and the last tick, against the onset
    changes: tuple[Change, ...]
    joint_rows: tuple[JointRow, ...]  # the joint of the fault, or the furthest from its goal
    all_joints: tuple[JointRow, ...]  # all of them at the onset
    lost_reads: dict[str, int]  # by joint, in the last ten seconds before the onset
    limited: dict[str, int]  # by reason, ticks in the same time
    missed_ticks: int  # in the same time
    latest_us: int  # the latest start of a tick in the same time
    versions: Mapping[str, str]
    failed_checks: tuple[str, ...]


def tell(box: Box) -> Story:
    """The story of a box, however few ticks it has."""
    note, ticks = box.note, box.ticks
    onset = onset_of(box)
    zero_ns = int(ticks[onset]["deadline_ns"]) if ticks else note.monotonic_ns
    place = time.gmtime(note.wall_s + (zero_ns - note.monotonic_ns) / 1e9 + note.utc_offset_s)
    hours, minutes = divmod(abs(note.utc_offset_s) // 60, 60)
    sign = "-" if note.utc_offset_s < 0 else "+"
    when = f"{time.strftime('%Y-%m-%dT%H:%M:%S', place)}{sign}{hours:02}:{minutes:02}"
    before = [t for t in ticks[: onset + 1] if zero_ns - t["deadline_ns"] <= SUMMARY_S * NS_PER_S]
    joint = note.cause.joint
    shown = joint if 0 <= joint < len(note.joints) else _furthest(ticks, onset)
    return Story(
        id=note.id,
        robot=note.robot,
        simulated=note.simulated,
        when=when,
        kind=note.cause.kind,
        fault=note.cause.fault,
        joint=note.joints[joint] if 0 <= joint < len(note.joints) else "",
        what=note.what,
        do=note.do,
        kept_s=(_at_s(ticks[0], zero_ns), _at_s(ticks[-1], zero_ns)) if ticks else (0.0, 0.0),
        changes=tuple(_changes(ticks, zero_ns, note.joints)),
        joint_rows=tuple(
            _row(tick, zero_ns, shown, note.joints[shown]) for tick in _around(ticks, zero_ns)
        ),
        all_joints=tuple(
            _row(ticks[onset], zero_ns, index, name) for index, name in enumerate(note.joints)
        )
        if ticks
        else (),
        lost_reads=_lost(before, note.joints),
        limited=_limited(before),
        missed_ticks=before[-1]["missed_ticks"] - before[0]["missed_ticks"] if before else 0,
        latest_us=max((tick["late_us"] for tick in before), default=0),
        versions=note.versions,
        failed_checks=tuple(
            f"{check.name}: {check.detail}" for check in note.arming if check.outcome != "pass"
        ),
    )


def onset_of(box: Box) -> int:
    """Index into the ticks at which it began; the last tick when no tick says so."""
    for index, tick in enumerate(box.ticks):
        if tick["index"] == box.note.cause.tick:
            return index
    return max(0, len(box.ticks) - 1)


def words(story: Story) -> list[str]:
    """The story as lines of text."""
    where = f" at {story.joint}" if story.joint else ""
    body = "simulated" if story.simulated else "real"
    lines = [
        f"{story.id}  ({story.robot}, {body} arm)",
        f"{story.when}  {story.kind.replace('_', ' ')}{where}: {story.what}",
        f"  do:     {story.do}",
        f"  kept:   {story.kept_s[0]:+.1f} s to {story.kept_s[1]:+.1f} s around it",
        "",
        "what happened (seconds before and after):",
        *(f"  {change.at_s:+9.2f}  {change.words}" for change in story.changes),
    ]
    if story.joint_rows:
        lines += ["", f"{story.joint_rows[0].joint} around it:", *_table(story.joint_rows, "time")]
    if story.all_joints:
        lines += ["", "every joint when it began:", *_table(story.all_joints, "joint")]
    lines += ["", f"in the {SUMMARY_S:.0f} s before:"]
    lost = ", ".join(f"{joint} {count}" for joint, count in story.lost_reads.items() if count)
    lines.append(f"  reads lost:    {lost or 'none'}")
    limited = ", ".join(f"{reason} ({count} ticks)" for reason, count in story.limited.items())
    lines.append(f"  limited by:    {limited or 'nothing'}")
    lines.append(
        f"  ticks missed:  {story.missed_ticks}, the latest {story.latest_us / 1e3:.1f} ms"
    )
    if story.failed_checks:
        lines += ["", "the arming list said:", *(f"  {line}" for line in story.failed_checks)]
    lines += ["", "with " + ", ".join(f"{name} {text}" for name, text in story.versions.items())]
    return lines


# --- parts ----------------------------------------------------------------------------------------


def _at_s(tick: Tick, zero_ns: int) -> float:
    return round((int(tick["deadline_ns"]) - zero_ns) / NS_PER_S, 3)


def _around(ticks: Sequence[Tick], zero_ns: int) -> list[Tick]:
    """The ticks nearest to `AROUND_S`; none where the box has none near."""
    found: list[Tick] = []
    for wanted_s in AROUND_S:
        wanted_ns = zero_ns + int(wanted_s * NS_PER_S)
        near = min(ticks, key=lambda tick: abs(tick["deadline_ns"] - wanted_ns), default=None)
        if near is None or abs(near["deadline_ns"] - wanted_ns) > NS_PER_S // 20:
            continue
        if not found or near is not found[-1]:
            found.append(near)
    return found


def _furthest(ticks: Sequence[Tick], onset: int) -> int:
    if not ticks:
        return 0
    tick = ticks[onset]
    errors = [
        abs(a - b) for a, b in zip(tick["applied_rad"], tick["present_position_rad"], strict=True)
    ]
    return errors.index(max(errors))


def _changes(ticks: Sequence[Tick], zero_ns: int, joints: Sequence[str]) -> list[Change]:
    found: list[Change] = []
    last: tuple[Any, ...] | None = None
    for tick in ticks:
        now = tuple(
            tick[name] for name in ("state", "torque", "fault", "degraded", "estop_presses")
        )
        if now == last:
            continue
        at_s = _at_s(tick, zero_ns)
        if last is None:
            state, torque = State(now[0]).name.lower(), Torque(now[1]).name.lower()
            found.append(Change(at_s, f"{state}, torque {torque}"))
        else:
            found += [Change(at_s, words) for words in _differences(last, now, tick, joints)]
        last = now
    return found


def _differences(
    last: tuple[Any, ...], now: tuple[Any, ...], tick: Tick, joints: Sequence[str]
) -> list[str]:
    said: list[str] = []
    if now[4] != last[4]:
        said.append("e-stop pressed")
    if now[2] != last[2]:
        joint = tick["fault_joint"]
        where = f" at {joints[joint]}" if 0 <= joint < len(joints) else ""
        said.append(f"fault: {Fault(now[2]).name.lower()}{where}" if now[2] else "fault cleared")
    if now[0] != last[0]:
        said.append(f"{State(last[0]).name.lower()} -> {State(now[0]).name.lower()}")
    if now[1] != last[1]:
        said.append(f"torque {Torque(now[1]).name.lower()}")
    if now[3] != last[3]:
        said.append("reads are being lost" if now[3] else "reads come again")
    return said


def _row(tick: Tick, zero_ns: int, joint: int, name: str) -> JointRow:
    return JointRow(
        at_s=_at_s(tick, zero_ns),
        joint=name,
        requested_deg=_degrees(tick["requested_rad"][joint]),
        applied_deg=_degrees(tick["applied_rad"][joint]),
        measured_deg=_degrees(tick["present_position_rad"][joint]),
        age_ms=round(tick["present_age_ns"][joint] / 1e6, 1),
        load_percent=tick["present_load_permille"][joint] / 10,
        current_a=round(tick["present_current_a"][joint], 3),
        temperature_c=round(tick["present_temperature_c"][joint], 1),
        voltage_v=round(tick["present_voltage_v"][joint], 1),
        torque_limit_percent=tick["torque_limit_permille"][joint] / 10,
        status=tick["servo_status"][joint],
        limited_by=LimitedBy(tick["limited_by"][joint]).words(),
    )


def _degrees(value_rad: float) -> float:
    return round(math.degrees(value_rad), 2) if math.isfinite(value_rad) else 0.0


def _lost(ticks: Sequence[Tick], joints: Sequence[str]) -> dict[str, int]:
    """Ticks in which a joint's newest reading was that of the tick before."""
    lost = dict.fromkeys(joints, 0)
    for before, tick in pairwise(ticks):
        for index, joint in enumerate(joints):
            old, new = (each["present_age_ns"][index] for each in (before, tick))
            same = before["read_ns"] - old == tick["read_ns"] - new
            lost[joint] += same or new < 0
    return lost


def _limited(ticks: Sequence[Tick]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for tick in ticks:
        present = LimitedBy(0)
        for value in tick["limited_by"]:
            present |= LimitedBy(value)
        counts.update(LimitedBy(flag).words() for flag in present)
    return dict(counts.most_common())


def _table(rows: Sequence[JointRow], first: str) -> list[str]:
    head = f"{first:>14}  asked deg  goal deg    is deg  age ms  load %     A     C     V  limit %  flags"
    return [head] + [
        f"{f'{row.at_s:+.2f} s' if first == 'time' else row.joint:>14}"
        f"  {row.requested_deg:9.2f}  {row.applied_deg:8.2f}  {row.measured_deg:8.2f}"
        f"  {row.age_ms:6.1f}  {row.load_percent:6.1f}  {row.current_a:4.2f}"
        f"  {row.temperature_c:4.0f}  {row.voltage_v:4.1f}  {row.torque_limit_percent:7.1f}"
        f"  {f'status {row.status:02x} ' if row.status else ''}{row.limited_by}".rstrip()
        for row in rows
    ]
