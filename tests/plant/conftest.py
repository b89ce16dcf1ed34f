"""Real parts for the plant's tests: a servo on a bus, a lock-step plant, a plant process on a
pty."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from sim.plant.options import PlantOptions
from sim.plant.world_client import WorldClient


@dataclass
class PlantProcess:
    """A running `python -m sim.plant`."""

    runtime: Path
    world: WorldClient
    process: "subprocess.Popen[str]"

    def device(self, arm: str = "follower") -> str:
        """The serial device of an arm, as a client opens it."""
        return str((self.runtime / "plant" / arm).resolve())

    @property
    def link(self) -> Path:
        """The follower's symlink."""
        return self.runtime / "plant" / "follower"


def start_plant(stack: ExitStack, options: PlantOptions) -> PlantProcess:
    """Start a plant in a folder of its own; `stack` ends it."""
    # pytest's own folders can be longer than a socket's path may be.
    runtime = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="plant-")))
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "sim.plant",
            "--runtime",
            str(runtime),
            "--options",
            msgspec.json.encode(options).decode(),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )

    def end() -> None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        if process.stdout is not None:
            process.stdout.close()

    stack.callback(end)
    assert process.stdout is not None
    assert process.stdout.readline() == "READY\n"
    world = WorldClient(runtime)
    stack.callback(world.close)
    return PlantProcess(runtime, world, process)


@pytest.fixture
def make_plant() -> Iterator[Callable[..., PlantProcess]]:
    """A factory of plant processes that end with the test."""
    with ExitStack() as stack:
        yield lambda **options: start_plant(stack, PlantOptions(**options))


@pytest.fixture(scope="module")
def plant() -> Iterator[PlantProcess]:
    """One plant process for a module, its bytes paced at 1 Mbps.

    Real-time priority where it may be had: libraries that busy-poll starve it on a loaded machine.
    """
    with ExitStack() as stack:
        yield start_plant(stack, PlantOptions(realtime_priority=True))
