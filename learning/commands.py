"""The commands of the top layer."""

from robotd.commands import CommandSpec

COMMANDS = (
    CommandSpec("demo", "the whole product in three minutes, simulated", "learning.demo"),
    CommandSpec("rehearse", "plant or shadow, before a policy moves an arm", "learning.rehearse"),
    CommandSpec("eval", "success of expert or policy over seeds, in lock-step", "learning.command"),
)
