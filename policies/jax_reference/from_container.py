"""The JAX tree of any container of a Pi0: read as it is, or mapped back from PyTorch's names."""

from typing import Any

import numpy as np
import numpy.typing as npt

from policies.checkpoint import lora
from policies.checkpoint.container import Container
from policies.checkpoint.orbax import OrbaxParams
from policies.jax_reference.names import jax_tree
from policies.jax_reference.sampler import JaxSampler, Told
from policies.jax_reference.starting import start_jax


def read_tree(container: Container) -> tuple[dict[str, npt.NDArray[Any]], float]:
    """The arrays by JAX's names, adapters still apart, and the scale that adapters have.

    Of a JAX checkpoint they are as they were stored: nothing of the conversion to PyTorch is used.
    Raises CheckpointError for a checkpoint that is no Pi0, or whose adapters' alpha nobody says.
    """
    store = container.store
    if isinstance(store, OrbaxParams):
        tree = {name: store.read(name) for name in container.tensors}
        ranks = [np.shape(array)[-1] for name, array in tree.items() if name.endswith("lora_a")]
        alpha = container.sidecar.lora_alpha
        return tree, lora.scale_of(int(ranks[0]), alpha) if ranks else 1.0
    dims = container.dims
    tensors = {name: as_numpy(tensor) for name, tensor in container.pi0_tensors().items()}
    return jax_tree(tensors, vision_heads=dims.vision_heads, head_dim=dims.head_dim), 1.0


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
    tree, scale = read_tree(container)
    return JaxSampler(
        tree,
        started,
        half=started.device.platform != "cpu" if half is None else half,
        lora_scale=scale,
        source=str(container.path),
        told=told,
    )
