"""The guard process: `python -m daemon.guard --runtime DIR [--stay]`.

The supervisor starts it in a session of its own; systemd as a unit of its own, with `--stay`. It
outlives the supervisor until the arm is down. One guard watches a runtime folder; a second one
stands by. SIGTERM ends it as soon as no arm depends on it.
"""

import argparse
import logging
import signal
import sys
from pathlib import Path

import msgspec

from config.schema import Config
from daemon.control import realtime
from daemon.devices import Devices
from daemon.guard.core import GuardCore
from daemon.guard.hands import Hands
from daemon.guard.machine import Guarding, Life
from daemon.guard.report import GuardLock, ReportWriter
from daemon.guard.silence import Silence
from daemon.guard.watched import WatchedControl
from daemon.supervisor.notify import Notifier
from robotd import layouts
from robotd.clock import NS_PER_MS, NS_PER_S, MonotonicClock
from robotd.estop import EstopCounter
from robotd.late import LateFile
from robotd.shm import SlotReader

log = logging.getLogger("guard")

CONFIG_FILE = "config.json"
_ROBOT_GONE_NS = 5 * NS_PER_S  # without a heartbeat: the supervisor sends twenty a second
_GIVE_UP_NS = 60 * NS_PER_S  # with an arm that nobody reaches and nobody else alive
_IDLE_NS = 250 * NS_PER_MS
_FAILURES_ALLOWED = 50  # of looks in a row; whoever started it starts it anew


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m daemon.guard", description=__doc__)
    parser.add_argument("--runtime", type=Path, required=True)
    parser.add_argument("--stay", action="store_true", help="wait for the next daemon, for ever")
    arguments = parser.parse_args()
    runtime: Path = arguments.runtime
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's
    process = GuardProcess(runtime, stay=arguments.stay)
    signal.signal(signal.SIGTERM, process.terminate)
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    return process.run()


class GuardProcess:
    """Waits for its turn, then for a daemon, and guards it; with `stay` the next one too."""

    def __init__(self, runtime: Path, *, stay: bool) -> None:
        self._runtime = runtime
        self._stay = stay
        self._clock = MonotonicClock()
        # Only in a unit of its own: a guard that the supervisor started has the supervisor's socket
        # in its environment, and must never feed the watchdog in its place.
        self._notifier = Notifier(None if stay else "")
        self._terminated = False

    def terminate(self, _signal: int, _frame: object) -> None:
        """SIGTERM: end when no arm depends on this."""
        self._terminated = True

    def run(self) -> int:
        """Returns the exit status: 1 when an arm was left that could not be brought down."""
        lock = GuardLock(self._runtime)
        self._notifier.ready()
        try:
            if not self._await_turn(lock):
                return 0
            while not self._terminated:
                session = self._open()
                if session is None:
                    if not self._stay:
                        return 0
                    self._rest()
                    continue
                try:
                    status = session.run(self)
                finally:
                    session.close()
                if status is not None:
                    return status
        finally:
            lock.close()
        return 0

    @property
    def terminated(self) -> bool:
        return self._terminated

    @property
    def stay(self) -> bool:
        return self._stay

    def completed(self, text: str) -> None:
        """A look was completed: that, and nothing else, feeds systemd's watchdog."""
        self._notifier.watchdog()
        self._notifier.status(text)

    def _await_turn(self, lock: GuardLock) -> bool:
        said = False
        while not self._terminated:
            if lock.take():
                return True
            if not said:
                said = True
                log.info("another guard watches; standing by")
            if not self._stay and not (self._runtime / CONFIG_FILE).exists():
                return False
            self._rest()
        return False

    def _rest(self) -> None:
        self.completed("standing by")
        self._clock.sleep_until_ns(self._clock.now_ns() + _IDLE_NS)

    def _open(self) -> "Session | None":
        """A session for the daemon that has the folder now; None when there is none."""
        try:
            version = file_version(self._runtime / CONFIG_FILE)
            data = (self._runtime / CONFIG_FILE).read_bytes()
        except FileNotFoundError:
            return None
        return Session(self._runtime, msgspec.json.decode(data, type=Config), version)


def file_version(path: Path) -> tuple[int, int]:
    """What changes when a file is replaced. Raises FileNotFoundError."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


class Session:
    """The guard of one daemon: from its configuration until that is gone or replaced."""

    def __init__(self, runtime: Path, config: Config, version: tuple[int, int]) -> None:
        control = config.control
        self._clock = MonotonicClock()
        self._config_file = runtime / CONFIG_FILE
        self._version = version
        self._estop = EstopCounter(runtime) if (runtime / "estop").exists() else None
        # Above control, or one that spins at its real-time priority would starve its own guard.
        wanted = control.realtime_priority
        obtained = realtime.take(wanted + 1 if wanted else 0, None)
        silent_ns = int(control.guard_silent_s * NS_PER_S)
        watched = WatchedControl(runtime, 6 * len(config.arms), silent_ns)
        devices = Devices(config)
        self.core = GuardCore(
            watched,
            Hands(
                tuple(config.arms),
                lambda name: devices.open(name, "follower"),
                self._clock,
                config.limits.release_speed_rad_s,
            ),
            self._estop,
            control.guard_hold_s,
            obtained.scheduler,
        )
        self._report = ReportWriter(runtime)
        self._heartbeat = LateFile(
            runtime / "heartbeat", lambda path: SlotReader(path, layouts.HEARTBEAT)
        )
        self._robot = Silence()
        self._gone_ns = 0
        self._failures = 0
        realtime.freeze_garbage_collector()
        log.info("watching control, %s", obtained.scheduler)

    def run(self, process: GuardProcess) -> int | None:
        """Look until this is over. Returns the exit status, None when another session follows."""
        looked_ns = 0
        while True:
            now_ns = self._clock.now_ns()
            self._step(now_ns)
            if now_ns - looked_ns >= _IDLE_NS:
                looked_ns = now_ns
                process.completed(self.core.state.value)
                over, status = self._over(process, now_ns)
                if over:
                    return status
            self._clock.sleep_until_ns(now_ns + self.core.period_ns)

    def close(self) -> None:
        self.core.close()
        self._report.close()
        self._heartbeat.close()
        if self._estop is not None:
            self._estop.close()

    def _step(self, now_ns: int) -> None:
        try:
            reader = self._heartbeat.get()
            self._gone_ns = self._robot.look(now_ns, None if reader is None else reader.sequence)
            self.core.step(now_ns)
            self._report.write(self.core.report(now_ns))
        except Exception:
            # Ending here would leave the arm to nobody.
            self._failures += 1
            log.exception("look failed")
            if self._failures > _FAILURES_ALLOWED:
                raise
        else:
            self._failures = 0

    def _over(self, process: GuardProcess, now_ns: int) -> tuple[bool, int | None]:
        """Whether to stop, and the exit status (None: another session may follow)."""
        left = 1 if self.core.state is Guarding.CANNOT else 0
        if process.terminated and self.core.idle:
            return True, left
        gone = self.core.control.life in (Life.DEAD, Life.ABSENT)
        if not self.core.state.at_work and self._replaced(gone):
            return True, None
        if gone and self.core.idle and not process.stay:
            patience_ns = _GIVE_UP_NS if self.core.state is Guarding.CANNOT else _ROBOT_GONE_NS
            if self._gone_ns > patience_ns:
                log.info("supervisor and control are gone; the arm is %s", self.core.state.value)
                return True, left
        return False, None

    def _replaced(self, control_is_gone: bool) -> bool:
        """Whether this daemon is over. A folder that was emptied under a living control (logind does
        so when a session ends) is no end: its ring is mapped and goes on."""
        try:
            return file_version(self._config_file) != self._version
        except FileNotFoundError:
            return control_is_gone


if __name__ == "__main__":
    sys.exit(main())
