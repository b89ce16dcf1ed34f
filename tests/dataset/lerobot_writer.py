"""LeRobot's own writer, run as a program that is killed: `lerobot_writer.py FOLDER EPISODES_PY`.

It makes whole datasets in FOLDER (`clean-…`), then records one session and copies its folder at
moments inside of save_episode (`torn-…`): what is on the disk then is what a kill leaves. At the
last moment it says "ready" and waits to be killed (`killed`).
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from lerobot.configs.video import RGBEncoderConfig
from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
from lerobot.datasets.dataset_writer import DatasetWriter
from lerobot.datasets.lerobot_dataset import LeRobotDataset

FPS = 15
CAMERAS = ("overhead", "wrist")
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
TASKS = ("put the block into the bowl", "put it back")

found = importlib.util.spec_from_file_location("episodes", sys.argv[2])
episodes = importlib.util.module_from_spec(found)
found.loader.exec_module(episodes)


def rows_of(episode: int) -> int:
    """Every episode has another length."""
    return 16 + 3 * (episode % 5)


def pose(number: int) -> np.ndarray:
    """Where the arm is at frame `number` of the session: degrees, gripper 0..100."""
    t = number / 9
    swing = np.sin(t * np.array([1.0, 0.5, 0.3, 1.0, 0.25, 0.5]))
    middle = np.array([0, -60, 20, 0, 0, 50])
    return (middle + swing * np.array([40, 30, 60, 20, 110, 40])).astype(np.float32)


def features(kind: str | None) -> dict[str, Any]:
    names = [f"{joint}.pos" for joint in JOINTS]
    result: dict[str, Any] = {
        name: {"dtype": "float32", "shape": (6,), "names": names}
        for name in ("action", "observation.state")
    }
    for camera in CAMERAS if kind else ():
        shape = (episodes.HEIGHT, episodes.WIDTH, 3)
        names = ["height", "width", "channels"]
        result[f"observation.images.{camera}"] = {"dtype": kind, "shape": shape, "names": names}
    return result


def create(root: Path, kind: str | None = "video", codec: str = "h264", **more: Any) -> Any:
    preset = "ultrafast" if codec == "h264" else 12
    encoder = RGBEncoderConfig(vcodec=codec, preset=preset)
    return LeRobotDataset.create(
        "me/theirs", FPS, features(kind), root=root, robot_type="so_follower",
        rgb_encoder=encoder, **more,
    )  # fmt: skip


def record(dataset: Any, count: int, first: int = 0, kind: str | None = "video") -> None:
    for episode in range(first, first + count):
        start = sum(rows_of(each) for each in range(episode))
        for number in range(start, start + rows_of(episode)):
            frame = {"action": pose(number + 2), "observation.state": pose(number)}
            frame["task"] = TASKS[episode % 2]
            for place, camera in enumerate(CAMERAS if kind else ()):
                picture = episodes.picture(4095 - number if place else number)
                frame[f"observation.images.{camera}"] = picture
            dataset.add_frame(frame)
        dataset.save_episode(parallel_encoding=False)


class Moments:
    """Copies the folder when LeRobot has just done a step of saving an episode."""

    def __init__(self, root: Path, folder: Path, wanted: dict[tuple[int, str], str]) -> None:
        self.root = root
        self.folder = folder
        self.wanted = wanted
        self.counts: dict[str, int] = {}

    def after(self, owner: Any, method: str) -> None:
        """Wrap a method of LeRobot's."""
        original: Callable[..., Any] = getattr(owner, method)

        def wrapped(instance: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(instance, *args, **kwargs)
            self.reached(method)
            return result

        setattr(owner, method, wrapped)

    def reached(self, method: str) -> None:
        self.counts[method] = self.counts.get(method, 0) + 1
        name = self.wanted.get((self.counts[method], method))
        if name == "killed":
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            sys.stdin.read()
        elif name:
            shutil.copytree(self.root, self.folder / f"torn-{name}")


def main() -> None:
    folder = Path(sys.argv[1])
    for name, count, kind, options in (
        ("h264", 4, "video", {}),
        ("av1", 2, "video", {"codec": "libsvtav1", "streaming_encoding": True}),
        ("image", 2, "image", {}),
        ("none", 3, None, {}),
    ):
        dataset = create(folder / f"clean-{name}", kind, **options)
        record(dataset, count, kind=kind)
        dataset.finalize()

    root = folder / "resumed"
    dataset = create(root)
    record(dataset, 2)
    dataset.finalize()
    dataset = LeRobotDataset.resume(
        "me/theirs", root=root, rgb_encoder=RGBEncoderConfig(vcodec="h264", preset="ultrafast")
    )
    record(dataset, 2, first=2)
    shutil.copytree(root, folder / "torn-in-a-resumed-session")

    root = folder / "killed"
    moments = Moments(
        root,
        folder,
        {
            (1, "save_episode"): "after-one-episode",
            (4, "_save_episode_data"): "behind-the-rows",
            (7, "_encode_temporary_episode_video"): "behind-an-encoding",
            (8, "_save_episode_video"): "behind-the-videos",
            (4, "save_episode"): "after-four-episodes",
            (11, "save_episode"): "after-eleven-episodes",
            (23, "_save_episode_video"): "killed",
        },
    )
    moments.after(DatasetWriter, "_save_episode_data")
    moments.after(DatasetWriter, "_encode_temporary_episode_video")
    moments.after(DatasetWriter, "_save_episode_video")
    moments.after(LeRobotDatasetMetadata, "save_episode")
    record(create(root), 12)


if __name__ == "__main__":
    main()
