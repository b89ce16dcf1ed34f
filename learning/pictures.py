"""What the cameras of a lock-step world see, drawn when a row asks for it.

The plant's own cameras are a process of their own in real time; here one thread has all the time there is. The
pictures come from the same model and renderer.
"""

from collections.abc import Iterable
from typing import Self

import mujoco

from learning.world import LockStepWorld
from robotd.frames import Frame
from sim.model.render import SceneRenderer


class Pictures:
    """Cameras of one world: all that are configured, or `cameras`. Close it: it holds GL objects."""

    def __init__(self, world: LockStepWorld, cameras: Iterable[str] | None = None) -> None:
        configured = world.config.cameras
        self._world = world
        self._cameras = {name: configured[name] for name in (cameras or configured)}
        self._newest: dict[str, Frame] = {}
        self._data = mujoco.MjData(world.plant.model)
        self._sequence = 0
        self._renderers: dict[tuple[int, int], SceneRenderer] = {}
        for camera in self._cameras.values():
            size = (camera.width, camera.height)
            if size not in self._renderers:
                self._renderers[size] = SceneRenderer(world.plant.model, *size)

    @classmethod
    def of(cls, world: LockStepWorld) -> Self:
        """The cameras of `world.config`. Raises ModelError when no GL backend works."""
        return cls(world)

    def take(self, stamp_ns: int) -> dict[str, Frame]:
        """One picture per camera of the world as it is now, stamped `stamp_ns`."""
        model, data = self._world.plant.model, self._data
        data.qpos[:] = self._world.plant.data.qpos
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        frames = {}
        for name, camera in self._cameras.items():
            size = (camera.width, camera.height)
            rgb = self._renderers[size].render(data, camera.view or name).tobytes()
            frames[name] = Frame(self._sequence, stamp_ns, self._sequence, *size, rgb)
        self._sequence += 1
        self._newest = frames
        return frames

    def at(self, camera: str, stamp_ns: int) -> Frame:
        """One camera's picture of the world as it is now; all of them are drawn once per `stamp_ns`."""
        known = self._newest.get(camera)
        return (
            known
            if known is not None and known.stamp_ns == stamp_ns
            else self.take(stamp_ns)[camera]
        )

    def close(self) -> None:
        """Free the GL objects."""
        for renderer in self._renderers.values():
            renderer.close()
