"""An episode as a film, drawn after it was judged: only those that somebody will look at cost anything."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import mujoco
import numpy as np
import numpy.typing as npt

from sim.model.render import SceneRenderer
from sim.view.compose import TEXT, Rgb
from sim.view.video import Mp4Writer

WIDTH_PX, HEIGHT_PX = 480, 360
_VIEWS = ("view", "overhead")


class Film:
    """Draws one model's poses, side by side from the visitor's place and from above, with `words` below."""

    def __init__(self, model: mujoco.MjModel, words: str) -> None:
        self._model = model
        self._words = words

    def write(self, path: Path, poses: Sequence[npt.NDArray[Any]], fps: int) -> None:
        """Write generalised positions [nq], one a row, as an MP4 in true time.

        Raises ModelError when nothing can draw here, DatasetError when the file cannot be written.
        """
        data = mujoco.MjData(self._model)
        with SceneRenderer(self._model, WIDTH_PX, HEIGHT_PX) as renderer, Mp4Writer(path) as film:
            for number, pose in enumerate(poses):
                data.qpos[:] = pose
                mujoco.mj_kinematics(self._model, data)
                mujoco.mj_comPos(self._model, data)
                mujoco.mj_camlight(self._model, data)
                sides = [renderer.render(data, view) for view in _VIEWS]
                film.add(self._captioned(np.hstack(sides), number / fps), number / fps)

    def _captioned(self, picture: Rgb, at_s: float) -> Rgb:
        foot = np.zeros((28, picture.shape[1], 3), np.uint8)
        words = f"{at_s:5.1f} s   {self._words}".encode("ascii", "replace").decode()
        cv2.putText(foot, words, (8, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.45, TEXT, 1, cv2.LINE_AA)
        return np.vstack([picture, foot])
