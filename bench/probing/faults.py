"""What goes wrong with checkpoints, planted into copies of good ones: one fault each.

Every fault is in the files, as in life: weights, statistics, processors, the sidecar, the recording's
own columns, or how the robot is told to feed it. The loading path is the real one.
"""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.probe.undo import HALF_RANGES_DEG

_POST = "policy_postprocessor.json"
_PRE = "policy_preprocessor.json"
_WEIGHTS = "model.safetensors"
_BODY = [0, 1, 2, 3, 4]
_GRIPPER = 5


@dataclass(frozen=True, slots=True)
class Planted:
    """A checkpoint with a fault, the recording it is probed on, and how its inputs are fed."""

    policy: Path
    dataset: Path
    rename: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `causes` are the verdicts that name it; `plant` damages the copies in place and
    returns how the inputs are then fed. `needs` what the checkpoint must have: cameras, language or nothing."""

    name: str
    causes: tuple[str, ...]
    plant: Callable[[Path, Path], Mapping[str, str]]
    needs: str = ""


def planted(fault: Fault, policy: Path, dataset: Path, scratch: Path) -> Planted:
    """Copies of a good checkpoint and its recording with one fault in them. Videos are linked."""
    there = shutil.copytree(policy, scratch / "policy")
    recording = scratch / "dataset"
    shutil.copytree(dataset, recording, ignore=shutil.ignore_patterns("videos"))
    if (dataset / "videos").exists():
        (recording / "videos").symlink_to((dataset / "videos").resolve())
    return Planted(there, recording, fault.plant(there, recording))


# --- files ----------------------------------------------------------------------------------------


def _tensors(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = {key: value.clone() for key, value in load_file(str(path)).items()}
    change(tensors)
    save_file({key: value.contiguous() for key, value in tensors.items()}, str(path))


def _statistics(
    folder: Path, pipeline: str, feature: str, change: Callable[[str, Any], Any]
) -> None:
    """Change the statistics of one feature in one pipeline: `change(stat, value)`."""
    for step in json.loads((folder / pipeline).read_text())["steps"]:
        if not step.get("state_file"):
            continue

        def apply(tensors: dict[str, Any]) -> None:
            for key in tensors:
                name, _, stat = key.rpartition(".")
                if name == feature:
                    tensors[key] = change(stat, tensors[key])

        _tensors(folder / step["state_file"], apply)


def _mode(folder: Path, pipeline: str, kind: str) -> None:
    """Let one pipeline leave the features of a kind as they are."""
    content = json.loads((folder / pipeline).read_text())
    for step in content["steps"]:
        if "norm_map" in step.get("config", {}):
            step["config"]["norm_map"][kind] = "IDENTITY"
    (folder / pipeline).write_text(json.dumps(content))


def _scaled(folder: Path, scale: npt.NDArray[np.float64]) -> None:
    """Actions that many times as large: what training on a dataset in other units gives."""
    import torch

    def change(stat: str, value: Any) -> Any:
        return value if stat == "count" else value * torch.tensor(scale, dtype=value.dtype)

    _statistics(folder, _POST, "action", change)


def _column(dataset: Path, key: str, change: Callable[[npt.NDArray[np.float64]], Any]) -> None:
    """Replace a vector column of every data file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in sorted((dataset / "data").glob("*/*.parquet")):
        table = pq.read_table(path)
        at = table.schema.get_field_index(key)
        rows = change(np.asarray(table[key].to_pylist(), np.float64))
        column = pa.array(np.asarray(rows, np.float32).tolist(), table.schema.field(key).type)
        pq.write_table(table.set_column(at, table.schema.field(key), column), path)


def _head(folder: Path, change: Callable[[Any, Any], None]) -> None:
    """Change the last layer of an ACT: `change(weight, bias)`, a row for each joint."""
    _tensors(
        folder / _WEIGHTS,
        lambda t: change(t["model.action_head.weight"], t["model.action_head.bias"]),
    )


# --- the faults -----------------------------------------------------------------------------------


def _un_normalised(policy: Path, _dataset: Path) -> Mapping[str, str]:
    _mode(policy, _POST, "ACTION")
    return {}


def _radians(policy: Path, _dataset: Path) -> Mapping[str, str]:
    _scaled(policy, np.array([math.pi / 180.0] * 5 + [1.0]))
    return {}


def _percent(policy: Path, _dataset: Path) -> Mapping[str, str]:
    _scaled(policy, np.array([100.0 / half for half in HALF_RANGES_DEG[0]] + [1.0]))
    return {}


def _flipped(policy: Path, _dataset: Path) -> Mapping[str, str]:
    def turn(weight: Any, bias: Any) -> None:
        weight[_GRIPPER] *= -1.0
        bias[_GRIPPER] *= -1.0

    def mean(stat: str, value: Any) -> Any:
        if stat == "mean":
            value = value.clone()
            value[_GRIPPER] = 100.0 - value[_GRIPPER]
        return value

    _head(policy, turn)
    _statistics(policy, _POST, "action", mean)
    return {}


def _regressed(policy: Path, _dataset: Path) -> Mapping[str, str]:
    def shrink(weight: Any, bias: Any) -> None:
        weight *= 0.03
        bias *= 0.03

    _head(policy, shrink)
    return {}


def _random(policy: Path, _dataset: Path) -> Mapping[str, str]:
    """What a swallowed load error leaves: the model as it was drawn."""
    import torch
    from lerobot.configs import PreTrainedConfig
    from lerobot.policies.factory import get_policy_class
    from safetensors.torch import save_file

    config = PreTrainedConfig.from_pretrained(str(policy))
    config.pretrained_backbone_weights = None
    torch.manual_seed(11)
    fresh = get_policy_class(config.type)(config).state_dict()
    save_file({key: value.contiguous() for key, value in fresh.items()}, str(policy / _WEIGHTS))
    return {}


def _shuffled(policy: Path, _dataset: Path) -> Mapping[str, str]:
    """Weights of another network of the same shape: every matrix with its values in another order."""
    import torch

    generator = torch.Generator().manual_seed(5)

    def mix(tensors: dict[str, Any]) -> None:
        for key, value in tensors.items():
            if value.ndim >= 2:
                order = torch.randperm(value.numel(), generator=generator)
                tensors[key] = value.reshape(-1)[order].reshape(value.shape)

    _tensors(policy / _WEIGHTS, mix)
    return {}


def _stateless(policy: Path, _dataset: Path) -> Mapping[str, str]:
    def cut(tensors: dict[str, Any]) -> None:
        tensors["model.encoder_robot_state_input_proj.weight"] *= 0.0
        # Not all one value: a strict loader would refuse that before any probe.
        tensors["model.encoder_robot_state_input_proj.weight"][0, 0] = 1e-12

    _tensors(policy / _WEIGHTS, cut)
    return {}


def _rate(policy: Path, _dataset: Path) -> Mapping[str, str]:
    path = policy / "robotd_ckpt.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps(known | {"fps": known["fps"] * 2}))
    return {}


def _order(policy: Path, _dataset: Path) -> Mapping[str, str]:
    takes = [1, 0, 2, 3, 4, 5]

    def swap(weight: Any, bias: Any) -> None:
        weight[:] = weight[takes].clone()
        bias[:] = bias[takes].clone()

    def swapped(stat: str, value: Any) -> Any:
        return value if stat == "count" else value[takes].clone()

    _head(policy, swap)
    _statistics(policy, _POST, "action", swapped)
    return {}


def _sign(policy: Path, _dataset: Path) -> Mapping[str, str]:
    def turn(weight: Any, bias: Any) -> None:
        weight[0] *= -1.0
        bias[0] *= -1.0

    def mean(stat: str, value: Any) -> Any:
        if stat == "mean":
            value = value.clone()
            value[0] *= -1.0
        return value

    _head(policy, turn)
    _statistics(policy, _POST, "action", mean)
    return {}


def _offset(policy: Path, _dataset: Path) -> Mapping[str, str]:
    def mean(stat: str, value: Any) -> Any:
        if stat == "mean":
            value = value.clone()
            value[2] += 45.0
        return value

    _statistics(policy, _POST, "action", mean)
    return {}


def _foreign(policy: Path, _dataset: Path) -> Mapping[str, str]:
    """The statistics of another task: other middles, other spreads."""
    import torch

    def change(stat: str, value: Any) -> Any:
        if stat == "mean":
            return value + torch.tensor([35.0, 30.0, -45.0, 30.0, -25.0, 20.0], dtype=value.dtype)
        if stat == "std":
            return value * torch.tensor([0.3, 2.2, 0.4, 2.5, 2.0, 0.5], dtype=value.dtype)
        return value

    _statistics(policy, _POST, "action", change)
    return {}


def _no_joints(_policy: Path, dataset: Path) -> Mapping[str, str]:
    """The state of the simulator's first free body where the joints should be (policies facts L10)."""

    def pose(state: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        rng = np.random.default_rng(3)
        return np.array([0.217, 0.225, 0.02, 1.0, 0.0, 0.0]) + rng.normal(0.0, 1e-3, state.shape)

    _column(dataset, "observation.state", pose)
    return {}


def _state_raw(policy: Path, _dataset: Path) -> Mapping[str, str]:
    _mode(policy, _PRE, "STATE")
    return {}


def _state_radians(_policy: Path, dataset: Path) -> Mapping[str, str]:
    scale = np.array([math.pi / 180.0] * 5 + [1.0])
    _column(dataset, "observation.state", lambda state: state * scale)
    return {}


def _gripper_heard(_policy: Path, dataset: Path) -> Mapping[str, str]:
    """A recording in the other convention: 100 for closed, in state and action."""

    def turn(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        turned = values.copy()
        turned[:, _GRIPPER] = 100.0 - turned[:, _GRIPPER]
        return turned

    for key in ("observation.state", "action"):
        _column(dataset, key, turn)
    return {}


def _crossed(policy: Path, _dataset: Path) -> Mapping[str, str]:
    keys = list(json.loads((policy / "config.json").read_text())["input_features"])
    first, second = [key for key in keys if "images" in key][:2]
    return {first: second, second: first}


def _picture_statistics(policy: Path, _dataset: Path) -> Mapping[str, str]:
    """A spread of nearly nothing; of even less the loader refuses the checkpoint."""
    keys = list(json.loads((policy / "config.json").read_text())["input_features"])
    for key in keys:
        if "images" in key:
            _statistics(policy, _PRE, key, lambda s, v: v * 0.0 + 0.015 if s == "std" else v)
    return {}


FAULTS = (
    Fault("un-normalised actions", ("un-normalised",), _un_normalised),
    Fault("trained in radians", ("units",), _radians),
    Fault("trained in ±100, said to be degrees", ("units",), _percent),
    Fault("gripper turned round", ("polarity",), _flipped),
    Fault("gripper recorded the other way", ("polarity",), _gripper_heard),
    Fault("regressed to the mean", ("mean-regressed",), _regressed),
    Fault("random weights", ("random-weights",), _random),
    Fault("weights of another network", ("no-relation", "random-weights"), _shuffled),
    Fault("state cut off", ("state-ignored",), _stateless),
    Fault("twice its rate", ("rate",), _rate),
    Fault("joints in another order", ("order",), _order),
    Fault("a joint turned round", ("sign",), _sign),
    Fault("a joint 45° off", ("offset",), _offset),
    Fault("statistics of another dataset", ("foreign-statistics",), _foreign),
    Fault("state is no joints", ("state-not-joints",), _no_joints),
    Fault("state not normalised", ("state-un-normalised",), _state_raw),
    Fault("state recorded in radians", ("state-units",), _state_radians),
    Fault("cameras crossed", ("cameras-swapped",), _crossed, "cameras"),
    Fault(
        "picture statistics of a dark set", ("picture-statistics",), _picture_statistics, "pictures"
    ),
)
