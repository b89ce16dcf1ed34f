"""The dataset tools' command."""

from robotd.commands import CommandSpec

COMMANDS = (CommandSpec("dataset", "list, check, repair, edit and convert", "dataset.command"),)
