"""A LeRobot policy with its processors, loaded strictly: never a random weight, never a guess.

LeRobot itself loads with `strict=False` and some of its loaders swallow errors, which leaves random
weights in place. Here the tensors in the file and those of the model must be the same, and finite.
torch and LeRobot are imported when a checkpoint is loaded, not before.
"""

import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from sys import stderr
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from policies import rtc_lerobot
from policies.checkpoint import zoo
from policies.checkpoint.batch import as_batch
from policies.checkpoint.digests import FileDigests
from policies.checkpoint.evidence import Evidence, find_evidence
from policies.checkpoint.folder import CheckpointFolder, read_folder, read_json
from policies.checkpoint.lerobot_model import fill, make_policy
from policies.checkpoint.norms import PREPROCESSOR
from policies.device import choose_device
from policies.extra import extra_missing
from policies.model import Interface, Timings
from policies.rtc import Leftover, RawChunk
from robotd.errors import CheckpointError


@dataclass(slots=True)
class Checkpoint:
    """A loaded policy of LeRobot's, as a `policies.model.Model`. `predict` is the only way through
    it."""

    folder: CheckpointFolder
    evidence: Evidence
    device: str
    policy: Any
    preprocess: Any
    postprocess: Any
    timings: Timings = field(default_factory=Timings)
    raw: RawChunk | None = None
    """The last chunk in the model's own space, where another may go on from it; else None."""

    @property
    def kind(self) -> str:
        """LeRobot's word for it, from config.json."""
        return self.folder.kind

    @property
    def interface(self) -> Interface:
        """Its features, as in config.json."""
        folder = self.folder
        return Interface(
            str(folder.path),
            folder.inputs,
            folder.outputs,
            steps_seen=zoo.steps_seen(self.policy),
            # LeRobot's own pipeline still renames what has a dataset's name: not done twice.
            renamed={} if set(folder.renamed.values()) & set(folder.inputs) else folder.renamed,
        )

    @property
    def means(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """The averages that its normaliser was saved with."""
        return {key: stats["mean"] for key, stats in self.folder.stats.items() if "mean" in stats}

    def sha256(self, digests: FileDigests) -> str:
        """The hash of every file that decides what the policy does."""
        return self.folder.sha256(digests)

    @property
    def chunk(self) -> int:
        """How many actions a prediction has."""
        return zoo.chunk_length(self.policy.config)

    @property
    def n_action_steps(self) -> int:
        """How many actions of a chunk it was trained to be played before the next."""
        return int(getattr(self.policy.config, "n_action_steps", self.chunk))

    def reset(self) -> None:
        """Forget the episode: the policy's queues and both pipelines' memory (once an episode)."""
        self.policy.reset()
        self.preprocess.reset()
        self.postprocess.reset()

    def reseed(self, seed: int) -> None:
        """See `policies.model.Model`. LeRobot's policies draw from torch's own generators."""
        import torch

        torch.manual_seed(seed)

    def predict(
        self,
        values: Mapping[str, npt.NDArray[Any]],
        task: str,
        *,
        noise: npt.NDArray[np.float32] | None = None,
        leftover: Leftover | None = None,
    ) -> npt.NDArray[np.float64]:
        """One chunk [T, A] in the checkpoint's units, un-normalised; returns when it is computed.

        `values` has the checkpoint's own keys: float32 vectors, uint8 pictures [H, W, 3].
        """
        import torch

        began_ns = time.monotonic_ns()
        with torch.no_grad():
            ready = [
                self.preprocess(as_batch(moment, self.device, task))
                for moment in self._moments(values)
            ]
            self._wait(torch)
            prepared_ns = time.monotonic_ns()
            given = self._going_on(leftover) | zoo.noise_argument(self.policy, noise)
            chunk = zoo.predict_chunk(self.policy, ready, given)
            self._wait(torch)
            inferred_ns = time.monotonic_ns()
            actions = self.postprocess(chunk)[0].to("cpu", torch.float64).numpy()
        if rtc_lerobot.can_be_guided(self.policy):
            self.raw = rtc_lerobot.raw_chunk(self.preprocess, chunk[0])
        self.timings = Timings(
            prepared_ns - began_ns, inferred_ns - prepared_ns, time.monotonic_ns() - inferred_ns
        )
        return cast(npt.NDArray[np.float64], actions)

    def _moments(self, values: Mapping[str, npt.NDArray[Any]]) -> list[dict[str, npt.NDArray[Any]]]:
        """Each observation by itself, oldest first."""
        inputs = self.folder.inputs
        several = {k for k, v in values.items() if k in inputs and v.ndim > len(inputs[k].shape)}
        count = max((len(values[key]) for key in several), default=1)
        return [
            {key: v[index] if key in several else v for key, v in values.items()}
            for index in range(count)
        ]

    def _going_on(self, leftover: Leftover | None) -> dict[str, Any]:
        """What a flow policy of LeRobot's is told of a leftover; nothing for any other."""
        if leftover is None or not rtc_lerobot.can_be_guided(self.policy):
            return {}
        return rtc_lerobot.arguments(self.policy, self.preprocess, leftover)

    def _wait(self, torch: Any) -> None:
        """Until the device has done what it was told: without it a clock times the telling."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)


def load_checkpoint(
    path: Path,
    *,
    fps: float | None = None,
    units: str = "",
    device: str = "auto",
    threads: int = 1,
) -> Checkpoint:
    """Load a `pretrained_model` folder. Needs no network.

    `fps` and `units` override the evidence; `device` is torch's word for it, `auto` the GPU where
    there is one. `threads` is how many cores torch may use in this process: where there are few,
    the control loop must keep its own, and small policies are not faster with more.

    Raises CheckpointError for whatever is wrong with the folder or the device.
    """
    folder = read_folder(path)
    evidence = find_evidence(folder, fps, units)
    torch = _import_torch()
    torch.set_num_threads(threads)
    device = choose_device(torch, device)
    with redirect_stdout(stderr):  # LeRobot prints while it loads; stdout may be a program's
        policy = make_policy(folder.path, folder.kind, device)
        fill(folder.path, folder.kind, policy)
        policy = policy.to(device).eval()
        preprocess, postprocess = _load_processors(folder, policy.config, device)
    if rtc_lerobot.can_be_guided(policy):
        rtc_lerobot.enable(policy)
    checkpoint = Checkpoint(folder, evidence, device, policy, preprocess, postprocess)
    checkpoint.reset()
    return checkpoint


def _import_torch() -> Any:
    try:
        import lerobot.policies  # noqa: F401 (both are needed, and come together)
        import torch
    except ImportError as error:
        raise extra_missing(error) from error
    return torch


def _load_processors(folder: CheckpointFolder, config: Any, device: str) -> tuple[Any, Any]:
    from lerobot.policies.factory import make_pre_post_processors

    steps = read_json(folder.path / PREPROCESSOR).get("steps", [])
    overrides = {
        "device_processor": {"device": device},
        **zoo.tokenizer_override(folder.path, steps),
    }
    try:
        with zoo.fetching(folder.path, folder.kind):
            pre, post = make_pre_post_processors(
                policy_cfg=config,
                pretrained_path=str(folder.path),
                preprocessor_overrides=overrides,
            )
    except CheckpointError:
        raise
    except Exception as error:
        # The pipeline raises whatever its steps raise (KeyError, FileNotFoundError, ImportError).
        raise CheckpointError(
            f"The processors of {folder.path} cannot be loaded: {error}",
            "A file of the pipeline is missing, or a step needs a tokenizer that is not here.",
            "Copy the whole pretrained_model folder, or save the processors with LeRobot 0.6.1.",
        ) from error
    return pre, post
