"""The first use of the encoder and of Arrow costs a second: spend it before the first episode."""

import tempfile
from pathlib import Path

import numpy as np

from daemon.recorder.encoders import X264, Encoder
from daemon.recorder.journal import EpisodeJournal
from daemon.recorder.schema import CameraSpec, EpisodeSpec, Evidence, Row, Stamp


def warm_up(started: Stamp, encoder: Encoder = X264) -> None:
    """Record one row into a folder that goes away again."""
    spec = EpisodeSpec(
        dataset_root="",
        repo_id="",
        fps=30,
        robot_type="",
        task="warm up",
        state_names=("joint",),
        action_names=("joint",),
        cameras=(CameraSpec("camera", 640, 480),),  # hardware refuses small ones
        encoder=encoder.name,
    )
    one = np.zeros(1)
    values = np.zeros(1, np.float32)
    row = Row(values, values, spec.task, Evidence(0, 0, requested_rad=one, applied_rad=one))
    with tempfile.TemporaryDirectory() as folder:
        journal = EpisodeJournal.create(Path(folder) / "episode", spec, started=started)
        journal.append(row, {"camera": np.zeros((480, 640, 3), np.uint8)})
        journal.close()
