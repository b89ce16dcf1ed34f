"""What a key may be, in words: its range out of the schema, its unit out of its name. Pure."""

from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from config.schema import Config

_UNITS = (
    ("_rad_s", "rad/s"),
    ("_deg_s2", "deg/s²"),
    ("_deg_s", "deg/s"),
    ("_deg", "deg"),
    ("_permille", "permille of stall torque"),
    ("_ms", "ms"),
    ("_hz", "Hz"),
    ("_gb", "GB"),
    ("_m", "m"),
    ("_s", "s"),
    ("_c", "°C"),
    ("fps", "frames a second"),
    ("width", "pixels"),
    ("height", "pixels"),
)


def unit_of(key: str) -> str:
    """The unit that a key's name ends in, as a person reads it; empty for a bare number."""
    return next((unit for suffix, unit in _UNITS if key.endswith(suffix)), "")


def range_of(key: str) -> str:
    """The range of a dotted key, such as "above 0.5, at most 20"; empty where the schema has none.

    For a list it is the range of each of its values.
    """
    schema: Any = Config
    for part in key.split("."):
        if get_origin(schema) is dict:
            schema = get_args(schema)[1]
            continue
        section = section_of(schema)
        fields = {} if section is None else get_type_hints(section, include_extras=True)
        if part not in fields:
            return ""
        schema = fields[part]
    words: list[str] = []
    for meta in _metas(schema):
        words += [f"above {meta.gt:g}"] if meta.gt is not None else []
        words += [f"at least {meta.ge:g}"] if meta.ge is not None else []
        words += [f"below {meta.lt:g}"] if meta.lt is not None else []
        words += [f"at most {meta.le:g}"] if meta.le is not None else []
        if meta.min_length is not None:
            exact = meta.min_length == meta.max_length
            words.append(f"{meta.min_length} values" if exact else "not empty")
    span, choices = ", ".join(words), " or ".join(_choices(schema))
    return f"{choices}, or {span}" if choices and span else span


def section_of(schema: Any) -> type[msgspec.Struct] | None:
    """The section that a key holds, also an optional one; None for a value or a mapping."""
    if get_origin(schema) is dict:
        return None
    for choice in (schema, *get_args(schema)):
        if isinstance(choice, type) and issubclass(choice, msgspec.Struct):
            return choice
    return None


def _choices(schema: Any) -> list[str]:
    """The words that a key may be besides a number."""
    literals = [inner for inner in get_args(schema) if get_origin(inner) is Literal]
    return [str(word) for literal in literals for word in get_args(literal)]


def _metas(schema: Any) -> list[Meta]:
    found: list[Meta] = []
    if get_origin(schema) is Annotated:
        found += [each for each in schema.__metadata__ if isinstance(each, Meta)]
    for inner in get_args(schema):
        if get_origin(inner) is not None:
            found += _metas(inner)
    return found
