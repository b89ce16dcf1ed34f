"""The tensors of Pi0 and Pi0.5, in openpi's PyTorch names and in its JAX names, and their sizes.

One naming is used everywhere else: openpi's PyTorch one, without a leading `model.`
(`paligemma_with_expert.…`, `action_in_proj.weight`, …). Symbols: V vocabulary; D, F width and
feed-forward of the language model; E, G of the action expert; L layers of both; N, K, H heads,
key-value heads and head size; W, M, R, h, d width, feed-forward, layers, heads and head size of the
vision tower; P patch, T image tokens; A, S size of action and state.

Layout after openpi's `gemma.py`, `siglip.py`, `pi0.py` and `pi0_pytorch.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Literal

from policies.checkpoint.layout import Row, Shape, Sizes

Pi0Kind = Literal["pi0", "pi05"]

PALIGEMMA = "paligemma_with_expert.paligemma"
LANGUAGE = f"{PALIGEMMA}.model.language_model"
VISION = f"{PALIGEMMA}.model.vision_tower.vision_model"
PROJECTOR = f"{PALIGEMMA}.model.multi_modal_projector.linear"
EXPERT = "paligemma_with_expert.gemma_expert.model"
EMBEDDING = f"{LANGUAGE}.embed_tokens.weight"
LM_HEAD = f"{PALIGEMMA}.lm_head.weight"
EXPERT_HEAD = "paligemma_with_expert.gemma_expert.lm_head.weight"
EXPERT_EMBEDDING = f"{EXPERT}.embed_tokens.weight"

KV_HEADS = 1
"""Of every Gemma in Pi0; PyTorch's names cannot tell it from the head size."""
_SO400M_WIDTH, _SO400M_HEADS = 1152, 16

_PI0_ONLY = ("state_proj.", "action_time_mlp_")
_PI05_ONLY = ("time_mlp_",)


@dataclass(frozen=True, slots=True)
class Pi0Dims:
    """The sizes of a Pi0, all of them read from shapes. Zero: no tensor tells it.

    `vision_heads` are in no shape of the PyTorch names; So400m (width 1152) has 16.
    """

    vocabulary: int
    width: int
    depth: int
    mlp: int
    heads: int
    kv_heads: int
    head_dim: int
    expert_width: int
    expert_mlp: int
    vision_width: int
    vision_depth: int
    vision_mlp: int
    vision_heads: int
    patch: int
    image_tokens: int
    action: int
    state: int

    @property
    def image_size(self) -> int:
        """Height and width of the pictures in pixels: 224 in everything published."""
        return isqrt(self.image_tokens) * self.patch


def dims_of(sizes: Sizes) -> Pi0Dims:
    """Sizes by their names. `sizes` come from `layout.solve` on either table."""
    width = sizes.get("W", 0)
    return Pi0Dims(
        vocabulary=sizes.get("V", 0),
        width=sizes.get("D", 0),
        depth=sizes.get("L", 0),
        mlp=sizes.get("F", 0),
        heads=sizes.get("N", 0),
        kv_heads=sizes.get("K", 0),
        head_dim=sizes.get("H", 0),
        expert_width=sizes.get("E", 0),
        expert_mlp=sizes.get("G", 0),
        vision_width=width,
        vision_depth=sizes.get("R", 0),
        vision_mlp=sizes.get("M", 0),
        vision_heads=sizes.get("h", _SO400M_HEADS if width == _SO400M_WIDTH else 0),
        patch=sizes.get("P", 0),
        image_tokens=sizes.get("T", 0),
        action=sizes.get("A", 0),
        state=sizes.get("S", 0),
    )


def kind_of(names: Mapping[str, object]) -> Pi0Kind | None:
    """Pi0 or Pi0.5, by the tensors that only one of them has (in either naming); None: neither."""
    if not any("gemma_expert." in n or "llm/layers/attn/q_einsum_1" in n for n in names):
        return None
    pi05 = sum(n.startswith(_PI05_ONLY) or ".dense." in n or "/Dense_0/" in n for n in names)
    pi05 -= sum("MlpBlock_0/Dense_0/" in n for n in names)
    pi0 = sum(n.startswith(_PI0_ONLY) for n in names)
    return "pi05" if pi05 > pi0 else "pi0"


# --- PyTorch --------------------------------------------------------------------------------------


def torch_rows(kind: Pi0Kind) -> list[Row]:
    """The tensors of a model in PyTorch's names. The tied `lm_head` is not among them."""
    rows = [Row(EMBEDDING, ("V", "D"))]
    rows += _gemma(LANGUAGE, "D", "F", adaptive=False)
    rows += _gemma(EXPERT, "E", "G", adaptive=kind == "pi05")
    rows += _linear(PROJECTOR, "D", "W")
    rows += _siglip()
    rows += _linear("action_in_proj", "E", "A") + _linear("action_out_proj", "A", "E")
    if kind == "pi05":
        return rows + _linear("time_mlp_in", "E", "E") + _linear("time_mlp_out", "E", "E")
    rows += _linear("state_proj", "E", "S")
    return (
        rows + _linear("action_time_mlp_in", "E", "2*E") + _linear("action_time_mlp_out", "E", "E")
    )


def _linear(name: str, out: str, inner: str, stack: str = "") -> list[Row]:
    return [Row(f"{name}.weight", (out, inner), stack), Row(f"{name}.bias", (out,), stack)]


def _gemma(model: str, width: str, mlp: str, *, adaptive: bool) -> list[Row]:
    layer = f"{model}.layers.{{l}}"
    rows = [
        Row(f"{layer}.self_attn.q_proj.weight", ("N*H", width), "L"),
        Row(f"{layer}.self_attn.k_proj.weight", ("K*H", width), "L"),
        Row(f"{layer}.self_attn.v_proj.weight", ("K*H", width), "L"),
        Row(f"{layer}.self_attn.o_proj.weight", (width, "N*H"), "L"),
        Row(f"{layer}.mlp.gate_proj.weight", (mlp, width), "L"),
        Row(f"{layer}.mlp.up_proj.weight", (mlp, width), "L"),
        Row(f"{layer}.mlp.down_proj.weight", (width, mlp), "L"),
    ]
    norms = [(f"{layer}.input_layernorm", "L"), (f"{layer}.post_attention_layernorm", "L")]
    for norm, stack in [*norms, (f"{model}.norm", "")]:
        if adaptive:
            rows += _linear(f"{norm}.dense", f"3*{width}", width, stack)
        else:
            rows.append(Row(f"{norm}.weight", (width,), stack))
    return rows


def _siglip() -> list[Row]:
    layer = f"{VISION}.encoder.layers.{{l}}"
    rows = [
        Row(f"{VISION}.embeddings.patch_embedding.weight", ("W", "3", "P", "P")),
        Row(f"{VISION}.embeddings.patch_embedding.bias", ("W",)),
        Row(f"{VISION}.embeddings.position_embedding.weight", ("T", "W")),
    ]
    for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
        rows += _linear(f"{layer}.self_attn.{part}", "W", "W", "R")
    rows += _linear(f"{layer}.mlp.fc1", "M", "W", "R") + _linear(f"{layer}.mlp.fc2", "W", "M", "R")
    norms = [(f"{layer}.layer_norm1", "R"), (f"{layer}.layer_norm2", "R")]
    for norm, stack in [*norms, (f"{VISION}.post_layernorm", "")]:
        rows += [Row(f"{norm}.weight", ("W",), stack), Row(f"{norm}.bias", ("W",), stack)]
    return rows


_LEADING = re.compile(r"^(?:_orig_mod\.|module\.|model\.)+")
_OLD_LANGUAGE = f"{PALIGEMMA}.language_model."
_RENAMED = (
    # LeRobot up to 0.3, whose transformers had the head inside the language model
    (f"{_OLD_LANGUAGE}model.", f"{LANGUAGE}."),
    (f"{_OLD_LANGUAGE}lm_head.", f"{PALIGEMMA}.lm_head."),
    (f"{PALIGEMMA}.vision_tower.", f"{PALIGEMMA}.model.vision_tower."),
    (f"{PALIGEMMA}.multi_modal_projector.", f"{PALIGEMMA}.model.multi_modal_projector."),
)
_BARE_TOWER = re.compile(
    rf"^{re.escape(PALIGEMMA)}\.model\.vision_tower\.(?=embeddings|encoder|post_layernorm)"
)


def canonical_name(stored: str) -> str:
    """The one name of a tensor, from that of any LeRobot or openpi release."""
    name = _LEADING.sub("", stored).replace("._orig_mod.", ".")
    for old, new in _RENAMED:
        if name.startswith(old):
            name = new + name.removeprefix(old)
    return _BARE_TOWER.sub(f"{VISION}.", name)


def is_ignored(name: str) -> bool:
    """Whether a (canonical) tensor may be there and is used by nobody: the expert has no words."""
    return name in (EXPERT_HEAD, EXPERT_EMBEDDING)


# --- JAX ------------------------------------------------------------------------------------------

_IMG, _LLM = "PaliGemma/img", "PaliGemma/llm"


def jax_rows(kind: Pi0Kind) -> list[Row]:
    """The arrays of a model in JAX's names, LoRA aside; layers are stacked along the first axis."""
    rows = [Row(f"{_LLM}/embedder/input_embedding", ("V", "D"))]
    rows += _gemma_jax("", "D", "F", adaptive=False)
    rows += _gemma_jax("_1", "E", "G", adaptive=kind == "pi05")
    rows += _siglip_jax()
    rows += _dense("action_in_proj", "A", "E") + _dense("action_out_proj", "E", "A")
    if kind == "pi05":
        return rows + _dense("time_mlp_in", "E", "E") + _dense("time_mlp_out", "E", "E")
    rows += _dense("state_proj", "S", "E")
    return rows + _dense("action_time_mlp_in", "2*E", "E") + _dense("action_time_mlp_out", "E", "E")


def _dense(name: str, inner: str, out: str, *stack: str) -> list[Row]:
    return [Row(f"{name}/kernel", (*stack, inner, out)), Row(f"{name}/bias", (*stack, out))]


def _gemma_jax(e: str, width: str, mlp: str, *, adaptive: bool) -> list[Row]:
    layers = f"{_LLM}/layers"
    rows = [
        Row(f"{layers}/attn/q_einsum{e}/w", ("L", "N", width, "H")),
        Row(f"{layers}/attn/kv_einsum{e}/w", ("L", "2", "K", width, "H")),
        Row(f"{layers}/attn/attn_vec_einsum{e}/w", ("L", "N", "H", width)),
        Row(f"{layers}/mlp{e}/gating_einsum", ("L", "2", width, mlp)),
        Row(f"{layers}/mlp{e}/linear", ("L", mlp, width)),
    ]
    for norm, stack in (
        (f"{layers}/pre_attention_norm{e}", ("L",)),
        (f"{layers}/pre_ffw_norm{e}", ("L",)),
        (f"{_LLM}/final_norm{e}", ()),
    ):
        if adaptive:
            rows += _dense(f"{norm}/Dense_0", width, f"3*{width}", *stack)
        else:
            rows.append(Row(f"{norm}/scale", (*stack, width)))
    return rows


def _siglip_jax() -> list[Row]:
    block = f"{_IMG}/Transformer/encoderblock"
    attention = f"{block}/MultiHeadDotProductAttention_0"
    rows = [
        Row(f"{_IMG}/embedding/kernel", ("P", "P", "3", "W")),
        Row(f"{_IMG}/embedding/bias", ("W",)),
        Row(f"{_IMG}/pos_embedding", ("1", "T", "W")),
        Row(f"{attention}/out/kernel", ("R", "h", "d", "W")),
        Row(f"{attention}/out/bias", ("R", "W")),
    ]
    for part in ("query", "key", "value"):
        rows.append(Row(f"{attention}/{part}/kernel", ("R", "W", "h", "d")))
        rows.append(Row(f"{attention}/{part}/bias", ("R", "h", "d")))
    rows += _dense(f"{block}/MlpBlock_0/Dense_0", "W", "M", "R")
    rows += _dense(f"{block}/MlpBlock_0/Dense_1", "M", "W", "R")
    for norm, stack in (
        (f"{block}/LayerNorm_0", ("R",)),
        (f"{block}/LayerNorm_1", ("R",)),
        (f"{_IMG}/Transformer/encoder_norm", ()),
    ):
        rows += [Row(f"{norm}/scale", (*stack, "W")), Row(f"{norm}/bias", (*stack, "W"))]
    return rows + _dense(f"{_IMG}/head", "W", "D")


def check_shapes(expected: Mapping[str, Shape], found: Mapping[str, Shape]) -> list[str]:
    """Names whose shape differs, as `name (found, expected)`."""
    return [
        f"{name} {found[name]} for {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
