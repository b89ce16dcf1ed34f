"""The control process: `python -m daemon.control --runtime DIR`.

Started by the supervisor and by nobody else. It reads `config.json` in the runtime folder, opens
the buses and ticks. It outlives the supervisor for as long as it takes to hold, park and let the
arm down.
"""

import argparse
import logging
import signal
import sys
from functools import partial
from pathlib import Path

import msgspec

from config.schema import Config
from daemon.control import realtime
from daemon.control.build import build_core
from daemon.control.bus_trace import BusTrace
from daemon.control.exchange import SharedExchange
from daemon.control.timing import Schedule
from daemon.cores import CORES_FILE, Cores
from daemon.devices import Devices, calibration_of
from robotd.clock import MonotonicClock

log = logging.getLogger("control")

_FAILURES_ALLOWED = 50  # of ticks on the way down; then the way down itself does not work


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m daemon.control")
    parser.add_argument("--runtime", type=Path, required=True)
    runtime: Path = parser.parse_args().runtime
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Ctrl-C is the supervisor's: it asks for the park. A SIGTERM to this process alone does too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = msgspec.json.decode((runtime / "config.json").read_bytes(), type=Config)
    run(runtime, config)


def run(runtime: Path, config: Config) -> None:
    """Tick until the core says that there is nothing left to do."""
    clock = MonotonicClock()
    exchange = SharedExchange(runtime, 6 * len(config.arms))
    trace = BusTrace(runtime, config, clock)
    core = build_core(
        config,
        partial(calibration_of, config),
        trace.tapped(Devices(config).open),
        exchange,
        clock,
    )
    cores = msgspec.json.decode((runtime / CORES_FILE).read_bytes(), type=Cores)
    obtained = realtime.take(config.control.realtime_priority, cores.control, cores.why)
    (runtime / "realtime.json").write_bytes(msgspec.json.encode(obtained))
    terminate = _Terminate()
    signal.signal(signal.SIGTERM, terminate)
    realtime.freeze_garbage_collector()
    schedule = Schedule(clock.now_ns(), config.control.tick_hz)
    log.info("ticking at %d Hz, %s", config.control.tick_hz, obtained.scheduler)
    sys.stdout.write("READY\n")  # the supervisor's handshake
    sys.stdout.flush()
    index = failures = 0
    while not core.stopped:
        deadline_ns = schedule.deadline_ns(index)
        clock.sleep_until_ns(deadline_ns)
        if terminate.asked:
            core.stop(deadline_ns)
        try:
            core.tick(index, deadline_ns)
        except Exception:
            # Whatever it is, ending here would leave the arm stiff with nobody at it.
            log.exception("tick %d failed; letting the arm down", index)
            failures += 1
            if failures > _FAILURES_ALLOWED:
                raise
            core.release(deadline_ns)
        index = schedule.next_index(index, clock.now_ns())
    core.close()
    exchange.close()
    trace.close()
    log.info("kept time: %s", core.times.words())
    log.info("ended in %s with torque %s", core.state.name, core.torque.name)


class _Terminate:
    """A SIGTERM, noted for the loop."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, _signal: int, _frame: object) -> None:
        self.asked = True


if __name__ == "__main__":
    main()
