"""The commands of the policies' room."""

from robotd.commands import CommandSpec

COMMANDS: tuple[CommandSpec, ...] = ()
