"""Sound episodes for the quality gate's tests.

Rows are the scripted expert's, driven in lock-step through control and plant. Pictures are drawn
with numpy from the same rows, as small and grey as the gate sees them: an overhead camera in whose
view an arm and a block move, and a wrist camera in whose view only the fingers stand still.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from config.joints import ARM_JOINTS
from daemon.recorder.quality.finding import Verdict
from daemon.recorder.quality.pictures import PictureWatch
from daemon.recorder.quality.rows import EpisodeRows
from daemon.recorder.quality.scene import Scene
from daemon.recorder.quality.verdict import comparable, judge
from learning.collect import _body
from learning.episode import ExpertDriver, run_episode
from learning.world import demonstration_plant, lockstep_config, lockstep_world
from robotd.clock import NS_PER_MS
from sim.expert import HOME_RAD
from sim.kinematics import ArmKinematics
from sim.tasks.spec import load_task

type Grey = npt.NDArray[np.uint8]
type Film = dict[str, Grey]
"""By camera, uint8 [rows, 120, 160]."""

WIDTH, HEIGHT = 160, 120
WIDTHS_PX = {"overhead": 640, "wrist": 640}


def expert_rows(seed: int) -> EpisodeRows:
    """One of the expert's episodes, some 180 rows at 15 a second."""
    config = lockstep_config()
    body = _body(config)
    states, actions, deadlines, indices = [], [], [], []

    def on_row(tick: Any, _: Any) -> None:
        goals, present = tick["goal_ticks"], tick["present_position_ticks"]
        applied = [goal if goal >= 0 else at for goal, at in zip(goals, present, strict=True)]
        states.append(body.units(present))
        actions.append(body.units(applied))
        deadlines.append(int(tick["deadline_ns"]))
        indices.append(int(tick["index"]))

    with lockstep_world(config, seed, demonstration_plant(seed)) as world:
        run_episode(
            world, load_task("block_in_bowl"), ExpertDriver(ArmKinematics(), HOME_RAD), on_row
        )
    count = len(states)
    deadline_ns = np.array(deadlines, np.int64)
    return EpisodeRows(
        fps=config.recording.fps,
        joints=ARM_JOINTS,
        state=np.array(states, np.float64),
        action=np.array(actions, np.float64),
        deadline_ns=deadline_ns,
        tick_index=np.array(indices, np.int64),
        missed_ticks=np.zeros(count, np.int64),
        read_age_ms=np.full(count, 2.0),
        capture_ns=dict.fromkeys(WIDTHS_PX, deadline_ns - 30 * NS_PER_MS),
        repeated={name: np.zeros(count, bool) for name in WIDTHS_PX},
    )


def two_arms(left: EpisodeRows, right: EpisodeRows) -> EpisodeRows:
    """Two episodes as those of two arms."""
    count = min(len(left.state), len(right.state))
    both = cut(left, 0, count)
    return replace(
        both,
        joints=tuple(f"{side}_{joint}" for side in ("left", "right") for joint in left.joints),
        state=np.concatenate([left.state[:count], right.state[:count]], axis=1),
        action=np.concatenate([left.action[:count], right.action[:count]], axis=1),
    )


def cut(rows: EpisodeRows, first: int, last: int) -> EpisodeRows:
    """Some of an episode's rows."""
    part = slice(first, last)
    return replace(
        rows,
        state=rows.state[part],
        action=rows.action[part],
        deadline_ns=rows.deadline_ns[part],
        tick_index=rows.tick_index[part],
        missed_ticks=rows.missed_ticks[part],
        read_age_ms=rows.read_age_ms[part],
        capture_ns={name: each[part] for name, each in rows.capture_ns.items()},
        repeated={name: each[part] for name, each in rows.repeated.items()},
    )


# --- pictures -------------------------------------------------------------------------------------


def background(seed: int) -> npt.NDArray[np.float32]:
    """A table with things on it, [360, 480], grey levels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:360, 0:480]
    image = 150 + 25 * np.sin(rows / 70 + seed) + 20 * np.cos(columns / 90)
    for _ in range(60):
        top, left = rng.integers(0, 340), rng.integers(0, 460)
        height, width = rng.integers(6, 45, 2)
        image[top : top + height, left : left + width] = rng.integers(30, 220)
    return np.asarray(image, np.float32)


def film(rows: EpisodeRows, seed: int, *, room: int = 1, light: float = 1.0) -> Film:
    """What both cameras show in an episode. `seed`: noise and where the block lies; `room`: what
    stands around; `light` scales every grey level."""
    rng = np.random.default_rng(seed)
    table = background(room)
    count = len(rows.state)
    pan, lift, elbow, flex = rows.state[:, :4].T
    over = np.empty((count, HEIGHT, WIDTH), np.float32)
    wrist = np.empty((count, HEIGHT, WIDTH), np.float32)
    block = rng.integers(20, 90), rng.integers(30, 120)
    for row in range(count):
        image = table[100 : 100 + HEIGHT, 100 : 100 + WIDTH].copy()
        image[block[0] : block[0] + 8, block[1] : block[1] + 8] = 90
        x = int(np.clip(80 + pan[row] * 0.9, 5, WIDTH - 15))
        y = int(np.clip(40 + lift[row] * 0.8, 5, HEIGHT - 35))
        image[y : y + 30, x - 4 : x + 5] *= 0.35
        for place, joint in ((5, elbow), (95, flex)):  # a forearm and a hand, from their sides
            side = int(np.clip(80 + joint[row], 0, WIDTH - 12))
            image[place : place + 16, side : side + 12] *= 0.35
        over[row] = image
        top = int(np.clip(120 + lift[row] * 1.5 + elbow[row] * 0.7, 0, 239))
        left = int(np.clip(160 + pan[row] * 1.5 + flex[row], 0, 319))
        view = table[top : top + HEIGHT, left : left + WIDTH].copy()
        view[70:, 20:50] = 40 + np.add.outer(np.arange(50), np.arange(30)) % 23 * 4
        view[80:, 100:125] = 60 + np.add.outer(np.arange(40), -np.arange(25)) % 17 * 5
        wrist[row] = view
    noise = rng.normal(0, 0.8, (count, HEIGHT, WIDTH)).astype(np.float32)
    return {
        "overhead": np.clip(over * light + noise, 0, 255).astype(np.uint8),
        "wrist": np.clip(wrist * light + noise[::-1], 0, 255).astype(np.uint8),
    }


def verdict_on(
    rows: EpisodeRows, pictures: Film | None = None, before: dict[str, Scene] | None = None
) -> Verdict:
    """What the gate says of an episode."""
    return judge(rows, _sights(pictures), before or {}, WIDTHS_PX)


def views_of(pictures: Film) -> dict[str, Scene]:
    """What the next episode's pictures are compared with."""
    return comparable(_sights(pictures), [])


def _sights(pictures: Film | None) -> dict[str, Any]:
    sights = {}
    for camera, pages in (pictures or {}).items():
        watch = PictureWatch(WIDTH * 4, HEIGHT * 4, len(pages))
        for index, page in enumerate(pages):
            watch.see_grey(index, page)
        sights[camera] = watch.sight()
    return sights
