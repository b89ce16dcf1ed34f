"""What was said of an episode, changed after it was saved: in its sidecar, under the dataset's lock.

LeRobot's own files are not touched, so a label never changes what a policy is shown. It is a change
of the dataset like any other: it stands in the commit records, and `robotd dataset undo` takes it
back in its turn.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from daemon.recorder import swap
from daemon.recorder.catalog import read_episode_about
from daemon.recorder.durable import make_folder, sync_file, sync_folder
from daemon.recorder.schema import Manifest
from daemon.recorder.sidecar import PAGE
from daemon.recorder.staging import episode_folder
from daemon.recorder.transaction import STAGING, locked, read_commits, standing
from robotd.errors import StateError

_VERB = "relabel"

type Change = Callable[[Manifest], Manifest]
type WallClock = Callable[[], int]


def relabel_journal(root: Path, journal_id: str, change: Change, wall_ns: WallClock) -> Manifest:
    """Replace the sidecar's page of the episode that was recorded as `journal_id`, whichever number
    it has, by `change` of it, atomically; returns the new one.

    Raises StateError when it is not in the dataset, or nothing is known of it beside its frames,
    DatasetError when another process writes to the dataset; nothing is changed then.
    """
    with locked(root):
        swap.settle(root)
        commit = standing(read_commits(root)).get(journal_id)
        if commit is None:
            raise StateError(
                f"Episode {journal_id} is not in {root}.",
                "It was taken out again.",
                "Nothing was changed.",
            )
        before = read_episode_about(root, commit.episode_index)
        if before is None or before.journal_id != journal_id:
            raise StateError(
                f"Episode {journal_id} has another number in {root} than when it was saved.",
                "The dataset was edited since.",
                "Say which it is now: robotd dataset relabel.",
            )
        after = change(before)
        if after != before:
            _bring_in(root, before, after, commit.episode_index, wall_ns())
        return after


def _bring_in(root: Path, before: Manifest, after: Manifest, index: int, wall_ns: int) -> None:
    page = f"{episode_folder(index)}/{PAGE}"
    folder = root / STAGING / swap.new_id(wall_ns, _VERB)
    make_folder((folder / page).parent)
    (folder / page).write_bytes(msgspec.json.format(msgspec.json.encode(after), indent=2))
    swap.note_before(root, folder, (page,))
    for path in folder.rglob("*"):
        sync_folder(path) if path.is_dir() else sync_file(path)
    result = swap.Result(
        folder=folder,
        parts=(page,),
        files={},
        places={},
        episodes={},
        label_of=after.journal_id,
    )
    swap.bring_in(root, result, _VERB, f"{index}: {_words(before, after)}", wall_ns)


def _words(before: Manifest, after: Manifest) -> str:
    """What is said anew, as `robotd dataset relabel` says it."""
    old, new = msgspec.structs.asdict(before.label), msgspec.structs.asdict(after.label)
    says = {name: value for name, value in new.items() if value != old[name] and name != "source"}
    if before.marks != after.marks:
        says["marks"] = len(after.marks)
    return ", ".join(f"{name} {value!r}" for name, value in says.items()) or "by a person"
