"""The supervisor's side of shared memory: what it says to control and what it reads of others.

All readers may be opened before their writer exists and follow it when it was started anew: a file
that was replaced has another inode. Nothing here waits.
"""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from robotd import estop, layouts
from robotd.clock import NS_PER_S
from robotd.frames import FrameRingReader
from robotd.late import LateFile
from robotd.messages import Check
from robotd.shm import Layout, RingReader, RingWriter, SlotReader, SlotWriter
from robotd.states import RequestKind, Source


class Report(msgspec.Struct, frozen=True):
    """Control's side of the arming list, for one request."""

    request: int
    checks: tuple[Check, ...]
    done: bool


_decode_report = msgspec.json.Decoder(Report).decode


class ControlWriter:
    """Requests, goals and the heartbeat."""

    def __init__(self, runtime: Path, joints: int) -> None:
        estop.create(runtime)
        self._requests = RingWriter(runtime / "requests", layouts.REQUEST, layouts.REQUESTS_KEPT)
        self._command = SlotWriter(runtime / "command", layouts.command_layout(joints))
        self._heartbeat = SlotWriter(runtime / "heartbeat", layouts.HEARTBEAT)
        self._last_id = 0

    def ask(self, kind: RequestKind, now_ns: int, source: Source = Source.NONE) -> int:
        """Put a request to control and return its id."""
        self._last_id += 1
        self._requests.append(
            {"id": self._last_id, "kind": kind, "source": source, "stamp_ns": now_ns}
        )
        return self._last_id

    def goal(
        self, source: Source, handover_version: int, now_ns: int, goal_rad: Sequence[float]
    ) -> None:
        """Publish the newest goal of a person or a script."""
        self._command.write(
            {
                "source": source,
                "handover_version": handover_version,
                "stamp_ns": now_ns,
                "goal_rad": goal_rad,
            }
        )

    def beat(self, now_ns: int, pid: int, reset_phase: bool = False) -> None:
        """Prove that the supervisor lives, and say whether a recording waits between episodes."""
        self._heartbeat.write({"stamp_ns": now_ns, "pid": pid, "reset_phase": reset_phase})

    def close(self) -> None:
        self._requests.close()
        self._command.close()
        self._heartbeat.close()


class LateSlot:
    """A slot whose writer comes and goes."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._file = LateFile(path, lambda path: SlotReader(path, layout))

    def read(self) -> dict[str, Any] | None:
        """The newest record, None before the first."""
        reader = self._file.get()
        return None if reader is None else reader.read()


class TickWatch:
    """The tick ring: the newest tick, and how many there were."""

    def __init__(self, path: Path, joints: int) -> None:
        layout = layouts.tick_layout(joints)
        self._file = LateFile(path, lambda path: RingReader(path, layout))
        self.ticks = 0  # records of the present control process

    def latest(self) -> dict[str, Any] | None:
        """The newest tick, None before the first."""
        reader = self._file.get()
        return None if reader is None else reader.latest()

    def digest(self) -> None:
        """Take note of how many ticks there are."""
        reader = self._file.get()
        if reader is not None:
            self.ticks = reader.count


class FrameWatch:
    """One camera's ring: the age of its newest picture and how many come a second."""

    def __init__(self, path: Path) -> None:
        self._file = LateFile(path, FrameRingReader)
        self._counts: deque[tuple[int, int]] = deque(maxlen=20)  # two seconds at 10 Hz

    def look(self, now_ns: int) -> tuple[float | None, float]:
        """Age of the newest picture in ms (None before the first), and pictures a second."""
        if self._file.look():
            self._counts.clear()
        reader = self._file.reader
        if reader is None:
            return None, 0.0
        self._counts.append((now_ns, reader.count))
        (began_ns, first), (ended_ns, last) = self._counts[0], self._counts[-1]
        span_s = (ended_ns - began_ns) / NS_PER_S
        stamp_ns = reader.latest_stamp_ns()
        age_ms = None if stamp_ns is None else (now_ns - stamp_ns) / 1e6
        return age_ms, (last - first) / span_s if span_s > 0.5 else 0.0


class ReportSlot:
    """Control's arming reports."""

    def __init__(self, path: Path) -> None:
        self._slot = LateSlot(path, layouts.REPORT)

    def of(self, request: int) -> Report | None:
        """The report for `request`, None while there is none."""
        record = self._slot.read()
        if record is None:
            return None
        try:
            report = _decode_report(bytes(record["json"][: record["length"]]))
        except msgspec.DecodeError:
            return None  # cut off at the slot's size; the next one is looked at
        return report if report.request == request else None
