"""A change that a crash cut short is finished before anything else is done with a dataset."""

from pathlib import Path


def settled(root: Path) -> Path:
    """`root`, with what a crash left of a change to it finished or rolled back.

    Raises DatasetError when another process writes to it.
    """
    from daemon.recorder.dataset import recover
    from daemon.recorder.transaction import unsettled

    if unsettled(root):
        # The journal of an episode that was being saved is marked by its recorder, which looks.
        recover(root, root / "no-journals")
    return root


def settle_all(home: Path) -> None:
    """The same for every dataset under `home`: one that was between two renames is seen again."""
    from daemon.recorder.transaction import INTENT

    for pattern in (INTENT, f"*/{INTENT}", f"*/*/{INTENT}"):
        for intent in home.glob(pattern):
            settled(intent.parent.parent)
