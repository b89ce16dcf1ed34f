"""LeRobot's side of `bench record`: `python -m bench.recording.lerobot OPTIONS`, its dataset writer in a process.

LeRobot 0.6.1's `LeRobotDataset`, with the arguments of `lerobot-record`, gets the newest pictures of
the same two cameras 30 times a second and a state that says which they were. The loop around it is
kinder than LeRobot's own: it reads no robot, its deadlines are absolute, and what it costs without
a dataset (reading the pictures out of their rings) is measured first and taken off.
"""

import resource
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from bench.recording.scene import CAMERAS, HEIGHT, WIDTH
from robotd.clock import NS_PER_S
from robotd.frames import Frame, FrameRingReader

SETTINGS = ("h264_streaming", "default")
"""`default`: what `lerobot-record` does without options (PNG files, encoded after the episode)."""

_SPAN = 1000
_NAMES = [f"part_{number}.pos" for number in range(6)]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """One run: `episodes` of `episode_s` each into the new folder `root`."""

    setting: str
    rings: dict[str, str]
    root: str
    out: str
    fps: int
    episode_s: float
    episodes: int


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the run says of itself. `cpu_s`: of the dataset alone, its processes included."""

    saves_s: list[float]
    rows: int
    cpu_s: float
    late_rows: int


def main() -> int:
    options = msgspec.json.decode(sys.argv[1], type=Options)
    dataset = _dataset(options)
    rings = {camera: FrameRingReader(Path(path)) for camera, path in options.rings.items()}
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    bare_cpu_s, rows, _ = _episode(options, rings, None)
    bare_row_s = bare_cpu_s / max(1, rows)
    saves_s, cpu_s, rows, late = [], 0.0, 0, 0
    for _ in range(options.episodes):
        before_s = _cpu_s()
        _, made, slow = _episode(options, rings, dataset)
        began_s = time.perf_counter()
        dataset.save_episode()
        saves_s.append(time.perf_counter() - began_s)
        cpu_s += _cpu_s() - before_s - made * bare_row_s
        rows, late = rows + made, late + slow
    before_s = _cpu_s()
    dataset.finalize()
    cpu_s += _cpu_s() - before_s
    told = Told(saves_s=saves_s, rows=rows, cpu_s=cpu_s, late_rows=late)
    Path(options.out).write_bytes(msgspec.json.encode(told))
    return 0


def numbers_in(state: Any) -> dict[str, int]:
    """Which picture of each camera a state says was there."""
    return {
        camera: round(state[2 * place]) + _SPAN * round(state[2 * place + 1])
        for place, camera in enumerate(CAMERAS)
    }


def _episode(
    options: Options, rings: dict[str, FrameRingReader], dataset: Any
) -> tuple[float, int, int]:
    """Record one episode, or only read; processor seconds, rows, and rows that came late."""
    before_s = _cpu_s()
    period_ns = NS_PER_S // options.fps
    rows, late = round(options.episode_s * options.fps), 0
    began_ns = time.monotonic_ns()
    for row in range(rows):
        wait_ns = began_ns + row * period_ns - time.monotonic_ns()
        late += wait_ns < -period_ns
        time.sleep(max(0, wait_ns) / NS_PER_S)
        pictures = {camera: ring.latest() for camera, ring in rings.items()}
        frame: dict[str, Any] = {}
        state = np.zeros(len(_NAMES), np.float32)
        for place, (camera, picture) in enumerate(pictures.items()):
            assert picture is not None
            frame[f"observation.images.{camera}"] = _array(picture)
            state[2 * place : 2 * place + 2] = picture.sequence % _SPAN, picture.sequence // _SPAN
        if dataset is not None:
            dataset.add_frame(
                {**frame, "observation.state": state, "action": state, "task": "benchmark"}
            )
    return _cpu_s() - before_s, rows, late


def _array(picture: Frame) -> npt.NDArray[np.uint8]:
    return np.frombuffer(picture.rgb, np.uint8).reshape(picture.height, picture.width, 3)


def _cpu_s() -> float:
    """Of this process and of the encoders it started that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


def _dataset(options: Options) -> Any:
    from lerobot.configs.dataset import DatasetRecordConfig
    from lerobot.configs.video import RGBEncoderConfig
    from lerobot.datasets import LeRobotDataset

    given: dict[str, Any] = {"repo_id": "local/bench", "single_task": "benchmark"}
    if options.setting == "h264_streaming":
        given |= {"streaming_encoding": True, "rgb_encoder": RGBEncoderConfig(vcodec="h264")}
    config = DatasetRecordConfig(fps=options.fps, root=options.root, **given)
    joints = {"dtype": "float32", "shape": (len(_NAMES),), "names": _NAMES}
    image = {
        "dtype": "video",
        "shape": (HEIGHT, WIDTH, 3),
        "names": ["height", "width", "channels"],
    }
    return LeRobotDataset.create(
        config.repo_id,
        config.fps,
        root=config.root,
        robot_type="so_follower",
        features={"observation.state": joints, "action": joints}
        | {f"observation.images.{camera}": image for camera in CAMERAS},
        use_videos=config.video,
        image_writer_processes=config.num_image_writer_processes,
        image_writer_threads=config.num_image_writer_threads_per_camera * len(CAMERAS),
        batch_encoding_size=config.video_encoding_batch_size,
        rgb_encoder=config.rgb_encoder,
        depth_encoder=config.depth_encoder,
        encoder_threads=config.encoder_threads,
        streaming_encoding=config.streaming_encoding,
        encoder_queue_maxsize=config.encoder_queue_maxsize,
    )


if __name__ == "__main__":
    sys.exit(main())
