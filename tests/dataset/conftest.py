"""Datasets written by LeRobot itself, whole and torn, made once for all tests that need them."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..recording.conftest import lerobot_datasets, open_dataset, tmp_path  # noqa: F401

_HERE = Path(__file__).parent
_PATIENCE_S = 150


@pytest.fixture(scope="session")
def written() -> Iterator[Path]:
    """A folder with LeRobot's own datasets: `clean-…`, `torn-…`, and `killed`, whose writer got a
    real SIGKILL while it saved its twelfth episode. Tests copy what they change."""
    with tempfile.TemporaryDirectory() as folder:
        writer = _HERE / "lerobot_writer.py"
        episodes = _HERE.parent / "recording/episodes.py"
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, str(writer), folder, str(episodes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=_HERE.parents[1],
                env={**os.environ, "HF_DATASETS_CACHE": f"{folder}/cache"},
            )
            assert process.stdout is not None
            try:
                said = process.stdout.readline()
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait(_PATIENCE_S)
        assert said == b"ready\n", (Path(folder) / "log").read_text()[-3000:]
        yield Path(folder)
