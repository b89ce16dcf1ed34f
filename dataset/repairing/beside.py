"""robotd's folder in a mended copy: what belongs to an episode stays with it under its new number.

The record of commits, and what is kept for undoing them, is of the original and stays there.
"""

import json
from pathlib import Path

import pyarrow.parquet as pq

from daemon.recorder.staging import BEFORE, episode_folder
from daemon.recorder.transaction import SIDECAR, remove_tree
from dataset.checking.contents import DAMAGED
from dataset.repairing.plan import Plan

_BESIDE = f"{SIDECAR}/episodes"
_OF_THE_ORIGINAL = {"commits.jsonl", "intent.json"}


def move_sidecar(root: Path, plan: Plan) -> bool:
    """Put the folders of saved episodes under their new numbers, and remove those of others and all
    that changes of the original need; whether an episode's was kept."""
    if not (root / SIDECAR).is_dir():
        return False
    for each in sorted((root / SIDECAR).iterdir()):
        if each.is_dir() and each.name != Path(_BESIDE).name:
            remove_tree(each)
        elif each.name in _OF_THE_ORIGINAL or each.name.endswith("lock"):
            each.unlink()
    old = root / _BESIDE
    if not old.is_dir():
        return False
    aside = old.with_name(".episodes")
    old.rename(aside)
    kept = False
    for number, each_saved in enumerate(plan.saved):
        source = aside / Path(episode_folder(each_saved.episode)).name
        target = root / episode_folder(number)
        if _belongs(source, each_saved.episode, each_saved.length):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
            remove_tree(target / BEFORE)
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
