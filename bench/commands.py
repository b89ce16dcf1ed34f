"""The benchmarks' command."""

from robotd.commands import CommandSpec

COMMANDS = (CommandSpec("bench", "measure robotd here, beside its peers", "bench.command"),)
