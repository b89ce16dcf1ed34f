"""A change that a crash cut short is finished before anything else is done with a dataset."""

from pathlib import Path


def settled(root: Path) -> Path:
    """`root`, with what a crash left of a change to it finished or rolled back.

    Raises DatasetError when another process writes to it.
    """
    from daemon.recorder.swap import settle
    from daemon.recorder.transaction import locked, unsettled

    if unsettled(root):
        with locked(root):
            settle(root)  # the journal of an episode is marked by its recorder, which looks
    return root


def settle_all(home: Path) -> None:
    """The same for every dataset under `home`: one that was between two renames is seen again."""
    from daemon.recorder.transaction import INTENT

    for pattern in (INTENT, f"*/{INTENT}", f"*/*/{INTENT}"):
        for intent in home.glob(pattern):
            settled(intent.parent.parent)
