"""From files to one typed robot: defaults <- profile <- the person's own file.

`load` never guesses a body: with nothing configured it raises and says what to do, and the
simulated arm is used only when it is asked for.
"""

import difflib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import msgspec

from config.checks import EXTENDS, check_keys, check_rules, convert
from config.layers import Layer, Merged, merge, parse_layer
from config.rehearsal import in_simulation
from config.schema import Config
from robotd import paths
from robotd.errors import ConfigError

SIM_PROFILE = "so101-sim"
BIMANUAL_PROFILE = "so101-bimanual-sim"
_BIGGEST_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """A robot, and the person's file it came from (None for a shipped profile alone)."""

    config: Config
    file: Path | None
    notes: tuple[str, ...] = ()  # what a rehearsal could not carry over


def profile_names() -> list[str]:
    """The robot profiles that robotd ships."""
    folder = resources.files("config").joinpath("robots")
    return sorted(each.name.removesuffix(".yaml") for each in folder.iterdir() if each.is_file())


def load(
    name: str | None = None, file: str | Path | None = None, *, simulated: bool = False
) -> Loaded:
    """Load one robot.

    `file` is a path or a shipped profile's name; without it the person's own file is looked for:
    the one that `name` means (`<name>.yaml`, or a file whose `name:` it is), else `robotd.yaml`,
    else the only file there is. A name that means none is an error: the port of another robot is
    never opened under it. `simulated` asks for the body in MuJoCo: alone it is the shipped
    simulated arm, with a real robot's file that robot with virtual ports, called NAME-sim. Raises
    ConfigError.
    """
    top, path = _top_layer(name, file, simulated)
    merged = merge([_shipped("defaults.yaml", "config/defaults.yaml"), *_with_profiles(top)])
    merged.values.pop(EXTENDS, None)
    config = convert(merged)
    check_rules(config, merged)
    # Left before right in every joint array, however the file has them.
    config = msgspec.structs.replace(config, arms=dict(sorted(config.arms.items())))
    if name is not None:
        config = _named(config, merged, name)
    notes: tuple[str, ...] = ()
    if simulated and config.simulation is None:
        sim = load(file=BIMANUAL_PROFILE if len(config.arms) == 2 else SIM_PROFILE).config
        config, notes = in_simulation(config, sim)
        config = _named(config, merged, config.name)
    return Loaded(config, path, notes)


def _named(config: Config, merged: Merged, name: str) -> Config:
    """The robot under another name, which is checked like a configured one."""
    values, origins = {**merged.values, "name": name}, {**merged.origins, "name": "--name"}
    return msgspec.structs.replace(config, name=convert(Merged(values, origins)).name)


def _top_layer(
    name: str | None, file: str | Path | None, simulated: bool
) -> tuple[Layer, Path | None]:
    if file is not None:
        if str(file) in profile_names() and not Path(file).exists():
            return _profile(str(file)), None
        return _read(Path(file)), Path(file)
    folder = paths.config_dir()
    found = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
    own = _file_of(name or "sim", found) if name or simulated else None
    if own is not None:
        return _read(own), own
    if simulated:
        return _profile(SIM_PROFILE), None
    own = _only_file(name, found)
    return _read(own), own


def _file_of(name: str, found: list[Path]) -> Path | None:
    """The person's file that a name means: called so, or naming its robot so."""
    for each in found:
        if each.stem == name:
            return each
    named = [each for each in found if _read(each).values.get("name") == name]
    if len(named) > 1:
        raise ConfigError(
            f"Several files call their robot {name}: {', '.join(map(str, named))}.",
            "A file was copied, and its name was not changed.",
            "Give each robot a name of its own.",
        )
    return named[0] if named else None


def _only_file(name: str | None, found: list[Path]) -> Path:
    """The file that is meant when no file has the name that was given, or none was given."""
    folder = paths.config_dir()
    if not found:
        raise ConfigError(
            f"No robot{f' called {name}' if name else ''} is configured; nothing was opened or "
            "moved.",
            f"This is a first start: {folder} has no {name or 'robotd'}.yaml.",
            "Try the simulated arm: robotd start --sim. For a real one write "
            f"{folder / f'{name or "robotd"}.yaml'} with `extends: so101` and "
            "`arms: {arm: {port: /dev/serial/by-id/…, id: NAME}}`.",
        )
    if name is not None:
        known = sorted({each.stem for each in found} | {_name_in(each) for each in found})
        near = difflib.get_close_matches(name, known, n=1)
        raise ConfigError(
            f"No robot called {name} is configured; nothing was opened or moved.",
            f"A typing error{f': {near[0]} is near' if near else ''}. {folder} has: "
            f"{', '.join(known)}.",
            f"robotd start --name {near[0] if near else known[0]}; or write {folder / name}.yaml.",
        )
    standard = folder / "robotd.yaml"
    if standard in found or len(found) == 1:
        return standard if standard in found else found[0]
    raise ConfigError(
        f"Several robots are configured: {', '.join(each.stem for each in found)}.",
        f"{folder} has a file for each, and none is called robotd.yaml.",
        "Say which one: robotd start --name NAME",
    )


def _name_in(file: Path) -> str:
    return str(_read(file).values.get("name") or file.stem)


def _with_profiles(top: Layer) -> list[Layer]:
    """`top` and every profile that it extends, lowest first; all keys checked."""
    layers = [top]
    while EXTENDS in layers[0].values:
        wanted = layers[0].values[EXTENDS]
        if not isinstance(wanted, str) or wanted not in profile_names() or len(layers) > 8:
            raise ConfigError(
                f"{layers[0].origin} extends {wanted!r}, which is no profile.",
                "A typing error, or a profile of another version.",
                f"Use one of: {', '.join(profile_names())}.",
            )
        layers.insert(0, _profile(wanted))
    for layer in layers:
        check_keys(layer)
    return layers


def _profile(name: str) -> Layer:
    return _shipped(f"robots/{name}.yaml", f"the profile {name}")


def _shipped(resource: str, origin: str) -> Layer:
    text = resources.files("config").joinpath(resource).read_text(encoding="utf-8")
    return parse_layer(text, origin)


def _read(path: Path) -> Layer:
    try:
        if path.stat().st_size > _BIGGEST_FILE_BYTES:
            raise ConfigError(
                f"{path} is {path.stat().st_size} bytes long.",
                "It is no configuration file.",
                "Give a YAML file; config/robots/so101.yaml shows a whole one.",
            )
        return parse_layer(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}.",
            "The path is wrong, it is no text file, or its permissions keep you out.",
            f"Give a readable YAML file, or a profile: {', '.join(profile_names())}.",
        ) from error
