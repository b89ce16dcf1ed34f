"""The process that a gym environment lives in: never the one that runs torch.

MuJoCo's GL context and CUDA in one process disturb each other, and a simulator that crashes must not take the policy
with it. One message in, one out, over a pipe of a spawned child; observations are flat: nested names joined by `/`.
"""

import importlib
import os
from collections import deque
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt

from learning.evaluation.gym_names import GymSpec
from sim.model.render import open_gl_context

Flat = dict[str, npt.NDArray[Any]]


def flat(observation: Any, prefix: str = "") -> Flat:
    """A nested observation as arrays by name, parts joined with a slash."""
    if not isinstance(observation, Mapping):
        return {prefix: np.array(observation)}
    found: Flat = {}
    for key, value in observation.items():
        found |= flat(value, f"{prefix}/{key}" if prefix else str(key))
    return found


class GymWorld:
    """One environment: reset, and steps until it is over."""

    def __init__(self, spec: GymSpec, options: Mapping[str, Any]) -> None:
        """`options`: `size` (height, width) of the pictures, or None for the environment's own; for LIBERO also
        `suite`, `task_id` and `relaxed`."""
        self._env: Any
        if spec.name == "libero":
            from learning.evaluation.gym_libero import LiberoWorld

            self._env = LiberoWorld(options)
        else:
            self._env = _registered(spec, options)
        self.instruction = str(getattr(self._env, "instruction", ""))

    def hello(self) -> dict[str, Any]:
        """What a policy has to know of it."""
        space = self._env.action_space
        return {
            "instruction": self.instruction,
            "low": np.asarray(space.low, np.float64),
            "high": np.asarray(space.high, np.float64),
        }

    def reset(self, seed: int) -> Flat:
        observation, _ = self._env.reset(seed=seed)
        return flat(observation)

    def play(self, actions: npt.NDArray[np.float64], keep: int = 1) -> dict[str, Any]:
        """Play actions [n, A] until the episode is over; what was seen after the last `keep`, newest last, and every
        reward."""
        rewards: list[float] = []
        success = over = False
        kept: deque[Flat] = deque(maxlen=keep)
        for action in actions:
            seen, reward, terminated, truncated, info = self._env.step(action.astype(np.float32))
            kept.append(flat(seen))  # a copy: an environment may draw into the same picture again
            rewards.append(float(reward))
            success = success or bool(info.get("is_success", False))
            if terminated or truncated:
                over = True
                break
        return {"seen": [*kept], "rewards": rewards, "success": success, "over": over}

    def picture(self) -> npt.NDArray[np.uint8]:
        """What a person sees of it: uint8 [H, W, 3]."""
        return np.asarray(self._env.render(), np.uint8)

    def close(self) -> None:
        self._env.close()


def _choose_backend() -> None:
    """MuJoCo binds to one GL backend when it is first imported; without a word it takes one that needs a screen."""
    name, context = open_gl_context(16, 16)
    context.free()
    os.environ["MUJOCO_GL"] = name


def _registered(spec: GymSpec, options: Mapping[str, Any]) -> Any:
    import gymnasium

    importlib.import_module(spec.package)  # registers its environments
    size = options.get("size")
    pixels = {} if size is None else {"observation_height": size[0], "observation_width": size[1]}
    return gymnasium.make(
        spec.gym_id,
        obs_type="pixels_agent_pos",
        render_mode="rgb_array",
        max_episode_steps=spec.max_steps,
        disable_env_checker=True,
        **pixels,
    )


def serve(pipe: Connection, spec: GymSpec, options: Mapping[str, Any]) -> None:
    """The child's whole life: make the environment, answer until told to end or the other side is gone."""
    try:
        if spec.draws_with_gl:
            _choose_backend()
        world = GymWorld(spec, options)
        pipe.send(("ok", world.hello()))
        while True:
            name, arguments = pipe.recv()
            if name == "close":
                break
            pipe.send(("ok", getattr(world, name)(*arguments)))
        world.close()
    except EOFError:
        return  # the evaluation was killed
    except Exception as error:  # noqa: BLE001 (whatever the simulator raises has to reach the person)
        pipe.send(("error", f"{type(error).__name__}: {error}"))
    finally:
        pipe.close()
