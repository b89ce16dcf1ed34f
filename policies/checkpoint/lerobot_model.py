"""LeRobot's own model for a checkpoint, and the file's tensors put into it: all, and nothing else.

LeRobot itself loads with `strict=False` and some of its loaders swallow errors, which leaves random
weights in place.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from policies.checkpoint.pi0_tensors import all_equal, finite, listed
from policies.checkpoint.tensors import WEIGHTS
from policies.checkpoint.zoo import fetching, prepare_config
from robotd.errors import CheckpointError


def make_policy(path: Path, kind: str, device: str) -> Any:
    """LeRobot's policy of a `pretrained_model` folder; its weights are not to be trusted yet.

    Needs no network where the policy's parts do not come from a hub. Raises CheckpointError.
    """
    from lerobot.configs import PreTrainedConfig
    from lerobot.policies.factory import get_policy_class
    from lerobot.policies.pretrained import PreTrainedPolicy

    try:
        config = PreTrainedConfig.from_pretrained(str(path))
        config.device = device
        prepare_config(config, path)
        policy_class = get_policy_class(config.type)
        own_loader = policy_class.from_pretrained.__func__
        with fetching(path, kind):
            if own_loader is PreTrainedPolicy.from_pretrained.__func__:
                return policy_class(config)
            return policy_class.from_pretrained(str(path), config=config)
    except CheckpointError:
        raise
    except Exception as error:
        # draccus, torch and transformers raise types of their own; all of them mean: not loadable.
        raise CheckpointError(
            f"LeRobot cannot make the {kind} policy of {path}: {error}",
            "The checkpoint was written by another LeRobot release, or needs an extra of it.",
            "robotd runs LeRobot 0.6.1: save the checkpoint with that release.",
        ) from error


def fill(path: Path, kind: str, policy: Any) -> None:
    """Put the weights of a folder into its policy. Raises CheckpointError for any difference."""
    from safetensors.torch import load_file

    stored: dict[str, Any] = load_file(str(path / WEIGHTS))
    model = policy.state_dict()
    shared = _duplicates(model, stored)
    faults = weight_faults(policy, {name: tuple(t.shape) for name, t in stored.items()})
    faults["not finite"] = [name for name, tensor in stored.items() if not finite(tensor)]
    faults["all one value"] = [name for name, tensor in stored.items() if all_equal(tensor)]
    problems = [f"{what}: {listed(names)}" for what, names in faults.items() if names]
    if problems:
        raise CheckpointError(
            f"The weights in {path / WEIGHTS} are not those of the {kind} policy in "
            f"its config.json ({'; '.join(problems)}).",
            "The file was damaged or edited, training diverged (NaN), or config.json belongs to "
            "another checkpoint.",
            "Copy the checkpoint again, or choose an earlier step of the training run.",
        )
    policy.load_state_dict(stored | {name: stored[same] for name, same in shared.items()})


def weight_faults(policy: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, list[str]]:
    """Names that are missing in a file, unknown to the policy, or of another shape."""
    model = policy.state_dict()
    shared = _duplicates(model, shapes)
    return {
        "missing": [name for name in model if name not in shapes and name not in shared],
        "unknown": [name for name in shapes if name not in model],
        "of another shape": [
            name for name in shapes if name in model and tuple(model[name].shape) != shapes[name]
        ],
    }


def _duplicates(model: Mapping[str, Any], stored: Iterable[str]) -> dict[str, str]:
    """Names that share their memory with a stored one: safetensors keeps only one of them."""
    stored = set(stored)
    by_memory = {model[n].data_ptr(): n for n in stored if n in model and model[n].numel()}
    return {
        name: by_memory[tensor.data_ptr()]
        for name, tensor in model.items()
        if name not in stored and tensor.numel() and tensor.data_ptr() in by_memory
    }
