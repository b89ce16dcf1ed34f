"""A checkpoint on disk, whoever wrote it: what it is, its tensors one by one, its statistics.

`open_container` takes a folder of LeRobot (three generations), of openpi's PyTorch or of openpi's
JAX (Orbax), and reads no numbers but the statistics. What it holds is judged by `verify`; what it
says of itself is told by `describe`. The kind comes from the tensors' names, sizes from shapes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from policies.checkpoint import layout
from policies.checkpoint.evidence import Sidecar
from policies.checkpoint.folder import TRAINING, Feature
from policies.checkpoint.norms import Assets, Norm, Normaliser, Stats
from policies.checkpoint.orbax import OrbaxParams
from policies.checkpoint.pi0_layout import (
    EMBEDDING,
    KV_HEADS,
    LM_HEAD,
    Pi0Dims,
    Pi0Kind,
    canonical_name,
    dims_of,
    jax_rows,
    torch_rows,
)
from policies.checkpoint.tensors import SafetensorsStore, TensorInfo
from robotd.errors import CheckpointError

Framework = Literal["lerobot", "openpi-torch", "openpi-jax"]
PI0_KINDS: tuple[Pi0Kind, ...] = ("pi0", "pi05")


@dataclass(frozen=True, slots=True)
class Container:
    """A checkpoint that was opened. Nothing of it is trusted yet but its names and shapes."""

    path: Path
    """The folder that holds config.json and model.safetensors, or `params/`."""
    framework: Framework
    generation: str
    """LeRobot: g1 (up to 0.3), g2 (0.4), g3 (0.5, 0.6). JAX: released or training. Else empty."""
    kind: str
    kind_source: str
    said_kind: str
    """What config.json calls it; empty where it does not."""
    tensors: Mapping[str, TensorInfo]
    """The weights as they are named in the file; statistics are not among them."""
    stats: Mapping[str, Stats]
    """Feature -> statistic -> numbers, under LeRobot's names (`observation.state`, `action`)."""
    stats_source: str
    norm: Norm
    sidecar: Sidecar
    store: SafetensorsStore | OrbaxParams
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Feature] = field(default_factory=dict)
    outputs: Mapping[str, Feature] = field(default_factory=dict)
    normalisers: tuple[Normaliser, ...] = ()
    assets: Assets = field(default_factory=Assets)

    @property
    def release_unsaid(self) -> bool:
        """Whether LeRobot 0.5.0 may have written what is taken for 0.4's: only its train_config.json
        differs, and that is not there."""
        return self.generation == "g2" and not (self.path / TRAINING).exists()

    @property
    def is_pi0(self) -> bool:
        """Whether it is a Pi0 or Pi0.5, which robotd runs itself."""
        return self.kind in PI0_KINDS

    @property
    def pi0_kind(self) -> Pi0Kind:
        """Its kind, where it is a Pi0 or Pi0.5. Raises CheckpointError for another one."""
        if self.kind == "pi05":
            return "pi05"
        if self.kind == "pi0":
            return "pi0"
        raise CheckpointError(
            f"{self.path} is no Pi0 or Pi0.5 but {self.kind}.",
            "Another checkpoint was meant.",
            "Look at it with robotd ckpt inspect.",
        )

    @property
    def shapes(self) -> dict[str, layout.Shape]:
        """The shapes by the names of the layout's table: canonical for PyTorch, JAX's for JAX."""
        if self.framework == "openpi-jax":
            return {name: info.shape for name, info in self.tensors.items()}
        return {canonical_name(name): info.shape for name, info in self.tensors.items()}

    @property
    def rows(self) -> list[layout.Row]:
        """The table of the tensors a Pi0 of this kind has, in this container's names."""
        jax = self.framework == "openpi-jax"
        return jax_rows(self.pi0_kind) if jax else torch_rows(self.pi0_kind)

    @property
    def sizes(self) -> layout.Sizes:
        """The symbols of the table, from the shapes and what the sidecar says."""
        known = {} if self.framework == "openpi-jax" else {"K": KV_HEADS}
        shapes = self.shapes
        if LM_HEAD in shapes:  # of the tied pair a file may keep either
            shapes.setdefault(EMBEDDING, shapes[LM_HEAD])
        sizes = layout.solve(self.rows, shapes, known)
        if self.sidecar.vision_heads:
            sizes.setdefault("h", self.sidecar.vision_heads)
        return sizes

    @property
    def dims(self) -> Pi0Dims:
        """The sizes of a Pi0. Raises CheckpointError for another kind."""
        return dims_of(self.sizes)

    @property
    def horizon(self) -> tuple[int, str]:
        """Actions in a chunk of a Pi0 and who says so; (0, "") where nobody does.

        No tensor tells it: LeRobot's config.json does, openpi's converter's does too.
        """
        if self.sidecar.horizon:
            return self.sidecar.horizon, "robotd_ckpt.json"
        for key in ("chunk_size", "action_horizon"):
            value = self.config.get(key)
            if isinstance(value, int) and value > 0:
                return value, "config.json"
        return 0, ""

    def read(self, name: str) -> Any:
        """One stored tensor as torch's, on the CPU. Raises CheckpointError, KeyError."""
        if isinstance(self.store, SafetensorsStore):
            return self.store.read(name)
        from policies.checkpoint.pi0_tensors import as_torch

        return as_torch(self.store.read(name))

    def pi0_tensors(self) -> dict[str, Any]:
        """Every tensor of a Pi0 under its one name, adapters merged; strict.

        `embed_tokens` is there whichever of the tied pair was stored; the expert's unused head is
        not. Tensors are as they were stored (bf16 stays bf16), but merged ones are float32.
        Raises CheckpointError for what is missing, unknown, of another shape, not finite or all
        one value.
        """
        from policies.checkpoint.pi0_tensors import load_pi0_tensors

        return load_pi0_tensors(self)


def open_container(path: Path, *, lora_alpha: float | None = None, asset_id: str = "") -> Container:
    """Open a checkpoint folder, or a training run that holds one.

    `lora_alpha` and `asset_id` are what a person said; they win over the sidecar.
    Raises CheckpointError for what is no checkpoint or is not whole.
    """
    from policies.checkpoint.opening import find_and_open

    return find_and_open(path, lora_alpha=lora_alpha, asset_id=asset_id)
