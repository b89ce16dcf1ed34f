"""Where each tensor of a Pi0 goes: onto the device, into the computer's memory, or nowhere.

The last layer of the language model only gives keys and values to the expert, so its queries, its
feed-forward and the final norm are dead weight (0.1 G parameters in the released models), as is the
head that the embeddings share. The embeddings stay in the computer's memory: a prompt needs 48 rows
of a quarter of a million. So do the projections of Pi0.5's adaptive norms, whose result depends on
the flow's time alone and is computed once per number of steps. What a device needs is the rest.
"""

from dataclasses import dataclass
from math import prod

from policies.checkpoint.layout import Shape, expected
from policies.checkpoint.pi0_layout import (
    EMBEDDING,
    EXPERT,
    LANGUAGE,
    VISION,
    Pi0Dims,
    Pi0Kind,
    torch_rows,
)
from robotd.errors import CheckpointError

_GB = 1e9
_EXACT = (
    "action_in_proj",
    "action_out_proj",
    "state_proj",
    "action_time_mlp_in",
    "action_time_mlp_out",
    f"{VISION}.embeddings",
    f"{LANGUAGE}.norm",
    f"{EXPERT}.norm",
)
_LAST_UNUSED = (
    "self_attn.q_proj",
    "self_attn.o_proj",
    "post_attention_layernorm",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
_WORKSPACE_BYTES = 160 << 20  # cuBLAS, cuDNN and the allocator's rounding; an estimate
_HOST_SLACK_BYTES = 1 << 30  # Python, torch and the pictures


def tensor_shapes(kind: Pi0Kind, dims: Pi0Dims) -> dict[str, Shape]:
    """Name and shape of every tensor that a checkpoint of these dimensions has."""
    sizes = {"V": dims.vocabulary, "D": dims.width, "L": dims.depth, "F": dims.mlp}
    sizes |= {"N": dims.heads, "K": dims.kv_heads, "H": dims.head_dim}
    sizes |= {"E": dims.expert_width, "G": dims.expert_mlp, "A": dims.action, "S": dims.state}
    sizes |= {"W": dims.vision_width, "R": dims.vision_depth, "M": dims.vision_mlp}
    return expected(torch_rows(kind), sizes | {"P": dims.patch, "T": dims.image_tokens})


def unused(dims: Pi0Dims) -> frozenset[str]:
    """The tensors that no action depends on."""
    last = f"{LANGUAGE}.layers.{dims.depth - 1}."
    return frozenset(
        {f"{last}{part}.weight" for part in _LAST_UNUSED} | {f"{LANGUAGE}.norm.weight"}
    )


def on_host(name: str) -> bool:
    """Whether a tensor stays in the computer's memory."""
    return name == EMBEDDING or ".dense." in name or name.startswith("time_mlp_")


def exact(name: str) -> bool:
    """Whether a tensor is float32 whatever the model's dtype: small, and the end of the sums."""
    return name.startswith(_EXACT) or "layernorm.weight" in name


def released(kind: Pi0Kind) -> Pi0Dims:
    """The dimensions of what was published: PaliGemma 3B with an expert of 300 M."""
    return Pi0Dims(
        vocabulary=257152,
        width=2048,
        depth=18,
        mlp=16384,
        heads=8,
        kv_heads=1,
        head_dim=256,
        expert_width=1024,
        expert_mlp=4096,
        vision_width=1152,
        vision_depth=27,
        vision_mlp=4304,
        vision_heads=16,
        patch=14,
        image_tokens=256,
        action=32,
        state=0 if kind == "pi05" else 32,
    )


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes that a model takes once it is loaded.

    `weights` and `working` are on the device: `working` is an estimate of what a chunk takes at its
    peak (keys and values, the widest layer, workspaces). `host` is in the computer's memory.
    """

    weights: int
    working: int
    host: int

    @property
    def device(self) -> int:
        """Bytes on the device at the peak."""
        return self.weights + self.working


def memory_need(
    kind: Pi0Kind,
    dims: Pi0Dims,
    *,
    itemsize: int,
    views: int,
    prompt: int,
    stored_itemsize: int = 2,
) -> MemoryNeed:
    """What a model of these dimensions takes at `itemsize` bytes a weight, for `views` pictures and
    a prompt of `prompt` tokens. `stored_itemsize`: bytes a number has in the file."""
    weights = host = 0
    idle = unused(dims)
    for name, shape in tensor_shapes(kind, dims).items():
        if on_host(name):
            host += prod(shape) * (stored_itemsize if name == EMBEDDING else 4)
        elif name not in idle:
            weights += prod(shape) * (4 if exact(name) else itemsize)
    tokens = views * dims.image_tokens + prompt
    cache = 2 * dims.depth * tokens * dims.kv_heads * dims.head_dim * itemsize
    # Gate and up beside each other, their product, and the stream itself.
    widest_text = tokens * (4 * dims.mlp + 4 * dims.width) * itemsize
    picture = 3 * dims.vision_mlp + 5 * dims.vision_width
    widest_vision = views * dims.image_tokens * picture * itemsize
    # Twice: a CUDA graph keeps a second copy of what its warm-up took.
    working = 2 * (cache + max(widest_text, widest_vision)) + _WORKSPACE_BYTES
    return MemoryNeed(weights, working, host)


def refuse_what_does_not_fit(
    need: MemoryNeed, *, device: str, free_device: int | None, free_host: int | None, name: str
) -> None:
    """Raise CheckpointError where a model would not fit, before a byte of it is read.

    `free_device` and `free_host` in bytes, None where that cannot be known. On the CPU both are in
    the same memory.
    """
    cpu = device == "cpu"
    wanted_host = need.host + _HOST_SLACK_BYTES + (need.device if cpu else 0)
    if free_host is not None and wanted_host > free_host:
        raise CheckpointError(
            f"{name} needs {wanted_host / _GB:.1f} GB of this computer's memory, of which "
            f"{free_host / _GB:.1f} GB are free.",
            "It is larger than what this machine has left"
            + (", and on a CPU its weights are float32." if cpu else "."),
            "Close what uses memory, set policy.dtype to bf16, or run it on another machine: "
            "robotd serve-policy there, and --policy ws://… here."
            if cpu
            else "Close what uses memory, or run it elsewhere with robotd serve-policy.",
        )
    if not cpu and free_device is not None and need.device > free_device:
        raise CheckpointError(
            f"{name} needs {need.device / _GB:.1f} GB on {device} ({need.weights / _GB:.1f} GB of "
            f"weights), of which {free_device / _GB:.1f} GB are free.",
            "Another program holds the GPU's memory, or the card is too small for this dtype.",
            "Look at nvidia-smi and close what is not needed, keep policy.dtype at auto (bf16), or "
            "run it elsewhere: robotd serve-policy there, and --policy ws://… here.",
        )
