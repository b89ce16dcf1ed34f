"""Where LeRobot's policies differ from one another: the length of a chunk, what they remember, what they fetch.

One kind of policy calls its chunk `chunk_size`, another `horizon`, a third predicts more than it
gives back; some keep a queue of observations that only `select_action` fills; some fetch the parts
of a language model by name. Here all of them become one thing that predicts a chunk.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robotd.errors import CheckpointError
from robotd.installed import install_again, uv_pip

_NETWORK_ERRORS = (
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
    "EntryNotFoundError",
    "RepositoryNotFoundError",
    "ConnectionError",
    "ConnectError",
    "MaxRetryError",
    "ProxyError",
)
_NAMED_MODELS = ("vlm_model_name", "tokenizer_name", "text_tokenizer_name", "vision_encoder_name")


def chunk_length(config: Any) -> int:
    """How many actions `predict_action_chunk` gives. Raises CheckpointError where nothing says it."""
    for name in ("chunk_size", "action_chunk_size", "action_horizon"):
        if isinstance(value := getattr(config, name, None), int):
            return value
    if hasattr(config, "horizon") and hasattr(config, "n_obs_steps"):
        # Diffusion: of the horizon, which begins in the past, only these are given back.
        return int(config.n_action_steps if config.type != "tdmpc" else config.horizon)
    raise CheckpointError(
        f"A policy of kind {config.type} does not say how long its chunks are.",
        "It is no policy of chunks (a reinforcement learner's), or of a newer LeRobot.",
        "Choose a policy that predicts chunks: act, diffusion, vqbet, smolvla, pi0, pi05.",
    )


def steps_seen(policy: Any) -> int:
    """How many observations in a row the policy was trained to see: what its queues hold."""
    return max((queue.maxlen for queue in _seen_queues(policy).values()), default=1)


def _seen_queues(policy: Any) -> dict[str, Any]:
    from lerobot.utils.constants import ACTION

    queues = getattr(policy, "_queues", None) or {}
    return {key: queue for key, queue in queues.items() if key != ACTION}


def predict_chunk(policy: Any, batches: Sequence[dict[str, Any]], arguments: dict[str, Any]) -> Any:
    """LeRobot's `predict_action_chunk` of what was observed, newest last: a tensor [1, T, A].

    A policy that keeps a queue of observations finds in it the ones that `select_action` would have
    put there; fewer than it holds are filled up with the first, as LeRobot does at the beginning of
    an episode. Raises CheckpointError for one without chunks.
    """
    batch = batches[-1]
    queues = _seen_queues(policy)
    if queues:
        from lerobot.policies.utils import populate_queues

        for queue in queues.values():
            queue.clear()  # and nothing else: TD-MPC begins its search where the last one ended
        for each in batches:
            batch = _as_queued(policy, each)
            populate_queues(queues, batch)
    try:
        chunk = policy.predict_action_chunk(batch, **arguments)
    except NotImplementedError as error:
        raise CheckpointError(
            f"A policy of kind {policy.config.type} predicts no chunks: {error}",
            "It is a reinforcement learner's, made for one action at a time.",
            "Choose a policy that predicts chunks: act, diffusion, vqbet, smolvla, pi0, pi05.",
        ) from error
    # TD-MPC puts time before the batch.
    return chunk.transpose(0, 1) if policy.config.type == "tdmpc" else chunk


def _as_queued(policy: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """The batch with the pictures together, as `select_action` puts them into the queues."""
    import torch
    from lerobot.utils.constants import ACTION, OBS_IMAGE, OBS_IMAGES

    batch = {key: value for key, value in batch.items() if key != ACTION}
    pictures = [batch[key] for key in policy.config.image_features or {}]
    if pictures and OBS_IMAGES in policy._queues:
        batch[OBS_IMAGES] = torch.stack(pictures, dim=-4)
    if pictures and OBS_IMAGE in policy._queues:
        batch[OBS_IMAGE] = pictures[0]
    return batch


def noise_argument(policy: Any, noise: npt.NDArray[np.float32] | None) -> dict[str, Any]:
    """The noise [T, A_model] for a policy that takes any; nothing for another."""
    if noise is None or "noise" not in inspect.signature(policy.predict_action_chunk).parameters:
        return {}
    import torch

    device = next(policy.parameters()).device
    return {"noise": torch.from_numpy(np.array(noise, np.float32))[None].to(device)}


def prepare_config(config: Any, folder: Path) -> None:
    """Keep a policy from fetching what the checkpoint replaces or brings along.

    Weights that would be downloaded only to be overwritten are not; the name of a language model
    that is a folder beside the weights becomes its path.
    """
    if hasattr(config, "pretrained_backbone_weights"):
        config.pretrained_backbone_weights = None
    if hasattr(config, "load_vlm_weights"):
        config.load_vlm_weights = False
    for name in _NAMED_MODELS:
        value = getattr(config, name, None)
        if isinstance(value, str) and beside(folder, value):
            setattr(config, name, str(folder / value))


def beside(folder: Path, name: str) -> bool:
    """Whether `name` is a folder inside the checkpoint's."""
    return bool(name) and not Path(name).is_absolute() and (folder / name).is_dir()


def tokenizer_override(folder: Path, steps: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """LeRobot's `overrides` for tokenizers that lie beside the weights."""
    found: dict[str, dict[str, Any]] = {}
    for step in steps:
        name = (step.get("config") or {}).get("tokenizer_name")
        if isinstance(name, str) and beside(folder, name):
            found[str(step["registry_name"])] = {"tokenizer_name": str(folder / name)}
    return found


@contextmanager
def fetching(folder: Path, kind: str) -> Iterator[None]:
    """Say what is missing when something would have to come from a network or a gated page."""
    try:
        yield
    except Exception as error:
        chain = list(_causes(error))
        names = [type(each).__name__ for each in chain]
        wanted = _wanted(chain)
        if "GatedRepoError" in names or any("gated repo" in str(each) for each in chain):
            raise CheckpointError(
                f"The {kind} policy of {folder} needs {wanted}, whose page has to be agreed to.",
                "Its maker asks everybody to accept a licence, and this machine has not shown who "
                "you are.",
                f"Open https://huggingface.co/{wanted}, accept, then: hf auth login. Or copy its "
                "folder beside the weights and name it so in config.json.",
            ) from error
        missing = next((each for each in chain if isinstance(each, ImportError)), None)
        if missing is not None:
            raise CheckpointError(
                f"The {kind} policy of {folder} needs a package that is not installed: {missing}",
                "LeRobot keeps the parts of its rarer policies in extras of its own; robotd's extra "
                "`zoo` brings those of Pi0, SmolVLA and Diffusion.",
                f"Install that: {install_again('zoo')}. Where it names yet another extra: "
                f"{uv_pip('install', 'lerobot[…]==0.6.1')}.",
            ) from error
        offline = any(name in _NETWORK_ERRORS for name in names) or any(
            "couldn't connect to" in str(each) or "is not a local folder" in str(each)
            for each in chain
        )
        if offline:
            raise CheckpointError(
                f"The {kind} policy of {folder} needs {wanted}, which is not on this machine.",
                "LeRobot's checkpoints name the language model they are built on and do not hold "
                "its configuration and tokenizer; there was no network to fetch them.",
                f"Fetch them once where there is one: hf download {wanted} --include '*.json' "
                "'*.txt' '*.model'. Or copy them beside the weights and name that folder in "
                "config.json and policy_preprocessor.json.",
            ) from error
        raise


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _wanted(chain: list[BaseException]) -> str:
    """The hub's name in the words of the errors, as in https://huggingface.co/OWNER/NAME/…"""
    for each in chain:
        text = str(each)
        for mark in ("huggingface.co/", "couldn't connect to 'https://huggingface.co' to load"):
            if mark in text:
                parts = text.split(mark, 1)[1].replace("'", " ").split()[0].split("/")
                if len(parts) >= 2 and parts[0] not in ("docs", "settings", "models"):
                    return "/".join(parts[:2])
    for each in chain:
        words = [w.strip("'\"`.,()") for w in str(each).split()]
        for word in words:
            if word.count("/") == 1 and not word.startswith(("/", "http")) and len(word) > 4:
                return word
    return "parts of a language model"
