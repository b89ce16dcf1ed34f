"""What the rest of robotd asks of a policy, whatever framework it comes from.

A `Model` takes values under its own keys and gives one chunk in its own units, un-normalised. How
the robot's values get there is the fit's business (`policies/fit.py`), how chunks are played the
executor's. LeRobot's policies, Pi0 in robotd's own torch and a server elsewhere are three of them;
`load_model` tells them apart by what the checkpoint holds, never by its path.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from policies.checkpoint.digests import FileDigests
from policies.checkpoint.evidence import Evidence
from policies.checkpoint.folder import Feature
from policies.rtc import Leftover, RawChunk

Dtype = Literal["auto", "bf16", "f32"]
Compile = Literal["auto", "off", "graphs", "full"]
Backend = Literal["torch", "jax"]


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the parts of one prediction took, in nanoseconds of the monotonic clock.

    `infer_ns` is the model's own forward with the device synchronised; `preprocess_ns` is all that
    comes before it (pictures, tokens, normalisation), `post_ns` all that comes after.
    """

    preprocess_ns: int = 0
    infer_ns: int = 0
    post_ns: int = 0

    @property
    def overhead_ns(self) -> int:
        """What robotd adds to the model's own forward."""
        return self.preprocess_ns + self.post_ns


@dataclass(frozen=True, slots=True)
class Interface:
    """A model's own inputs and outputs by key, and its name (folder or URL) for people.

    `views_may_miss`: it does without a picture that is not given, and resizes those that are.
    `steps_seen`: how many observations in a row it was trained to see, at its own rate.
    `renamed`: what the training's dataset called an input that had another name there.
    """

    name: str
    inputs: Mapping[str, Feature]
    outputs: Mapping[str, Feature]
    views_may_miss: bool = False
    steps_seen: int = 1
    renamed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """How a model is to be loaded; what a person did not say is found or left to the default.

    `fps` and `units` override the evidence. `device` is torch's word, `auto` the GPU where there is
    one; `threads` are torch's on the CPU. The rest is for Pi0: `tokenizer` a file or folder,
    `dtype` auto (bf16 on a GPU, f32 on the CPU), `num_steps` the Euler steps (0: the checkpoint's),
    `compile` what is done to make a GPU fast, `backend` who computes it, `seed` that of the noise
    (None: another in every process), `embodiment` a row of `config/embodiments/` or a file (empty:
    by what the checkpoint shows). `told` hears what takes long while it loads, in words.
    """

    fps: float | None = None
    units: str = ""
    device: str = "auto"
    threads: int = 1
    tokenizer: str = ""
    dtype: Dtype = "auto"
    num_steps: int = 0
    compile: Compile = "auto"
    backend: Backend = "torch"
    seed: int | None = None
    embodiment: str = ""
    told: Callable[[str], None] = field(default=lambda _words: None, compare=False)


class Model(Protocol):
    """A loaded policy."""

    @property
    def kind(self) -> str:
        """LeRobot's word: act, pi0, pi05, smolvla, …"""
        ...

    @property
    def interface(self) -> Interface:
        """What it takes and gives."""
        ...

    @property
    def evidence(self) -> Evidence:
        """Its time step, units and joints, each with where that is known from."""
        ...

    @property
    def means(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """The average of each input vector in training, where known: an observation to warm up."""
        ...

    @property
    def chunk(self) -> int:
        """How many actions a prediction has."""
        ...

    @property
    def n_action_steps(self) -> int:
        """How many actions of a chunk it was meant to be played before the next."""
        ...

    @property
    def timings(self) -> Timings:
        """Of the last `predict`."""
        ...

    @property
    def raw(self) -> RawChunk | None:
        """The last chunk as the model said it, in its own normalised space; None where that is not
        known (then there is nothing for real-time chunking to hold on to)."""
        ...

    def reset(self) -> None:
        """Forget the episode."""
        ...

    def reseed(self, seed: int) -> None:
        """What it draws by itself in the episode that begins with the next `reset` is that of this
        seed, whatever was played before. Nothing for a model that draws nothing."""
        ...

    def predict(
        self,
        values: Mapping[str, npt.NDArray[Any]],
        task: str,
        *,
        noise: npt.NDArray[np.float32] | None = None,
        leftover: Leftover | None = None,
    ) -> npt.NDArray[np.float64]:
        """One chunk [T, A] in the model's units, un-normalised; returns when it is computed.

        `values` has the model's own keys: float32 vectors, uint8 pictures [H, W, 3]; for a model
        with `steps_seen` n, n of each along a first axis, oldest first, or one, which is then
        taken for all of them. `noise` [T, A_model] is what a flow policy starts from (drawn by
        itself if None), `leftover` what is still to be played of the chunk before (real-time
        chunking); a model that has neither ignores them.
        """
        ...

    def sha256(self, digests: FileDigests) -> str:
        """The hash of what decides its actions; empty where that is not known (a server)."""
        ...


def load_model(source: str | Path, options: ModelOptions) -> Model:
    """Load a checkpoint (a folder, or the name it was pulled under), or connect to a server
    (`ws://…`). Raises CheckpointError for whatever is wrong with it or the device,
    PolicyServerError for a server that cannot be reached."""
    from policies.checkpoint.container import open_container
    from policies.checkpoint.loading import load_checkpoint
    from policies.pulling.shelf import local_folder
    from policies.remote import connect_model
    from policies.server.client import is_server

    if is_server(str(source)):
        return connect_model(str(source), options)

    source = local_folder(str(source))
    container = open_container(source)
    if container.is_pi0:
        from policies.pi0.loading import load_pi0

        return load_pi0(container, options)
    return load_checkpoint(
        source,
        fps=options.fps,
        units=options.units,
        device=options.device,
        threads=options.threads,
    )
