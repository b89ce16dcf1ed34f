"""What puts a missing package into this installation, as one line to type.

robotd is installed in one of three ways, and each needs another line: `uv tool install` makes an
environment of its own (uv writes `uv-receipt.toml` into it), a clone has one that `uv sync` keeps,
and anything else is an environment that somebody made. A remedy for the wrong one changes an
environment that nobody runs. Where robotd came from is read from `direct_url.json` (PEP 610).
"""

import json
import shlex
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_COMMANDS_OF_POLICY = "lerobot"
"""The full set puts LeRobot's own commands on the path (README, *Your own arm*)."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Where this robotd lives and what it was made from."""

    prefix: Path
    direct_url: Mapping[str, Any] = field(default_factory=dict)
    """PEP 610; empty where robotd came from a package index."""
    receipt: Mapping[str, Any] = field(default_factory=dict)
    """The `[tool]` of uv's receipt; empty where this is no uv tool."""
    light: bool = False
    """A clone without the development group, which `uv sync` would bring as well."""

    @property
    def folder(self) -> Path | None:
        """The folder that robotd was installed from."""
        url = urlsplit(str(self.direct_url.get("url", "")))
        there = url.scheme == "file" and "dir_info" in self.direct_url
        return Path(unquote(url.path)) if there else None

    @property
    def clone(self) -> Path | None:
        """The clone whose own environment this is."""
        folder = self.folder
        editable = bool(self.direct_url.get("dir_info", {}).get("editable"))
        ours = folder is not None and editable and self.prefix.is_relative_to(folder)
        return folder if ours else None

    def requirement(self, extras: tuple[str, ...]) -> str:
        """Robotd from where it came, with these extras."""
        named = f"[{','.join(extras)}]" if extras else ""
        if self.folder is not None:
            return f"{self.folder}{named}"
        url = self.direct_url.get("url", "")
        version_control = self.direct_url.get("vcs_info")
        if version_control:
            revision = version_control.get("requested_revision")
            url = f"{version_control['vcs']}+{url}" + (f"@{revision}" if revision else "")
        return f"robotd{named} @ {url}" if url else f"robotd{named}"


def here() -> Installation:
    """The installation that runs. A damaged note of an installer reads as none: this is asked for
    while another error is being told."""
    prefix = Path(sys.prefix)
    try:
        found = json.loads(Distribution.from_name("robotd").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, json.JSONDecodeError):
        found = {}
    try:
        receipt = tomllib.loads((prefix / "uv-receipt.toml").read_text()).get("tool", {})
    except (OSError, tomllib.TOMLDecodeError):
        receipt = {}
    return Installation(prefix, found, receipt, light=not _is_there("pytest"))


def install_again(*extras: str, reinstall: str = "", where: Installation | None = None) -> str:
    """The line that brings these extras and keeps those that are there; with none, the one that
    puts everything back to the versions that robotd asks for. `reinstall`: a package whose files
    are damaged."""
    at = where or here()
    again = ("--reinstall-package", reinstall) if reinstall else ()
    if at.receipt:
        return _tool(at, extras, again)
    if at.clone is not None:
        light = ("--no-default-groups",) if at.light else ()
        wanted = (word for extra in extras for word in ("--extra", extra))
        words = ("uv", "sync", "--project", str(at.clone), "--inexact", *light, *wanted, *again)
        return shlex.join(words)
    return uv_pip("install", *again, at.requirement(extras), where=at)


def uv_pip(verb: str, *words: str, where: Installation | None = None) -> str:
    """The line that changes single packages of this environment, whatever made it."""
    at = where or here()
    return shlex.join(("uv", "pip", verb, "--python", str(at.prefix), *words))


def _tool(at: Installation, extras: tuple[str, ...], again: tuple[str, ...]) -> str:
    """`uv tool install --force` writes the environment anew from what this line says: what the
    receipt names beside the new extras has to be in it."""
    own: tuple[str, ...] = ()
    beside: list[str] = []
    for each in at.receipt.get("requirements", ()):
        if each.get("name") == "robotd":
            own = tuple(each.get("extras", ()))
        else:
            beside.append(each["name"])
    wanted = tuple(dict.fromkeys((*own, *extras)))
    with_commands = {each.get("from") for each in at.receipt.get("entrypoints", ())}
    if "policy" in wanted:
        with_commands.add(_COMMANDS_OF_POLICY)
        beside = list(dict.fromkeys((*beside, _COMMANDS_OF_POLICY)))
    options: list[str] = []
    if at.receipt.get("python"):
        options += ["--python", str(at.receipt["python"])]
    for name in beside:
        options += ["--with-executables-from" if name in with_commands else "--with", name]
    words = ("uv", "tool", "install", "--force", *options, *again, at.requirement(wanted))
    return shlex.join(words)


def _is_there(package: str) -> bool:
    try:
        Distribution.from_name(package)
    except PackageNotFoundError:
        return False
    return True
