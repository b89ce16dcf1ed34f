"""The plant in real time: one thread that polls the serial devices and the world socket and keeps
physics at now.

Rendering is another process's business (`sim.plant.cameras`): a renderer in here would make
replies late.
"""

import gc
import os
import select
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import zmq

from robotd.errors import ConfigError, PortInUseError
from robotd.layouts import ENVIRONMENT_STATE
from robotd.memory_lock import lock_memory
from robotd.shm import SlotWriter
from sim.plant import world_messages as msg
from sim.plant.options import PlantOptions
from sim.plant.pty_line import PtyLine
from sim.plant.server_paths import ENVIRONMENT_FILE, PLANT_FOLDER, WORLD_SOCKET
from sim.plant.state_layout import STATE_FILE, state_layout
from sim.plant.world import World, decode_request

_NS_PER_MS = 1_000_000
_PHYSICS_NS = 2 * _NS_PER_MS  # the longest the physics may lag: what a request has to wait for
_STALL_NS = 200 * _NS_PER_MS  # behind by more: time was stolen, physics does not run after it
_CHECK_NS = 250 * _NS_PER_MS
_LATENESS_KEPT = 4_096
_ORPHANED_NS = 3_000 * _NS_PER_MS  # of silence on every bus
_SOCKET_PATH_LIMIT = 100  # sun_path holds 108 on Linux, 104 on macOS
_FIFO_PRIORITY = 10


class PlantServer:
    """Owns the world, its devices, its slots and its socket. `serve` runs until `stop` says so."""

    def __init__(self, runtime: Path, options: PlantOptions) -> None:
        self._parent = os.getppid()  # before anything slow: it may die while we start
        self._folder = runtime / PLANT_FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        self._options = options
        self.world = World(options)
        self._lines = {
            name: PtyLine(arm.bus, self._folder / name) for name, arm in self.world.arms.items()
        }
        self.world.injector.cables.update(self._lines)
        self._state = SlotWriter(
            self._folder / STATE_FILE, state_layout(self.world.physics.model.nq)
        )
        self._environment = (
            SlotWriter(self._folder / ENVIRONMENT_FILE, ENVIRONMENT_STATE)
            if options.objects
            else None
        )
        self._context = zmq.Context()
        self._socket = self._bind()
        self._lateness_ns: deque[int] = deque(maxlen=_LATENESS_KEPT)
        self._stolen_ns = 0
        self._stalls = 0
        self._start_ns = time.monotonic_ns()
        self._priority = _take_priority() if options.realtime_priority else "normal"
        if options.realtime_priority:
            lock_memory()  # like the priority: welcome, not needed

    def _bind(self) -> "zmq.Socket[bytes]":
        path = self._folder / WORLD_SOCKET
        if len(str(path)) > _SOCKET_PATH_LIMIT:
            raise ConfigError(
                f"The world socket's path is too long: {path}.",
                "The runtime folder lies too deep for a Unix socket.",
                "Set XDG_RUNTIME_DIR to a shorter path.",
            )
        socket = self._context.socket(zmq.REP)
        socket.setsockopt(zmq.LINGER, 0)
        try:
            socket.bind(f"ipc://{path}")
        except zmq.ZMQError as error:
            raise PortInUseError(
                f"The world socket {path} cannot be opened: {error}.",
                "Another plant serves this runtime folder.",
                "Stop it, or use another runtime folder.",
            ) from error
        return socket

    def serve(self, stop: Callable[[], bool]) -> None:
        """Run until `stop()`, or until the parent process is gone and nobody speaks to the servos:
        whoever holds the arm when its supervisor dies still has to let it down.
        """
        heard_ns = 0
        publish_ns = round(1e9 / self._options.publish_hz)
        next_publish = next_check = next_physics = time.monotonic_ns()
        world_fd = self._socket.getsockopt(zmq.FD)
        lines = list(self._lines.values())
        gc.collect()
        gc.freeze()
        while not stop():
            now = time.monotonic_ns()
            wake = min(next_physics, next_publish)
            watched: list[Any] = [world_fd]
            for line in lines:
                due = line.next_emission_ns()
                if due is not None and due < wake:
                    wake = due
                if line.wants_input(now):
                    watched.append(line)
                elif line.connected:
                    wake = min(wake, line.resume_ns())
            ready, _, _ = select.select(watched, [], [], max(0, wake - now) / 1e9)
            now = time.monotonic_ns()
            for line in lines:
                self._lateness_ns.extend(line.emit(now))
            if len(ready) > 1 or (ready and ready[0] is not world_fd) or now >= next_physics:
                self._catch_up(now)
                next_physics = now + _PHYSICS_NS
            for line in lines:
                if line in ready:
                    line.receive(now)
                    heard_ns = now
            if now >= next_publish:
                self._publish(now)
                next_publish = max(next_publish + publish_ns, now)
                self._answer()
            elif world_fd in ready:
                self._answer()
            if now >= next_check:
                next_check = now + _CHECK_NS
                for line in lines:
                    line.free_exclusive()
                if os.getppid() != self._parent and now - heard_ns > _ORPHANED_NS:
                    return

    def _catch_up(self, now_ns: int) -> None:
        behind = now_ns - self._stolen_ns - self._start_ns
        lag = behind - self.world.physics.time_ms * _NS_PER_MS
        if lag > _STALL_NS:
            self._stalls += 1
            self._stolen_ns += lag
            behind -= lag
        self.world.advance(behind // _NS_PER_MS)

    def _publish(self, now_ns: int) -> None:
        qpos = self.world.physics.data.qpos.tolist()
        self._state.write({"stamp_ns": now_ns, "qpos": qpos})
        if self._environment is not None:
            self._environment.write({"stamp_ns": now_ns, "values": self.world.environment_state()})

    def _answer(self) -> None:
        """Every request that waits. ZeroMQ's descriptor is edge-triggered: read until it is
        empty."""
        while True:
            try:
                data = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._socket.send(msgspec.json.encode(self._reply(data)))

    def _reply(self, data: bytes) -> msg.Reply:
        try:
            request = decode_request(data)
            return msg.Reply(ok=True, value=self._handle(request))
        except (msg.WorldError, ValueError) as error:  # msgspec's errors are ValueErrors
            return msg.Reply(ok=False, error=str(error))

    def _handle(self, request: msg.Request) -> Any:
        match request:
            case msg.Plug(connected, arm):
                self.world.arm(arm)
                line = self._lines[arm]
                (line.plug if connected else line.unplug)()
                return None
            case msg.Stats():
                return self._stats()
            case _:
                return self.world.handle(request)

    def _stats(self) -> dict[str, Any]:
        late = sorted(self._lateness_ns)
        return {
            "cpu_s": time.process_time(),
            "wall_s": (time.monotonic_ns() - self._start_ns) / 1e9,
            "replies": len(late),
            "late_p50_us": late[len(late) // 2] / 1e3 if late else 0.0,
            "late_p99_us": late[len(late) * 99 // 100] / 1e3 if late else 0.0,
            "stalls": self._stalls,
            "stolen_ms": self._stolen_ns / _NS_PER_MS,
            "lost_bytes": sum(line.lost_bytes for line in self._lines.values()),
            "priority": self._priority,
            "writes": {name: arm.bus.writes for name, arm in self.world.arms.items()},
        }

    def close(self) -> None:
        """Take devices and socket away. Slots stay for whoever has them mapped."""
        for line in self._lines.values():
            line.close()
        self._socket.close()
        self._context.term()
        (self._folder / WORLD_SOCKET).unlink(missing_ok=True)
        self._state.close()
        if self._environment is not None:
            self._environment.close()


def _take_priority() -> str:
    if not hasattr(os, "sched_setscheduler"):
        return "normal"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_FIFO_PRIORITY))
    except PermissionError:
        return "normal"
    return "fifo"
