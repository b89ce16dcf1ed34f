"""The daemon's commands."""

from robotd.commands import CommandSpec

COMMANDS = (
    CommandSpec("start", "start the daemon; returns when it is ready", "daemon.cli.start"),
    CommandSpec("stop", "park, let the arm down and end the daemon", "daemon.cli.stop"),
    CommandSpec("status", "what the robot is doing, and where things are", "daemon.cli.status"),
    CommandSpec("health", "is the robot well, and what to do if not", "daemon.cli.health"),
    CommandSpec("arm", "run the arming list and take the arm", "daemon.cli.arm"),
    CommandSpec("disarm", "park and let the arm down slowly", "daemon.cli.disarm"),
    CommandSpec("estop", "software stop; the plug is the emergency stop", "daemon.cli.estop"),
    CommandSpec("clear", "clear a latched fault or e-stop", "daemon.cli.clear"),
    CommandSpec("hold", "end whatever moves the arm, and hold", "daemon.cli.hold"),
    CommandSpec("home", "move to the home pose", "daemon.cli.home"),
    CommandSpec("teleop", "move the arm: leader, keyboard or scripted", "daemon.cli.teleop"),
    CommandSpec("record", "record episodes into a LeRobot dataset", "daemon.cli.record"),
    CommandSpec("run", "let a policy move the arm", "daemon.cli.run"),
    CommandSpec("replay", "play a recorded episode through the twin", "daemon.cli.replay"),
    CommandSpec("blackbox", "the story of a fault: its last minute", "daemon.cli.blackbox"),
    CommandSpec("doctor", "look closely at servos or environment", "daemon.cli.doctor"),
    CommandSpec(
        "selftest", "an arm's first day: try what is believed of it", "daemon.cli.selftest"
    ),
    CommandSpec("guard", "bring the arm down when control hangs (for systemd)", "daemon.cli.guard"),
    CommandSpec("logs", "what the processes wrote", "daemon.cli.logs"),
)
