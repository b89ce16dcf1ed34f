"""A lock-step robot whose ticks and bytes go to the rings that the supervisor's black box reads."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.blackbox.folder import Box, boxes, read_box
from daemon.control.bus_trace import BusTrace
from daemon.supervisor.black_box import BlackBox
from learning.world import LockStepWorld, lockstep_config
from robotd import layouts
from robotd.messages import Check
from robotd.shm import RingWriter
from robotd.states import RequestKind, Source, State


class Recorded:
    """The world, its rings under `runtime`, and the black box that watches them."""

    def __init__(self, places: Path) -> None:
        self.runtime, logs = places / "runtime", places / "logs"
        self.runtime.mkdir()
        logs.mkdir()
        (logs / "control.log").write_text("".join(f"line {n}\n" for n in range(500)))
        (self.runtime / "config.json").write_text('{"name": "recorded"}')
        config = lockstep_config()
        self.world = LockStepWorld(config, seed=0, plant_seed=1)
        self.parent = places / "blackbox"
        self.ring = self._new_ring()
        link = self.world.core.arms[0].link
        trace = BusTrace(self.runtime, config, self.world.clock)
        plain = link._open_port
        link._open_port = lambda: trace.tapped(lambda _name, _role: plain())("arm", "follower")
        checks = (Check(name="disk", outcome="warn", detail="little is left"),)
        self.box = BlackBox(
            config, self.runtime, logs, self.parent, self.world.clock, lambda: checks
        )
        self.tick: Any = None

    def _new_ring(self) -> RingWriter:
        return RingWriter(self.runtime / "ticks", layouts.tick_layout(6), layouts.TICKS_KEPT)

    def run(self, seconds: float) -> None:
        for number in range(round(seconds * 120)):
            self.tick = self.world.tick()
            self.ring.append(self.tick)
            if number % 12 == 0:
                self.box.look()

    def moving(self) -> None:
        """Armed, and on its way home."""
        self.world.exchange.ask(RequestKind.ARM)
        while self.world.core.state is not State.HOLDING:
            self.run(0.1)
        self.world.exchange.ask(RequestKind.HOME)
        self.run(0.4)

    def ask(self, kind: RequestKind, source: Source = Source.NONE) -> None:
        self.world.exchange.ask(kind, source)
        self.run(0.1)

    def new_control(self) -> None:
        """Another control process: its ticks begin in a ring of their own."""
        self.ring = self._new_ring()

    def read(self) -> list[Box]:
        """The boxes on disk, the oldest first."""
        self.box.close()
        return [read_box(folder) for folder in reversed(boxes(self.parent))]


@pytest.fixture
def recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Recorded]:
    caplog.set_level(logging.INFO)
    made = Recorded(tmp_path)
    yield made
    made.world.close()
