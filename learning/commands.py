"""The commands of the top layer."""

from robotd.commands import CommandSpec

COMMANDS = (
    CommandSpec("demo", "the whole product in three minutes, simulated", "learning.demo"),
    CommandSpec("train", "LeRobot's trainer, prepared and watched", "learning.training.command"),
    CommandSpec("rehearse", "plant or shadow, before a policy moves an arm", "learning.rehearse"),
    CommandSpec(
        "collect", "scripted demonstrations of a task, without waiting", "learning.collect_command"
    ),
    CommandSpec(
        "eval", "success over many seeds: plant, arm or gym; sweeps", "learning.evaluation.command"
    ),
    CommandSpec("whiskers", "what a policy is about to do, drawn", "learning.whiskers.command"),
    CommandSpec("probe", "does a checkpoint do what people did, and if not, why", "learning.probe"),
)
