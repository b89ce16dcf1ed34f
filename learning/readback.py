"""LeRobot's own reader on a dataset that robotd recorded: `python -m learning.readback ROOT`.

A process of its own: importing LeRobot takes seconds and nearly a gigabyte. Prints one JSON line;
exit status 1 when LeRobot sees anything else than what was recorded.
"""

import argparse
import json
import os
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m learning.readback")
    parser.add_argument("root", type=Path)
    parser.add_argument("--frames", type=int, help="how many rows it must hold")
    args = parser.parse_args()
    # The dataset is local: a hub that cannot be reached must not decide whether it is readable.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from lerobot.datasets import LeRobotDataset

    # LeRobot's default decoder, torchcodec, wants a system-wide ffmpeg; PyAV carries its own.
    dataset = LeRobotDataset(
        repo_id=f"local/{args.root.name}", root=args.root, video_backend="pyav"
    )
    cameras = [key for key in dataset.meta.camera_keys if key in dataset.features]
    last = dataset[len(dataset) - 1]
    shapes = {key: list(last[key].shape) for key in (*cameras, "observation.state", "action")}
    found = {
        "episodes": dataset.num_episodes,
        "frames": len(dataset),
        "last_item": shapes,
        "reads_back": args.frames in (None, len(dataset)),
    }
    print(json.dumps(found))
    return 0 if found["reads_back"] else 1


if __name__ == "__main__":
    sys.exit(main())
