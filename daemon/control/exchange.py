"""What control hears and says: the slots and rings of the runtime folder, or plain memory.

`Exchange` is all that the core knows of other processes. `SharedExchange` is the real one;
`MemoryExchange` is the same thing inside one process, for lock-step and tests.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from robotd import layouts
from robotd.clock import NS_PER_MS
from robotd.estop import EstopCounter
from robotd.late import LateFile
from robotd.messages import Check, encode
from robotd.shm import Layout, RingReader, RingWriter, SlotReader, SlotWriter
from robotd.states import Fault, HomeWay, RequestKind, Source, Verdict
from robotd.trajectory import Trajectory

PARK_VERDICT_STALE_NS = 1_500 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """One request of the supervisor; `source` only matters for TELEOP."""

    id: int
    kind: RequestKind
    source: Source = Source.NONE


@dataclass(frozen=True, slots=True)
class Command:
    """The newest goal of a person or a script, stamped by the supervisor on receipt."""

    source: Source
    handover_version: int
    stamp_ns: int
    goal_rad: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that came through the twin, with its verdict."""

    id: int
    source: Source
    handover_version: int
    observation_ns: int
    verdict: Verdict
    trajectory: Trajectory


@dataclass(frozen=True, slots=True)
class TwinFinding:
    """What the mirror finds wrong: since when, and when it last said so. `joint` -1: not one."""

    fault: Fault
    joint: int
    since_ns: int
    stamp_ns: int


class Exchange(Protocol):
    """Everything control hears from and says to other processes. No call waits."""

    def estop_presses(self) -> int: ...

    def requests(self) -> Sequence[ControlRequest]:
        """The requests that came since the last call, oldest first."""
        ...

    def command(self) -> Command | None: ...

    def plan(self) -> Plan | None: ...

    def supervisor_stamp_ns(self) -> int | None:
        """When the supervisor last proved itself alive; None when it never did."""
        ...

    def reset_phase(self) -> bool:
        """Whether the supervisor says that a person's hand is in the cell: between two episodes."""
        ...

    def park_clear(self, now_ns: int) -> bool:
        """Whether the twin said lately that the way to the rest pose is clear."""
        ...

    def home_way(self, now_ns: int) -> HomeWay:
        """The way home that the twin found clear lately; UNKNOWN where it said nothing lately."""
        ...

    def report(self, request: int, checks: Sequence[Check], done: bool) -> None: ...

    def twin_finding(self) -> TwinFinding | None:
        """The mirror's newest finding; None while it finds nothing."""
        ...

    def publish(self, tick: Mapping[str, Any]) -> None: ...

    def publish_timing(self, record: bytes) -> None:
        """Publish a packed record of `robotd.layouts.timing_layout`."""
        ...


@dataclass(slots=True)
class MemoryExchange:
    """An exchange in plain memory: set the fields, read `ticks`."""

    presses: int = 0
    pending: list[ControlRequest] = field(default_factory=list)
    newest_command: Command | None = None
    newest_plan: Plan | None = None
    supervisor_ns: int | None = None
    park_is_clear: bool = True
    newest_home_way: HomeWay = HomeWay.STRAIGHT
    newest_finding: TwinFinding | None = None
    between_episodes: bool = False
    reports: list[tuple[int, tuple[Check, ...], bool]] = field(default_factory=list)
    last_tick: Mapping[str, Any] | None = None
    last_timing: bytes | None = None
    ids: int = 0

    def ask(self, kind: RequestKind, source: Source = Source.NONE) -> int:
        """Queue a request as the supervisor would; returns its id."""
        self.ids += 1
        self.pending.append(ControlRequest(self.ids, kind, source))
        return self.ids

    def estop_presses(self) -> int:
        return self.presses

    def requests(self) -> Sequence[ControlRequest]:
        taken, self.pending = self.pending, []
        return taken

    def command(self) -> Command | None:
        return self.newest_command

    def plan(self) -> Plan | None:
        return self.newest_plan

    def supervisor_stamp_ns(self) -> int | None:
        return self.supervisor_ns

    def reset_phase(self) -> bool:
        return self.between_episodes

    def park_clear(self, now_ns: int) -> bool:
        return self.park_is_clear

    def home_way(self, now_ns: int) -> HomeWay:
        return self.newest_home_way

    def twin_finding(self) -> TwinFinding | None:
        return self.newest_finding

    def report(self, request: int, checks: Sequence[Check], done: bool) -> None:
        self.reports.append((request, tuple(checks), done))

    def publish(self, tick: Mapping[str, Any]) -> None:
        self.last_tick = tick

    def publish_timing(self, record: bytes) -> None:
        self.last_timing = record


_LOOK_EVERY = 128  # reads: a file is looked for about once a second


class _LateSlot:
    """A slot whose writer may start, or start again, later. Looks for it once a second."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._file = LateFile(path, lambda path: SlotReader(path, layout))
        self._looked = 0
        self._sequence = 0
        self._record: dict[str, Any] | None = None

    def read(self) -> dict[str, Any] | None:
        """The newest record; the same object while nothing new was written."""
        if self._looked % _LOOK_EVERY == 0 and self._file.look():
            self._sequence = 0
        self._looked += 1
        reader = self._file.reader
        if reader is not None and reader.sequence != self._sequence:
            self._sequence = reader.sequence
            self._record = reader.read()
        return self._record


class SharedExchange:
    """The exchange through the runtime folder. Creates what control writes."""

    def __init__(self, runtime: Path, joints: int) -> None:
        self._joints = joints
        self._ticks = RingWriter(runtime / "ticks", layouts.tick_layout(joints), layouts.TICKS_KEPT)
        self._report = SlotWriter(runtime / "report", layouts.REPORT)
        self._timing = SlotWriter(runtime / "timing", layouts.timing_layout(joints))
        self._estop = EstopCounter(runtime)
        self._requests = RingReader(runtime / "requests", layouts.REQUEST)
        # Requests made before this process started are not for it: nothing moves because a
        # process started.
        self._next_request = self._requests.count
        self._command = _LateSlot(runtime / "command", layouts.command_layout(joints))
        self._plan = _LateSlot(runtime / "plan", layouts.plan_layout(joints))
        self._twin = _LateSlot(runtime / "twin", layouts.twin_layout(joints))
        self._heartbeat = _LateSlot(runtime / "heartbeat", layouts.HEARTBEAT)
        self._seen_command: tuple[Any, Command | None] = (None, None)
        self._seen_plan: tuple[Any, Plan | None] = (None, None)
        self._seen_twin: tuple[Any, TwinFinding | None] = (None, None)

    def estop_presses(self) -> int:
        return self._estop.presses

    def requests(self) -> Sequence[ControlRequest]:
        found: list[ControlRequest] = []
        while self._next_request < self._requests.count:
            record = self._requests.read(self._next_request)
            self._next_request += 1
            if record is not None:
                kind, source = RequestKind(record["kind"]), Source(record["source"])
                found.append(ControlRequest(record["id"], kind, source))
        return found

    def command(self) -> Command | None:
        record = self._command.read()
        if record is not self._seen_command[0] and record is not None:
            command = Command(
                Source(record["source"]),
                record["handover_version"],
                record["stamp_ns"],
                record["goal_rad"],
            )
            self._seen_command = (record, command)
        return self._seen_command[1]

    def plan(self) -> Plan | None:
        record = self._plan.read()
        if record is not self._seen_plan[0] and record is not None:
            self._seen_plan = (record, plan_from_record(record, self._joints))
        return self._seen_plan[1]

    def supervisor_stamp_ns(self) -> int | None:
        record = self._heartbeat.read()
        return None if record is None else int(record["stamp_ns"])

    def reset_phase(self) -> bool:
        record = self._heartbeat.read()
        # Whatever was said last by a supervisor that is gone, its session is gone too; weak is safe.
        return record is not None and bool(record["reset_phase"])

    def park_clear(self, now_ns: int) -> bool:
        record = self._twin.read()
        if record is None:
            return False
        fresh = now_ns - record["stamp_ns"] < PARK_VERDICT_STALE_NS
        return bool(record["park_clear"]) and fresh

    def home_way(self, now_ns: int) -> HomeWay:
        record = self._twin.read()
        if record is None or now_ns - record["stamp_ns"] >= PARK_VERDICT_STALE_NS:
            return HomeWay.UNKNOWN
        return HomeWay(record["home_way"])

    def twin_finding(self) -> TwinFinding | None:
        record = self._twin.read()
        if record is not self._seen_twin[0]:
            self._seen_twin = (record, _finding(record))
        return self._seen_twin[1]

    def report(self, request: int, checks: Sequence[Check], done: bool) -> None:
        body = json.dumps(
            {
                "request": request,
                "checks": [json.loads(encode(check)) for check in checks],
                "done": done,
            }
        ).encode()[: layouts.REPORT_BYTES]
        self._report.write({"length": len(body), "json": body.ljust(layouts.REPORT_BYTES, b"\0")})

    def publish(self, tick: Mapping[str, Any]) -> None:
        self._ticks.append(tick)

    def publish_timing(self, record: bytes) -> None:
        self._timing.write_packed(record)

    def close(self) -> None:
        self._ticks.close()
        self._report.close()
        self._timing.close()
        self._estop.close()
        self._requests.close()


def _finding(record: Mapping[str, Any] | None) -> TwinFinding | None:
    if record is None or record["finding"] not in _FAULTS:
        return None
    fault = Fault(record["finding"])
    return TwinFinding(
        fault, record["finding_joint"], record["finding_since_ns"], record["stamp_ns"]
    )


_FAULTS = frozenset(Fault) - {Fault.NONE}


def plan_from_record(record: Mapping[str, Any], joints: int) -> Plan | None:
    """Read a plan record; None for one that says more waypoints than it has room for, or none."""
    count = int(record["waypoints"])
    if not 1 <= count <= layouts.PLAN_WAYPOINTS or record["step_ns"] <= 0:
        return None
    flat = record["goal_rad"]
    goals = tuple(tuple(flat[k * joints : (k + 1) * joints]) for k in range(count))
    return Plan(
        record["id"],
        Source(record["source"]),
        record["handover_version"],
        record["observation_ns"],
        Verdict(record["verdict"]),
        Trajectory(record["start_ns"], record["step_ns"], goals),
    )
