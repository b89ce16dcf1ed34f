"""The least time that one Pi0 chunk can take on a GPU: for each stage the larger of its arithmetic at
the card's peak and its bytes at the card's bandwidth. Pure.

Stages follow one another, so their bounds add up. Counted are matrix products (two operations for
each weight and token, and attention) and every weight once for each time it is needed; activations,
norms and launches are free, so nothing real can be faster. Of the language model's last layer only
keys and values are needed.
"""

from dataclasses import dataclass

from policies.checkpoint.pi0_layout import Pi0Dims

_BYTES = 2  # bf16


@dataclass(frozen=True, slots=True)
class Gpu:
    """What a card can do: dense bf16 with float32 sums, and memory bandwidth."""

    name: str
    tera_flops: float
    giga_bytes_s: float


GPUS = (
    # NVIDIA's data sheets and architecture papers, without sparsity. The first whose name is in the
    # card's own name counts, so the longer names stand first.
    Gpu("RTX 5090", 209.5, 1792.0),
    Gpu("RTX 4090", 165.2, 1008.0),
    Gpu("RTX 4080", 97.5, 716.8),
    Gpu("RTX 3090", 71.0, 936.2),
    Gpu("H200", 989.4, 4800.0),
    Gpu("H100 PCIe", 756.0, 2000.0),
    Gpu("H100", 989.4, 3350.0),
    Gpu("A100-SXM4-80GB", 311.9, 2039.0),
    Gpu("A100", 311.9, 1555.0),
    Gpu("L40S", 362.0, 864.0),
    Gpu("L4", 121.0, 300.0),
    Gpu("A10", 125.0, 600.0),
)


def gpu_called(name: str) -> Gpu | None:
    """The card of that name (torch's); None where its peaks are not known here."""
    return next((gpu for gpu in GPUS if gpu.name in name), None)


@dataclass(frozen=True, slots=True)
class Stage:
    """The work of one stage: floating-point operations and bytes read."""

    name: str
    flops: float
    bytes: float

    def bound_ms(self, gpu: Gpu) -> float:
        """The least time on that card."""
        arithmetic_s = self.flops / (gpu.tera_flops * 1e12)
        return max(arithmetic_s, self.bytes / (gpu.giga_bytes_s * 1e9)) * 1_000


def stages(dims: Pi0Dims, *, views: int, prompt: int, chunk: int, steps: int) -> list[Stage]:
    """Vision, prefix and the action expert's steps of one chunk."""
    pictures = views * dims.image_tokens
    prefix = pictures + prompt
    suffix = chunk + 1  # the state is a token of its own in Pi0
    head = dims.heads * dims.head_dim
    key_value = 2 * dims.kv_heads * dims.head_dim

    vision_layer = 4 * dims.vision_width**2 + 2 * dims.vision_width * dims.vision_mlp
    vision = dims.vision_depth * vision_layer + 3 * dims.patch**2 * dims.vision_width
    vision += dims.vision_width * dims.width
    seen = 4 * pictures * dims.image_tokens * dims.vision_width * dims.vision_depth

    text_layer = dims.width * (head + key_value) + head * dims.width + 3 * dims.width * dims.mlp
    text = (dims.depth - 1) * text_layer + dims.width * key_value
    read = 4 * prefix * prefix * head * (dims.depth - 1)

    expert_layer = dims.expert_width * (head + key_value) + head * dims.expert_width
    expert = dims.depth * (expert_layer + 3 * dims.expert_width * dims.expert_mlp)
    expert += 2 * dims.action * dims.expert_width + 3 * dims.expert_width**2
    asked = 4 * suffix * (prefix + suffix) * head * dims.depth
    cache = dims.depth * prefix * key_value

    return [
        Stage("vision", 2.0 * vision * pictures + seen, float(vision * _BYTES)),
        Stage("prefix", 2.0 * text * prefix + read, float(text * _BYTES)),
        Stage(
            "expert",
            steps * (2.0 * expert * suffix + asked),
            float(steps * (expert + cache) * _BYTES),
        ),
    ]


def bound_ms(dims: Pi0Dims, gpu: Gpu, *, views: int, prompt: int, chunk: int, steps: int) -> float:
    """The least time of one chunk on that card."""
    work = stages(dims, views=views, prompt=prompt, chunk=chunk, steps=steps)
    return sum(stage.bound_ms(gpu) for stage in work)
