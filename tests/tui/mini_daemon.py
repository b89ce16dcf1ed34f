"""A daemon in two hundred lines for the screen's tests: real sockets, real rings, a pretended arm.

`python mini_daemon.py NAME` makes the runtime folder of NAME, prints READY, publishes ten states a
second, and answers requests until SIGTERM. What it was asked is kept in `asked.jsonl` in that
folder."""

import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq

sys.path.insert(0, str(Path(__file__).parent))

from scripted_robot import INSTANCE, JOINTS, POSE, joint, recording_status, scene, status

from robotd import estop, messages
from robotd.errors import RobotdError, StateError
from robotd.frames import FrameRingWriter
from robotd.paths import runtime_dir

CHECKS = [
    {"name": "bus", "outcome": "pass", "detail": "6 servos answer", "do": ""},
    {"name": "voltage", "outcome": "pass", "detail": "12.1 V", "do": ""},
]


class MiniDaemon:
    """State and answers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.runtime = runtime_dir(name)
        self.runtime.mkdir(parents=True, exist_ok=True)
        self.state, self.source, self.handover = "disarmed", "none", 1
        self.goal = [math.radians(value) for value in POSE]
        self.phase, self.kept, self.begun_s = "closed", 0, 0.0
        self.began_ns = time.monotonic_ns()
        estop.create(self.runtime)
        self.counter = estop.EstopCounter(self.runtime)
        self.rings = {
            camera: FrameRingWriter(self.runtime / f"frames-{camera}", 320, 240, 8)
            for camera in INSTANCE.cameras
        }
        context = zmq.Context.instance()
        self.router = context.socket(zmq.ROUTER)
        self.router.bind(f"ipc://{self.runtime / messages.API_SOCKET}")
        self.publisher = context.socket(zmq.PUB)
        self.publisher.bind(f"ipc://{self.runtime / messages.STATE_SOCKET}")
        instance = msgspec.structs.replace(INSTANCE, name=name, pid=os.getpid())
        partial = self.runtime / ".instance"
        partial.write_bytes(messages.encode(instance))
        partial.replace(self.runtime / messages.INSTANCE_FILE)

    def serve(self) -> None:
        """For ever."""
        next_s = time.monotonic()
        while True:
            if self.router.poll(max(0, int((next_s - time.monotonic()) * 1000))):
                self._answer()
            if time.monotonic() >= next_s:
                next_s += 0.1
                self._publish()

    def _answer(self) -> None:
        who, raw = self.router.recv_multipart()
        envelope = messages.decode_envelope(raw)
        with (self.runtime / "asked.jsonl").open("ab") as file:
            file.write(messages.encode(envelope.request) + b"\n")
        reply: messages.Reply
        try:
            reply = messages.Ok(id=envelope.id, data=self._do(envelope.request))
        except RobotdError as error:
            reply = messages.Failed(
                id=envelope.id,
                kind=type(error).__name__,
                what=error.what,
                likely=error.likely,
                do=error.do,
            )
        self.router.send_multipart([who, messages.encode(reply)])

    def _do(self, request: messages.AnyRequest) -> dict[str, Any]:
        match request:
            case messages.Arm(consent=consent):
                if consent:
                    self.state, self.source = "holding", "hold"
                return {"checks": CHECKS, "armed": consent}
            case messages.Disarm():
                self.state, self.source = "disarmed", "none"
            case messages.Hold() | messages.Home():
                if self.state == "disarmed":
                    raise StateError("The arm is not armed.", "Nobody armed it.", "Arm it: a")
                self.state, self.source = "holding", "hold"
            case messages.Clear():
                self.state, self.source = "disarmed", "none"
            case messages.Teleop(source=source):
                if self.state == "disarmed":
                    raise StateError("The arm is not armed.", "Nobody armed it.", "Arm it: a")
                self.state, self.source = "teleop", source
                self.handover += 1
                return {"handover_version": self.handover}
            case messages.Goal(goal_rad=goal):
                self.goal = list(goal)
            case messages.OpenSession():
                self.phase = "ready"
            case messages.StartEpisode():
                self.phase, self.begun_s = "recording", time.monotonic()
            case messages.KeepEpisode():
                self.phase = "ready"
                self.kept += 1
            case messages.DiscardEpisode():
                self.phase = "ready"
        return {}

    def _publish(self) -> None:
        now_ns = time.monotonic_ns()
        if self.counter.presses and self.state != "estop":
            self.state, self.source = "estop", "none"
        for camera, ring in self.rings.items():
            shift = int((now_ns - self.began_ns) / 5e7) % 320
            ring.append(now_ns, ring.count, np.roll(scene(camera), shift, axis=1).tobytes())
        recording = messages.RecordingStatus()
        if self.phase != "closed":
            recording = recording_status(
                self.phase,
                episodes_kept=self.kept,
                elapsed_s=time.monotonic() - self.begun_s,
                episodes=(),
            )
        now = status(
            name=self.name,
            state=self.state,
            source=self.source,
            torque="off" if self.state == "disarmed" else "on",
            handover_version=self.handover,
            estop_presses=self.counter.presses,
            stamp_ns=now_ns,
            uptime_s=(now_ns - self.began_ns) / 1e9,
            leader_ready=None,
            joints=tuple(
                joint(name, math.degrees(goal))
                for name, goal in zip(JOINTS, self.goal, strict=True)
            ),
            recording=recording,
        )
        self.publisher.send(messages.encode(now))


def main() -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    daemon = MiniDaemon(sys.argv[1])
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    daemon.serve()


if __name__ == "__main__":
    main()
