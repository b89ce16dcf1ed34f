"""Pictures of the scene, drawn by whichever GL backend this machine has."""

import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import numpy.typing as npt
import pytest

from robotd.errors import ModelError
from sim.model import render
from sim.model.render import SceneRenderer
from sim.model.scene import (
    REST_POSE_RAD,
    SceneOptions,
    build,
    place_block,
    scene_index,
    set_arm_position,
)

Picture = npt.NDArray[np.uint8]


def block_pixels(picture: Picture) -> npt.NDArray[np.bool_]:
    """Pixels that are distinctly red: nothing else in the scene is."""
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    return (red > 90) & (red > 3 * green) & (red > 3 * blue)


def overhead(block: tuple[float, float, float]) -> Picture:
    model = build(SceneOptions())
    data = mujoco.MjData(model)
    index = scene_index(model)
    set_arm_position(data, index.arms[0], REST_POSE_RAD)
    place_block(model, data, index, *block)
    mujoco.mj_forward(model, data)
    with SceneRenderer(model, 320, 240) as renderer:
        return renderer.render(data, "overhead")


@pytest.mark.parametrize("dx", [-0.04, 0.04])
@pytest.mark.parametrize("dy", [-0.04, 0.04])
def test_the_overhead_camera_sees_the_whole_block_wherever_it_may_start(
    dx: float, dy: float
) -> None:
    red = block_pixels(overhead((0.217 + dx, 0.225 + dy, 0.6)))
    assert red.sum() > 200
    assert not red[0].any() and not red[-1].any() and not red[:, 0].any() and not red[:, -1].any()


def test_the_overhead_picture_has_x_up_and_y_to_the_left() -> None:
    near = np.argwhere(block_pixels(overhead((0.20, 0.20, 0.0)))).mean(axis=0)
    far = np.argwhere(block_pixels(overhead((0.25, 0.25, 0.0)))).mean(axis=0)
    assert far[0] < near[0] - 5  # further away is higher in the picture
    assert far[1] < near[1] - 5  # the arm's left is the picture's left


def test_the_wrist_camera_sees_the_block_between_the_fingers() -> None:
    model = build(SceneOptions())
    data = mujoco.MjData(model)
    index = scene_index(model)
    arm = index.arms[0]
    set_arm_position(data, arm, (0.0, 0.0, 0.0, 0.0, 0.0, 0.5))
    mujoco.mj_forward(model, data)
    x, y, z = data.site_xpos[arm.tcp_site]
    place_block(model, data, index, x, y, 0.0)
    data.qpos[model.joint("block").qposadr[0] + 2] = z
    mujoco.mj_forward(model, data)
    with SceneRenderer(model, 320, 240) as renderer:
        picture = renderer.render(data, arm.wrist_camera)
    red = block_pixels(picture)
    printed = (picture[..., 0] > 60) & (picture[..., 2].astype(int) * 2 < picture[..., 0])
    rows, columns = np.nonzero(red)
    assert red.mean() > 0.03
    assert 90 < columns.mean() < 230
    finger = printed & ~red
    left, right = int(columns.min()), int(columns.max())
    assert finger[rows.min() :, : left + 1].any() and finger[rows.min() :, right:].any()


def test_each_picture_is_a_fresh_array() -> None:
    model = build(SceneOptions())
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with SceneRenderer(model, 64, 48) as renderer:
        first = renderer.render(data, "overhead")
        kept = first.copy()
        renderer.render(data, "view")
        assert first.shape == (48, 64, 3) and first.dtype == np.uint8
        assert np.array_equal(first, kept)


def test_a_pretty_picture_has_the_size_that_was_asked_for() -> None:
    model = build(SceneOptions())
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with SceneRenderer(model, 160, 120, pretty=True) as renderer:
        assert renderer.render(data, "view").shape == (120, 160, 3)


def test_a_camera_that_is_not_there_is_an_error() -> None:
    model = build(SceneOptions())
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with SceneRenderer(model, 64, 48) as renderer, pytest.raises(KeyError):
        renderer.render(data, "left_wrist")


def test_no_gl_at_all_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "backend_names", lambda: ("nothing_such", "nor_this"))
    with pytest.raises(ModelError) as raised:
        SceneRenderer(build(SceneOptions()), 64, 48)
    assert "nothing_such" in raised.value.what and "nor_this" in raised.value.what
    assert "libegl1" in raised.value.do


def test_a_broken_first_backend_does_not_stop_the_next() -> None:
    code = (
        "import os; os.environ['PYOPENGL_PLATFORM'] = 'osmesa'\n"  # makes mujoco.egl refuse once
        "from sim.model import render\n"
        "render.backend_names = lambda: ('egl', 'egl')\n"
        "from sim.model.scene import SceneOptions, build\n"
        "print(render.SceneRenderer(build(SceneOptions()), 64, 48).backend)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.stdout.strip() == "egl", answer.stderr
    assert answer.stderr == ""  # nothing is left to complain at exit
