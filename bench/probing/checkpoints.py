"""Good checkpoints to plant faults into, each with a recording that it was not trained on.

The shipped ACT is told where the block is; `image_act` is trained here, from nothing, in minutes of one core: its
ResNet stays as it was drawn, so the pictures go through it once, and only what reads its features learns. That is
enough to look: without its pictures it errs more.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from policies.checkpoint.evidence import Sidecar, write_sidecar

FPS = 15
SHIPPED = "shipped ACT, told where the block is"
IMAGE = "image ACT, two cameras"
WRIST = "VAE ACT, wrist camera, told where the block is"
_PIXELS, _EVERY = 96, 2  # of two rows that follow one another the pictures are nearly the same
# Seeds: demonstrations of the shipped one began at 10,000.
_TRAINED_FROM, _HELD_FROM, _APART = 20_000, 30_000, 1_000

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Good:
    """A checkpoint that does what its recording shows."""

    name: str
    policy: Path
    dataset: Path
    has: tuple[str, ...] = ()

    def takes(self, needs: str) -> bool:
        """Whether a fault that needs this (two cameras to cross, pictures) can be planted into it."""
        return not needs or needs in self.has


@dataclass(frozen=True, slots=True)
class Made:
    """How much is made, and where it is kept for the next run. Every `round` has demonstrations to probe on and seeds
    of training of its own."""

    folder: Path
    episodes: int
    held: int
    steps: int
    round: int = 0

    def recorded(self, kind: str, pixels: int, say: Say) -> Path:
        """This round's demonstrations to probe on."""
        root = self.folder / kind / f"held-{self.held}-{self.round}"
        _record(root, self.held, _HELD_FROM + _APART * self.round, pixels, say)
        return root


def checkpoints(made: Made, say: Say, only: str = "") -> Iterator[Good]:
    """Every good checkpoint whose name has `only`, made when it is its turn."""
    if only in SHIPPED:
        yield shipped_act(made, say)
    if only in IMAGE:
        yield image_act(made, _TWO_CAMERAS, say)
    if only in WRIST:
        yield image_act(made, _WRIST, say)


def shipped_act(made: Made, say: Say) -> Good:
    """The checkpoint that comes with robotd, and fresh demonstrations of its task without pictures."""
    policy = Path(str(resources.files("policies") / "shipped" / "so101_block_in_bowl_act"))
    return Good(SHIPPED, policy, made.recorded("shipped", 0, say))


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an ACT with eyes is made. `cameras` empty: all of the recording's; `told`: where the block is."""

    name: str
    cameras: tuple[str, ...] = ()
    told: bool = False
    vae: bool = False
    chunk: int = 30
    width: int = 128
    seed: int = 1


_TWO_CAMERAS = Recipe("two")
_WRIST = Recipe("wrist", ("observation.images.wrist",), True, True, 40, 96, 2)


def image_act(made: Made, recipe: Recipe, say: Say) -> Good:
    """An ACT trained on scripted demonstrations; every round trains from another seed on the same ones."""
    folder = made.folder / "image"
    trained = folder / f"trained-{made.episodes}"
    policy = folder / f"{recipe.name}-{made.episodes}-{made.steps}-{made.round}/pretrained_model"
    _record(trained, made.episodes, _TRAINED_FROM, _PIXELS, say)
    dataset = made.recorded("image", _PIXELS, say)
    if not (policy / "config.json").exists():
        own = replace(recipe, seed=recipe.seed + 10 * made.round)
        _train(trained, policy, own, made.steps, say)
    several = ("cameras", "pictures") if not recipe.cameras else ("pictures",)
    return Good(WRIST if recipe.told else IMAGE, policy, dataset, several)


def _record(root: Path, episodes: int, first_seed: int, pixels: int, say: Say) -> None:
    """Scripted demonstrations in lock-step, unless they are there."""
    if (root / "meta/info.json").exists():
        return
    from learning.collect import collect
    from learning.world import lockstep_config
    from sim.tasks.spec import load_task

    config = lockstep_config()
    cameras = {
        name: msgspec.structs.replace(camera, width=pixels, height=pixels, fps=FPS)
        for name, camera in config.cameras.items()
        if pixels
    }
    config = msgspec.structs.replace(config, cameras=cameras)
    root.parent.mkdir(parents=True, exist_ok=True)
    collect(
        config,
        load_task("block_in_bowl"),
        root,
        f"bench/{root.name}",
        episodes,
        first_seed,
        cameras=bool(pixels),
        progress=lambda kept, _result: say(f"{root.name}: {kept} of {episodes} demonstrations"),
    )


def _train(dataset: Path, policy: Path, recipe: Recipe, steps: int, say: Say) -> None:
    import torch
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors

    torch.manual_seed(recipe.seed)
    data = _Data.read(dataset, recipe.cameras, say)
    cameras = tuple(data.pictures)
    inputs = {key: PolicyFeature(FeatureType.VISUAL, (3, _PIXELS, _PIXELS)) for key in cameras}
    if recipe.told:
        inputs["observation.environment_state"] = PolicyFeature(FeatureType.ENV, (7,))
    config = ACTConfig(
        input_features={"observation.state": PolicyFeature(FeatureType.STATE, (6,)), **inputs},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (6,))},
        chunk_size=recipe.chunk,
        n_action_steps=15,
        dim_model=recipe.width,
        dim_feedforward=256,
        n_heads=4,
        n_encoder_layers=2,
        use_vae=recipe.vae,
        n_vae_encoder_layers=1,
        latent_dim=8,
        dropout=0.0,
        pretrained_backbone_weights=None,
        device="cpu",
    )
    model = ACTPolicy(config)
    pre, post = make_pre_post_processors(config, dataset_stats=data.stats)
    features = _features(model, data, say)
    own_backbone = model.model.backbone
    model.model.backbone = _stand_in()  # what goes in are features already
    vectors = {key: _normalised(v, data.stats[key]) for key, v in data.vectors.items()}
    action = vectors.pop("action")
    if not recipe.told:
        vectors.pop("observation.environment_state", None)
    learnt = [p for name, p in model.named_parameters() if "backbone" not in name]
    optimizer = torch.optim.AdamW(learnt, lr=1e-3, weight_decay=1e-4)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, 1e-5)
    generator = np.random.default_rng(recipe.seed)
    model.train()
    for step in range(steps):
        looks = generator.integers(0, len(action) // _EVERY, 64)
        rows = looks * _EVERY
        chunk, pad = _chunks(action, data.ends, rows, config.chunk_size)
        batch = {
            **{key: torch.from_numpy(values[rows]) for key, values in vectors.items()},
            "action": torch.from_numpy(chunk),
            "action_is_pad": torch.from_numpy(pad),
            **{key: features[key][looks] for key in cameras},
        }
        loss, _ = model(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 10.0)
        optimizer.step()
        rate.step()
        if step % 100 == 0:
            say(f"{recipe.name}: step {step} of {steps}, loss {loss.item():.3f}")
    model.model.backbone = own_backbone
    for part in (model, pre, post):
        part.save_pretrained(policy)
    write_sidecar(policy, Sidecar(fps=FPS, units="degrees", joints=data.joints))
    named = {"dataset": {"repo_id": "bench/trained", "root": str(dataset)}}
    (policy / "train_config.json").write_text(json.dumps(named))


def _normalised(
    values: npt.NDArray[np.float32], stats: Mapping[str, Any]
) -> npt.NDArray[np.float32]:
    mean, std = (np.asarray(stats[key], np.float32) for key in ("mean", "std"))
    return np.asarray((values - mean) / std, np.float32)


def _chunks(
    action: npt.NDArray[np.float32], ends: npt.NDArray[np.int64], rows: npt.NDArray[Any], steps: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """The actions from each row on [B, steps, 6], and which of them are past the episode's end."""
    at = rows[:, None] + np.arange(steps)
    last = ends[rows][:, None] - 1
    return action[np.minimum(at, last)], at > last


def _features(model: Any, data: "_Data", say: Say) -> dict[str, Any]:
    """What the ResNet makes of every picture, [rows, 512, h, w] by camera."""
    import torch

    found = {}
    for key, pictures in data.pictures.items():
        stats = data.stats[key]
        mean, std = (
            torch.tensor(np.asarray(stats[s]), dtype=torch.float32) for s in ("mean", "std")
        )
        parts = []
        with torch.no_grad():
            for at in range(0, len(pictures), 64):
                batch = torch.from_numpy(pictures[at : at + 64]).permute(0, 3, 1, 2).float() / 255.0
                batch = (batch - mean.reshape(1, 3, 1, 1)) / std.reshape(1, 3, 1, 1)
                parts.append(model.model.backbone(batch)["feature_map"])
        found[key] = torch.cat(parts)
        say(f"image ACT: {len(pictures)} pictures of {key} through the ResNet")
    return found


def _stand_in() -> Any:
    import torch

    class Ready(torch.nn.Module):  # type: ignore[misc]
        """Stands for the ResNet where its features are known."""

        def forward(self, features: Any) -> dict[str, Any]:
            return {"feature_map": features}

    return Ready()


@dataclass(frozen=True, slots=True)
class _Data:
    """A whole small dataset in memory. `ends` [rows]: one past the last row of each row's episode; `pictures` of every
    `_EVERY`th row."""

    joints: tuple[str, ...]
    vectors: Mapping[str, npt.NDArray[np.float32]]
    ends: npt.NDArray[np.int64]
    pictures: Mapping[str, npt.NDArray[np.uint8]]
    stats: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, root: Path, cameras: Sequence[str], say: Say) -> "_Data":
        from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata

        from policies.recorded_pictures import Pictures
        from policies.recording import open_recording

        recording = open_recording(str(root))
        rows = recording.rows(range(len(recording.episode_tasks)))
        source = Pictures(recording)
        keys: Sequence[str] = tuple(cameras or recording.cameras)
        seen: dict[str, list[npt.NDArray[np.uint8]]] = {key: [] for key in keys}
        ends, total = [], 0
        for _, part in sorted(rows.items()):
            total += len(part)
            ends += [total] * len(part)
            for row in range(len(part)):
                if (total - len(part) + row) % _EVERY:
                    continue
                for key, picture in source.at(part, row, keys).items():
                    seen[key].append(picture)
            say(f"image ACT: {total} rows decoded")
        source.close()
        stats = LeRobotDatasetMetadata(f"local/{root.name}", root=root).stats
        parts = [part for _, part in sorted(rows.items())]
        return cls(
            recording.joints,
            {
                key: np.concatenate([p.vectors[key] for p in parts]).astype(np.float32)
                for key in parts[0].vectors
            },
            np.array(ends),
            {key: np.array(pictures) for key, pictures in seen.items()},
            stats,
        )
