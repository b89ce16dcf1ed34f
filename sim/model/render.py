"""Draws a scene off screen, with whichever GL backend works in this process.

Built for software rendering on two cores: no multisampling, no shadows, no reflections. MuJoCo
binds its own `Renderer` to one backend when it is first imported; here the backends are tried one
after the other at the moment a picture is wanted, and what to install is said when none works.
"""

import atexit
import importlib
import os
import sys
from types import TracebackType
from typing import Any, Self

import mujoco
import numpy as np
import numpy.typing as npt

from robotd.errors import ModelError

_MAX_GEOMS = 2000
_SHADOW_MAP_PX = 1024

_HINTS = {
    "linux": "On Debian or Ubuntu: sudo apt-get install libegl1 libgl1 libgl1-mesa-dri",
    "darwin": "Run it in a logged-in desktop session; macOS draws off screen only there.",
}


def backend_names() -> tuple[str, ...]:
    """Backends to try, in order: the one MUJOCO_GL asks for alone, else what the platform may
    have."""
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower()
    if wanted:
        return (wanted,)
    return ("cgl", "glfw") if sys.platform == "darwin" else ("egl", "osmesa", "glfw")


def open_gl_context(width: int, height: int) -> tuple[str, Any]:
    """The first backend that gives a current GL context: its name and MuJoCo's context object.

    Raises ModelError naming every backend's own failure when none works.
    """
    failures = []
    for name in backend_names():
        try:
            context = importlib.import_module(f"mujoco.{name}").GLContext(width, height)
            context.make_current()
        # Each backend fails in its own way (ImportError, AttributeError of a library that is not
        # there, RuntimeError, GLError): every one of them means "not this one", and all are
        # reported below.
        except Exception as error:  # noqa: BLE001
            failures.append(f"{name}: {error or type(error).__name__}")
            _forget_gl_platform(name)
        else:
            return name, context
    raise ModelError(
        f"No OpenGL backend works here ({'; '.join(failures)}).",
        "Mesa's libraries for off-screen drawing are missing, or MUJOCO_GL names a wrong one.",
        _HINTS.get(sys.platform, _HINTS["linux"]),
    )


def _forget_gl_platform(name: str) -> None:
    """Undo what a failed import pinned: PyOpenGL keeps the platform of its first import for
    good."""
    os.environ.pop("PYOPENGL_PLATFORM", None)
    for module in [m for m in sys.modules if m.split(".")[0] == "OpenGL" or m == f"mujoco.{name}"]:
        del sys.modules[module]


class SceneRenderer:
    """Draws one model at one size. Use it in one thread; close it, or use it as a context manager.

    `pretty` is for pictures that people keep: shadows, and edges smoothed by drawing at twice the
    size. It costs about five times as much, so the cameras of a plant never use it.

    Raises ModelError when no GL backend works, ValueError when the size exceeds the model's
    off-screen buffer.
    """

    def __init__(
        self, model: mujoco.MjModel, width: int, height: int, pretty: bool = False
    ) -> None:
        self._pretty = pretty
        drawn_width, drawn_height = (2 * width, 2 * height) if pretty else (width, height)
        if drawn_width > model.vis.global_.offwidth or drawn_height > model.vis.global_.offheight:
            raise ValueError(
                f"{drawn_width}x{drawn_height} exceeds the model's off-screen buffer "
                f"{model.vis.global_.offwidth}x{model.vis.global_.offheight}"
            )
        self._context: Any = None
        self.width = width
        self.height = height
        self._model = model
        self.backend, self._gl = open_gl_context(drawn_width, drawn_height)
        # Registered after the backend's own exit handler, so run before it: GL objects go first.
        atexit.register(self.close)
        # Read when the context is made.
        model.vis.quality.shadowsize = _SHADOW_MAP_PX if pretty else 0
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._scene = mujoco.MjvScene(model, maxgeom=_MAX_GEOMS)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = int(pretty)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_HAZE] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = 0
        self._options = mujoco.MjvOption()
        self._viewport = mujoco.MjrRect(0, 0, drawn_width, drawn_height)
        self._upside_down = np.empty((drawn_height, drawn_width, 3), dtype=np.uint8)

    @property
    def scene(self) -> mujoco.MjvScene:
        """The abstract scene of the last `update`: views add their own geoms (paths, markers) to
        it."""
        return self._scene

    def render(self, data: mujoco.MjData, camera: str | mujoco.MjvCamera) -> npt.NDArray[np.uint8]:
        """The picture a camera has of `data`: uint8 [height, width, 3], a fresh array.

        `data` needs its positions derived (`mj_kinematics` and `mj_camlight`, or `mj_forward`).
        Raises KeyError when the model has no camera of that name.
        """
        self.update(data, camera)
        return self.draw()

    def update(self, data: mujoco.MjData, camera: str | mujoco.MjvCamera) -> None:
        """Take the scene from `data` as the camera will see it, without drawing it."""
        if isinstance(camera, str):
            view = mujoco.MjvCamera()
            view.type = mujoco.mjtCamera.mjCAMERA_FIXED
            view.fixedcamid = self._model.camera(camera).id
        else:
            view = camera
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._options,
            None,
            view,
            mujoco.mjtCatBit.mjCAT_ALL.value,
            self._scene,
        )

    def draw(self) -> npt.NDArray[np.uint8]:
        """Draw what the last `update` took: uint8 [height, width, 3], a fresh array."""
        self._gl.make_current()
        mujoco.mjr_render(self._viewport, self._scene, self._context)
        mujoco.mjr_readPixels(self._upside_down, None, self._viewport, self._context)
        picture = self._upside_down[::-1]  # GL's first row is the lowest
        if not self._pretty:
            return np.ascontiguousarray(picture)
        rows = picture[0::2].astype(np.uint16) + picture[1::2]
        return ((rows[:, 0::2] + rows[:, 1::2] + 2) >> 2).astype(np.uint8)

    def close(self) -> None:
        """Free the GL objects. Safe to call twice."""
        atexit.unregister(self.close)
        if self._gl is not None:
            self._gl.make_current()
            if self._context is not None:
                self._context.free()
            self._gl.free()
            self._context = self._gl = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
