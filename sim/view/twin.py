"""The arm in three dimensions, posed from measured joints: the mirror that people look at.

In simulation the objects stand where the physics has them, and the picture says that this is the
simulator's truth; the mirror itself knows nothing of objects, so a real arm is shown alone on its
table."""

from collections.abc import Sequence
from itertools import pairwise

import mujoco
import numpy as np

from sim.model.render import SceneRenderer
from sim.model.scene import ArmPlacement, SceneKind, SceneOptions, build, scene_index
from sim.view.compose import Rgb
from sim.view.lines import Line

VIEW_CAMERA = "view"
WIDTH_PX, HEIGHT_PX = 640, 480


class TwinPicture:
    """Draws poses. Holds GL objects: use it in one thread and close it.

    `pretty` adds shadows and smooth edges at about five times the cost; `kind` is whose objects are
    there. Raises ModelError when the model or a GL backend cannot be had."""

    def __init__(
        self,
        arms: tuple[ArmPlacement, ...],
        objects: bool,
        pretty: bool = False,
        size: tuple[int, int] = (WIDTH_PX, HEIGHT_PX),
        kind: SceneKind = "place",
    ) -> None:
        around = SceneOptions(use="twin", arms=arms, objects=objects, kind=kind)
        self._model = build(around)
        self._data = mujoco.MjData(self._model)
        self._index = scene_index(self._model)
        self._renderer = SceneRenderer(self._model, *size, pretty=pretty)

    @property
    def positions(self) -> int:
        """Length of the model's generalised position, which a plant's `state` slot also has."""
        return int(self._model.nq)

    @property
    def joints(self) -> int:
        """How many joints `draw` wants."""
        return len(self._index.qpos)

    def draw(
        self,
        position_rad: Sequence[float],
        truth_qpos: Sequence[float] | None = None,
        lines: Sequence[Line] = (),
    ) -> Rgb:
        """The pose as uint8 [480, 640, 3] (or the size asked for).

        `position_rad` is measured, in the robot's joint order, model frame. Of `truth_qpos`, the
        simulator's generalised position, only the objects' is taken: what comes after the arms'.
        Of `lines` those that no longer fit into the scene are left out, from the end."""
        if truth_qpos is not None:
            self._data.qpos[:] = truth_qpos
        self._data.qpos[self._index.qpos] = position_rad
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        self._renderer.update(self._data, VIEW_CAMERA)
        for line in lines:
            self._line(line)
        return self._renderer.draw()

    def _line(self, line: Line) -> None:
        scene = self._renderer.scene
        colour = np.array(line.rgba, dtype=np.float32)
        for start, end in pairwise(line.points_m):
            if scene.ngeom >= scene.maxgeom:
                return
            geom = scene.geoms[scene.ngeom]
            nothing = np.zeros(3)
            kind = mujoco.mjtGeom.mjGEOM_CAPSULE
            mujoco.mjv_initGeom(geom, kind, nothing, nothing, np.zeros(9), colour)
            mujoco.mjv_connector(geom, kind, line.radius_m, start, end)
            scene.ngeom += 1

    def close(self) -> None:
        """Free the GL objects."""
        self._renderer.close()
