"""After a crash: recover as a new start does, then look at everything with LeRobot's own loader.

Nothing here trusts the recorder's word for what a dataset holds: rows, tasks and pictures are read
through an unmodified `LeRobotDataset` and compared with what was recorded.
"""

import contextlib
import importlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq

from bench.crashing import world as crash_world
from bench.crashing.ledger import Found
from bench.crashing.life import said, world_parts
from daemon.recorder.disk import DiskLimits
from daemon.recorder.info import INFO, load_info
from daemon.recorder.session import Session
from daemon.recorder.staging import episode_folder
from daemon.recorder.syncing import InlineSyncer
from daemon.recorder.transaction import STAGING, read_commits, read_intent, standing
from robotd.errors import RobotdError

_KEYS = ("observation.images.overhead", "observation.images.wrist")
_DECODED = 3  # episodes whose first and last frame are decoded on every look, the newest first

type Firsts = dict[str, int]
"""Number of the first row, by journal id."""


class Reader:
    """LeRobot's loader, imported once. `loads` counts how often it opened a dataset."""

    def __init__(self, cache: Path) -> None:
        hub_datasets = importlib.import_module("datasets")
        hub_datasets.config.HF_DATASETS_CACHE = cache
        hub_datasets.disable_progress_bars()
        module = importlib.import_module("lerobot.datasets.lerobot_dataset")
        self._open: Callable[..., Any] = module.LeRobotDataset
        self._cache = cache
        self.loads = 0

    def load(self, root: Path) -> Any:
        """The dataset at `root`, opened as anybody would."""
        shutil.rmtree(self._cache, ignore_errors=True)
        loaded = self._open("local/crash", root=root, video_backend="pyav")
        self.loads += 1
        return loaded


def heard(world: Path) -> list[list[Any]]:
    """What a life said; its last line is not whole where it was killed while it said it."""
    found = []
    for line in said(world).read_text().splitlines() if said(world).exists() else []:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def recovered(world: Path) -> tuple[Session, Found, list[str]]:
    """Start as the recorder does and publish what waits.

    Returns the session, still open, what is there now, and what went wrong.
    """
    root, journals = world_parts(world)
    session = Session(
        journals,
        limits=DiskLimits(refuse_below_bytes=0, stop_below_bytes=0),
        syncer=InlineSyncer(),
    )
    start = session.recover()
    wrong = [f"after a new start: {what}" for what in start.unreadable]
    found, more = published(session, world)
    try:
        session.check(crash_world.spec_of(root))
    except RobotdError as error:
        more.append(f"the next episode is refused: {error}")
    return session, found, wrong + more


def published(session: Session, world: Path) -> tuple[Found, list[str]]:
    """Publish what waits; what is there then, and what went wrong."""
    root, _ = world_parts(world)
    wrong = [
        f"{result.journal_id} cannot be published: {result.error}"
        for result in session.publish_pending()
        if result.error is not None
    ]
    found = Found({}, {each.journal_id: each.rows for each in session.offered()})
    if root.exists():
        found.saved = {name: each.rows for name, each in standing(read_commits(root)).items()}
        if (root / STAGING).exists() and any((root / STAGING).iterdir()):
            wrong.append("something is left in the staging folder")
        if read_intent(root) is not None:
            wrong.append("an intent is left")
    return found, wrong


def look(reader: Reader, root: Path, firsts: Firsts, rng: np.random.Generator) -> list[str]:
    """What is wrong with the dataset at `root`, whose episodes are those of its commit records."""
    kept = list(standing(read_commits(root)).values()) if root.exists() else []
    info = load_info(root)
    if not kept:
        return (
            [f"{INFO} counts episodes, and none is saved"]
            if info and info["total_episodes"]
            else []
        )
    try:
        loaded = reader.load(root)
    except Exception as error:  # noqa: BLE001  whatever it is, it is the finding
        return [f"LeRobot does not load it: {type(error).__name__}: {error}"]
    wrong = _rows(loaded, [(firsts.get(each.journal_id, -1), each.rows) for each in kept])
    if wrong:
        return wrong
    newest = list(range(len(kept)))[-1:]
    others = [int(each) for each in rng.permutation(len(kept))[: _DECODED - 1]]
    for index in dict.fromkeys([*newest, *others]):
        wrong += _pictures(loaded, index, firsts[kept[index].journal_id], kept[index].rows)
    for index, commit in enumerate(kept):
        evidence = root / episode_folder(index) / "evidence.parquet"
        ticks = pq.read_table(evidence, columns=["tick_index"])["tick_index"].to_pylist()
        first = firsts[commit.journal_id]
        if ticks != list(range(first, first + commit.rows)):
            wrong.append(f"episode {index}: its evidence is another's, or of {len(ticks)} rows")
    return wrong


def look_before(reader: Reader, root: Path, firsts: Firsts, always: bool) -> list[str]:
    """What is wrong with the dataset *before* anything recovers it, while a change to it is half
    done (or `always`): LeRobot has to open it, and what is not being changed has to be there."""
    intent = read_intent(root) if root.exists() else None
    info = load_info(root)
    if info is None or not info["total_episodes"] or (intent is None and not always):
        return []
    changing = intent.commit.journal_id if intent is not None else ""
    commits = standing(read_commits(root)).values()
    kept = [each for each in commits if each.journal_id != changing]
    if not kept:
        return []
    try:
        loaded = reader.load(root)
        table = loaded.hf_dataset.with_format("numpy")[: sum(each.rows for each in kept)]
    except Exception as error:  # noqa: BLE001  whatever it is, it is the finding
        return [f"LeRobot does not load it while half changed: {type(error).__name__}: {error}"]
    return _values(table, [(firsts.get(each.journal_id, -1), each.rows) for each in kept])


def _rows(loaded: Any, episodes: list[tuple[int, int]]) -> list[str]:
    """Every row's values, numbering and task; frames against rows; the counts beside them."""
    total = sum(rows for _, rows in episodes)
    meta = loaded.meta
    counts = {
        "rows": (len(loaded), total),
        "episodes": (loaded.num_episodes, len(episodes)),
        "rows in info.json": (meta.total_frames, total),
        "listed episodes": (len(meta.episodes), len(episodes)),
        "rows in the statistics": (int(meta.stats["action"]["count"][0]), total),
        "lengths": (list(meta.episodes["length"]), [rows for _, rows in episodes]),
    }
    wrong = [f"{name}: {got}, not {want}" for name, (got, want) in counts.items() if got != want]
    if wrong:
        return wrong
    table = loaded.hf_dataset.with_format("numpy")[:]
    wrong = _values(table, episodes)
    tasks = {int(number): str(task) for task, number in meta.tasks["task_index"].items()}
    films: Counter[Path] = Counter()
    at = 0
    for index, (first, rows) in enumerate(episodes):
        said = {tasks.get(int(number)) for number in table["task_index"][at : at + rows]}
        if said != {crash_world.task_of(first)}:
            wrong.append(f"episode {index} has the tasks {said}")
        for key in _KEYS:
            films[meta.get_video_file_path(index, key)] += rows
        at += rows
    for path, rows in films.items():  # of several episodes, where they were compacted
        frames = frames_in(Path(loaded.root) / path)
        if frames != rows:
            wrong.append(f"{path}: {rows} rows and {frames} frames")
    return wrong


def _values(table: dict[str, Any], episodes: list[tuple[int, int]]) -> list[str]:
    wrong, at = [], 0
    for index, (first, rows) in enumerate(episodes):
        part = slice(at, at + rows)
        numbers = range(first, first + rows)
        expected = {
            "action": np.stack([crash_world.action_of(number) for number in numbers]),
            "observation.state": np.stack([crash_world.state_of(number) for number in numbers]),
            "frame_index": np.arange(rows),
            "index": np.arange(at, at + rows),
            "episode_index": np.full(rows, index),
        }
        wrong += [
            f"episode {index}: {name} is not what was recorded"
            for name, values in expected.items()
            if not np.array_equal(np.asarray(table[name][part]), values)
        ]
        at += rows
    return wrong


def frames_in(path: Path) -> int:
    """The number of coded frames in a video, counted by PyAV."""
    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size > 0)


def _pictures(loaded: Any, index: int, first: int, rows: int) -> list[str]:
    begin = int(loaded.meta.episodes["dataset_from_index"][index])
    wrong = []
    for row in {0, rows - 1}:
        item = loaded[begin + row]
        for key in _KEYS:
            image = item[key].numpy().transpose(1, 2, 0)
            shown = crash_world.number_in(key.rpartition(".")[2], image)
            if shown != first + row:
                wrong.append(f"episode {index}, row {row}: {key} shows {shown}, not {first + row}")
    return wrong
