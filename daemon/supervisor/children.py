"""The child processes: spawning, READY lines, restarts, ending, and a log file for each.

Every child is spawned (never forked on) in a session of its own, with its stderr in
`<logs>/<name>.log` and its stdout a pipe on which it says READY. What a child writes goes to its
file directly, so that control can still say what it does when this process is gone.
"""

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from daemon.supervisor.process import ProcessId, identify
from daemon.supervisor.restart import History, ended, given_up, restart_at_ns

log = logging.getLogger(__name__)

_LOG_BYTES = 4 << 20  # then it becomes .1; one older one is kept
_TAIL_BYTES = 4_096
_NOT_STARTED = 127  # what a shell says of a program that it cannot run


@dataclass(frozen=True, slots=True)
class Spec:
    """How to start one child. `module` runs as `python -m module arguments…`."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    restarts: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


class Child:
    """One child and what became of it."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.identity: ProcessId | None = None
        self.ready = False
        self.wanted = True
        self.history = History()
        self.exit_code: int | None = None
        self.started_ns = 0
        self.log_start = 0
        self.not_started = ""  # why the operating system refused to start it
        self._text = b""

    @property
    def running(self) -> bool:
        return self.process is not None

    @property
    def given_up(self) -> bool:
        """Whether it is dead and nothing starts it again by itself."""
        return not self.running and (not self.spec.restarts or given_up(self.history))

    @property
    def word(self) -> str:
        """Its state in a word or two, as clients show it."""
        if self.process is not None:
            return "running" if self.ready else "starting"
        if not self.wanted:
            return "ended"
        if self.exit_code is None:
            return "waiting"
        how = f"exit {self.exit_code}" if self.exit_code >= 0 else f"signal {-self.exit_code}"
        if self.given_up:
            return f"dead ({how})"
        return f"restarting ({how})"

    def hear(self) -> bool:
        """Read what the child said on stdout; returns whether it became ready just now."""
        if self.process is None or self.process.stdout is None:
            return False
        try:
            data = os.read(self.process.stdout.fileno(), 65_536)
        except BlockingIOError:
            return False
        self._text += data
        *lines, self._text = self._text.split(b"\n")
        self._text = self._text[-_TAIL_BYTES:]
        if not self.ready and any(line.strip().startswith(b"READY") for line in lines):
            self.ready = True
            return True
        return False


class Children:
    """All children of one supervisor."""

    def __init__(
        self,
        logs: Path,
        now_ns: Callable[[], int],
        changed: Callable[[list[ProcessId]], None],
    ) -> None:
        self.logs = logs
        self._now_ns = now_ns
        self._changed = changed
        self._children: dict[str, Child] = {}
        self._stillborn: list[Child] = []
        self._complaint = ""
        logs.mkdir(parents=True, exist_ok=True)

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    def get(self, name: str) -> Child | None:
        """The child of that name, running or not."""
        return self._children.get(name)

    def all(self) -> list[Child]:
        return list(self._children.values())

    def words(self) -> dict[str, str]:
        """The state of each in a word or two, by name."""
        return {child.spec.name: child.word for child in self.all()}

    def start(self, spec: Spec) -> Child:
        """Start a child, or start it anew under another specification.

        One that the operating system refuses to start (no memory, no disk, an argument that it
        cannot take) has ended: `poll` returns it, and it is started again by the same rule.
        """
        before = self._children.get(spec.name)
        child = Child(spec)
        if before is not None and before.spec == spec:
            child.history = before.history
        self._children[spec.name] = child
        self._spawn(child)
        return child

    def poll(self) -> list[Child]:
        """Hear all children, restart those that are due; returns the ones that ended just now."""
        gone, self._stillborn = self._stillborn, []
        for child in self.all():
            child.hear()
            if child.process is not None and child.process.poll() is not None:
                child.hear()
                self._ended(child)
                gone.append(child)
            due_ns = restart_at_ns(child.history)
            restarts = child.spec.restarts and child.wanted and not child.running
            if restarts and due_ns is not None and self._now_ns() >= due_ns:
                self._spawn(child)
        return gone

    def ask_to_end(self, name: str) -> None:
        """SIGTERM, and no restart after it."""
        child = self._children.get(name)
        if child is not None:
            child.wanted = False
            if child.process is not None:
                child.process.send_signal(signal.SIGTERM)

    def kill(self, name: str) -> None:
        """SIGKILL, for one that did not listen."""
        child = self._children.get(name)
        if child is not None and child.process is not None:
            child.wanted = False
            log.error("%s did not end in time and is killed", name)
            child.process.kill()

    def last_words(self, name: str) -> str:
        """What a child wrote to its log since it was started last, the end of it."""
        if self._children[name].not_started:
            return self._children[name].not_started
        path = self.logs / f"{name}.log"
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                file.seek(max(self._children[name].log_start, size - _TAIL_BYTES))
                return file.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def trim_logs(self) -> None:
        """Keep the files bounded while their writers live: copy away, then cut."""
        for path in self.logs.glob("*.log"):
            if path.stat().st_size > _LOG_BYTES:
                shutil.copyfile(path, path.with_suffix(".log.1"))
                os.truncate(path, 0)

    def _spawn(self, child: Child) -> None:
        spec = child.spec
        child.ready = False
        child.exit_code = None
        child.not_started = ""
        child.started_ns = self._now_ns()
        try:
            with self._open_log(child) as errors:
                child.process = subprocess.Popen(
                    [sys.executable, "-m", spec.module, *spec.arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env={**os.environ, **spec.environment},
                    start_new_session=True,  # Ctrl-C and systemd's group signals are not for it
                )
        except (OSError, ValueError) as error:
            log.error("%s cannot be started: %s", spec.name, error)
            child.not_started = str(error)
            child.exit_code = _NOT_STARTED
            child.history = ended(child.history, self._now_ns())
            self._stillborn.append(child)
            return
        if child.process.stdout is not None:
            os.set_blocking(child.process.stdout.fileno(), False)
        child.identity = identify(spec.name, child.process.pid)
        self._note()

    def _open_log(self, child: Child) -> BinaryIO:
        """The child's log file. Control has to start also where no file can be made any more."""
        path = self.logs / f"{child.spec.name}.log"
        try:
            child.log_start = path.stat().st_size if path.exists() else 0
            return path.open("ab")
        except OSError as error:
            log.error("%s runs without a log: %s", child.spec.name, error)
            return Path(os.devnull).open("ab")

    def _ended(self, child: Child) -> None:
        process = child.process
        if process is None:
            return
        child.exit_code = process.returncode
        if process.stdout is not None:
            process.stdout.close()
        child.process = child.identity = None
        child.ready = False
        if child.wanted and not (child.exit_code == 0 and not child.spec.restarts):
            child.history = ended(child.history, self._now_ns())
            log.warning("%s ended by itself: %s", child.spec.name, child.word)
        self._note()

    def _note(self) -> None:
        """Tell who keeps the list. It serves a successor; ours goes on when it cannot be kept."""
        try:
            self._changed([c.identity for c in self._children.values() if c.identity is not None])
        except OSError as error:
            if str(error) != self._complaint:
                log.error("the list of processes cannot be written: %s", error)
            self._complaint = str(error)
