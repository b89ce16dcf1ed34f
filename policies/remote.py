"""A policy that is computed elsewhere: `ws://host:port` as a `policies.model.Model`.

robotd's own servers say in their metadata all that a checkpoint would; openpi's say nothing, so
rate, units and keys are asked for and the chunk's shape is learnt from the first answer. The
answers are judged like those of a policy in this process. A server that was restarted with another
policy than the one that was loaded is refused: it was never fitted to this robot.
"""

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from config.embodiment import load_embodiment
from policies.border import ACTION, IMAGES, RobotFeatures
from policies.checkpoint.digests import FileDigests
from policies.checkpoint.evidence import UNITS, Evidence, against, refuse_another_rate
from policies.checkpoint.folder import Feature
from policies.embodiment import Adapter
from policies.embodiment_choice import Chosen
from policies.model import Interface, ModelOptions, Timings
from policies.rtc import Leftover, RawChunk
from policies.server.client import ServerLink
from policies.server.request import Said, leftover_message, read_raw, reset_message, said_of
from policies.server.wire import Message, pack
from robotd.errors import CheckpointError, PolicyServerError, RobotdError

API_KEY_VARIABLE = "ROBOTD_POLICY_API_KEY"
FIRST_ANSWER_S = 180.0
"""openpi's JAX servers compile for a minute when they are first asked."""
LEAST_ANSWER_S = 1.0
"""A short chunk still gets this long: where it comes too late the executor says so better."""


class RemoteModel:
    """One policy on one server. Connects when it is made; see `connect_model`."""

    def __init__(self, link: ServerLink, options: ModelOptions) -> None:
        self.timings = Timings()
        self.raw: RawChunk | None = None
        self._link = link
        self._metadata: Message = {}
        self._said: Said | None = None
        self._shape: tuple[int, int] | None = None
        self._number = 0
        self._fresh = True
        self._seed: int | None = None  # of the episode, where one was said
        self._answered = False
        self._inputs: dict[str, Feature] = {}
        self._held = True  # whether the server's raw chunks are relative to what robotd thinks
        link.welcome = self._meet
        link.open()
        self.evidence = self._evidence(options)
        self.chosen = self._chosen(options.embodiment)

    # --- what it is -------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """The server's word; openpi's servers have none."""
        return "openpi server" if self._said is None else self._said.kind

    @property
    def interface(self) -> Interface:
        """What the server says it takes; for openpi's, what `introduce` was told."""
        if self._said is not None:
            return replace(self._said.interface, name=self._link.url)
        width = self._shape[1] if self._shape else 0
        return Interface(self._link.url, self._inputs, {ACTION: Feature("ACTION", (width,))})

    @property
    def means(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """An average observation, where the server tells one."""
        said = {} if self._said is None else self._said.means
        return {key: np.asarray(value, np.float64) for key, value in said.items()}

    @property
    def chunk(self) -> int:
        """How many actions an answer has."""
        return 0 if self._shape is None else self._shape[0]

    @property
    def n_action_steps(self) -> int:
        """As the server says; openpi's do not: the whole chunk."""
        return self.chunk if self._said is None else self._said.n_action_steps

    def sha256(self, _digests: FileDigests) -> str:
        """What the server says its weights are; of another program's server: its address and what
        it says of itself, which is all that is known."""
        return _sha256_said(self._link.url, self._metadata)

    # --- what it does -----------------------------------------------------------------------------

    def introduce(self, robot: RobotFeatures, rename: Mapping[str, str]) -> None:
        """Tell what an openpi server is asked with: `rename` maps its keys to the robot's.

        Learns the chunk's shape from a first answer. Nothing to do for a server that says it
        itself. Raises CheckpointError when nothing was said, PolicyServerError when the server
        does not answer.
        """
        if self._said is not None:
            return
        named = {key: _robot_key(source, robot) for key, source in rename.items()}
        unknown = [f"{key}={source}" for key, source in named.items() if source not in robot.keys]
        if unknown or not named:
            raise CheckpointError(
                f"{self._link.url} is openpi's own server, which does not say what it wants"
                + (f"; this robot has no {', '.join(unknown)}." if unknown else "."),
                "openpi's keys are those of its training configuration.",
                "Name each: --rename observation/image=overhead --rename observation/state="
                f"observation.state. The robot has: {', '.join(robot.keys)}.",
            )
        self._inputs = {
            key: Feature("VISUAL" if source.startswith(IMAGES) else "STATE", robot.shape(source))
            for key, source in named.items()
        }
        values: dict[str, npt.NDArray[Any]] = {
            key: np.full((*each.shape[1:], 3), 127, np.uint8)
            if each.type == "VISUAL"
            else np.zeros(each.shape, np.float32)
            for key, each in self._inputs.items()
        }
        self._shape = None
        self.predict(values, "")

    def close(self) -> None:
        """Hang up. It connects again when it is asked something."""
        self._link.close()

    def relative_to_state(self, mask: npt.NDArray[np.bool_]) -> None:
        """See `policies.embodied.Conventional`: the server has the mask of its own embodiment."""
        theirs = None if self._said is None else self._said.chosen(self._link.url)
        own = None if theirs is None else Adapter(theirs.row).delta_mask
        self._held = own is not None and np.array_equal(own, mask)

    def reset(self) -> None:
        """The next observation begins an episode. Asks the server nothing yet."""
        self._fresh = True

    def reseed(self, seed: int) -> None:
        """See `policies.model.Model`. An openpi server cannot be told."""
        self._seed = seed

    def predict(
        self,
        values: Mapping[str, npt.NDArray[Any]],
        task: str,
        *,
        noise: npt.NDArray[np.float32] | None = None,
        leftover: Leftover | None = None,
    ) -> npt.NDArray[np.float64]:
        """One chunk [T, A] in the policy's units. See `policies.model.Model`.

        Waits no longer than a chunk lasts: a later one would be of no use. Raises
        PolicyServerError for a server that is away, silent, changed, or gives no actions.
        """
        began_ns = time.monotonic_ns()
        message: Message = {**values, "prompt": task}
        patience_s = self._patience_s
        if self._said is not None:
            self._number += 1
            message["__id__"] = self._number
            if noise is not None:
                message["__noise__"] = noise
            if leftover is not None:
                message["__leftover__"] = leftover_message(leftover)
            if self._fresh:
                self._link.ask(reset_message(self._seed), patience_s)
        asked_ns = time.monotonic_ns()
        answer = self._link.ask(message, patience_s)
        answered_ns = time.monotonic_ns()
        actions = self._actions(answer)
        self._fresh, self._answered = False, True
        self.raw = read_raw(answer.get("__raw__")) if self._held else None
        infer_ns = min(_infer_ns(answer), answered_ns - asked_ns)
        rest_ns = answered_ns - asked_ns - infer_ns
        self.timings = Timings(asked_ns - began_ns, infer_ns, rest_ns)
        return actions

    @property
    def _patience_s(self) -> float:
        if not self._answered:
            return FIRST_ANSWER_S
        return max(LEAST_ANSWER_S, self.chunk / self.evidence.fps)

    def _actions(self, answer: Message) -> npt.NDArray[np.float64]:
        actions = answer.get("actions")
        if self._said is not None and answer.get("__id__") != self._number:
            self._link.close()
            raise self._strange("it answers another question than was asked")
        if (
            not isinstance(actions, np.ndarray)
            or actions.ndim != 2
            or actions.dtype.kind not in "fiu"
        ):
            raise self._strange(f"its answer has no actions [steps, joints]: {_shown(actions)}")
        if self._shape is not None and actions.shape != self._shape:
            raise self._strange(f"its chunk is {actions.shape} and was {self._shape}")
        self._shape = (actions.shape[0], actions.shape[1])
        return np.array(actions, np.float64)

    def _meet(self, metadata: Message) -> None:
        """Look at what a server says of itself: the first time, and after every reconnect."""
        said = said_of(metadata)
        if self._metadata and (said != self._said or (said is None and metadata != self._metadata)):
            raise self._strange("it serves another policy than the one that was loaded")
        self._metadata, self._said = metadata, said
        self._fresh = True
        if said is not None:
            outputs = said.outputs.get(ACTION)
            self._inputs = said.inputs
            self._shape = (said.chunk, outputs.shape[-1] if outputs is not None else 0)

    def _strange(self, what: str) -> PolicyServerError:
        return PolicyServerError(
            f"The policy server {self._link.url} cannot be used: {what}.",
            "It was started again with another policy, or is of another kind.",
            "Load the policy again: robotd run --policy " + self._link.url,
        )

    def _chosen(self, asked: str) -> Chosen | None:
        """The embodiment that a robot's values have to come through."""
        if self._said is None and asked:
            raise CheckpointError(
                f"{self._link.url} is openpi's own server: no embodiment is of use there.",
                "It undoes its own on what it answers; only its keys are not known.",
                "Leave --embodiment out, and name its keys: --rename observation/image=overhead.",
            )
        if self._said is None:
            return None
        theirs = self._said.chosen(self._link.url)
        if asked and (theirs is None or theirs.name != asked):
            return Chosen(asked, load_embodiment(asked), "asked for")
        return theirs  # of one name, but maybe with its checkpoint's own delta_mask

    def _evidence(self, options: ModelOptions) -> Evidence:
        said = self._said
        url = self._link.url
        fps, fps_source = options.fps, "asked for"
        units, units_source = options.units, "asked for"
        if said is not None:
            if fps is None:
                fps, fps_source = said.fps, f"{url}: {said.fps_source}"
            refuse_another_rate(url, fps, said.fps, said.fps_source)
            if not units:
                units, units_source = said.units, f"{url}: {said.units_source}"
            units_source += against(units, said.units, f"{url}: {said.units_source}")
        if fps is None or not 0 < fps < 1000:
            raise CheckpointError(
                f"Nothing says at how many steps a second the policy of {url} was trained.",
                "It is openpi's own server, which does not send the rate."
                + (f" Its metadata has {', '.join(self._metadata)}." if self._metadata else ""),
                "Say it: --fps 30 (the fps of the dataset it was trained on).",
            )
        if units not in UNITS:
            raise CheckpointError(
                f"Nothing says in which units the policy of {url} speaks.",
                "It is openpi's own server, which does not send them.",
                "Say it: --units degrees or --units range_m100_100.",
            )
        return Evidence(
            fps=float(fps),
            fps_source=fps_source,
            units="degrees" if units == "degrees" else "range_m100_100",
            units_source=units_source,
            joints=() if said is None else said.joints,
        )


def connect_model(url: str, options: ModelOptions) -> RemoteModel:
    """The policy of a server, connected. Raises PolicyServerError when it cannot be reached,
    CheckpointError when rate or units are unknown. The API key is `ROBOTD_POLICY_API_KEY`'s."""
    link = _link(url)
    try:
        return RemoteModel(link, options)
    except RobotdError:
        link.close()
        raise


def server_sha256(url: str) -> str:
    """`RemoteModel.sha256` of the policy that a server has now. Raises PolicyServerError."""
    link = _link(url)
    heard: list[Message] = []
    link.welcome = heard.append
    try:
        link.open()
    finally:
        link.close()
    return _sha256_said(url, heard[-1])


def _link(url: str) -> ServerLink:
    return ServerLink(url, os.environ.get(API_KEY_VARIABLE, "").strip())


def _sha256_said(url: str, metadata: Message) -> str:
    said = said_of(metadata)
    if said is not None and said.sha256:
        return said.sha256
    return hashlib.sha256(url.encode() + b"\0" + pack(metadata)).hexdigest()


def _robot_key(source: str, robot: RobotFeatures) -> str:
    whole = IMAGES + source
    return whole if source not in robot.keys and whole in robot.keys else source


def _infer_ns(answer: Message) -> int:
    """The model's own time as the server tells it, its forward where it says that too; else 0."""
    for part in ("policy_timing", "server_timing"):
        timing = answer.get(part)
        value = timing.get("infer_ms") if isinstance(timing, dict) else None
        if isinstance(value, int | float | np.number) and np.isfinite(value) and value > 0:
            return int(float(value) * 1e6)
    return 0


def _shown(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return "nothing" if value is None else type(value).__name__
