"""The simulation's commands."""

from robotd.commands import CommandSpec

COMMANDS = (
    CommandSpec("layout", "lay the block out anew (simulated arm)", "sim.layout"),
    CommandSpec("sim", "make something go wrong on the simulated arm", "sim.fault_command"),
    CommandSpec("view", "see arm, cameras and twin; --mp4 FILE keeps it", "sim.view.command"),
)
