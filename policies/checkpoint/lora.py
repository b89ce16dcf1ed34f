"""Low-rank adapters of openpi's JAX checkpoints, merged into the weights they belong to.

What is merged is what openpi's forward pass adds (`lora.py`), which is not the same everywhere:

- `q_einsum`, `kv_einsum`: `w + s·a@b`, head by head, with s = alpha / rank.
- `attn_vec_einsum` (`BTNH,NHD->BTD`): the low-rank vector is summed over the heads before `b`, so
  every head gets the sum of all heads' `b`: `w[n] + s·a[n] @ Σ b`.
- feed-forward: `w + a@b`; `FeedForward._dot` does not scale.

Alpha is in no file of a checkpoint.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from robotd.errors import CheckpointError

_A, _B = "lora_a", "lora_b"
_OPENPI_RANKS = (16, 32)
"""`gemma_2b_lora` and `gemma_300m_lora` (openpi's gemma.py), both with alpha = rank."""


def is_adapter(name: str) -> bool:
    """Whether an array is half of an adapter."""
    return name.endswith((_A, _B))


def base_name(name: str) -> str:
    """The weight an adapter belongs to: `…/w` beside `…/lora_a`, `…/linear` of `…/linear_lora_a`."""
    stem = name.removesuffix(_A).removesuffix(_B)
    return f"{stem}w" if stem.endswith("/") else stem.removesuffix("_")


def adapters(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Weight -> names of its two halves, whether both are there or not."""
    found: dict[str, tuple[str, str]] = {}
    for name in names:
        if is_adapter(name):
            stem = name.removesuffix(_A).removesuffix(_B)
            found[base_name(name)] = (stem + _A, stem + _B)
    return found


def expected_shapes(weight: tuple[int, ...], rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes of the halves of a weight's adapter (LoRA on its last two axes)."""
    return (*weight[:-1], rank), (*weight[:-2], rank, weight[-1])


def scale_of(rank: int, alpha: float | None) -> float:
    """alpha / rank. `alpha` is what a person or the sidecar says; None: nobody.

    Raises CheckpointError where nobody says it and openpi has no adapter of that rank.
    """
    if alpha is None and rank not in _OPENPI_RANKS:
        raise CheckpointError(
            f"The checkpoint has unmerged LoRA of rank {rank}, and nothing says its alpha.",
            "It is written only in the training configuration; openpi's own adapters (rank 16 and "
            "32) have alpha = rank, another one may have any.",
            "Say it: --lora-alpha N, or for good in robotd_ckpt.json: "
            '{"lora_alpha": N} (for rsLoRA: alpha × √rank).',
        )
    return 1.0 if alpha is None else alpha / rank


def merged(
    name: str,
    weight: npt.NDArray[Any],
    halves: Mapping[str, tuple[str, str]],
    read: Callable[[str], npt.NDArray[Any]],
    alpha: float | None,
) -> npt.NDArray[Any]:
    """`weight` (float32) with its adapter added; the same array where it has none."""
    if name not in halves:
        return weight
    a, b = (np.asarray(read(half), np.float32) for half in halves[name])
    if "/mlp" in name:
        return np.asarray(weight, np.float32) + a @ b
    if "attn_vec_einsum" in name:
        b = b.sum(axis=-3, keepdims=True)
    return np.asarray(weight, np.float32) + np.float32(scale_of(a.shape[-1], alpha)) * (a @ b)
