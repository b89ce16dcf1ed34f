"""The JAX tree of any container of a Pi0: read as it is, or mapped back from PyTorch's names."""

from typing import Any

import numpy.typing as npt

from policies.checkpoint import lora
from policies.checkpoint.container import Container
from policies.checkpoint.jax_names import to_torch
from policies.checkpoint.orbax import OrbaxParams
from policies.checkpoint.pi0_tensors import as_torch, refuse_bad_numbers, refuse_other_shapes
from policies.jax_reference.names import jax_tree
from policies.jax_reference.sampler import JaxSampler, Told
from policies.jax_reference.starting import start_jax


def read_tree(container: Container) -> tuple[dict[str, npt.NDArray[Any]], float | None]:
    """The arrays by JAX's names, adapters still apart, and the alpha that somebody said of these.

    Of a JAX checkpoint they are as they were stored: what converts them to PyTorch is used only to
    look at their numbers, as for torch. Raises CheckpointError for a checkpoint that is no whole and
    sound Pi0, or whose adapters' alpha nobody says.
    """
    store = container.store
    if isinstance(store, OrbaxParams):
        refuse_other_shapes(container)
        tree = {name: store.read(name) for name in container.tensors}
        alpha, halves = container.sidecar.lora_alpha, lora.adapters(tree)

        def whole(name: str) -> npt.NDArray[Any]:
            return lora.merged(name, tree[name], halves, tree.__getitem__, alpha)

        made = ((name, as_torch(array)) for name, array in to_torch(container.tensors, whole))
        refuse_bad_numbers(container, made)
        return tree, alpha
    dims = container.dims
    tensors = {name: as_numpy(tensor) for name, tensor in container.pi0_tensors().items()}
    return jax_tree(tensors, vision_heads=dims.vision_heads, head_dim=dims.head_dim), None


def as_numpy(tensor: Any) -> npt.NDArray[Any]:
    """A torch tensor on the CPU as numpy's, without widening: bfloat16 becomes ml_dtypes' type."""
    if str(tensor.dtype) == "torch.bfloat16":
        import ml_dtypes
        import torch

        bits: npt.NDArray[Any] = tensor.contiguous().view(torch.uint16).numpy()
        return bits.view(ml_dtypes.bfloat16)
    array: npt.NDArray[Any] = tensor.contiguous().numpy()
    return array


def load_jax_sampler(
    container: Container,
    *,
    device: str = "auto",
    half: bool | None = None,
    threads: int = 0,
    told: Told = lambda _words: None,
) -> JaxSampler:
    """The checkpoint in JAX. `half` None: bfloat16 on a GPU, float32 on the CPU.

    Raises CheckpointError where JAX cannot start or the checkpoint is no whole Pi0.
    """
    started = start_jax(device, threads)
    if started.notice:
        told(started.notice)
    tree, alpha = read_tree(container)
    return JaxSampler(
        tree,
        started,
        half=started.device.platform != "cpu" if half is None else half,
        lora_alpha=alpha,
        source=str(container.path),
        told=told,
    )
