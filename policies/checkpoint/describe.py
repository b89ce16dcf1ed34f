"""What `robotd ckpt inspect` tells of a checkpoint: every fact with where it is known from.

Numbers come from shapes and files, never from a guess; what nobody says is said to be unknown, with
the way to say it. The same structure is printed for people and as JSON.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from policies.checkpoint import convention, layout, lora
from policies.checkpoint.container import Container, open_container
from policies.checkpoint.evidence import CameraSetup, TrainedOn, gather
from policies.checkpoint.pi0_layout import EXPERT_HEAD, canonical_name, torch_rows
from policies.checkpoint.stats_check import statistics_problems
from robotd.errors import CheckpointError

TRAINING_NOTE = "training_metadata.json"
"""What some trainers put beside a checkpoint: dataset, scene, cameras, field of view."""

_WIDTH_BYTES = {"bf16": 2, "f32": 4}


class Fact(msgspec.Struct, frozen=True):
    """A value and where it is known from; None and "" where nobody says it."""

    value: Any = None
    source: str = ""


class NormFacts(msgspec.Struct, frozen=True):
    """How values are normalised: the mode of each kind of feature, the formula and its epsilon."""

    modes: Mapping[str, str]
    eps: float
    formula: str
    source: str


class CameraFacts(msgspec.Struct, frozen=True):
    """A picture the policy wants, and how its camera looked in training where that is known."""

    key: str
    shape: tuple[int, ...]
    trained_with: CameraSetup | None = None


class StatsFacts(msgspec.Struct, frozen=True):
    """Which statistics there are, where from, and what is wrong with them."""

    source: str
    features: Mapping[str, tuple[str, ...]]
    assets: tuple[str, ...]
    problems: tuple[str, ...]


class MemoryFacts(msgspec.Struct, frozen=True):
    """Bytes the weights take. `unused` is the expert's head, which other loaders allocate."""

    parameters: int
    stored_bytes: int
    stored_as: tuple[str, ...]
    bf16_bytes: int
    f32_bytes: int
    bf16_with_unused_bytes: int
    f32_with_unused_bytes: int


class LoraFacts(msgspec.Struct, frozen=True):
    """Unmerged adapters: of how many weights, their ranks, and alpha where it is said."""

    weights: int
    ranks: tuple[int, ...]
    alpha: float | None


class Description(msgspec.Struct, frozen=True):
    """Everything that is known of a checkpoint without running it."""

    path: str
    framework: str
    generation: str
    kind: str
    kind_source: str
    dims: Mapping[str, int]
    chunk: Fact
    n_action_steps: Fact
    fps: Fact
    units: Fact
    joints: tuple[str, ...]
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    normalisation: NormFacts
    cameras: tuple[CameraFacts, ...]
    stats: StatsFacts
    image_pad: Fact
    state_text: Fact
    delta_mask: tuple[bool, ...]
    memory: MemoryFacts
    lora: LoraFacts | None
    tokenizer: Fact
    training: TrainedOn | None
    notes: Mapping[str, Any]


def describe(
    path: Path, *, lora_alpha: float | None = None, asset_id: str = "", tokenizer: str = ""
) -> Description:
    """Open a checkpoint and tell what it is. Raises CheckpointError for what cannot be opened."""
    container = open_container(path, lora_alpha=lora_alpha, asset_id=asset_id)
    config, sidecar = container.config, container.sidecar
    try:
        known = gather(container)
        fps, units = Fact(known.fps, known.fps_source), Fact(known.units, known.units_source)
        joints = known.joints
    except CheckpointError as error:  # its dataset was converted to what no arm can play
        fps, units, joints = Fact(None, error.what), Fact(), ()
    chosen = convention.embodiment_of(container)
    chunk, source = convention.chunk_of(container, chosen)
    steps = config.get("n_action_steps")
    return Description(
        path=str(container.path),
        framework=container.framework,
        generation=container.generation,
        kind=container.kind,
        kind_source=container.kind_source,
        dims=_dims(container),
        chunk=Fact(chunk, source) if chunk else Fact(),
        n_action_steps=Fact(steps, "config.json") if steps else Fact(),
        fps=fps,
        units=Fact(sidecar.units_out, "robotd_ckpt.json") if sidecar.units_out else units,
        joints=joints,
        inputs={key: feature.shape for key, feature in container.inputs.items()},
        outputs={key: feature.shape for key, feature in container.outputs.items()},
        normalisation=NormFacts(
            dict(container.norm.modes),
            container.norm.eps,
            container.norm.formula,
            container.norm.source,
        ),
        cameras=_cameras(container),
        stats=StatsFacts(
            source=container.stats_source,
            features={key: tuple(sorted(entry)) for key, entry in container.stats.items()},
            assets=container.assets.found,
            problems=tuple(problem.what for problem in statistics_problems(container)),
        ),
        image_pad=_image_pad(container),
        state_text=Fact(*convention.state_text_of(container, chosen)),
        delta_mask=convention.mask_of(container, chosen),
        memory=_memory(container),
        lora=_lora(container),
        tokenizer=_tokenizer(container, tokenizer),
        training=sidecar.training,
        notes=_notes(container.path),
    )


def _dims(container: Container) -> dict[str, int]:
    if container.is_pi0:
        found = msgspec.to_builtins(container.dims)
        return {**found, "image_size": container.dims.image_size}
    keys = ("dim_model", "n_heads", "n_encoder_layers", "n_decoder_layers", "latent_dim")
    said = {key: container.config.get(key) for key in keys}
    dims = {key: value for key, value in said.items() if isinstance(value, int)}
    action = container.outputs.get("action")
    return {**dims, "action": action.shape[0]} if action and action.shape else dims


def _cameras(container: Container) -> tuple[CameraFacts, ...]:
    setups = container.sidecar.cameras
    shapes = {k: f.shape for k, f in container.inputs.items() if f.type == "VISUAL"}
    if container.framework != "lerobot":
        side = container.dims.image_size
        roles = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
        shapes = dict.fromkeys(roles, (3, side, side))
    return tuple(
        CameraFacts(key, shape, setups.get(key.removeprefix("observation.images.")))
        for key, shape in shapes.items()
    )


def _image_pad(container: Container) -> Fact:
    if not container.is_pi0:
        return Fact()
    from policies.pi0.settings import padding

    return Fact(*padding(container))


def _memory(container: Container) -> MemoryFacts:
    infos = container.tensors.values()
    weights = sum(info.count for info in infos if info.is_floating)
    unused = sum(
        info.count
        for name, info in container.tensors.items()
        if canonical_name(name) == EXPERT_HEAD
    )
    if container.is_pi0:
        dims, sizes = container.dims, container.sizes
        rows = torch_rows(container.pi0_kind)
        weights = sum(_count(shape) for shape in layout.expected(rows, sizes).values())
        unused = dims.vocabulary * dims.expert_width
    else:
        weights -= unused
    return MemoryFacts(
        parameters=weights,
        stored_bytes=sum(info.nbytes for info in infos),
        stored_as=tuple(sorted({info.dtype for info in infos})),
        bf16_bytes=weights * _WIDTH_BYTES["bf16"],
        f32_bytes=weights * _WIDTH_BYTES["f32"],
        bf16_with_unused_bytes=(weights + unused) * _WIDTH_BYTES["bf16"],
        f32_with_unused_bytes=(weights + unused) * _WIDTH_BYTES["f32"],
    )


def _count(shape: layout.Shape) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _lora(container: Container) -> LoraFacts | None:
    halves = lora.adapters(container.tensors)
    if not halves:
        return None
    ranks = {container.tensors[a].shape[-1] for a, _ in halves.values() if a in container.tensors}
    return LoraFacts(len(halves), tuple(sorted(ranks)), container.sidecar.lora_alpha)


def _tokenizer(container: Container, asked: str) -> Fact:
    if not container.is_pi0:
        return Fact(None, "not needed")
    from policies.pi0.tokenizer import find_tokenizer

    try:
        _, path = find_tokenizer(container.path, asked, container.dims.vocabulary)
    except CheckpointError as error:
        return Fact(None, f"{error.what} {error.do}")
    return Fact(str(path), "found")


def _notes(folder: Path) -> dict[str, Any]:
    """A trainer's note beside the checkpoint, as it is; it is shown and decides nothing."""
    path = folder / TRAINING_NOTE
    if not path.exists():
        return {}
    try:
        note = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        return {"unreadable": f"{path}: {error}"}
    return note if isinstance(note, dict) else {"note": note}


# --- for people -----------------------------------------------------------------------------------


def lines(said: Description) -> list[str]:
    """The description as a person reads it."""
    memory = said.memory
    generation = f" {said.generation}" if said.generation else ""
    rows = [
        ("checkpoint", said.path),
        ("kind", f"{said.kind} (from {said.kind_source})"),
        ("written by", f"{said.framework}{generation}"),
        ("sizes", ", ".join(f"{name} {size}" for name, size in said.dims.items() if size)),
        ("chunk", _fact(said.chunk, 'unknown: {"horizon": …} in robotd_ckpt.json says it')),
        ("played of it", _fact(said.n_action_steps, "")),
        ("rate", _fact(said.fps, "unknown: say --fps", " fps")),
        ("units", _fact(said.units, "unknown: say --units degrees or range_m100_100")),
        ("joints", ", ".join(said.joints)),
        ("inputs", ", ".join(f"{key} {list(shape)}" for key, shape in said.inputs.items())),
        ("outputs", ", ".join(f"{key} {list(shape)}" for key, shape in said.outputs.items())),
        ("cameras", ", ".join(_camera(camera) for camera in said.cameras)),
        ("normalisation", _norm(said.normalisation)),
        ("statistics", said.stats.source or "none"),
        ("", "; ".join(said.stats.problems)),
        ("image padding", _fact(said.image_pad, "")),
        ("state in prompt", _fact(said.state_text, "")),
        ("relative", _mask(said.delta_mask)),
        (
            "weights",
            f"{memory.parameters / 1e6:.1f} M numbers, {_bytes(memory.stored_bytes)} on disk "
            f"as {', '.join(memory.stored_as)}",
        ),
        (
            "memory",
            f"{_bytes(memory.bf16_bytes)} in bf16, {_bytes(memory.f32_bytes)} in f32"
            + _unused(memory),
        ),
        ("LoRA", _lora_line(said.lora)),
        ("tokenizer", _fact(said.tokenizer, said.tokenizer.source)),
        (
            "trained on",
            f"{said.training.dataset} {said.training.revision}" if said.training else "",
        ),
        *((f"note: {key}", str(value)) for key, value in said.notes.items()),
    ]
    return [f"{name:>14}  {text}" for name, text in rows if text]


def _fact(fact: Fact, unknown: str, unit: str = "") -> str:
    if fact.value in (None, ""):
        return unknown
    return f"{fact.value}{unit} ({fact.source})"


def _camera(camera: CameraFacts) -> str:
    setup = camera.trained_with
    if setup is None:
        return f"{camera.key} {list(camera.shape)}"
    return f"{camera.key} {list(camera.shape)}, {setup.fov_deg:g}° of {setup.width}×{setup.height}"


def _norm(norm: NormFacts) -> str:
    modes = ", ".join(f"{kind} {mode}" for kind, mode in norm.modes.items())
    return f"{modes}; {norm.formula}'s formula, eps {norm.eps:g} ({norm.source})"


def _mask(mask: tuple[bool, ...]) -> str:
    if not any(mask):
        return "no action is to the state" if mask else ""
    return "actions " + ", ".join(str(i) for i, on in enumerate(mask) if on) + " are to the state"


def _lora_line(said: LoraFacts | None) -> str:
    if said is None:
        return ""
    alpha = "alpha not said" if said.alpha is None else f"alpha {said.alpha:g}"
    return f"{said.weights} weights, rank {', '.join(map(str, said.ranks))}, {alpha}; merged on loading"


def _unused(memory: MemoryFacts) -> str:
    spare = memory.bf16_with_unused_bytes - memory.bf16_bytes
    if not spare:
        return ""
    with_it = f"{_bytes(memory.bf16_with_unused_bytes)} and {_bytes(memory.f32_with_unused_bytes)}"
    return f" ({with_it} with the expert's unused head, which robotd leaves out)"


def _bytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
