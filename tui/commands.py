"""The face's command."""

from robotd.commands import CommandSpec

COMMANDS = (CommandSpec("tui", "the record screen, in this terminal", "tui.command"),)
