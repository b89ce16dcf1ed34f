"""LIBERO as an environment of the child process. It needs the extra `libero` and has not run where this was written.

Observations are LIBERO's own (as `config/embodiments/libero.yaml` names them) and, for LeRobot's policies, its pictures
turned by 180 degrees and the eight values of state. Episodes begin with ten steps of standing still, as everywhere.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from learning.evaluation.gym_names import LIBERO_STEPS
from robotd.errors import StateError

RELAXED = "contact within 0.10 m instead of 0.03; anywhere on the stove instead of its plate"
"""What `--relaxed` changes (pi0-text-latent's README: about 5 points more). Not comparable with published rates."""

_RELAXED_M = 0.10
_STILL = np.array([0, 0, 0, 0, 0, 0, -1], np.float32)
_SETTLE_STEPS = 10
_PICTURE_PX = 256


class _Space:
    low = np.full(7, -1.0)
    high = np.full(7, 1.0)


class LiberoWorld:
    """One task of one suite, with gymnasium's methods."""

    action_space = _Space()

    def __init__(self, options: Mapping[str, Any]) -> None:
        library = import_module("libero.libero")
        benchmark, get_libero_path = library.benchmark, library.get_libero_path
        make = import_module("libero.libero.envs").OffScreenRenderEnv
        if options.get("relaxed"):
            relax()
        suites = benchmark.get_benchmark_dict()
        suite = suites[options["suite"]]()
        task = suite.get_task(options["task_id"])
        self.instruction = str(task.language)
        self._starts = suite.get_task_init_states(options["task_id"])
        self._limit = LIBERO_STEPS[options["suite"]]
        height, width = options.get("size") or (_PICTURE_PX, _PICTURE_PX)
        bddl = Path(get_libero_path("bddl_files")) / task.problem_folder / task.bddl_file
        self._env = make(bddl_file_name=str(bddl), camera_heights=height, camera_widths=width)
        self._steps = 0
        self._seen: Mapping[str, Any] = {}

    def reset(self, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The initial state of that number, as its benchmark has it; the same for every policy."""
        self._env.seed(seed)
        self._env.reset()
        self._env.set_init_state(self._starts[seed % len(self._starts)])
        for _ in range(_SETTLE_STEPS):
            self._seen, _, _, _ = self._env.step(_STILL)
        self._steps = 0
        return self._observation(), {}

    def step(
        self, action: npt.NDArray[np.float32]
    ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self._seen, reward, done, _ = self._env.step(action)
        self._steps += 1
        return (
            self._observation(),
            float(reward),
            bool(done),
            self._steps >= self._limit,
            {"is_success": bool(done)},
        )

    def render(self) -> npt.NDArray[np.uint8]:
        picture: npt.NDArray[np.uint8] = np.asarray(self._seen["agentview_image"])[::-1, ::-1]
        return picture

    def close(self) -> None:
        self._env.close()

    def _observation(self) -> dict[str, Any]:
        seen = self._seen
        own = {
            name: np.asarray(seen[name])
            for name in ("robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos")
        }
        state8 = np.concatenate(
            [own["robot0_eef_pos"], axis_angle(own["robot0_eef_quat"]), own["robot0_gripper_qpos"]]
        )
        cameras: dict[str, Any] = {}
        for name in ("agentview_image", "robot0_eye_in_hand_image"):
            picture = np.asarray(seen[name])
            cameras |= {name: picture, f"{name}/turned": picture[::-1, ::-1]}
        return {**own, **cameras, "state8": state8}


def axis_angle(quaternion_xyzw: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The rotation vector [3] of a quaternion x y z w; zero where its sine is (openpi's LIBERO client)."""
    x, y, z, w = (float(value) for value in quaternion_xyzw)
    w = min(1.0, max(-1.0, w))
    sine = float(np.sqrt(1.0 - w * w))
    if sine < 1e-8:
        return np.zeros(3)
    angle_rad = 2.0 * float(np.arccos(w))
    return np.array([x, y, z]) * angle_rad / sine


def task_ids(text: str | None, suite: str) -> tuple[int, ...]:
    """`0,3` as numbers; all of the suite for None. Raises StateError for what is none of it."""
    if suite not in LIBERO_STEPS:
        raise StateError(
            f"LIBERO has no suite {suite!r}.",
            "The name was mistyped.",
            f"Use one of: {', '.join(LIBERO_STEPS)}.",
        )
    count = 90 if suite == "libero_90" else 10
    if text is None:
        return tuple(range(count))
    try:
        found = tuple(int(word) for word in text.split(","))
    except ValueError:
        found = (-1,)
    if not all(0 <= each < count for each in found):
        raise StateError(
            f"--task-ids {text} names no tasks of {suite}.",
            f"Its tasks are numbered 0 to {count - 1}.",
            "Say --task-ids 0,3,7.",
        )
    return found


def relax() -> None:
    """Judge as pi0-text-latent did (`RELAXED`): two tests of LIBERO are replaced in this process."""
    states = import_module("libero.libero.envs.object_states.base_object_states")

    def near_and_touching(this: Any, other: Any) -> bool:
        positions = this.env.sim.data.body_xpos
        own = positions[this.env.obj_body_id[this.object_name]]
        its = positions[this.env.obj_body_id[other.object_name]]
        apart_m = float(np.linalg.norm(own[:2] - its[:2]))
        return bool(own[2] <= its[2] and apart_m < _RELAXED_M and this.check_contact(other))

    strict = states.SiteObjectState.check_ontop

    def anywhere_on_a_stove(this: Any, other: Any) -> bool:
        if "stove" not in str(this.parent_name):
            return bool(strict(this, other))
        parent = this.env.get_object(this.parent_name)
        return bool(this.env.check_contact(parent, this.env.get_object(other.object_name)))

    states.ObjectState.check_ontop = near_and_touching
    states.SiteObjectState.check_ontop = anywhere_on_a_stove
