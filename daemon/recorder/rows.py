"""From one tick to one dataset row: LeRobot's units, the pictures of that moment, the evidence.

Pure: what was read is passed in. State is the present position of the tick, action the goal applied
at it, both computed from encoder ticks; a robot that never got a goal has its position as action.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from config.joints import joint_names
from config.schema import Config
from daemon.recorder.cameras import Identity, declared
from daemon.recorder.journal import Frames
from daemon.recorder.schema import CameraSpec, EpisodeSpec, Evidence, Row
from drivers.calibration import (
    fingerprint,
    load_robot_calibration,
)
from drivers.joint_map import JointMap
from robotd.clock import NS_PER_MS
from robotd.frames import Frame
from robotd.layouts import ENVIRONMENT_STATE_NAMES
from robotd.states import Source

JOINTS_PER_ARM = 6


@dataclass(frozen=True, slots=True)
class Body:
    """What a robot's rows look like, from its configuration and calibrations."""

    config: Config
    maps: tuple[JointMap, ...]
    calibration_sha256: str

    @classmethod
    def of(cls, config: Config) -> "Body":
        """Load every arm's calibration. Raises CalibrationError."""
        calibrations = [load_robot_calibration(arm.id) for arm in config.arms.values()]
        return cls(
            config,
            tuple(JointMap(calibration) for calibration in calibrations),
            "+".join(fingerprint(calibration) for calibration in calibrations),
        )

    @property
    def ticks_per_row(self) -> int:
        return self.config.control.tick_hz // self.config.recording.fps

    def units(self, ticks: Sequence[int]) -> npt.NDArray[np.float32]:
        """LeRobot units float32 [joints] of encoder ticks, arm by arm."""
        parts = [
            joint_map.lerobot_from_ticks(ticks[start : start + JOINTS_PER_ARM])
            for joint_map, start in zip(
                self.maps, range(0, len(ticks), JOINTS_PER_ARM), strict=True
            )
        ]
        return np.concatenate(parts).astype(np.float32)

    def episode_spec(
        self,
        root: str,
        repo_id: str,
        task: str,
        policy_sha256: str,
        *,
        units_confirmed: bool = False,
        seen: Mapping[str, Identity] = MappingProxyType({}),
    ) -> EpisodeSpec:
        """What an episode of this robot records; `seen` is what was found out of its cameras."""
        recording = self.config.recording
        names = tuple(f"{name}.pos" for name in joint_names(self.config))
        return EpisodeSpec(
            dataset_root=root,
            repo_id=repo_id,
            fps=recording.fps,
            video_crf=recording.video_crf,
            gate=recording.gate,
            robot_type=recording.robot_type,
            task=task,
            state_names=names,
            action_names=names,
            cameras=tuple(
                CameraSpec(
                    name, camera.width, camera.height, {**declared(camera), **seen.get(name, {})}
                )
                for name, camera in self.config.cameras.items()
            ),
            environment_names=ENVIRONMENT_STATE_NAMES if recording.environment_state else (),
            robot_name=self.config.name,
            calibration_sha256=self.calibration_sha256,
            policy_sha256=policy_sha256,
            units_confirmed=units_confirmed,
        )


def make_row(
    body: Body,
    tick: Mapping[str, Any],
    task: str,
    pictures: Mapping[str, Frame],
    last_capture_ns: Mapping[str, int],
    world: Sequence[float] | None,
) -> tuple[Row, Frames]:
    """The row of `tick` and its pictures, uint8 [H, W, 3] by camera.

    A picture that was in the row before (`last_capture_ns`), or is older than the configured limit,
    is flagged as repeated.
    """
    deadline_ns = int(tick["deadline_ns"])
    stale_ns = int(body.config.recording.frame_stale_ms * NS_PER_MS)
    present, goal = tick["present_position_ticks"], tick["goal_ticks"]
    applied = [there if there >= 0 else here for there, here in zip(goal, present, strict=True)]
    following = tick["plan_id"] > 0 and tick["plan_index"] >= 0
    limited = 0
    for flags in tick["limited_by"]:
        limited |= flags
    evidence = Evidence(
        tick_index=int(tick["index"]),
        deadline_ns=deadline_ns,
        requested_rad=np.asarray(tick["requested_rad"], dtype=np.float64),
        applied_rad=np.asarray(tick["applied_rad"], dtype=np.float64),
        capture_ns={name: frame.stamp_ns for name, frame in pictures.items()},
        repeated={
            name: frame.stamp_ns == last_capture_ns.get(name)
            or deadline_ns - frame.stamp_ns > stale_ns
            for name, frame in pictures.items()
        },
        limited_by=limited,
        source=Source(tick["source"]).name.lower(),
        chunk_id=int(tick["plan_id"]) if following else -1,
        chunk_index=int(tick["plan_index"]) if following else -1,
        missed_ticks=int(tick["missed_ticks"]),
        read_age_ns=max(tick["present_age_ns"]),
        command_age_ns=int(tick["command_age_ns"]),
        limited_by_joint=tuple(tick["limited_by"]),
    )
    row = Row(
        state=body.units(present),
        action=body.units(applied),
        task=task,
        evidence=evidence,
        environment_state=None if world is None else np.asarray(world, dtype=np.float32),
    )
    frames = {
        name: np.frombuffer(frame.rgb, np.uint8).reshape(frame.height, frame.width, 3)
        for name, frame in pictures.items()
    }
    return row, frames
