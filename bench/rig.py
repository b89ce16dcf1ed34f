"""A place of its own for a benchmark: folders, environment, and the processes around the line.

Nothing of the person's is touched: configuration, calibration, datasets and sockets of a benchmark
lie in temporary folders that are removed afterwards. The runtime folder lies in memory (/dev/shm
where there is one), as `$XDG_RUNTIME_DIR` does; what is recorded goes to the disk that TMPDIR
names.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from robotd import paths
from robotd.client import running_instances
from robotd.errors import DaemonError
from sim.plant.server_paths import PLANT_FOLDER

NAME = "bench"
CONTROL_PRIORITY = 50  # config/defaults.yaml
RECORDER_PRIORITY = CONTROL_PRIORITY + 10
BARE_PRIORITY = CONTROL_PRIORITY + 1
LINE_PRIORITY = CONTROL_PRIORITY + 5  # above both loops, so that neither delays its own bytes
_MEMORY = Path("/dev/shm")
_ENDING_S = 10.0


@dataclass(frozen=True, slots=True)
class Rig:
    """The folders of one benchmark."""

    folder: Path
    runtime: Path

    @property
    def wire(self) -> Path:
        """The serial device that robotd or LeRobot opens: the wire recorder's."""
        return self.runtime / "wire"

    @property
    def recorded(self) -> Path:
        """Where the wire recorder leaves its stamps."""
        return self.folder / "wire.stamps"


@contextmanager
def rig() -> Iterator[Rig]:
    """Make the folders and point this process and its children at them until the end.

    Raises DaemonError when a robot is running: both would be measured, and an arm wants the cores
    for itself.
    """
    running = running_instances()
    if running:
        raise DaemonError(
            f"A robot is running: {', '.join(running)}.",
            "A benchmark beside it would measure both, and take the cores that its loop needs.",
            f"Stop it first: robotd stop --name {next(iter(running))}.",
        )
    folder = Path(tempfile.mkdtemp(prefix="robotd-bench-"))
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    runtime = Path(tempfile.mkdtemp(prefix="robotd-bench-", dir=memory))
    places = {
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_STATE_HOME": str(folder / "state"),
        "HF_LEROBOT_HOME": str(folder / "lerobot"),
        "HF_LEROBOT_CALIBRATION": str(resources.files("config").joinpath("calibration")),
        "HF_HUB_OFFLINE": "1",
    }
    try:
        with _environment(places):
            yield Rig(folder, runtime)
    finally:
        shutil.rmtree(runtime, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _environment(places: Mapping[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in places}
    os.environ.update(places)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


class Helper:
    """A process of the benchmark's own, `python -m module arguments…`, that says READY."""

    def __init__(self, folder: Path, module: str, arguments: Sequence[str]) -> None:
        self.module = module
        self._log = (folder / f"{module}.log").open("w+b")
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self) -> str:
        """Wait for the READY line; returns what stands behind it. Raises DaemonError when the
        process ends without one."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            words = line.decode().strip()
            if words.startswith("READY"):
                return words.removeprefix("READY").strip()
        raise self._failed()

    def finish(self, timeout_s: float) -> None:
        """Wait until it has ended well. Raises DaemonError when it has not."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = -1
        if code != 0:
            raise self._failed()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not listen. May be called twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_ENDING_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def words(self) -> str:
        """What it wrote to stderr so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()

    def _failed(self) -> DaemonError:
        words = self.words().splitlines()
        return DaemonError(
            f"{self.module} did not do its part (exit {self._process.poll()}): "
            f"{words[-1] if words else 'it said nothing'}",
            "It is one of the benchmark's own processes; a part of it may not be installed.",
            "Run the benchmark again; what it wrote last:\n" + "\n".join(words[-12:]),
        )


@contextmanager
def helper(folder: Path, module: str, arguments: Sequence[str]) -> Iterator[Helper]:
    """A helper that is stopped at the end; its log lies in `folder`."""
    made = Helper(folder, module, arguments)
    try:
        yield made
    finally:
        made.stop()


@contextmanager
def plant(rig: Rig, options: str = "{}") -> Iterator[Path]:
    """The virtual arm without a daemon, as the daemon would start it; yields its runtime folder."""
    folder = paths.runtime_dir(PLANT_FOLDER)
    arguments = ("--runtime", str(folder), "--options", options)
    with helper(rig.folder, "sim.plant", arguments) as made:
        made.ready()
        yield folder


def line(runtime: Path, arm: str = "follower") -> Path:
    """The servos' serial device in a runtime folder."""
    return runtime / PLANT_FOLDER / arm


@contextmanager
def wire_recorder(rig: Rig, servos: Path) -> Iterator[Helper]:
    """The wire recorder between `servos` and `rig.wire`. It waits for the servos by itself; its
    stamps are in `rig.recorded` once it was stopped."""
    arguments: tuple[str, ...] = ("--line", str(servos), "--link", str(rig.wire))
    arguments += ("--out", str(rig.recorded))
    arguments += ("--priority", str(RECORDER_PRIORITY))
    with helper(rig.folder, "bench.wire", arguments) as made:
        yield made


def sleep_until_ns(deadline_ns: int) -> None:
    """Sleep to an absolute time; at once when it has passed."""
    time.sleep(max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9))
