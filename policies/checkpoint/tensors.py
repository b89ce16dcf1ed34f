"""Tensors in a file: their names, shapes and kinds without reading them, and one at a time.

A Pi0 has 7 to 14 GB, so nothing here reads more than the tensor that was asked for. A weights file
is checked to be whole first: every byte that its header promises must be there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from policies.extra import extra_missing
from robotd.errors import CheckpointError

WEIGHTS = "model.safetensors"

_SAFETENSORS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_BYTES = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2}
_BYTES |= {"int16": 2}
_LFS = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What is known of a stored tensor before it is read. `dtype` is numpy's word for it."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes its numbers take as they are stored."""
        return self.count * _BYTES.get(self.dtype, 1)

    @property
    def is_floating(self) -> bool:
        """Whether it holds weights, and not counters or masks."""
        return "float" in self.dtype


def read_safetensors_header(path: Path) -> dict[str, TensorInfo]:
    """The tensors of a file, after checking that every byte of them is there.

    Format: u64 header length, JSON header with `data_offsets` into the rest of the file.
    Raises CheckpointError.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(8)
            length = int.from_bytes(first, "little")
            header = json.loads(file.read(length)) if 2 <= length <= size - 8 else None
            file.seek(0)
            pointer = file.read(len(_LFS)) == _LFS
    except (OSError, ValueError):
        header, pointer = None, False
    if pointer:
        raise CheckpointError(
            f"{path} has no readable header: it is a git-lfs pointer, a text of a few lines that "
            "stands for the weights.",
            "The repository was cloned without git-lfs.",
            "Run git lfs install && git lfs pull in that folder, or fetch it with robotd ckpt pull.",
        )
    if not isinstance(header, dict):
        raise _damaged(path, "has no readable header")
    header.pop("__metadata__", None)
    end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    if 8 + length + end != size:
        raise _damaged(path, f"has {size} bytes, its header promises {8 + length + end}")
    return {
        name: TensorInfo(
            tuple(entry["shape"]), _SAFETENSORS.get(entry["dtype"], str(entry["dtype"]).lower())
        )
        for name, entry in header.items()
    }


def _damaged(path: Path, how: str) -> CheckpointError:
    return CheckpointError(
        f"{path} {how}.",
        "It is missing, its download or copy was cut short, or git-lfs left a pointer.",
        "Copy the checkpoint again and compare the file's size.",
    )


def write_safetensors(path: Path, tensors: Mapping[str, Any]) -> None:
    """Write torch tensors, one at a time: needs no memory beside them. Replaces `path` at the end."""
    codes = {name: code for code, name in _SAFETENSORS.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        dtype = codes[str(tensor.dtype).removeprefix("torch.")]
        offsets = [end, end + size]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": offsets}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format wants the numbers aligned
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(_raw(tensor))
    partial.replace(path)


def _raw(tensor: Any) -> Any:
    """The bytes of a tensor as numpy sees them; numpy has no bfloat16."""
    import torch

    flat = tensor.detach().to("cpu").contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else b""


class SafetensorsStore:
    """A safetensors file, open: `infos` says what is in it, `read` gives one torch tensor."""

    def __init__(self, path: Path) -> None:
        """Raises CheckpointError when the file is not whole, or torch is not installed."""
        self.path = path
        self.infos: Mapping[str, TensorInfo] = read_safetensors_header(path)
        self._file: Any = None

    def read(self, name: str) -> Any:
        """One tensor on the CPU, as it is stored. Raises CheckpointError, KeyError."""
        if name not in self.infos:
            raise KeyError(name)
        if self._file is None:
            try:
                from safetensors import safe_open
            except ImportError as error:
                raise extra_missing(error) from error
            # Memory-mapped: the pages of a tensor are let go when its last reader does.
            self._file = safe_open(str(self.path), framework="pt")
        return self._file.get_tensor(name)
