"""What a person should hear of while recording goes on: the disk, and the encoder. Pure.

The sentences do not change from one moment to the next, so that whoever shows them says each once.
"""

from config.schema import Recording
from daemon.recorder.encoders import Choice

BEHIND_S = 1.0
"""An encoder so far behind the rows is told of: it will repeat pictures if it falls back further."""


def cautions(
    wanted: Recording, choice: Choice, disk_low: bool, behind_s: float, lagged: int
) -> tuple[str, ...]:
    """The sentences for this moment; none where all is well."""
    said: list[str] = []
    if disk_low:
        said.append(
            f"The disk has room for less than {wanted.warn_left_min:g} min of recording: free some "
            "space (df -h)."
        )
    name = choice.encoder.name
    if wanted.encoder not in ("auto", choice.encoder.word):
        said.append(f"recording.encoder is {wanted.encoder}, but {name} encodes ({choice.note}).")
    if lagged:
        said.append(
            f"{name} was too slow for this machine: pictures of the newest episode are the ones before "
            "them again, and flagged. End what else runs, or set smaller pictures or a lower fps."
        )
    elif behind_s >= BEHIND_S:
        said.append(f"{name} is behind: pictures wait for it.")
    return tuple(said)
