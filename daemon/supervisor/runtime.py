"""The runtime folder of one robot: who owns it, taking over what a killed owner left, cleaning up.

The lock is a flock on `lock`: the kernel releases it with its owner, SIGKILL included, so a stale
folder is known for certain. The file itself stays, because unlinking a lock lets two owners lock
two different files of one name. The descriptor is close-on-exec: a child never inherits the lock.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from config.schema import Config
from daemon.cores import CORES_FILE, Cores
from daemon.guard.report import ReportReader
from daemon.supervisor import guard_words
from daemon.supervisor.blueprint import CONTROL, GUARD
from daemon.supervisor.patience import RELEASE_S, arm_down_s
from daemon.supervisor.process import ProcessId, alive, ask_to_end, end
from robotd.errors import ConfigError, DaemonError
from robotd.estop import EstopCounter
from robotd.messages import INSTANCE_FILE, Instance

log = logging.getLogger(__name__)

LOCK_FILE = "lock"
CHILDREN_FILE = "children.json"
CONFIG_FILE = "config.json"
_LONGEST_SOCKET = "policy.sock"
_SOCKET_PATH_LIMIT = 100  # sun_path has 108 bytes on Linux, 104 on macOS
_UNKNOWN_S = 120.0  # for an orphaned control whose configuration cannot be read any more
_PATIENCE_S = 3.0
_GUARD_S = 75.0  # it holds, and gives a release 60 s


class RuntimeFolder:
    """The folder, locked. Made by `take`; `close` gives it back."""

    def __init__(self, path: Path, lock_descriptor: int) -> None:
        self.path = path
        self._lock = lock_descriptor

    @classmethod
    def take(
        cls, path: Path, waiting: Callable[[str, float], None] = lambda _what, _seconds: None
    ) -> "RuntimeFolder":
        """Lock the folder, end what an earlier owner left running, and empty it.

        `waiting` is told what is waited for, and how many seconds that may take. Raises
        DaemonError when another supervisor owns it, ConfigError for a path too long for a socket.
        """
        if len(str(path / "plant" / _LONGEST_SOCKET)) > _SOCKET_PATH_LIMIT:
            raise ConfigError(
                f"The runtime folder's path is too long for a socket: {path}.",
                "XDG_RUNTIME_DIR lies deep, or the robot's name is long.",
                "Set XDG_RUNTIME_DIR to a shorter path, or give the robot a shorter name.",
            )
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise DaemonError(
                f"robotd is already running for {path.name}.",
                "It was started before, perhaps by systemd or in another terminal.",
                f"Look: robotd status --name {path.name}. To start anew: robotd stop "
                f"--name {path.name}.",
            ) from error
        folder = cls(path, descriptor)
        folder._end_orphans(waiting)
        folder._empty()
        return folder

    def write_instance(self, instance: Instance) -> None:
        """Say that this robot runs; clients find it by this file."""
        self._write(INSTANCE_FILE, msgspec.json.encode(instance))

    def write_config(self, config: msgspec.Struct) -> Path:
        """Write the resolved configuration that every child reads."""
        self._write(CONFIG_FILE, msgspec.json.encode(config))
        return self.path / CONFIG_FILE

    def write_cores(self, cores: Cores) -> None:
        """Say which core is control's."""
        self._write(CORES_FILE, msgspec.json.encode(cores))

    def write_children(self, children: list[ProcessId]) -> None:
        """Note which processes are ours, for a successor that may have to end them."""
        self._write(CHILDREN_FILE, msgspec.json.encode(children))

    def close(self) -> None:
        """Remove everything but the lock file and give the lock back."""
        self._empty()
        os.close(self._lock)

    def _write(self, name: str, data: bytes) -> None:
        partial = self.path / f".{name}.new"
        partial.write_bytes(data)
        partial.replace(self.path / name)

    def _end_orphans(self, waiting: Callable[[str, float], None]) -> None:
        left = self._orphans()
        if left:
            names = ", ".join(orphan.name for orphan in left)
            log.warning("taking over from a killed robotd: ending %s", names)
        # Control first, while twin and plant still serve it: it lets the arm down on its way out.
        for orphan in left:
            if orphan.name == CONTROL:
                self._end_control(orphan, waiting)
        self._await_guard(waiting)
        for orphan in sorted(left, key=lambda each: each.name != GUARD):
            if orphan.name != CONTROL and not end(orphan, _PATIENCE_S):
                log.error("%s (pid %d) did not end and was killed", orphan.name, orphan.pid)

    def _orphans(self) -> list[ProcessId]:
        try:
            data = (self.path / CHILDREN_FILE).read_bytes()
            listed = msgspec.json.decode(data, type=list[ProcessId])
        except (FileNotFoundError, msgspec.DecodeError):
            return []
        return [each for each in listed if alive(each)]

    def _await_guard(self, waiting: Callable[[str, float], None]) -> None:
        """Whatever guard there is, also one of its own unit: not while the arm is in its hands."""
        reports = ReportReader(self.path)
        give_up_s = time.monotonic() + _GUARD_S
        said = False
        while guard_words.busy(reports.read(time.monotonic_ns())):
            if not said:
                said = True
                waiting("the guard of a killed robotd lets the arm down", _GUARD_S)
            if time.monotonic() >= give_up_s:
                log.error("the guard has had the arm for %.0f s and goes on", _GUARD_S)
                break
            time.sleep(0.05)
        reports.close()

    def _end_control(self, orphan: ProcessId, waiting: Callable[[str, float], None]) -> None:
        """SIGTERM parks; when that takes too long the e-stop counter asks for a release in place,
        the one way to control that needs no supervisor's ring. Only then it is killed."""
        patience_s = self._control_patience_s()
        waiting("the control of a killed robotd parks and lets the arm down", patience_s)
        if ask_to_end(orphan, patience_s):
            return
        log.error("control (pid %d) takes longer than %.0f s: no parking", orphan.pid, patience_s)
        try:
            counter = EstopCounter(self.path)
        except OSError as error:
            log.error("its e-stop counter is gone: %s", error)
        else:
            counter.press()
            counter.close()
        waiting("it is asked to let the arm down where it is", RELEASE_S)
        if not end(orphan, RELEASE_S):
            log.error(
                "control (pid %d) did not end and was killed: the servos may keep their last goal "
                "and torque. Support the arm; robotd disarm lets it down, the plug drops it",
                orphan.pid,
            )

    def _control_patience_s(self) -> float:
        """How long the orphan may take at the speed that it was given."""
        try:
            data = (self.path / CONFIG_FILE).read_bytes()
            return arm_down_s(msgspec.json.decode(data, type=Config))
        except (OSError, msgspec.DecodeError):
            return _UNKNOWN_S

    def _empty(self) -> None:
        for path in sorted(self.path.rglob("*"), reverse=True):
            if path == self.path / LOCK_FILE:
                continue
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
