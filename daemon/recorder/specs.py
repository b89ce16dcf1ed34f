"""What an episode that begins now records: the robot's rows, its cameras as they are, the encoder.

Before anything begins its cameras are compared with those of the dataset's last episode; what is to
be said of them stays until they are looked at again.
"""

import logging
from pathlib import Path

import msgspec

from config.schema import Config
from daemon.recorder import cameras
from daemon.recorder.catalog import dataset_root
from daemon.recorder.encoders import Choice
from daemon.recorder.plan import Plan
from daemon.recorder.rows import Body
from daemon.recorder.schema import EpisodeSpec, check_units_word
from robotd.errors import EncoderError
from robotd.paths import lerobot_home

log = logging.getLogger(__name__)


class Specs:
    """Specifications for one robot's episodes. `encoders` is what will encode them, `warnings` what
    is to be said of cameras that changed since the dataset's last episode."""

    def __init__(self, config: Config, runtime: Path) -> None:
        self.body = Body.of(config)
        self.encoders = Choice()
        self.warnings: tuple[str, ...] = ()
        self._config = config
        self._runtime = runtime

    def wished(self, dataset: str, task: str, units: str) -> EpisodeSpec:
        """What a session into `dataset` would record; nothing is compared yet. `units` is what a
        person says of a dataset that does not tell its own. Raises DatasetError for a name or a
        word that is none."""
        check_units_word(units)
        root = dataset_root(lerobot_home(), dataset)
        return self._made(str(root), dataset, task, "", units_confirmed=bool(units))

    def begun(self, plan: Plan, policy_sha256: str) -> EpisodeSpec:
        """What an episode of `plan` that begins now records."""
        wished = plan.spec
        spec = self._made(
            wished.dataset_root,
            wished.repo_id,
            plan.task,
            policy_sha256,
            units_confirmed=wished.units_confirmed,
        )
        return msgspec.structs.replace(
            spec, encoder=self.encoders.encoder.name, encoder_note=self.encoders.note
        )

    def check_cameras(self, spec: EpisodeSpec) -> None:
        """Raise DatasetError where a camera is not as it was and the configuration forbids it; else
        note what is to be said."""
        rule = self._config.recording.camera_change
        warnings = cameras.check_cameras(Path(spec.dataset_root), spec.cameras, rule)
        for warning in warnings:
            if warning not in self.warnings:
                log.warning("%s", warning)
        self.warnings = warnings

    def encoder_failed(self, error: EncoderError) -> None:
        """The next episode is encoded by another."""
        self.encoders = self.encoders.without(self.encoders.encoder.name, error.what)

    def _made(
        self, root: str, repo_id: str, task: str, policy_sha256: str, *, units_confirmed: bool
    ) -> EpisodeSpec:
        return self.body.episode_spec(
            root,
            repo_id,
            task,
            policy_sha256,
            units_confirmed=units_confirmed,
            seen=cameras.found(self._config, self._runtime),
        )
