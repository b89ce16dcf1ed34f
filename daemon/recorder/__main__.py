"""The recorder process: `python -m daemon.recorder --runtime DIR`.

Reads the rings of control and cameras, writes journals and datasets, and waits for nobody. Ends on
SIGTERM, or when the supervisor is gone: an open episode is then closed whole and offered at the
next start. Prints READY when it has put in order what an earlier run left.
"""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

import msgspec
import zmq

from config.schema import Config
from daemon.recorder import channel, memory
from daemon.recorder.disk import DiskLimits
from daemon.recorder.encoders import choose
from daemon.recorder.lane import ThreadLane
from daemon.recorder.schema import machine_stamp
from daemon.recorder.service import RecorderService
from daemon.recorder.session import Session
from daemon.recorder.warmup import warm_up
from robotd.clock import NS_PER_MS, MonotonicClock
from robotd.errors import EncoderError, RobotdError
from robotd.messages import RecordingStatus
from robotd.paths import state_dir

_STEP_MS = 10  # a row every 33 ms or more: looked for three times as often
_IDLE_STEP_MS = 50
_STATUS_NS = 200 * NS_PER_MS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m daemon.recorder", description=__doc__)
    parser.add_argument("--runtime", type=Path, required=True)
    runtime: Path = parser.parse_args().runtime
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    try:
        config = msgspec.json.decode((runtime / "config.json").read_bytes(), type=Config)
        _serve(config, runtime, ending)
    except RobotdError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _serve(config: Config, runtime: Path, ending: list[int]) -> None:
    memory.pictures_of_their_own()
    supervisor = os.getppid()
    context = zmq.Context()
    socket = context.socket(zmq.PAIR)
    socket.setsockopt(zmq.LINGER, 500)
    socket.connect(f"ipc://{runtime / channel.RECORDER_SOCKET}")
    journals = state_dir() / config.name / "journals"
    limits = DiskLimits(refuse_below_bytes=int(config.recording.min_free_gb * 1e9))
    clock = MonotonicClock()
    service = RecorderService(
        config,
        runtime,
        Session(journals, limits=limits, open_lane=ThreadLane),
        clock,
        lambda message: socket.send(channel.encode(message)),
    )
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    service.specs.encoders = choose(
        config.recording.encoder,
        [(camera.width, camera.height) for camera in config.cameras.values()],
        config.recording.fps,
        config.recording.video_crf,
    )
    try:
        warm_up(machine_stamp(), service.specs.encoders.encoder)
    except EncoderError as error:  # it encoded when it was tried, and does not in a file
        service.specs.encoder_failed(error)
        logging.getLogger(__name__).warning("%s", error)
    memory.keep_what_is_there()
    shown: RecordingStatus | None = None
    shown_ns = 0
    try:
        while not ending and os.getppid() == supervisor:
            recording = shown is not None and shown.phase == "recording"
            if socket.poll(_STEP_MS if recording else _IDLE_STEP_MS):
                service.handle(channel.decode_to_recorder(socket.recv()))
                shown_ns = 0
            service.step()
            now_ns = clock.now_ns()
            if now_ns - shown_ns >= _STATUS_NS:
                shown_ns, status = now_ns, service.status()
                if status != shown:
                    shown = status
                    socket.send(channel.encode(channel.Now(status=status)))
    finally:
        service.close()
        socket.close()
        context.term()


if __name__ == "__main__":
    sys.exit(main())
