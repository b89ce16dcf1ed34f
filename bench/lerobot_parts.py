"""What LeRobot 0.6.1 needs to run on the virtual arm: cameras and somebody who gives actions.

Only these are the benchmark's; robot, motors bus, record loop, dataset, encoder and policy are
LeRobot's own and run as they are. The cameras do what LeRobot's OpenCV camera does: a thread reads
each frame as it comes and `read_latest` hands out the newest one.
"""

import math
import time
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import numpy as np
import torch
from lerobot.cameras.camera import Camera
from lerobot.cameras.configs import CameraConfig
from lerobot.common.control_utils import predict_action
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.factory import make_pre_post_processors
from lerobot.robots.so_follower import SO101Follower
from lerobot.teleoperators.config import TeleoperatorConfig
from lerobot.teleoperators.teleoperator import Teleoperator

from drivers.cameras.source import RgbImage
from drivers.cameras.synthetic import SyntheticCamera
from robotd.clock import MonotonicClock
from robotd.layouts import ENVIRONMENT_STATE
from robotd.shm import SlotReader

_READ_S = 0.5
_SWAY_DEG = 20.0
_SWAY_PERIOD_S = 4.0


class PatternCamera(Camera):  # type: ignore[misc]
    """The same moving pattern as robotd's synthetic camera, behind LeRobot's interface."""

    def __init__(self, name: str, width: int, height: int, fps: int) -> None:
        super().__init__(CameraConfig(fps=fps, width=width, height=height))
        self._source = SyntheticCamera(name, width, height, fps, MonotonicClock())
        self._newest: RgbImage | None = None
        self._lock = Lock()
        self._first = Event()
        self._stop = Event()
        self._thread: Thread | None = None

    @property
    def is_connected(self) -> bool:
        return self._thread is not None

    @staticmethod
    def find_cameras() -> list[dict[str, Any]]:
        return []

    def connect(self, warmup: bool = True) -> None:
        self._source.open()
        self._thread = Thread(target=self._read_loop, name=self._source.identity, daemon=True)
        self._thread.start()
        self._first.wait(_READ_S)

    def read(self) -> RgbImage:
        return self.read_latest()

    def async_read(self, timeout_ms: float = 200) -> RgbImage:
        return self.read_latest()

    def read_latest(self, max_age_ms: int = 500) -> RgbImage:
        with self._lock:
            if self._newest is None:
                raise RuntimeError("no frame was captured yet")
            return self._newest

    def disconnect(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._source.close()

    def _read_loop(self) -> None:
        while not self._stop.is_set():
            frame = self._source.read(_READ_S)
            if frame is None:
                continue
            image = np.ascontiguousarray(frame.rgb)  # a capture fills a buffer of its own too
            with self._lock:
                self._newest = image
            self._first.set()


class ToldFollower(SO101Follower):  # type: ignore[misc]
    """LeRobot's follower, whose newest observation can be looked at again."""

    newest: dict[str, Any]

    def get_observation(self) -> dict[str, Any]:
        self.newest = super().get_observation()
        return self.newest


class _Hands(Teleoperator):  # type: ignore[misc]
    """A teleoperator without a device."""

    config_class = TeleoperatorConfig
    name = "robotd_bench"

    def __init__(self, robot: ToldFollower) -> None:
        super().__init__(TeleoperatorConfig(id="bench", calibration_dir=Path.cwd()))
        self.robot = robot

    action_features = property(lambda self: self.robot.action_features)
    feedback_features = property(lambda self: {})
    is_connected = property(lambda self: True)
    is_calibrated = property(lambda self: True)

    def connect(self, calibrate: bool = True) -> None:
        """Nothing to open."""

    def calibrate(self) -> None:
        """Nothing to calibrate."""

    def configure(self) -> None:
        """Nothing to set."""

    def send_feedback(self, feedback: dict[str, Any]) -> None:
        """Nobody feels it."""

    def disconnect(self) -> None:
        """Nothing to close."""


class SwayingHands(_Hands):
    """Swings two joints about where the arm stood, as the client of robotd's side does."""

    def __init__(self, robot: ToldFollower) -> None:
        super().__init__(robot)
        observed = robot.get_observation()
        self._centre = {key: observed[key] for key in robot.action_features}
        self._began_s = time.perf_counter()

    def get_action(self) -> dict[str, float]:
        at_s = time.perf_counter() - self._began_s
        swing = _SWAY_DEG * min(1.0, at_s / _SWAY_PERIOD_S)
        angle = math.tau * at_s / _SWAY_PERIOD_S
        action = dict(self._centre)
        action["shoulder_pan.pos"] += swing * math.sin(angle)
        action["wrist_roll.pos"] += swing * math.cos(angle)
        return action


class PolicyHands(_Hands):
    """The ACT in LeRobot's own `predict_action`, called where a person's action would be read: what
    its synchronous inference does in the loop. It is told where the objects are, as robotd's is."""

    def __init__(self, robot: ToldFollower, checkpoint: Path, environment: Path) -> None:
        super().__init__(robot)
        self._policy = ACTPolicy.from_pretrained(checkpoint)
        self._policy.eval()
        self._before, self._after = make_pre_post_processors(
            policy_cfg=self._policy.config, pretrained_path=str(checkpoint)
        )
        self._world = SlotReader(environment, ENVIRONMENT_STATE)
        self._joints = list(robot.action_features)
        robot.get_observation()
        self.get_action()  # the first inference is slow, for robotd too: both are warm before
        self._policy.reset()

    def get_action(self) -> dict[str, float]:
        record = self._world.read()
        assert record is not None
        observation = {
            "observation.state": np.array(
                [self.robot.newest[key] for key in self._joints], np.float32
            ),
            "observation.environment_state": np.asarray(record["values"], np.float32),
        }
        action = predict_action(
            observation,
            self._policy,
            torch.device("cpu"),
            self._before,
            self._after,
            use_amp=False,
        )
        return dict(zip(self._joints, action.squeeze(0).tolist(), strict=True))
