"""The commands of uploads."""

from robotd.commands import CommandSpec

COMMANDS: tuple[CommandSpec, ...] = ()
