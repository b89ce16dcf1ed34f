"""The commands of uploads."""

from robotd.commands import CommandSpec

COMMANDS = (
    CommandSpec("upload", "datasets to the hub: queued, resumed, verified", "uploads.cli.upload"),
)
