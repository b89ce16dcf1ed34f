"""LeRobot's own record loop in one process, as `lerobot-record` sets it up: the other side of
`bench tick --against lerobot`.

`python -m bench.lerobot_loop OPTIONS` (JSON, see `Options`) prints READY with the begin and end of the loop once it is
over. Everything that takes time in it is LeRobot 0.6.1 unmodified; see `bench.lerobot_parts` for
what is not LeRobot's.
"""

import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

SETTINGS = ("default", "av1_streaming", "h264_streaming")
"""`default`: what `lerobot-record` does without options (PNG files from threads, encoded after the
episode). The streaming ones encode while recording, with LeRobot's default codec and with h264."""

TELEOPERATE = "teleoperate"
"""Without a dataset."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What one run is to do. `environment` is the plant's slot; `policy` a checkpoint or null."""

    port: str
    setting: str
    seconds: float
    fps: int
    root: str
    environment: str
    policy: str | None


def main() -> int:
    options = msgspec.json.decode(sys.argv[1], type=Options)
    from lerobot.processor import make_default_processors
    from lerobot.robots.so_follower import SO101FollowerConfig
    from lerobot.scripts.lerobot_record import record_loop

    from bench.lerobot_parts import PatternCamera, PolicyHands, SwayingHands, ToldFollower

    robot = ToldFollower(SO101FollowerConfig(port=options.port, id="sim"))
    recording = options.setting != TELEOPERATE
    if recording:
        robot.cameras = {
            name: PatternCamera(name, 640, 480, options.fps) for name in ("overhead", "wrist")
        }
    processors = make_default_processors()
    dataset = _dataset(robot, processors, options) if recording else None
    robot.connect()
    try:
        hands: Any = (
            SwayingHands(robot)
            if options.policy is None
            else PolicyHands(robot, Path(options.policy), Path(options.environment))
        )
        began_ns = time.monotonic_ns()
        record_loop(
            robot=robot,
            events={"exit_early": False, "stop_recording": False, "rerecord_episode": False},
            fps=options.fps,
            teleop_action_processor=processors[0],
            robot_action_processor=processors[1],
            robot_observation_processor=processors[2],
            teleop=hands,
            dataset=dataset,
            control_time_s=options.seconds,
            single_task="benchmark",
        )
        ended_ns = time.monotonic_ns()
    finally:
        robot.disconnect()
    sys.stdout.write(f"READY {began_ns} {ended_ns}\n")
    sys.stdout.flush()
    if dataset is not None:
        dataset.clear_episode_buffer()
        dataset.finalize()
    return 0


def _dataset(robot: Any, processors: Any, options: Options) -> Any:
    """A new dataset with the features and the arguments of `lerobot_record.record`."""
    from lerobot.configs.dataset import DatasetRecordConfig
    from lerobot.configs.video import RGBEncoderConfig
    from lerobot.datasets import (
        LeRobotDataset,
        aggregate_pipeline_dataset_features,
        create_initial_features,
    )
    from lerobot.utils.feature_utils import combine_feature_dicts

    given: dict[str, Any] = {"repo_id": "local/bench", "single_task": "benchmark"}
    if options.setting != "default":
        given["streaming_encoding"] = True
    if options.setting == "h264_streaming":
        given["rgb_encoder"] = RGBEncoderConfig(vcodec="h264")
    config = DatasetRecordConfig(fps=options.fps, root=options.root, **given)
    features = combine_feature_dicts(
        aggregate_pipeline_dataset_features(
            pipeline=processors[0],
            initial_features=create_initial_features(action=robot.action_features),
            use_videos=config.video,
        ),
        aggregate_pipeline_dataset_features(
            pipeline=processors[2],
            initial_features=create_initial_features(observation=robot.observation_features),
            use_videos=config.video,
        ),
    )
    sys.stderr.write(f"{asdict(config)}\n")
    return LeRobotDataset.create(
        config.repo_id,
        config.fps,
        root=config.root,
        robot_type=robot.name,
        features=features,
        use_videos=config.video,
        image_writer_processes=config.num_image_writer_processes,
        image_writer_threads=config.num_image_writer_threads_per_camera * len(robot.cameras),
        batch_encoding_size=config.video_encoding_batch_size,
        rgb_encoder=config.rgb_encoder,
        depth_encoder=config.depth_encoder,
        encoder_threads=config.encoder_threads,
        streaming_encoding=config.streaming_encoding,
        encoder_queue_maxsize=config.encoder_queue_maxsize,
    )


if __name__ == "__main__":
    sys.exit(main())
