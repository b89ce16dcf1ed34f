"""How a room offers a command: a line of data, so that naming commands imports nothing.

Each room has a `commands.py` with a tuple `COMMANDS`. The module that a command names has
`configure(parser)` and `run(args) -> int`, and is imported only when that command is called.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One command. `module` is imported when it is called."""

    name: str
    summary: str
    module: str
