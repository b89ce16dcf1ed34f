"""A LeRobot policy with its processors, loaded strictly: never a random weight, never a guess.

LeRobot itself loads with `strict=False` and some of its loaders swallow errors, which leaves random
weights in place. Here the tensors in the file and those of the model must be the same, and finite.
torch and LeRobot are imported when a checkpoint is loaded, not before.
"""

import time
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from sys import stderr
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from policies.checkpoint.digests import FileDigests
from policies.checkpoint.evidence import Evidence, find_evidence
from policies.checkpoint.folder import CheckpointFolder, read_folder
from policies.checkpoint.tensors import WEIGHTS
from policies.extra import extra_missing
from policies.model import Interface, Timings
from policies.rtc import Leftover, RawChunk
from robotd.errors import CheckpointError

_NAMED = 6  # tensors named in an error; the rest is counted


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

    @property
    def kind(self) -> str:
        """LeRobot's word for it, from config.json."""
        return self.folder.kind

    @property
    def interface(self) -> Interface:
        """Its features, as in config.json."""
        return Interface(str(self.folder.path), self.folder.inputs, self.folder.outputs)

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
        config = self.policy.config
        return int(config.chunk_size if hasattr(config, "chunk_size") else config.horizon)

    @property
    def n_action_steps(self) -> int:
        """How many actions of a chunk it was trained to be played before the next."""
        return int(getattr(self.policy.config, "n_action_steps", self.chunk))

    def reset(self) -> None:
        """Forget the episode: the policy's queues and both pipelines' memory (once an episode)."""
        self.policy.reset()
        self.preprocess.reset()
        self.postprocess.reset()

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
        from lerobot.policies.utils import prepare_observation_for_inference

        began_ns = time.monotonic_ns()
        # LeRobot writes its tensors into the dictionary, and torch wants arrays it may write to.
        own = {key: np.array(value) for key, value in values.items()}
        batch = prepare_observation_for_inference(own, torch.device(self.device), task)
        with torch.no_grad():
            ready = self.preprocess(batch)
            self._wait(torch)
            prepared_ns = time.monotonic_ns()
            chunk = self.policy.predict_action_chunk(ready)
            self._wait(torch)
            inferred_ns = time.monotonic_ns()
            actions = self.postprocess(chunk)[0].to("cpu", torch.float64).numpy()
        self.raw = RawChunk(chunk[0].to("cpu", torch.float32).numpy())
        self.timings = Timings(
            prepared_ns - began_ns, inferred_ns - prepared_ns, time.monotonic_ns() - inferred_ns
        )
        return cast(npt.NDArray[np.float64], actions)

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
    device = _device(torch, device)
    with redirect_stdout(stderr):  # LeRobot prints while it loads; stdout may be a program's
        policy = _load_policy(folder, device)
        preprocess, postprocess = _load_processors(folder, policy.config, device)
    checkpoint = Checkpoint(folder, evidence, device, policy, preprocess, postprocess)
    checkpoint.reset()
    return checkpoint


def _device(torch: Any, wanted: str) -> str:
    """Torch's name of the device, after trying it. Raises CheckpointError."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:  # what torch raises without CUDA or with a typo
        raise CheckpointError(
            f"There is no device {wanted!r} to run the policy on: {error}",
            "The GPU is not there, its driver is too old for this torch, or the name is wrong.",
            "Set policy.device to auto or cpu, or look at nvidia-smi.",
        ) from error
    return wanted


def _import_torch() -> Any:
    try:
        import lerobot.policies  # noqa: F401 (both are needed, and come together)
        import torch
    except ImportError as error:
        raise extra_missing(error) from error
    return torch


def _load_policy(folder: CheckpointFolder, device: str) -> Any:
    from lerobot.configs import PreTrainedConfig
    from lerobot.policies.factory import get_policy_class
    from lerobot.policies.pretrained import PreTrainedPolicy

    try:
        config = PreTrainedConfig.from_pretrained(str(folder.path))
        config.device = device
        if hasattr(config, "pretrained_backbone_weights"):
            # They would be downloaded only to be overwritten by the checkpoint's own.
            config.pretrained_backbone_weights = None
        policy_class = get_policy_class(config.type)
        own_loader = policy_class.from_pretrained.__func__
        if own_loader is PreTrainedPolicy.from_pretrained.__func__:
            policy = policy_class(config)
        else:
            policy = policy_class.from_pretrained(str(folder.path), config=config)
    except CheckpointError:
        raise
    except Exception as error:
        # draccus, torch and transformers raise types of their own; all of them mean: not loadable.
        raise CheckpointError(
            f"LeRobot cannot make the {folder.kind} policy of {folder.path}: {error}",
            "The checkpoint was written by another LeRobot release, or needs an extra of it.",
            "robotd runs LeRobot 0.6.1: save the checkpoint with that release.",
        ) from error
    _fill(folder, policy)
    return policy.to(device).eval()


def _fill(folder: CheckpointFolder, policy: Any) -> None:
    """Put the file's tensors into the model, all of them and nothing else."""
    from safetensors.torch import load_file

    stored: dict[str, Any] = load_file(str(folder.path / WEIGHTS))
    model = policy.state_dict()
    shared = _duplicates(model, stored)
    missing = [name for name in model if name not in stored and name not in shared]
    extra = [name for name in stored if name not in model]
    reshaped = [n for n in stored if n in model and stored[n].shape != model[n].shape]
    infinite = [n for n, t in stored.items() if t.is_floating_point() and not t.isfinite().all()]
    problems = [
        f"{what}: {_listed(names)}"
        for what, names in (
            ("missing", missing),
            ("unknown", extra),
            ("of another shape", reshaped),
            ("not finite", infinite),
            ("all one value", [name for name, tensor in stored.items() if _all_equal(tensor)]),
        )
        if names
    ]
    if problems:
        raise CheckpointError(
            f"The weights in {folder.path / WEIGHTS} are not those of the {folder.kind} policy in "
            f"its config.json ({'; '.join(problems)}).",
            "The file was damaged or edited, training diverged (NaN), or config.json belongs to "
            "another checkpoint.",
            "Copy the checkpoint again, or choose an earlier step of the training run.",
        )
    policy.load_state_dict(stored | {name: stored[same] for name, same in shared.items()})


def _all_equal(tensor: Any) -> bool:
    """Whether a matrix holds one value only: it was never initialised (norms and biases may)."""
    return bool(tensor.ndim >= 2 and tensor.numel() > 1 and tensor.min() == tensor.max())


def _duplicates(model: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, str]:
    """Names that share their memory with a stored one: safetensors keeps only one of them."""
    by_memory = {model[n].data_ptr(): n for n in stored if n in model and model[n].numel()}
    return {
        name: by_memory[tensor.data_ptr()]
        for name, tensor in model.items()
        if name not in stored and tensor.numel() and tensor.data_ptr() in by_memory
    }


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _load_processors(folder: CheckpointFolder, config: Any, device: str) -> tuple[Any, Any]:
    from lerobot.policies.factory import make_pre_post_processors

    try:
        pre, post = make_pre_post_processors(
            policy_cfg=config,
            pretrained_path=str(folder.path),
            preprocessor_overrides={"device_processor": {"device": device}},
        )
    except Exception as error:
        # The pipeline raises whatever its steps raise (KeyError, FileNotFoundError, ImportError).
        raise CheckpointError(
            f"The processors of {folder.path} cannot be loaded: {error}",
            "A file of the pipeline is missing, or a step needs a tokenizer that is not here.",
            "Copy the whole pretrained_model folder, or save the processors with LeRobot 0.6.1.",
        ) from error
    return pre, post
