"""One finding about the environment: how bad it is, and in three sentences what to do about it."""

from typing import Literal

import msgspec

Level = Literal["ok", "warning", "error"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`likely` and `do` are empty where all is well."""

    name: str
    level: Level
    what: str
    likely: str = ""
    do: str = ""


def ok(name: str, what: str) -> Finding:
    return Finding(name=name, level="ok", what=what)


def warning(name: str, what: str, likely: str, do: str) -> Finding:
    return Finding(name=name, level="warning", what=what, likely=likely, do=do)


def error(name: str, what: str, likely: str, do: str) -> Finding:
    return Finding(name=name, level="error", what=what, likely=likely, do=do)
