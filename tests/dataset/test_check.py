"""Every way in which people's datasets break is found and named, and what is whole is called clean."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset.check import examine
from dataset.repair import mend

pytestmark = pytest.mark.timeout(600)  # LeRobot alone takes 10 s to be imported

DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
OVERHEAD = "observation.images.overhead"
VIDEO = f"videos/{OVERHEAD}/chunk-000/file-000.mp4"

type Break = Callable[[Path], None]


def info(**changes: Any) -> Break:
    return lambda root: edit_json(root / "meta/info.json", lambda it: it.update(changes))


def feature(name: str, **changes: Any) -> Break:
    def change(it: dict[str, Any]) -> None:
        it["features"][name].update(changes)

    return lambda root: edit_json(root / "meta/info.json", change)


def declared(name: str, **changes: Any) -> Break:
    def change(it: dict[str, Any]) -> None:
        it["features"][name]["info"].update({f"video.{k}": v for k, v in changes.items()})

    return lambda root: edit_json(root / "meta/info.json", change)


def stats(name: str, change: Callable[[dict[str, Any]], Any]) -> Break:
    return lambda root: edit_json(root / "meta/stats.json", lambda it: change(it[name]))


def edit_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))


def cells(name: str, change: Callable[[Any], Any], file: str = DATA) -> Break:
    """Change a column, a numpy array [n] or [n, d]."""

    def apply(root: Path) -> None:
        table = pq.read_table(root / file)
        values = np.array(table[name].to_pylist())
        new = np.asarray(change(values), dtype=values.dtype)
        array = pa.array(new.tolist(), table.schema.field(name).type)
        place = table.column_names.index(name)
        pq.write_table(table.set_column(place, table.schema.field(name), array), root / file)

    return apply


def motion(change: Callable[[Any, Any], tuple[Any, Any]]) -> Break:
    """Change state and action, [n, 6] each, together."""

    def apply(root: Path) -> None:
        table = pq.read_table(root / DATA)
        before = [np.array(table[n].to_pylist()) for n in ("observation.state", "action")]
        for name, new in zip(("observation.state", "action"), change(*before), strict=True):
            cells(name, lambda _, new=new: new)(root)

    return apply


def remove(name: str) -> Break:
    def apply(root: Path) -> None:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return apply


def replaced(name: str, data: bytes) -> Break:
    def apply(root: Path) -> None:
        (root / name).write_bytes(data)

    return apply


def tasks(change: Callable[[Any], Any]) -> Break:
    def apply(root: Path) -> None:
        path = root / "meta/tasks.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return apply


def without(columns: Callable[[str], bool], file: str) -> Break:
    def apply(root: Path) -> None:
        table = pq.read_table(root / file)
        pq.write_table(table.select([n for n in table.column_names if not columns(n)]), root / file)

    return apply


def added(values: Callable[[int], Any]) -> Callable[[Any], Any]:
    return lambda array: array + np.array([values(i) for i in range(len(array))])


def a_frame_less(root: Path) -> None:
    frames = []
    with av.open(str(root / VIDEO)) as container:
        rate = container.streams.video[0].average_rate
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    (root / VIDEO).unlink()
    with av.open(str(root / VIDEO), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for each in frames[:-1]:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(each, format="rgb24")))
        container.mux(stream.encode(None))


def with_a_slash(root: Path) -> None:
    def change(it: dict[str, Any]) -> None:
        it["features"]["observation.images/top"] = it["features"].pop(OVERHEAD)

    edit_json(root / "meta/info.json", change)


def joined_twice(root: Path) -> None:
    shutil.copyfile(root / DATA, root / "data/chunk-000/file-001.parquet")


def normal(low: float, high: float) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Both columns brought to low..high."""

    def change(state: Any, action: Any) -> tuple[Any, Any]:
        ends = np.concatenate([state, action])
        least, most = ends.min(axis=0), ends.max(axis=0)
        return tuple((x - least) / (most - least) * (high - low) + low for x in (state, action))

    return change


def radians(x: Any) -> Any:
    return x * np.pi / 180


def unrelated(state: Any, action: Any) -> tuple[Any, Any]:
    noise = np.random.default_rng(1).normal(0, 5, state.shape)
    return np.cumsum(noise, axis=0), action


def one_joint(place: int, change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def apply(values: Any) -> Any:
        values = values.copy()
        values[:, place] = change(values[:, place])
        return values

    return apply


def both(change: Callable[[Any], Any]) -> Callable[[Any, Any], tuple[Any, Any]]:
    return lambda state, action: (change(state), change(action))


def ahead(state: Any, action: Any) -> tuple[Any, Any]:
    noise = np.random.default_rng(2).normal(0, 30, (len(state) + 20, 6))
    path = np.stack([np.convolve(x, np.ones(6) / 6, "valid") for x in noise.T], axis=1)
    return path[7 : 7 + len(state)], path[4 : 4 + len(state)]


def frozen(state: Any, action: Any) -> tuple[Any, Any]:
    state = state.copy()
    state[60:80] = state[60]
    return state, action


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"
REVERSED = ["wrist", "elbow", "x", "y", "z", "gripper"]
JOINTS = ["shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper"]

BROKEN: dict[str, tuple[Break, str, bool]] = {
    "no info": (remove("meta/info.json"), "info", True),
    "half an info": (replaced("meta/info.json", b'{"fps": 15, "feat'), "info", True),
    "no fps": (info(fps=0), "info", True),
    "an older format": (info(codebase_version="v2.1"), "version", False),
    "a newer format": (info(codebase_version="v4.0"), "version", False),
    "no list of episodes": (remove("meta/episodes"), "episodes-lost", True),
    "no data": (remove("data"), "files", False),
    "data not fetched": (replaced(DATA, POINTER), "lfs", False),
    "a video gone": (remove(VIDEO), "missing", False),
    "a video damaged": (replaced(VIDEO, b"\0" * 5000), "torn", True),
    "a frame less": (a_frame_less, "frames", False),
    "rows twice": (joined_twice, "stray-data", True),
    "episodes miscounted": (info(total_episodes=7), "counts", True),
    "frames miscounted": (info(total_frames=9), "counts", True),
    "a split of before": (info(splits={"train": "0:3"}), "counts", True),
    "no tasks": (remove("meta/tasks.parquet"), "task-missing", True),
    "tasks in another order": (tasks(lambda t: t.take([1, 0])), "task-order", True),
    "an empty task": (
        tasks(lambda t: t.set_column(t.column_names.index("task"), "task", pa.array(["", "b"]))),
        "task-empty",
        False,
    ),
    "no stats": (remove("meta/stats.json"), "stats-file", True),
    "half the stats": (replaced("meta/stats.json", b'{"action": {"min"'), "stats-file", True),
    "no stats of action": (stats("action", lambda it: it.clear()), "stats", True),
    "another mean": (stats("action", lambda it: it["mean"].__setitem__(2, 3.0)), "stats", True),
    "no deviation": (
        stats("observation.state", lambda it: it.update(std=[0.0] * 6)),
        "stats",
        True,
    ),
    "stats of fewer rows": (stats("action", lambda it: it.update(count=[40])), "stats", True),
    "NaN in stats": (stats("action", lambda it: it.update(std=[float("nan")] * 6)), "stats", True),
    "no stats of a camera": (stats(OVERHEAD, lambda it: it.clear()), "image-stats", True),
    "pictures all alike in stats": (
        stats(OVERHEAD, lambda it: it.update(std=[[[0.0002]]] * 3)),
        "image-stats",
        True,
    ),
    "pictures of 0..255 in stats": (
        stats(OVERHEAD, lambda it: it.update({k: [[[90.0]]] * 3 for k in it if k != "count"})),
        "image-stats",
        True,
    ),
    "stats of a camera in a row": (
        stats(OVERHEAD, lambda it: it.update({k: [0.4] * 3 for k in it if k != "count"})),
        "image-stats",
        True,
    ),
    "no stats of episodes": (
        without(lambda n: n.startswith("stats/"), EPISODES),
        "episode-stats",
        True,
    ),
    "stats of another episode": (
        cells("stats/action/mean", lambda x: x[::-1], EPISODES),
        "episode-stats",
        True,
    ),
    "real times": (
        cells("timestamp", added(lambda i: 0.004 * (i % 3))),
        "timestamps",
        True,
    ),
    "frames that do not count": (
        cells("frame_index", lambda x: x + (x > 4)),
        "frame-index",
        True,
    ),
    "an index that does not count": (cells("index", lambda x: x + 5), "index", True),
    "other rows than an episode's": (
        cells("dataset_from_index", lambda x: x + 3, EPISODES),
        "positions",
        True,
    ),
    "another length": (cells("length", lambda x: x + (x == 19), EPISODES), "length", True),
    "an episode not listed": (
        cells("episode_index", lambda x: x + (x > 2), EPISODES),
        "episode-order",
        True,
    ),
    "frames sought half a frame off": (
        cells(f"videos/{OVERHEAD}/from_timestamp", lambda x: x + 0.03, EPISODES),
        "frame-times",
        True,
    ),
    "another fps": (info(fps=30), "fps", False),
    "another size": (feature(OVERHEAD, shape=[480, 640, 3]), "resolution", True),
    "another codec": (declared(OVERHEAD, codec="av1"), "codec", True),
    "another fps declared": (declared(OVERHEAD, fps=30), "fps-declared", True),
    "a slash in a name": (with_a_slash, "slash", False),
    "no names": (feature("action", names=None), "names", False),
    "names in another order": (
        feature("observation.state", names=[f"{j}.pos" for j in reversed(JOINTS)]),
        "names-order",
        False,
    ),
    "another width": (feature("action", shape=[7]), "columns", False),
    "no column": (without(lambda n: n == "action", DATA), "columns", False),
    "a value that is none": (
        cells("action", one_joint(1, lambda x: np.where(np.arange(len(x)) == 20, np.nan, x))),
        "not-finite",
        False,
    ),
    "radians": (motion(both(radians)), "units", False),
    "-1..1": (motion(normal(-1, 1)), "units", False),
    "encoder ticks": (motion(normal(700, 3100)), "units", False),
    "one of the two in radians": (motion(lambda s, a: (radians(s), a)), "units-differ", False),
    "a gripper of 0..1": (motion(both(one_joint(5, lambda x: x / 100))), "gripper-range", False),
    "a gripper inverted in one of two": (
        motion(lambda s, a: (one_joint(5, lambda x: 100 - x)(s), a)),
        "gripper-opposed",
        False,
    ),
    "a joint that never moves": (motion(both(one_joint(1, lambda x: x * 0))), "still", False),
    "the command as state": (motion(lambda s, a: (a, a)), "state-is-action", False),
    "a state that never changes": (motion(lambda s, a: (s * 0 + 7, a)), "state-constant", False),
    "an object's pose as state": (motion(unrelated), "state-not-joints", False),
    "differences as actions": (
        motion(lambda s, a: (s, np.vstack([np.diff(s, axis=0), [s[-1] * 0]]))),
        "delta-actions",
        False,
    ),
    "a state ahead": (motion(ahead), "state-leads", False),
    "a bus that hung": (motion(frozen), "frozen", False),
}


@pytest.mark.parametrize("name", BROKEN)
def test_it_is_found_and_named_and_mended_where_it_says_so(
    written: Path, tmp_path: Path, name: str
) -> None:
    breaking, code, mends = BROKEN[name]
    root = tmp_path / "set"
    shutil.copytree(written / "clean-h264", root)
    breaking(root)
    found = {each.code: each for each in examine(root).findings}
    assert code in found, found
    assert found[code].mends == mends
    assert all(each.what and each.likely and each.do for each in found.values())
    if mends and name != "a video damaged":
        after = mend(root, tmp_path / "mended", examine).report
        codes = {each.code for each in after.findings}
        assert code not in codes
        # What info.json alone says is gone with it: the joints' names.
        assert after.clean or (code == "info" and codes == {"names"}), after.findings


@pytest.mark.parametrize("name", ["clean-h264", "clean-av1", "clean-image", "clean-none"])
def test_what_lerobot_writes_is_clean_decoded_too(written: Path, name: str) -> None:
    report = examine(written / name, deep=True)
    assert report.findings == ()
    assert report.frames > 0


def test_only_the_episodes_asked_for_are_looked_at_one_by_one(
    written: Path, tmp_path: Path
) -> None:
    root = tmp_path / "set"
    shutil.copytree(written / "clean-h264", root)
    cells("timestamp", added(lambda i: 0.004 * (i < 16)))(root)  # episode 0 has 16 rows
    (found,) = (each for each in examine(root).findings if each.code == "timestamps")
    assert found.episodes == (0,)
    assert "timestamps" not in {each.code for each in examine(root, wanted=range(1, 3)).findings}
