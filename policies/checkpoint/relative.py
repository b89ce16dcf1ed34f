"""Which actions of a checkpoint are relative to the state, and who says so.

The sidecar's `delta_mask` wins; LeRobot's config.json has `use_relative_actions`; openpi's files say
nothing, there it is the embodiment's. Taken for the other, an arm goes to its pose plus a goal, or to
about zero degrees, so nothing here is a default but LeRobot's own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.checkpoint.container import Container
from policies.checkpoint.norms import ACTION


def delta_mask(container: Container, embodiment: str = "") -> tuple[bool, ...]:
    """By place in the action; what lies beyond it is absolute.

    `embodiment` is the one that a person named. Raises CheckpointError where nothing says it.
    """
    if container.sidecar.delta_mask:
        return container.sidecar.delta_mask
    if container.framework == "lerobot":
        action = container.outputs.get(ACTION)
        named = action.shape[0] if action and action.shape else 0
        size = named or (container.dims.action if container.is_pi0 else 0)
        return tuple(said_delta(container, size).tolist())
    from policies.embodiment_choice import choose_embodiment

    units = container.sidecar.units
    return choose_embodiment(embodiment, container.path, container.kind, units).row.delta_mask


def said_delta(container: Container, size: int) -> npt.NDArray[np.bool_]:
    """The mask [size] of the sidecar or of LeRobot's config.json; none where neither says one."""
    mask = np.zeros(size, np.bool_)
    if container.sidecar.delta_mask:
        said = container.sidecar.delta_mask[:size]
        mask[: len(said)] = said
    elif container.config.get("use_relative_actions"):
        names = [str(name) for name in container.config.get("action_feature_names") or ()]
        excluded = [str(n) for n in container.config.get("relative_exclude_joints") or () if n]
        mask[:] = _lerobots(names[:size], excluded, size)
    return mask


def _lerobots(names: Sequence[str], excluded: Sequence[str], size: int) -> list[bool]:
    """LeRobot's rule: relative is whatever has no excluded word in its name, and what has no name."""
    words = [word.lower() for word in excluded]
    named = [not any(word in name.lower() for word in words) for name in names]
    return named + [True] * (size - len(named))


def lerobot_keys(mask: Sequence[bool], names: Sequence[str], size: int) -> Mapping[str, Any]:
    """A mask as keys of LeRobot's config.json, for an action of `size` values.

    `names` are the action's, as far as they are known; where LeRobot's rule would make another mask
    of them (`joint_1` is a part of `joint_10`), the values are numbered instead.
    """
    if not any(mask):
        return {"use_relative_actions": False}
    wanted = [*mask, *[False] * size][:size]
    numbered = [f"action_{index:03}" for index in range(size)]
    for tried in (list(names), numbered):
        kept = [name for name, on in zip(tried, wanted, strict=False) if not on]
        if len(tried) == size and _lerobots(tried, kept, size) == wanted:
            break
    return {
        "use_relative_actions": True,
        "action_feature_names": tried,
        "relative_exclude_joints": kept,
    }
