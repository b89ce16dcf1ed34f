"""The body that a selftest tries: the configured arm, or with a simulated robot a plant of its own.

The plant is another process behind a pty, as it is for the daemon; it ends with the selftest.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.schema import Config
from daemon.supervisor.blueprint import PLANT, body_specs, environment, resolve
from robotd.errors import DaemonError

_END_S = 5.0


@contextmanager
def of(config: Config, folder: Path) -> Iterator[Config]:
    """The configuration with ports that can be opened. `folder` is empty and goes afterwards.

    Raises DaemonError when the plant does not start.
    """
    present = resolve(config, folder, yields_priority=True)
    if config.simulation is None:
        yield present
        return
    os.environ.update(environment(config))
    (plant,) = (spec for spec in body_specs(config, folder) if spec.name == PLANT)
    process = subprocess.Popen(
        [sys.executable, "-m", plant.module, *plant.arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C is the selftest's: the plant has to outlive the release
        text=True,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "READY":
            raise DaemonError(
                "The virtual arm did not start.",
                "It said why above.",
                "Try it alone: robotd start --sim; robotd logs plant.",
            )
        yield present
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
