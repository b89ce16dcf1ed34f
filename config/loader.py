"""From files to one typed robot: defaults <- profile <- the person's own file.

`load` never guesses a body: with nothing configured it raises and says what to do, and the
simulated arm is used only when it is asked for.
"""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import msgspec

from config.checks import EXTENDS, check_keys, check_rules, convert
from config.layers import Layer, Merged, merge, parse_layer
from config.schema import Arm, Config, Leader
from robotd import paths
from robotd.errors import ConfigError

SIM_PROFILE = "so101-sim"
PLANT = "plant"
_BIGGEST_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """A robot, and the person's file it came from (None for a shipped profile alone)."""

    config: Config
    file: Path | None


def profile_names() -> list[str]:
    """The robot profiles that robotd ships."""
    folder = resources.files("config").joinpath("robots")
    return sorted(each.name.removesuffix(".yaml") for each in folder.iterdir() if each.is_file())


def load(
    name: str | None = None, file: str | Path | None = None, *, simulated: bool = False
) -> Loaded:
    """Load one robot.

    `file` is a path or a shipped profile's name; without it the person's own file is looked for:
    `<name>.yaml`, else `robotd.yaml`, else the only file there is. `simulated` asks for the body in
    MuJoCo: alone it is the shipped simulated arm, with a real robot's file that robot with virtual
    ports. `name` replaces the configured name. Raises ConfigError.
    """
    top, path = _top_layer(name, file, simulated)
    merged = merge([_shipped("defaults.yaml", "config/defaults.yaml"), *_with_profiles(top)])
    merged.values.pop(EXTENDS, None)
    config = convert(merged)
    check_rules(config, merged)
    # Left before right in every joint array, however the file has them.
    config = msgspec.structs.replace(config, arms=dict(sorted(config.arms.items())))
    if simulated and config.simulation is None:
        config = _in_simulation(config)
    if name is not None:
        merged.values["name"], merged.origins["name"] = name, "--name"
        named = convert(Merged({**merged.values}, merged.origins))
        config = msgspec.structs.replace(config, name=named.name)
    return Loaded(config, path)


def _top_layer(
    name: str | None, file: str | Path | None, simulated: bool
) -> tuple[Layer, Path | None]:
    if file is not None:
        if str(file) in profile_names() and not Path(file).exists():
            return _profile(str(file)), None
        return _read(Path(file)), Path(file)
    if simulated:
        own = paths.config_dir() / f"{name or 'sim'}.yaml"
        return (_read(own), own) if own.is_file() else (_profile(SIM_PROFILE), None)
    own = _own_file(name)
    return _read(own), own


def _own_file(name: str | None) -> Path:
    folder = paths.config_dir()
    found = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
    wanted = [folder / f"{name}.yaml"] if name else []
    for each in (*wanted, folder / "robotd.yaml"):
        if each in found:
            return each
    if name is None and len(found) == 1:
        return found[0]
    if name is None and found:
        raise ConfigError(
            f"Several robots are configured: {', '.join(each.stem for each in found)}.",
            f"{folder} has a file for each, and none is called robotd.yaml.",
            "Say which one: robotd start --name NAME",
        )
    raise ConfigError(
        f"No robot{f' called {name}' if name else ''} is configured; nothing was opened or moved.",
        f"This is a first start: {folder} has no {name or 'robotd'}.yaml.",
        "Try the simulated arm: robotd start --sim. For a real one write "
        f"{folder / f'{name or "robotd"}.yaml'} with `extends: so101` and "
        "`arms: {arm: {port: /dev/serial/by-id/…, id: NAME}}`.",
    )


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


def _in_simulation(config: Config) -> Config:
    """A real robot's configuration with its body in the plant, under a name of its own."""
    sim = load(file=SIM_PROFILE).config
    arms = {
        name: Arm(
            port=PLANT,
            id="sim" if len(config.arms) == 1 else f"sim_{name}",
            leader=None if arm.leader is None else Leader(port=PLANT, id=_leader_id(config, name)),
            base_xyz_m=arm.base_xyz_m,
            base_yaw_deg=arm.base_yaw_deg,
        )
        for name, arm in config.arms.items()
    }
    cameras = {
        name: msgspec.structs.replace(camera, device=PLANT)
        for name, camera in config.cameras.items()
    }
    return msgspec.structs.replace(
        config,
        name=f"{config.name}-sim",
        arms=arms,
        cameras=cameras,
        simulation=sim.simulation,
    )


def _leader_id(config: Config, name: str) -> str:
    return "sim_leader" if len(config.arms) == 1 else f"sim_{name}_leader"
