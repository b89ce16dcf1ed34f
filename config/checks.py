"""Whether a merged tree is a robot: unknown keys, ranges, and rules that need several keys.

Every error names the key, the file it came from, what is allowed and its unit. Pure functions of
values.
"""

import difflib
import math
import re
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from config.joints import ARM_JOINTS, MODEL_RANGE_DEG
from config.layers import Layer, Merged
from config.ranges import range_of, section_of, unit_of
from config.schema import Camera, Config
from robotd.errors import ConfigError

EXTENDS = "extends"
_PATH = re.compile(r" - at `\$\.?(.*)`$")
_CAMERA_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def check_keys(layer: Layer) -> None:
    """Raise ConfigError for the first key of a layer that the schema does not have."""
    values = {key: value for key, value in layer.values.items() if key != EXTENDS}
    _check_keys(values, Config, layer.origin, "")


def _check_keys(values: Any, schema: Any, origin: str, path: str) -> None:
    if not isinstance(values, dict):
        return  # a wrong type is found when the tree is converted
    fields = _fields(schema)
    for key, value in values.items():
        where = f"{path}.{key}" if path else str(key)
        if fields is None:
            _check_keys(value, _value_type(schema), origin, where)
        elif key in fields:
            _check_keys(value, fields[key], origin, where)
        else:
            raise _unknown(str(key), list(fields), origin, path)


def _fields(schema: Any) -> dict[str, Any] | None:
    """The keys of a section and their types; None for a mapping whose names a person chooses."""
    section = section_of(schema)
    return get_type_hints(section, include_extras=True) if section is not None else None


def _value_type(schema: Any) -> Any:
    return get_args(schema)[1] if get_origin(schema) is dict else schema


def _unknown(key: str, known: list[str], origin: str, path: str) -> ConfigError:
    section = f"section {path}" if path else "the top level"
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    do = (
        f"Write {near[0]} instead."
        if near
        else f"Remove it. {section} has: {', '.join(sorted(known))}."
    )
    return ConfigError(
        f"{origin}: {section} has no key {key!r}.",
        "A typing error, or a key of another version.",
        do,
    )


def convert(merged: Merged) -> Config:
    """The typed configuration. Raises ConfigError that names key, file, range and unit."""
    _check_finite(merged, merged.values, "")
    try:
        return msgspec.convert(merged.values, Config)
    except msgspec.ValidationError as error:
        raise _out_of_range(merged, str(error)) from error


def _check_finite(merged: Merged, value: Any, path: str) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_finite(merged, inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            _check_finite(merged, inner, path)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(
            f"{merged.origin_of(path)}: {path} is {value}.",
            f"`.nan` or `.inf` was written where a number is needed{_allowed(path)}.",
            "Write a finite number; config/defaults.yaml has the default and its reason.",
        )


def _allowed(key: str) -> str:
    span, unit = range_of(key), unit_of(key)
    return f" ({span}{f', in {unit}' if unit else ''})" if span else ""


def _out_of_range(merged: Merged, message: str) -> ConfigError:
    found = _PATH.search(message)
    path = found.group(1) if found else ""
    reason = message[: found.start()] if found else message
    missing = re.match(r"Object missing required field `(\w+)`", reason)
    if missing:
        path = _section_without(merged.values, path, missing.group(1))
        key = f"{path}.{missing.group(1)}" if path else missing.group(1)
        return ConfigError(
            f"{merged.origin_of(key)}: {key} is missing.",
            "The section was begun but not finished.",
            f"Add {missing.group(1)} to {path or 'the file'}; "
            "config/robots/so101.yaml shows a whole file.",
        )
    key = _written_key(merged.values, path)
    unit = unit_of(re.sub(r"\[.*$", "", key))
    value = _value_at(merged.values, key)
    span = range_of(key)
    allowed = f"It must be {span}" if span else reason.replace("Expected", "It must be")
    allowed = allowed.replace("`", "")
    return ConfigError(
        f"{merged.origin_of(key)}: {key} is {value!r}{f' {unit}' if unit else ''}.",
        f"{allowed}{f', in {unit}' if unit else ''}.",
        "Correct it; config/defaults.yaml has the default and its reason.",
    )


def _written_key(values: Any, path: str) -> str:
    """The key as it stands in the file: msgspec writes `[...]` for names that a person chose."""
    parts: list[str] = []
    for part in re.findall(r"\[\.\.\.\]|[^.\[]+|\[\d+\]", path):
        if part.startswith("["):
            break
        parts.append(part)
        values = values.get(part) if isinstance(values, dict) else None
    key = ".".join(parts)
    rest = re.sub(r"^\[\.\.\.\]\.?", "", path[len(key) :])
    if path[len(key) :].startswith("[...]") and isinstance(values, dict):
        for name, inner in values.items():
            if rest and isinstance(inner, dict) and rest.split("[")[0].split(".")[0] in inner:
                return f"{key}.{name}.{_written_key(inner, rest)}"
    return key


def _section_without(values: Any, path: str, field: str) -> str:
    """The section that lacks `field`, where msgspec only says `arms[...]`."""
    if not path.endswith("[...]"):
        return path
    above = path.removesuffix("[...]")
    sections = _value_at(values, above)
    return next(
        (f"{above}.{name}" for name, inner in sections.items() if field not in inner), above
    )


def _value_at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def check_rules(config: Config, merged: Merged) -> None:
    """Raise ConfigError for values that are each allowed but do not go together."""
    for key, wrong, likely, do in _broken_rules(config):
        raise ConfigError(f"{merged.origin_of(key)}: {wrong}.", likely, do)


type _Broken = tuple[str, str, str, str]


def _broken_rules(config: Config) -> list[_Broken]:
    return [
        *_rate_rules(config),
        *_arm_rules(config),
        *_camera_rules(config),
        *_limit_rules(config),
        *_pose_rules(config),
        *_obstacle_rules(config),
    ]


def _rate_rules(config: Config) -> list[_Broken]:
    tick_hz, fps = config.control.tick_hz, config.recording.fps
    if tick_hz % fps == 0:
        return []
    multiples = [fps * k for k in range(1, 500 // fps + 1) if fps * k >= 20]
    near = sorted(sorted(multiples, key=lambda rate: abs(rate - tick_hz))[:4])
    return [
        (
            "control.tick_hz",
            f"control.tick_hz {tick_hz} Hz is no multiple of recording.fps {fps}",
            "Rows would fall between ticks, up to a whole tick late.",
            f"Use a tick rate that fits: {', '.join(map(str, near))} Hz; or another fps.",
        )
    ]


def _arm_rules(config: Config) -> list[_Broken]:
    names = list(config.arms)
    if not names:
        return [
            (
                "arms",
                "the robot has no arm",
                "The file names no port.",
                "Add `arms: {arm: {port: /dev/serial/by-id/…, id: NAME}}`; "
                "config/robots/so101.yaml shows a whole file.",
            )
        ]
    if len(names) > 2 or (len(names) == 2 and set(names) != {"left", "right"}):
        return [
            (
                "arms",
                f"two arms are called left and right, not {', '.join(names)}",
                "LeRobot's bimanual feature names are left_… and right_….",
                "Name them left and right, or configure one arm.",
            )
        ]
    ports = [
        port for arm in config.arms.values() for port in (arm.port, arm.leader and arm.leader.port)
    ]
    real = [port for port in ports if port and port != "plant"]
    twice = sorted({port for port in real if real.count(port) > 1})
    return [
        (
            "arms",
            f"the port {port} is used twice",
            "A line was copied, and its port was not changed.",
            "Give every arm its own adapter: ls /dev/serial/by-id",
        )
        for port in twice
    ]


def _camera_rules(config: Config) -> list[_Broken]:
    broken: list[_Broken] = []
    for name, camera in config.cameras.items():
        key = f"cameras.{name}"
        if not _CAMERA_NAME.fullmatch(name):
            broken.append(
                (
                    key,
                    f"a camera cannot be called {name!r}",
                    "Names become feature keys and file names.",
                    "Use letters, digits, _ . - only.",
                )
            )
        if camera.fps < config.recording.fps:
            broken.append(
                (
                    f"{key}.fps",
                    f"{key}.fps {camera.fps} is below recording.fps {config.recording.fps}",
                    "Every so many rows would show an old picture.",
                    f"Set {key}.fps to {config.recording.fps} or more, or lower recording.fps.",
                )
            )
        if camera.device == "synthetic" and config.simulation is None:
            broken.append(
                (
                    f"{key}.device",
                    f"{key}.device is synthetic on a real robot",
                    "A pattern would be recorded as if a camera had seen it.",
                    "Name the camera (ls /dev/v4l/by-id); `synthetic` is for the simulated arm.",
                )
            )
        broken += _framing_rules(key, camera)
        if camera.width % 2 or camera.height % 2:
            broken.append(
                (
                    key,
                    f"{key} is {camera.width}x{camera.height} pixels",
                    "h264 halves both sides for colour, so they must be even.",
                    "Use a size that the camera has, such as 640x480.",
                )
            )
    return broken


def _framing_rules(key: str, camera: Camera) -> list[_Broken]:
    if camera.device in ("plant", "synthetic") and (camera.crop or camera.rotation_deg):
        return [
            (
                key,
                f"{key} is cut or turned, and its pictures are drawn",
                "crop and rotation_deg are for a camera that looks through a lens.",
                "Remove them here; `view` chooses what a simulated camera shows.",
            )
        ]
    if camera.crop is None:
        return []
    crop, turned = camera.crop, camera.rotation_deg % 180 != 0
    width, height = (camera.height, camera.width) if turned else (camera.width, camera.height)
    if crop.left + width <= crop.of_width and crop.top + height <= crop.of_height:
        return []
    return [
        (
            f"{key}.crop",
            f"{key}.crop reaches beyond the mode of {crop.of_width}x{crop.of_height} pixels",
            f"From {crop.left}, {crop.top} it takes {width}x{height} pixels.",
            "Make left and top smaller, or take a smaller width and height.",
        )
    ]


def _limit_rules(config: Config) -> list[_Broken]:
    limits, control = config.limits, config.control
    broken: list[_Broken] = []
    if limits.derate_from_c >= limits.stop_at_c:
        broken.append(
            (
                "limits.derate_from_c",
                f"limits.derate_from_c {limits.derate_from_c} °C is not below "
                f"limits.stop_at_c {limits.stop_at_c} °C",
                "One of both was changed alone.",
                "Leave some degrees between them; 55 and 65 are the defaults.",
            )
        )
    if any(
        low >= high
        for low, high in zip(limits.workspace_min_m, limits.workspace_max_m, strict=True)
    ):
        broken.append(
            (
                "limits.workspace_min_m",
                "limits.workspace_min_m is not below limits.workspace_max_m on every axis",
                "Minimum and maximum are swapped, or a sign is wrong.",
                "Correct the axis; the unit is m in the arm's base frame.",
            )
        )
    if control.degraded_after_reads > control.bus_fault_after_reads:
        broken.append(
            (
                "control.degraded_after_reads",
                f"control.degraded_after_reads {control.degraded_after_reads} is above "
                f"control.bus_fault_after_reads {control.bus_fault_after_reads}",
                "One of both was changed alone.",
                "A warning comes before a fault; 3 and 10 are the defaults.",
            )
        )
    return broken


def _pose_rules(config: Config) -> list[_Broken]:
    """A pose outside the model's range is walked to with the stops in the way."""
    broken: list[_Broken] = []
    for name in ("home_deg", "rest_deg", "via_deg"):
        angles = zip(ARM_JOINTS, getattr(config.poses, name), MODEL_RANGE_DEG, strict=True)
        broken += [
            (
                f"poses.{name}",
                f"poses.{name} has {joint} at {angle:g} deg",
                f"The joint goes from {low:g} to {high:g} deg, model frame.",
                "Correct the pose; config/defaults.yaml has the default and its reason.",
            )
            for joint, angle, (low, high) in angles
            if not low <= angle <= high
        ]
    return broken


def _obstacle_rules(config: Config) -> list[_Broken]:
    return [
        (
            f"twin.obstacles.{name}.size_m",
            f"the cylinder twin.obstacles.{name} is {each.size_m[0]:g} m wide and "
            f"{each.size_m[1]:g} m deep",
            "A cylinder stands upright: both are its diameter.",
            "Make both equal, or say `shape: box`.",
        )
        for name, each in config.twin.obstacles.items()
        if each.shape == "cylinder" and each.size_m[0] != each.size_m[1]
    ]
