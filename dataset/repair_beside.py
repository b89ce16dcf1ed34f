"""robotd's folder in a mended copy: what belongs to an episode stays with it under its new number.

The record of commits, and what is kept for undoing them, is of the original and stays there.
"""

import json
from pathlib import Path

import pyarrow.parquet as pq

from daemon.recorder.staging import episode_folder
from daemon.recorder.transaction import SIDECAR, remove_tree
from dataset.check_contents import DAMAGED
from dataset.repair_plan import Plan

_BESIDE = f"{SIDECAR}/episodes"


def move_sidecar(root: Path, plan: Plan) -> bool:
    """Put the folders of saved episodes under their new numbers, and remove all others; whether
    any was kept."""
    if not (root / SIDECAR).is_dir():
        return False
    old = root / SIDECAR
    aside = root / f".{SIDECAR}"
    old.rename(aside)
    kept = False
    for number, each in enumerate(plan.saved):
        source = aside / Path(episode_folder(each.episode)).relative_to(SIDECAR)
        target = root / episode_folder(number)
        if _belongs(source, each.episode, each.length):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
            remove_tree(target / "before")
            _renumber(target / "episode.json", number)
            kept = True
    remove_tree(aside)
    return kept


def _belongs(folder: Path, episode: int, rows: int) -> bool:
    """Whether evidence and label are whole and of that episode."""
    try:
        about = json.loads((folder / "episode.json").read_bytes())
        evidence = folder / "evidence.parquet"
        counted = pq.read_metadata(evidence).num_rows if evidence.exists() else rows
        return (about["rows"], about["episode_index"], counted) == (rows, episode, rows)
    except DAMAGED:
        return False


def _renumber(path: Path, number: int) -> None:
    about = json.loads(path.read_bytes())
    if about["episode_index"] != number:
        about["episode_index"] = number
        path.unlink()
        path.write_text(json.dumps(about, indent=2, ensure_ascii=False))
