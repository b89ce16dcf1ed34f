"""The near side of an environment in a process of its own (`gym_child` is the far one): questions, answers, its end."""

import contextlib
import multiprocessing
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

import numpy as np
import numpy.typing as npt

from learning.evaluation.gym_child import Flat, serve
from learning.evaluation.gym_names import GymSpec
from robotd.errors import StateError

_ANSWER_S = 300.0  # a first picture compiles shaders; LIBERO loads a kitchen


class GymChild:
    """An environment in a process of its own. Close it."""

    def __init__(self, spec: GymSpec, options: Mapping[str, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe: Connection
        self._pipe, other = context.Pipe()
        self._process: SpawnProcess = context.Process(
            target=serve, args=(other, spec, dict(options)), name=f"gym {spec.name}", daemon=True
        )
        self._name = spec.name
        self._process.start()
        other.close()
        self.hello: dict[str, Any] = self._answer()

    def reset(self, seed: int) -> Flat:
        """Begin the episode of that seed."""
        seen: Flat = self._ask("reset", seed)
        return seen

    def play(self, actions: npt.NDArray[np.float64], keep: int = 1) -> dict[str, Any]:
        """See `GymWorld.play`."""
        told: dict[str, Any] = self._ask("play", actions, keep)
        return told

    def picture(self) -> npt.NDArray[np.uint8]:
        """What a person sees of it."""
        rgb: npt.NDArray[np.uint8] = self._ask("picture")
        return rgb

    def _ask(self, name: str, *arguments: Any) -> Any:
        try:
            self._pipe.send((name, arguments))
        except OSError as error:
            raise self._gone() from error
        return self._answer()

    def _answer(self) -> Any:
        try:
            if not self._pipe.poll(_ANSWER_S):
                raise StateError(
                    f"{self._name} has not answered for {_ANSWER_S:g} s.",
                    "The simulator hangs, or the machine is far too busy.",
                    "Run it again: what was played is kept.",
                )
            kind, value = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        if kind == "error":
            raise StateError(
                f"{self._name} failed: {value}",
                "The simulator or its drawing (GL) does not work here, or an action was none.",
                "Try MUJOCO_GL=egl or MUJOCO_GL=osmesa; robotd doctor env looks at both.",
            )
        return value

    def _gone(self) -> StateError:
        self._process.join(timeout=5.0)
        return StateError(
            f"The process of {self._name} ended (exit code {self._process.exitcode}).",
            "The simulator crashed, ran out of memory or was killed.",
            "Run the same command again: it goes on where it was.",
        )

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):  # it has ended already
            self._pipe.send(("close", ()))
        self._pipe.close()
        self._process.join(timeout=10.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
