"""SIGKILL of a recorder that keeps, publishes and records on: what was saved is whole."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.recorder import catalog, dataset
from daemon.recorder.info import load_info
from daemon.recorder.session import Session
from daemon.recorder.transaction import Commit, read_commits, standing

from .episodes import make_spec

ROWS = 25

RECORDER = """
import importlib.util, sys, time
from pathlib import Path

path, root, journals, rows = sys.argv[1:]
found = importlib.util.spec_from_file_location("episodes", path)
episodes = importlib.util.module_from_spec(found)
found.loader.exec_module(episodes)
from daemon.recorder.lane import ThreadLane
from daemon.recorder.schema import machine_stamp
from daemon.recorder.session import Session
from daemon.recorder.warmup import warm_up

lanes = []


def open_lane(writer):
    lanes.append(ThreadLane(writer))
    return lanes[-1]


session = Session(Path(journals), open_lane=open_lane)
session.recover()
warm_up(machine_stamp())
spec = episodes.make_spec(Path(root))
print("ready", flush=True)
first = 0
while True:
    session.start(spec)
    for number in range(first, first + int(rows)):
        session.append(episodes.make_row(spec, number), episodes.make_frames(spec, number))
        session.flush()
        while any(lane.waiting for lane in lanes):  # a busy machine encodes late
            time.sleep(0.001)
        print("row", flush=True)
    session.keep()
    lanes.clear()
    print("kept", flush=True)
    session.publish_pending()
    print("saved", flush=True)
    first = (first + 25) % 2000
"""


def killed_recorder(root: Path, journals: Path, delay_s: float) -> list[str]:
    """Run the recorder, SIGKILL it `delay_s` after it is ready; what it had said."""
    episodes = Path(__file__).with_name("episodes.py")
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDER, str(episodes), str(root), str(journals), str(ROWS)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay_s)
    finally:
        process.send_signal(signal.SIGKILL)
        said = process.stdout.read().split()
        process.wait()
    return said


def killed_often(tmp_path: Path, kills: int, seed: int) -> None:
    root, journals = tmp_path / "dataset", tmp_path / "journals"
    rng = np.random.default_rng(seed)
    saved = 0
    kept: dict[str, Commit] = {}
    for _ in range(kills):
        said = killed_recorder(root, journals, float(rng.uniform(0.0, 1.2)))
        saved += said.count("saved")
        session = Session(journals)
        recovered = session.recover()
        assert recovered.unreadable == ()
        rows_said = said[::-1].index("saved") if "saved" in said else len(said)
        for manifest in recovered.offered:
            # Every row was flushed and its picture encoded before it was announced; the video of
            # the last fragment (0.2 s, one frame more) may not be in the file yet.
            assert manifest.rows >= min(rows_said, ROWS) - 5
            session.decide(manifest.journal_id, keep=True)
        results = session.publish_pending()
        assert [each.error for each in results] == [None] * len(results)
        session.close()
        kept = standing(read_commits(root)) if root.exists() else {}
        assert len(kept) >= saved
        if kept:
            info = catalog.read_info(root)
            assert info.episodes == len(kept)
            assert sum(info.lengths) == info.frames
    assert kept  # said to be saved, offered afterwards, or killed while it was being published


def test_no_saved_episode_is_lost_to_sigkill(
    tmp_path: Path, open_dataset: Callable[[Path], Any]
) -> None:
    killed_often(tmp_path, kills=3, seed=1)
    root = tmp_path / "dataset"
    loaded = open_dataset(root)
    info = load_info(root)
    assert info is not None
    assert len(loaded) == info["total_frames"]
    assert loaded[len(loaded) - 1]["observation.images.wrist"].shape == (3, 96, 128)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_saved_episode_is_lost_to_thirty_sigkills(
    tmp_path: Path, open_dataset: Callable[[Path], Any]
) -> None:
    """Fifteen on each of two datasets, side by side: a recorder alone leaves a core idle."""
    places = tmp_path / "one", tmp_path / "two"
    with ThreadPoolExecutor(len(places)) as pool:
        list(pool.map(killed_often, places, (15, 15), (2, 3)))
    for place in places:
        loaded = open_dataset(place / "dataset")
        for index in range(0, len(loaded), 37):
            assert loaded[index]["index"].item() == index
        dataset.check_dataset(place / "dataset", make_spec(place / "dataset"))
