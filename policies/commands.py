"""The commands of the policies' room."""

from robotd.commands import CommandSpec

COMMANDS: tuple[CommandSpec, ...] = (
    CommandSpec("ckpt", "checkpoints: look at, check, mend, convert", "policies.ckpt_command"),
    CommandSpec(
        "serve-policy",
        "serve a policy to other machines, as openpi does",
        "policies.server.command",
    ),
)
