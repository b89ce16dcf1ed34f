"""What is said to the one who started the daemon: one JSON line, that it is up or why not; before
that, perhaps lines that say what it waits for. Pure."""

from collections.abc import Sequence

import msgspec

from daemon.supervisor.api import as_data
from daemon.supervisor.pending import failure
from robotd.errors import DaemonError, RobotdError


def start_failure(name: str, word: str, last_words: str) -> RobotdError:
    """Why a needed process could not start, in its own words where it has some."""
    lines = [line for line in last_words.splitlines() if line.strip()]
    for number, line in enumerate(lines):
        if line.startswith("  likely: ") and number + 1 < len(lines):
            return DaemonError(
                lines[number - 1],
                line.removeprefix("  likely: "),
                lines[number + 1].removeprefix("  do:").strip(),
            )
    return DaemonError(
        f"The {name} process could not start ({word}).",
        lines[-1] if lines else "It said nothing.",
        f"Look: robotd logs {name}.",
    )


def encode_ready(seconds: float, notes: Sequence[str] = ()) -> bytes:
    """What is said to the one who started us: one JSON line. `notes` are what a rehearsal could not
    carry over from the real robot."""
    said = {"ready": True, "seconds": round(seconds, 2), "notes": list(notes)}
    return msgspec.json.encode(said) + b"\n"


def encode_waiting(what: str, seconds: float) -> bytes:
    """Said before either, when the start has to wait: for what, and how long it may take."""
    return msgspec.json.encode({"waiting": what, "seconds": round(seconds, 1)}) + b"\n"


def encode_failure(error: RobotdError) -> bytes:
    """The other thing that can be said."""
    return msgspec.json.encode({"ready": False, **as_data(failure(0, error))}) + b"\n"
