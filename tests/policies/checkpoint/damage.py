"""Ways in which a checkpoint is broken, each a small function on its folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .tiny_pi0 import Arrays

Damage = Callable[[Path], None]


def tensors(change: Callable[[dict[str, Any]], None]) -> Damage:
    """The weights file written again with its tensors changed."""

    def damage(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        held = load_file(folder / "model.safetensors")
        change(held)
        save_file(held, folder / "model.safetensors")

    return damage


def named(held: dict[str, Any], ending: str) -> str:
    """The one name that ends so."""
    return next(name for name in held if name.endswith(ending))


def delete(ending: str) -> Damage:
    return tensors(lambda held: held.pop(named(held, ending)))


def add(name: str) -> Damage:
    def change(held: dict[str, Any]) -> None:
        held[name] = next(iter(held.values())).clone()

    return tensors(change)


def reshape(ending: str) -> Damage:
    def change(held: dict[str, Any]) -> None:
        name = named(held, ending)
        held[name] = held[name][:, :-1].contiguous()

    return tensors(change)


def put(ending: str, value: float, *, everywhere: bool = False) -> Damage:
    def change(held: dict[str, Any]) -> None:
        tensor = held[named(held, ending)]
        (tensor if everywhere else tensor.reshape(-1)[3:4]).fill_(value)

    return tensors(change)


def untie(folder: Path) -> None:
    """What transformers 4.52 left: the head is the trained one, the embedding is random."""

    def change(held: dict[str, Any]) -> None:
        head = held[named(held, "paligemma.lm_head.weight")]
        prefix = named(held, "paligemma.lm_head.weight").removesuffix("lm_head.weight")
        held[f"{prefix}model.language_model.embed_tokens.weight"] = head.flip(0).contiguous()

    tensors(change)(folder)


def state_file(change: Callable[[dict[str, Any]], None]) -> Damage:
    """The postprocessor's statistics changed."""

    def damage(folder: Path) -> None:
        from safetensors.numpy import load_file, save_file

        path = next(folder.glob("policy_postprocessor_step_*.safetensors"))
        held = {name: value.copy() for name, value in load_file(path).items()}
        change(held)
        save_file(held, path)

    return damage


def configured(**changes: Any) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def norm_stats(change: Callable[[dict[str, Any]], None]) -> Damage:
    """openpi's statistics changed."""

    def damage(folder: Path) -> None:
        path = next(folder.rglob("norm_stats.json"))
        content = json.loads(path.read_text())
        change(content["norm_stats"])
        path.write_text(json.dumps(content))

    return damage


def cut(pattern: str, keep: float) -> Damage:
    """The biggest file of a name, cut short."""

    def damage(folder: Path) -> None:
        path = max(folder.glob(pattern), key=lambda p: p.stat().st_size)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * keep)])

    return damage


def remove(pattern: str) -> Damage:
    """The biggest file of a name, gone."""

    def damage(folder: Path) -> None:
        max(folder.glob(pattern), key=lambda p: p.stat().st_size).unlink()

    return damage


def pointer(folder: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 7012345678\n"
    (folder / "model.safetensors").write_text(text)


# --- JAX's arrays, before they are written --------------------------------------------------------


def without(name: str) -> Callable[[Arrays], Arrays]:
    return lambda values: {key: value for key, value in values.items() if key != name}


def changed(name: str, change: Callable[[Any], Any]) -> Callable[[Arrays], Arrays]:
    return lambda values: {**values, name: change(values[name].copy())}


def poisoned(value: np.ndarray) -> np.ndarray:
    value.reshape(-1)[5] = np.nan
    return value
