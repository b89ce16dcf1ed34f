"""Why a load, a run, a shadow or a replay is refused or was given up, in three parts. Pure."""

from collections.abc import Sequence

from robotd.errors import DaemonError, StateError
from robotd.messages import PolicyStatus


def in_motion() -> StateError:
    """Another one has the arm."""
    return StateError(
        "A policy or a replay has the arm.",
        "It has not finished, and another one cannot take its place while the arm moves.",
        "Stop it first: robotd hold, or Ctrl-C in its terminal.",
    )


def not_armed() -> StateError:
    """A replay of an arm that nobody holds."""
    return StateError("The arm is not armed.", "A replay moves it.", "Arm it first: robotd arm.")


def no_twin() -> StateError:
    """Nobody would judge the plans."""
    return StateError(
        "The twin does not answer, and plans reach the arm only through it.",
        "It is starting, or it ended.",
        "Look: robotd status; robotd logs twin.",
    )


def no_policy(status: PolicyStatus) -> StateError:
    """Nothing is loaded, or not yet."""
    return StateError(
        "No policy is ready.",
        f"The policy process is: {status.phase} {status.error}".strip() + ".",
        "Load one first: robotd run --policy PATH.",
    )


def superseded(what: str) -> StateError:
    """The newest load or replay wins; this was an earlier one."""
    return StateError(
        f"{what} was given up: another load or replay was asked for after it.",
        "Another terminal or client uses this robot too.",
        "Look at robotd status, agree who has the robot, then try again.",
    )


def deaf() -> DaemonError:
    """The process is there and reads nothing."""
    return DaemonError(
        "The policy process takes no messages.",
        "It hangs: it has not read its line for a long time.",
        "Look: robotd logs policy; then stop and start robotd.",
    )


def silent(seconds: float) -> DaemonError:
    """The process lives and gives no sign while the arm is its."""
    return DaemonError(
        f"The policy process has given no sign for {seconds:.0f} s; it was ended, the arm holds.",
        "It hangs in the middle of a chunk: the GPU's driver, a server that does not answer, or a "
        "machine that is far too busy.",
        "Look: robotd logs policy; nvidia-smi. Then load the policy again.",
    )


def endless(path: str, seconds: float) -> DaemonError:
    """A load that comes to no end."""
    return DaemonError(
        f"{path} was not loaded within {seconds:.0f} s; the policy process was ended.",
        "It hangs: the GPU's driver, a network disk, or a server that says nothing.",
        "Look: robotd logs policy; nvidia-smi. Then load the policy again.",
    )


def ended(name: str, word: str, last_words: Sequence[str]) -> DaemonError:
    """The process is gone."""
    return DaemonError(
        f"The {name} process ended ({word}).",
        last_words[-1] if last_words else "It was killed, or ran out of memory.",
        f"Look: robotd logs {name}; then start it again.",
    )
