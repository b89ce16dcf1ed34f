"""The quality gate: what is wrong with an episode that was kept, said before anybody trains on it.

Pure over rows, evidence and what was seen while the pictures were decoded. It flags, it never
refuses; `recording.gate: hold` leaves an episode with a bad finding to a person's second word.
Thresholds and their reasons are in `limits.py`.
"""

from collections.abc import Mapping

from daemon.recorder.quality.finding import Finding, Verdict, worst_first
from daemon.recorder.quality.motion import motion_findings
from daemon.recorder.quality.pictures import Sight, picture_findings
from daemon.recorder.quality.rows import EpisodeRows
from daemon.recorder.quality.scene import Scene, bump_findings, scene_findings
from daemon.recorder.quality.timing import timing_findings

_BLIND = {"black", "overexposed", "covered", "camera_swapped"}
"""Findings after which a camera's view is nothing to compare the next episode's with."""


def judge(
    rows: EpisodeRows,
    sights: Mapping[str, Sight],
    before: Mapping[str, Scene],
    widths_px: Mapping[str, int],
    *,
    gripper_idle_before: bool = False,
) -> Verdict:
    """The verdict on one episode. `before` are the views of the dataset's last episodes, by camera,
    `widths_px` the widths of the real pictures."""
    found = timing_findings(rows)
    found += motion_findings(rows, gripper_idle_before=gripper_idle_before)
    for camera, sight in sights.items():
        found += picture_findings(rows, camera, sight)
    scenes = comparable(sights, found)
    ends = {name: sights[name].ends for name in scenes}
    found += bump_findings({name: each for name, each in ends.items() if each}, widths_px)
    found += scene_findings(scenes, before, widths_px)
    return Verdict(findings=worst_first(found))


def comparable(sights: Mapping[str, Sight], found: list[Finding]) -> dict[str, Scene]:
    """The views that can be compared with others, and kept for the next episode."""
    blind = {finding.camera for finding in found if finding.code in _BLIND}
    return {
        camera: sight.scene
        for camera, sight in sights.items()
        if sight.scene is not None and camera not in blind
    }
