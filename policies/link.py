"""The runtime folder as a process that makes plans sees it: ticks and answers in, proposals out.

Every file may appear late or be replaced when its writer is restarted; it is opened again when
another file lies under its name. Proposals and the policy slot are written on, not replaced,
because policy and replay write them in turns while others have them open.
"""

import bisect
from pathlib import Path
from typing import Any

import msgspec

from policies.executor import Proposal
from policies.runner import Answer, Inference
from robotd.frames import Frame, FrameRingReader
from robotd.late import LateFile
from robotd.latency import CHUNK, CHUNKS_KEPT
from robotd.layouts import ENVIRONMENT_STATE, POLICY, TICKS_KEPT, plan_layout, tick_layout
from robotd.shm import RingReader, RingWriter, SlotReader, SlotWriter
from robotd.states import PlanReason, Verdict


class RuntimeLink:
    """Reads ticks, verdicts, frames and environment state; writes proposals and the policy slot.

    `stride` is the number of ticks from one row to the next.
    """

    def __init__(self, runtime: Path, joints: int, stride: int) -> None:
        self._runtime = runtime
        self._stride = stride
        ticks, plans = tick_layout(joints), plan_layout(joints)
        self._ticks = LateFile(runtime / "ticks", lambda path: RingReader(path, ticks))
        self._plan = LateFile(runtime / "plan", lambda path: SlotReader(path, plans))
        self._environment = LateFile(
            runtime / "plant" / "environment_state",
            lambda path: SlotReader(path, ENVIRONMENT_STATE),
        )
        self._cameras: dict[str, LateFile[FrameRingReader]] = {}
        self._proposals = SlotWriter(runtime / "proposal", plans, take_over=True)
        self._policy = SlotWriter(runtime / "policy", POLICY, take_over=True)
        self._chunks: RingWriter | None = None
        self._chunks_path = runtime / "chunks"
        self._answered = 0

    def latest(self) -> dict[str, Any] | None:
        """The newest tick; None before the first."""
        ring = self._ticks.get()
        return None if ring is None else ring.latest()

    def row(self) -> dict[str, Any] | None:
        """The newest tick at which a dataset row is made; None when there was none lately."""
        ring = self._ticks.get()
        if ring is None:
            return None
        newest = ring.count - 1
        for index in range(newest, max(-1, newest - self._stride), -1):
            tick = ring.read(index)
            if tick is not None and tick["index"] % self._stride == 0:
                return tick
        return None

    def tick_at(self, at_ns: int) -> dict[str, Any] | None:
        """The newest tick that is kept with a deadline at or before `at_ns`."""
        ring = self._ticks.get()
        if ring is None:
            return None
        oldest = max(0, ring.count - TICKS_KEPT)

        def deadline_ns(index: int) -> int:
            tick = ring.read(index)
            return 0 if tick is None else int(tick["deadline_ns"])  # overwritten: long ago

        later = bisect.bisect_right(range(oldest, ring.count), at_ns, key=deadline_ns)
        return ring.read(oldest + later - 1) if later else None

    def first_followed(self, plan_id: int) -> dict[str, Any] | None:
        """The first tick in which control followed that plan, of those that are kept; None while
        the newest does not follow it."""
        ring, first = self._ticks.get(), None
        if ring is None:
            return None
        for index in range(ring.count - 1, max(-1, ring.count - TICKS_KEPT), -1):
            tick = ring.read(index)
            if tick is None or tick["plan_id"] != plan_id:
                break
            first = tick
        return first

    def answer(self) -> Answer | None:
        """The twin's newest verdict, once."""
        slot = self._plan.get()
        plan = slot.read() if slot is not None else None
        if plan is None or plan["id"] == self._answered:
            return None
        self._answered = plan["id"]
        reason = PlanReason(plan["reason"])
        return Answer(plan["id"], Verdict(plan["verdict"]), reason, plan["judged_ns"])

    def frame(self, camera: str, deadline_ns: int) -> Frame | None:
        """The camera's newest frame captured at or before `deadline_ns`."""
        ring = self._ring(camera)
        return None if ring is None else ring.newest_at(deadline_ns)

    def latest_capture_ns(self, camera: str) -> int | None:
        """When the newest picture that has arrived was captured; None before the first."""
        ring = self._ring(camera)
        return None if ring is None else ring.latest_stamp_ns()

    def environment(self) -> dict[str, Any] | None:
        """The newest environment state; None where there is none."""
        slot = self._environment.get()
        return None if slot is None else slot.read()

    def _ring(self, camera: str) -> FrameRingReader | None:
        if camera not in self._cameras:
            self._cameras[camera] = LateFile(self._runtime / f"frames-{camera}", FrameRingReader)
        return self._cameras[camera].get()

    def drawn_camera(self, camera: str) -> dict[str, str]:
        """What the simulation says of a camera that it draws; nothing of a real one."""
        path = self._runtime / "plant" / f"camera-{camera}.json"
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str]) if path.exists() else {}

    def propose(self, proposal: Proposal) -> None:
        """Hand a plan to the twin."""
        self._proposals.write(proposal.record())

    def chunk(self, record: dict[str, Any]) -> None:
        """Append one chunk's latency budget. The ring is made with the first."""
        if self._chunks is None:
            self._chunks = RingWriter(self._chunks_path, CHUNK, CHUNKS_KEPT)
        self._chunks.append(record)

    def report(
        self, now_ns: int, inference: Inference | None, chunks: int, *, ready: bool, finished: bool
    ) -> None:
        """Publish the policy slot."""
        self._policy.write(
            {
                "stamp_ns": now_ns,
                "ready": ready,
                "chunk_id": inference.chunk_id if inference else 0,
                "observation_age_us": inference.observation_age_ns // 1000 if inference else 0,
                "inference_us": inference.inference_ns // 1000 if inference else 0,
                "chunks": chunks,
                "finished": finished,
            }
        )

    def close(self) -> None:
        self._ticks.close()
        self._plan.close()
        self._environment.close()
        for camera in self._cameras.values():
            camera.close()
        if self._chunks is not None:
            self._chunks.close()
        self._proposals.close()
        self._policy.close()
