"""What was said of an episode, changed after it was saved: in its sidecar, under the dataset's lock.

LeRobot's own files are not touched, so a label never changes what a policy is shown.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from daemon.recorder.catalog import read_episode_about
from daemon.recorder.durable import write_atomic
from daemon.recorder.schema import Manifest
from daemon.recorder.staging import episode_folder
from daemon.recorder.transaction import locked, read_commits, standing
from robotd.errors import StateError

type Change = Callable[[Manifest], Manifest]


def relabel_episode(root: Path, episode_index: int, change: Change) -> Manifest:
    """Replace the sidecar's page of one episode by `change` of it, atomically; returns the new one.

    Raises StateError when robotd did not record that episode, DatasetError when another process
    writes to the dataset.
    """
    with locked(root):
        return _relabel(root, episode_index, change)


def relabel_journal(root: Path, journal_id: str, change: Change) -> Manifest:
    """The same for the episode that was recorded as `journal_id`, whichever number it has."""
    with locked(root):
        commit = standing(read_commits(root)).get(journal_id)
        if commit is None:
            raise StateError(
                f"Episode {journal_id} is not in {root}.",
                "It was taken out again.",
                "Nothing was changed.",
            )
        about = read_episode_about(root, commit.episode_index)
        if about is None or about.journal_id != journal_id:
            raise StateError(
                f"Episode {journal_id} has another number in {root} than when it was saved.",
                "The dataset was edited since.",
                "Say which it is now: robotd dataset relabel.",
            )
        return _relabel(root, commit.episode_index, change)


def _relabel(root: Path, episode_index: int, change: Change) -> Manifest:
    about = read_episode_about(root, episode_index)
    if about is None:
        raise StateError(
            f"Nothing is known of episode {episode_index} of {root} beside its frames.",
            "robotd did not record it, or its robotd folder was removed.",
            "Label episodes of another dataset: robotd dataset list.",
        )
    after = change(about)
    page = msgspec.json.format(msgspec.json.encode(after), indent=2)
    write_atomic(root / episode_folder(episode_index) / "episode.json", page)
    return after
