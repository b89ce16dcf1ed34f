"""Where the quality gate meets publishing: it looks while an episode is staged, and may hold it back.

It runs in the publishing thread, on the frames that are decoded for the statistics anyway. Whatever
goes wrong in here, the episode is saved: the verdict then says that there is none.
"""

import logging
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from daemon.recorder.info import STATS, Info
from daemon.recorder.quality.files import encode_verdict, last_views, write_views
from daemon.recorder.quality.finding import Finding, Verdict
from daemon.recorder.quality.limits import GRIPPER_MOVED
from daemon.recorder.quality.motion import GRIPPER
from daemon.recorder.quality.pictures import PictureWatch
from daemon.recorder.quality.rows import EpisodeRows
from daemon.recorder.quality.verdict import comparable, judge
from daemon.recorder.schema import CameraSpec, EpisodeSpec, Manifest
from daemon.recorder.stored import save_manifest
from daemon.recorder.tables import ACTION
from robotd.errors import DatasetError

log = logging.getLogger(__name__)

_KNOWN_HABIT = 3  # episodes without a grasp, after which another one is no surprise


class HeldBackError(DatasetError):
    """A kept episode waits for a person's second word: `recording.gate` is hold."""

    def __init__(self, verdict: Verdict, journal_id: str) -> None:
        self.verdict = verdict
        super().__init__(
            f"Episode {journal_id} was not saved: {verdict.findings[0].what}",
            "recording.gate is hold, and this finding is a bad one.",
            f"{verdict.findings[0].do}. Or keep it as it is: robotd dataset recover --keep "
            f"{journal_id}.",
        )


class Gate:
    """Looks at one episode on its way into the dataset `root`: `watch` each camera's frames, then
    `write` the verdict."""

    def __init__(self, root: Path, info: Info, manifest: Manifest) -> None:
        self._root = root
        self._spec = manifest.spec
        self._episodes = int(info["total_episodes"])
        self._rows = manifest.rows
        self._watches: dict[str, PictureWatch] = {}
        self._broken = ""

    def see(self, camera: CameraSpec, index: int, frame: Any) -> None:
        """One decoded PyAV frame of a camera."""
        if self._broken:
            return
        try:
            if camera.name not in self._watches:
                watch = PictureWatch(camera.width, camera.height, self._rows)
                self._watches[camera.name] = watch
            self._watches[camera.name].see(index, frame)
        except Exception as error:  # noqa: BLE001 (said in the verdict and logged)
            self._fail(error)

    def write(self, rows: pa.Table, evidence: pa.Table, quality: Path, views: Path) -> None:
        """Judge, and write both files of the verdict."""
        scenes = {}
        verdict = Verdict()
        try:
            episode = EpisodeRows.of(self._spec, rows, evidence)
            sights = {camera: watch.sight() for camera, watch in self._watches.items()}
            verdict = judge(
                episode,
                sights,
                last_views(self._root, self._episodes),
                {camera.name: camera.width for camera in self._spec.cameras},
                gripper_idle_before=_gripper_idle(self._root, self._episodes, self._spec),
            )
            scenes = comparable(sights, list(verdict.findings))
        except Exception as error:  # noqa: BLE001 (said in the verdict and logged)
            self._fail(error)
        if self._broken:
            verdict = Verdict(findings=(*verdict.findings, self._no_verdict()))
        quality.write_bytes(encode_verdict(verdict))
        write_views(views, scenes)

    def _fail(self, error: Exception) -> None:
        """A defect of the gate costs its verdict, never the episode."""
        log.exception("the quality gate failed")
        self._broken = f"{type(error).__name__}: {error}"

    def _no_verdict(self) -> Finding:
        return Finding(
            code="gate_failed",
            severity="warn",
            what=f"The quality gate could not judge this episode ({self._broken}).",
            do="The episode is saved. Look at it, and report this with robotd logs recorder",
        )


def hold_back(journal: Path, manifest: Manifest, verdict: Verdict | None) -> None:
    """Raise HeldBackError for an episode that is to wait, its journal marked as undecided.

    Once a person has decided on it again it is never held back.
    """
    spec = manifest.spec
    if verdict is None or verdict.worst != "bad" or spec.gate != "hold" or manifest.held:
        return
    words = " ".join(finding.what for finding in verdict.flagged)
    save_manifest(
        journal,
        msgspec.structs.replace(
            manifest, state="interrupted", kept=False, held=True, reason=f"Quality gate: {words}"
        ),
    )
    raise HeldBackError(verdict, manifest.journal_id)


def _gripper_idle(root: Path, episodes: int, spec: EpisodeSpec) -> bool:
    """Whether no episode so far moved a gripper, by the dataset's statistics."""
    path = root / STATS
    if episodes < _KNOWN_HABIT or not path.exists():
        return False
    stats = msgspec.json.decode(path.read_bytes()).get(ACTION, {})
    low, high = stats.get("min", []), stats.get("max", [])
    spans = [
        top - bottom
        for name, bottom, top in zip(spec.action_names, low, high, strict=False)
        if name.removesuffix(".pos").endswith(GRIPPER)
    ]
    return bool(spans) and max(spans) < GRIPPER_MOVED
