"""The weights of a Pi0 under one naming, from any container, or an error: never a random weight."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from policies.checkpoint import layout, lora
from policies.checkpoint.jax_names import to_torch
from policies.checkpoint.orbax import OrbaxParams
from policies.checkpoint.pi0_layout import (
    EMBEDDING,
    LM_HEAD,
    canonical_name,
    is_ignored,
)
from policies.extra import extra_missing
from robotd.errors import CheckpointError

if TYPE_CHECKING:
    from policies.checkpoint.container import Container

_NAMED = 6  # tensors named in an error; the rest is counted


def as_torch(array: npt.NDArray[Any]) -> Any:
    """A numpy array as a torch tensor of the same type; bfloat16, which numpy has not, too."""
    try:
        import torch
    except ImportError as error:
        raise extra_missing(error) from error
    array = np.array(array, order="C")  # writable, and not a view of a stacked one
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(array)


@dataclass(frozen=True, slots=True)
class ShapeFaults:
    """How the names and shapes in a file differ from those of the model they are of."""

    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    reshaped: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unknown or self.reshaped)


def shape_faults(container: "Container") -> ShapeFaults:
    """What is missing, unknown or of another shape, in the container's own naming."""
    found = {n: s for n, s in container.shapes.items() if not is_ignored(n)}
    if LM_HEAD in found:
        found.setdefault(EMBEDDING, found[LM_HEAD])
    wanted = layout.expected(container.rows, container.sizes)
    if LM_HEAD in found:
        wanted[LM_HEAD] = wanted.get(EMBEDDING, found[LM_HEAD])
    for weight, halves in lora.adapters(found).items():
        rank = found.get(halves[0], (0,))[-1]
        if weight in wanted:
            wanted |= dict(zip(halves, lora.expected_shapes(wanted[weight], rank), strict=True))
    # A size that no tensor shows any more: those that had it are all gone.
    unsized = [row.name for row in container.rows if not layout.sized(row, container.sizes)]
    return ShapeFaults(
        missing=tuple(n for n in wanted if n not in found) + tuple(unsized),
        unknown=tuple(n for n in found if n not in wanted),
        reshaped=tuple(
            f"{n} {found[n]} instead of {wanted[n]}"
            for n in wanted
            if n in found and found[n] != wanted[n]
        ),
    )


def load_pi0_tensors(container: "Container") -> dict[str, Any]:
    """See `Container.pi0_tensors`."""
    refuse_other_shapes(container)
    tensors: dict[str, Any] = {}
    if isinstance(container.store, OrbaxParams):
        for name, array in to_torch(container.tensors, merged_reader(container)):
            tensors[name] = as_torch(array)
    else:
        for stored in container.tensors:
            name = canonical_name(stored)
            if not is_ignored(name):
                tensors[name] = container.read(stored)
        _tie(container, tensors)
    refuse_bad_numbers(container, tensors.items())
    return tensors


def refuse_other_shapes(container: "Container") -> None:
    """Raises CheckpointError for arrays that are missing, unknown or of another shape."""
    faults = shape_faults(container)
    _refuse(
        container,
        {
            "missing": faults.missing,
            "unknown": faults.unknown,
            "of another shape": faults.reshaped,
        },
    )


def refuse_bad_numbers(container: "Container", tensors: Iterable[tuple[str, Any]]) -> None:
    """Raises CheckpointError for tensors that are not finite, or one value only."""
    bad: dict[str, list[str]] = {"not finite": [], "all one value": []}
    for name, tensor in tensors:
        if not finite(tensor):
            bad["not finite"].append(name)
        elif all_equal(tensor):
            bad["all one value"].append(name)
    _refuse(container, bad)


def merged_reader(container: "Container") -> Callable[[str], npt.NDArray[Any]]:
    """Reads one of JAX's arrays with its adapter, if it has one, merged."""
    store, halves = container.store, lora.adapters(container.tensors)

    def read(name: str) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = store.read(name)
        return lora.merged(name, array, halves, store.read, container.sidecar.lora_alpha)

    return read


def _tie(container: "Container", tensors: dict[str, Any]) -> None:
    """One embedding from the tied pair. Raises CheckpointError where the two differ."""
    head = tensors.pop(LM_HEAD, None)
    if head is None:
        return
    if EMBEDDING in tensors and not tensors[EMBEDDING].equal(head):
        raise untied(container)
    tensors[EMBEDDING] = head


def untied(container: "Container") -> CheckpointError:
    """The error for words that are read and written with different numbers."""
    return CheckpointError(
        f"{container.path}: embed_tokens and lm_head are one matrix in Pi0, and differ here.",
        "One of them was never loaded before the checkpoint was saved: transformers 4.52 and later "
        "untied them, which left random text embeddings (LeRobot #1461).",
        "Convert or train again from the original checkpoint; with only lm_head in the file "
        "robotd fills both from it.",
    )


def _refuse(container: "Container", faults: Mapping[str, Sequence[str]]) -> None:
    problems = [f"{what}: {listed(names)}" for what, names in faults.items() if names]
    if problems:
        raise CheckpointError(
            f"The weights in {container.path} are not those of a {container.kind} "
            f"({'; '.join(problems)}).",
            "The file was damaged or edited, or training diverged (NaN).",
            f"See all of it with robotd ckpt verify {container.path}; copy the checkpoint again, "
            "or choose an earlier step.",
        )


def finite(tensor: Any) -> bool:
    """Whether every number of a tensor is one."""
    return not tensor.is_floating_point() or bool(tensor.isfinite().all())


def all_equal(tensor: Any) -> bool:
    """Whether a matrix holds one value only: it was never initialised (norms and biases may)."""
    return bool(tensor.ndim >= 2 and tensor.numel() > 1 and tensor.min() == tensor.max())


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
