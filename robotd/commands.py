"""How a room offers a command: a line of data, so that naming commands imports nothing.

Each room has a `commands.py` with a tuple `COMMANDS`. The module that a command names has
`configure(parser)` and `run(args) -> int`, and is imported only when that command is called.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One command. `module` is imported when it is called."""

    name: str
    summary: str
    module: str


def add_verbs(
    parser: argparse.ArgumentParser, verbs: Mapping[str, tuple[str, str]], metavar: str = "VERB"
) -> None:
    """Give a command verbs: name -> (summary, module). A verb's module is one like a command's, and
    its docstring is what the verb's --help says."""
    known = parser.add_subparsers(dest="verb", required=True, metavar=metavar)
    for name, (summary, module) in verbs.items():
        room = import_module(module)
        verb = known.add_parser(
            name,
            help=summary,
            description=room.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.set_defaults(verb_module=module)
        room.configure(verb)


def run_verb(args: argparse.Namespace) -> int:
    """Run the verb that was given. Returns the exit status."""
    return int(import_module(args.verb_module).run(args))
