"""`robotd COMMAND …`: find the command, import its module, turn errors into three sentences.

Start-up is kept to milliseconds: nothing but the rooms' lists of commands is imported before the
one that was asked for.
"""

import argparse
import contextlib
import json
import os
import platform
import signal
import sys
import threading
from importlib import import_module

from robotd import __version__
from robotd.commands import CommandSpec
from robotd.errors import RobotdError

ROOMS = ("daemon", "policies", "dataset", "uploads", "tui", "sim", "learning", "bench")


def commands() -> dict[str, CommandSpec]:
    """Every command of every room, in the order they are listed."""
    found: dict[str, CommandSpec] = {}
    for room in ROOMS:
        for spec in import_module(f"{room}.commands").COMMANDS:
            found[spec.name] = spec
    return found


def main(argv: list[str] | None = None) -> int:
    """The program. Returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if _unsupported_platform():
        return 1
    known = commands()
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage(known))
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"robotd {__version__}")
        return 0
    spec = known.get(arguments[0])
    if spec is None:
        print(_unknown(arguments[0], known), file=sys.stderr)
        return 2
    module = import_module(spec.module)
    parser = argparse.ArgumentParser(prog=f"robotd {spec.name}", description=module.__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    module.configure(parser)
    args = parser.parse_args(arguments[1:])
    ended = _Ended()
    ended.listen()
    try:
        return int(module.run(args))
    except RobotdError as error:
        return _report(error, getattr(args, "json", False))
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print("interrupted", file=sys.stderr)
        return 128 + ended.number
    except BrokenPipeError:
        # `robotd logs | head`: the reader has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class _Ended:
    """A hang-up (SSH dropped) and SIGTERM end a command the way Ctrl-C does: what it gave the arm
    to is taken off it first. Only the first one counts, so that the clean-up is not cut short."""

    def __init__(self) -> None:
        self.number: int = signal.SIGINT

    def listen(self) -> None:
        """Hear both, but not a hang-up that nohup has switched off. Only for the program itself:
        elsewhere the signals are somebody else's."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._end)

    def _end(self, number: int, _frame: object) -> None:
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        self.number = number
        raise KeyboardInterrupt


def add_name(parser: argparse.ArgumentParser) -> None:
    """The option that says which robot is meant."""
    parser.add_argument("--name", help="which robot, when several run (or $ROBOTD_NAME)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option for programs."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """The option that gives the one consent beforehand."""
    parser.add_argument("--yes", action="store_true", help="arm without asking")


def _report(error: RobotdError, as_json: bool) -> int:
    if as_json:
        kind = type(error).__name__
        body = {"error": kind, "what": error.what, "likely": error.likely, "do": error.do}
        print(json.dumps(body))
    print(error, file=sys.stderr)
    return error.exit_code


def _usage(known: dict[str, CommandSpec]) -> str:
    lines = [
        "robotd runs an SO-101 arm: control loop, cameras, recording, policies and a twin.",
        "",
        "usage: robotd COMMAND [options]   (robotd COMMAND --help tells more)",
        "",
    ]
    lines += [f"  {spec.name:10} {spec.summary}" for spec in known.values()]
    lines += ["", "First time: robotd demo. First arm: docs/hardware.md."]
    return "\n".join(lines)


def _unknown(name: str, known: dict[str, CommandSpec]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"robotd has no command {name!r}.{hint} robotd --help lists them."


def _unsupported_platform() -> bool:
    if platform.system() in ("Linux", "Darwin"):
        return False
    words = "robotd runs on Linux, on macOS (simulation only) and on Windows inside WSL2."
    print(words, file=sys.stderr)
    return True


if __name__ == "__main__":
    sys.exit(main())
