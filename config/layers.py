"""Configuration files as layers: parsing them, one over the other, and blaming the right one.

Pure. Merging is per key, so that a person's file holds only what differs; every key remembers which
file it came from, so that an error can name that file and not "the configuration".
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from robotd.errors import ConfigError

type Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """One file's content. `origin` is what a person calls it: a path, or `the profile so101`."""

    origin: str
    values: Tree


@dataclass(slots=True)
class Merged:
    """All layers as one tree, and for each dotted key the origin that set it last."""

    values: Tree = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def origin_of(self, key: str) -> str:
        """The file that a key came from; for a key nobody set, the file of its nearest parent."""
        while key:
            if key in self.origins:
                return self.origins[key]
            key = key.rpartition(".")[0]
        return "the configuration"


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which a key written twice is an error, not a silent choice of the second."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    line = key_node.start_mark.line + 1
                    raise yaml.MarkedYAMLError(problem=f"{key!r} stands twice (line {line})")
                seen.add(key)
        return super().construct_mapping(node, deep)


def parse_layer(text: str, origin: str) -> Layer:
    """Read one YAML file's text. Raises ConfigError when it is no mapping of names to values."""
    try:
        values = yaml.load(text, Loader=_StrictLoader)
    except RecursionError as error:
        raise ConfigError(
            f"{origin} is nested too deeply to be read.",
            "It is no configuration file, or brackets were pasted into it.",
            "Give a YAML file; config/robots/so101.yaml shows a whole one.",
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{origin} is not valid YAML: {' '.join(str(error).split())}.",
            "A missing colon, a tab, or an indent that does not match.",
            "Correct that line; config/robots/so101.yaml shows a whole file.",
        ) from error
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"{origin} is not a mapping of names to values.",
            "Another kind of file was given.",
            "Begin it with `extends: so101`; config/robots/so101.yaml shows a whole file.",
        )
    _check_names(values, origin, "")
    return Layer(origin, values)


def _check_names(values: Mapping[Any, Any], origin: str, path: str) -> None:
    """Every key is a name: YAML reads `1:` as a number and `on:` as a truth value."""
    for key, value in values.items():
        if not isinstance(key, str):
            where = f"section {path}" if path else "the top level"
            raise ConfigError(
                f"{origin}: {where} has the key {key!r}, which is no name.",
                "YAML reads a bare number, yes, no, on or off as something else than text.",
                f'Put it in quotes ("{key}") or use another name.',
            )
        if isinstance(value, dict):
            _check_names(value, origin, f"{path}.{key}" if path else key)


def merge(layers: list[Layer]) -> Merged:
    """Each layer over those before it: mappings merge, all else replaces, null removes."""
    merged = Merged()
    for layer in layers:
        _overlay(merged, merged.values, layer.values, layer.origin, "")
    return merged


def _overlay(merged: Merged, under: Tree, over: Mapping[str, Any], origin: str, path: str) -> None:
    for key, value in over.items():
        where = f"{path}.{key}" if path else key
        if value is None:
            under.pop(key, None)
            continue
        merged.origins[where] = origin
        if isinstance(value, dict):
            below = under.get(key)
            if not isinstance(below, dict):
                below = under[key] = {}
            _overlay(merged, below, value, origin, where)
        else:
            under[key] = value
