"""LeRobot's side of `bench scale`: it writes the same content, and opens both datasets."""

import importlib.util
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.scale import ROWS, row_of, spec_of
from robotd.errors import ConfigError, DatasetError
from robotd.installed import install_again

_TIMES = 3


def opened(root: Path, folder: Path, episodes: int) -> dict[str, float]:
    """Seconds until LeRobot has the dataset open: with an empty cache, and once more; the best of
    three, since what another program takes away is no property of the dataset."""
    datasets, dataset_class = _imported()
    first: list[float] = []
    again: list[float] = []
    for _ in range(_TIMES):
        with tempfile.TemporaryDirectory(dir=folder) as cache:
            datasets.config.HF_DATASETS_CACHE = Path(cache)
            for durations in (first, again):
                began = time.perf_counter()
                found = dataset_class("bench/scale", root=root, video_backend="pyav")
                durations.append(time.perf_counter() - began)
                if (found.num_episodes, len(found)) != (episodes, episodes * ROWS):
                    raise DatasetError(
                        f"LeRobot finds {found.num_episodes} episodes in {root}.",
                        "A defect of robotd.",
                        "Report it with the output of this benchmark.",
                    )
    return {"first_s": round(min(first), 3), "again_s": round(min(again), 3)}


def written(root: Path, episodes: int) -> list[float]:
    """The seconds that each `save_episode` took: h264, encoded while it records, LeRobot's fastest."""
    from lerobot.configs.video import RGBEncoderConfig

    from daemon.recorder.info import features_of

    _, dataset_class = _imported()
    spec = spec_of(root)
    dataset = dataset_class.create(
        "bench/scale",
        spec.fps,
        {
            name: {**feature, "shape": tuple(feature["shape"])}
            for name, feature in features_of(spec).items()
            if name.startswith(("action", "observation"))
        },
        root=root,
        robot_type=spec.robot_type,
        rgb_encoder=RGBEncoderConfig(vcodec="h264", preset="ultrafast"),
        streaming_encoding=True,
    )
    durations = []
    for _ in range(episodes):
        for number in range(ROWS):
            values, frame = row_of(number)
            row = {"observation.state": values, "action": values, "task": spec.task}
            dataset.add_frame({**row, spec.cameras[0].key: frame})
        began = time.perf_counter()
        dataset.save_episode()
        durations.append(time.perf_counter() - began)
    dataset.finalize()
    return durations


def _imported() -> tuple[Any, Any]:
    if importlib.util.find_spec("lerobot") is None:
        raise ConfigError(
            "LeRobot is not installed here, so there is nothing to open the dataset with.",
            "This is the light install.",
            f"Install the other half: {install_again('policy')}; or say --without-lerobot.",
        )
    os.environ["HF_HUB_OFFLINE"] = "1"  # a folder is opened: nobody has to be asked for it
    import datasets  # type: ignore[import-untyped]
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    datasets.disable_progress_bars()
    return datasets, LeRobotDataset
