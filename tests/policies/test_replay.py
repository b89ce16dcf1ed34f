"""A recording is read exactly and played softly, and its time stops when nothing is approved."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.schema import Config
from policies.border import Border, load_calibrations, robot_features
from policies.executor import Proposal
from policies.observation import Observation
from policies.playback import Playback
from policies.recording import read_recorded_actions
from policies.replay import ReplaySession
from policies.runner import Answer
from robotd.clock import NS_PER_MS, NS_PER_S, VirtualClock
from robotd.errors import DatasetError, StateError
from robotd.states import PlanReason, State, Verdict

from .conftest import FEATURE_NAMES, JOINTS, ROWS, recorded_row

TICK_NS = NS_PER_S // 120


def test_an_episode_is_read_as_lerobot_wrote_it(saved_dataset: Path) -> None:
    recorded = read_recorded_actions(str(saved_dataset), 1, FEATURE_NAMES)
    assert (recorded.fps, recorded.units, recorded.joints) == (15, "degrees", FEATURE_NAMES)
    expected = np.array([recorded_row(1, row) for row in range(ROWS)], np.float64)
    np.testing.assert_array_equal(recorded.actions, expected)


def test_a_name_is_looked_for_in_lerobots_home(
    saved_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_LEROBOT_HOME", str(tmp_path))
    (tmp_path / "me").mkdir()
    (tmp_path / "me/blocks").symlink_to(saved_dataset)
    assert len(read_recorded_actions("me/blocks", 0, FEATURE_NAMES).actions) == ROWS
    with pytest.raises(DatasetError, match="no dataset me/other"):
        read_recorded_actions("me/other", 0, FEATURE_NAMES)


def _info(**changes: Any) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        info = json.loads((root / "meta/info.json").read_text())
        (root / "meta/info.json").write_text(json.dumps(info | changes))

    return change


def _rename_joint(root: Path) -> None:
    text = (root / "meta/info.json").read_text()
    (root / "meta/info.json").write_text(text.replace("wrist_roll.pos", "joint_5"))


def _cut(root: Path) -> None:
    path = next((root / "data").glob("*/*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])


def _forget_episodes(root: Path) -> None:
    shutil.rmtree(root / "meta/episodes")


def _stay_within_100(root: Path) -> None:
    stats = json.loads((root / "meta/stats.json").read_text())
    stats["action"] |= {"min": [-99.0] * 6, "max": [99.0] * 6}
    (root / "meta/stats.json").write_text(json.dumps(stats))


def _poison(root: Path) -> None:
    path = next((root / "data").glob("*/*.parquet"))
    table = pq.read_table(path)
    rows = table["action"].to_pylist()
    rows[3][2] = math.nan
    field = table.schema.field("action")
    column = pa.array(rows, field.type)
    index = table.schema.get_field_index("action")
    pq.write_table(table.set_column(index, field, column), path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(_info(codebase_version="v2.1"), "v2.1", id="old format"),
        pytest.param(_info(total_episodes=0), "no episode 0", id="no such episode"),
        pytest.param(_rename_joint, "wrist_roll.pos.*joint_5", id="another robot"),
        pytest.param(_cut, "cannot be read", id="cut"),
        pytest.param(_forget_episodes, "does not list it", id="episodes missing"),
        pytest.param(_stay_within_100, "units", id="units unknown"),
        pytest.param(_poison, "no numbers", id="NaN"),
        pytest.param(lambda root: (root / "meta/info.json").write_text("{"), "info.json", id="bad"),
    ],
)
def test_a_dataset_that_cannot_be_played_says_why(
    saved_dataset: Path, tmp_path: Path, damage: Callable[[Path], Any], says: str
) -> None:
    root = shutil.copytree(saved_dataset, tmp_path / "copy")
    damage(root)
    with pytest.raises(DatasetError, match=says) as caught:
        read_recorded_actions(str(root), 0, FEATURE_NAMES)
    assert caught.value.likely and caught.value.do


def test_units_can_be_said(saved_dataset: Path) -> None:
    recorded = read_recorded_actions(str(saved_dataset), 0, FEATURE_NAMES, "range_m100_100")
    assert recorded.units == "range_m100_100"


class World:
    """A control that follows approved plans, and a twin, in virtual time."""

    def __init__(
        self, session: Callable[[VirtualClock], ReplaySession], start_rad: np.ndarray
    ) -> None:
        self.clock = VirtualClock()
        self.session = session(self.clock)
        self.index = 0
        self.applied_rad = start_rad
        self.path: list[np.ndarray] = []
        self.verdict = Verdict.PASS
        self.twin_answers = True
        self.plan: Proposal | None = None
        self.asked: Proposal | None = None
        self.state = State.REPLAY
        self.handover_ns = self.clock.now_ns()

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self.clock.sleep_until_ns(self.clock.now_ns() + TICK_NS)
            now_ns = self.clock.now_ns()
            self.index += 1
            if self.plan is not None and now_ns < self.plan.end_ns:
                self.applied_rad = self.plan.at([now_ns])[0]
            self.path.append(self.applied_rad)
            tick = {
                "index": self.index,
                "deadline_ns": now_ns,
                "state": int(self.state),
                "handover_version": 1,
                "handover_ns": self.handover_ns,
                "applied_rad": tuple(self.applied_rad),
                "plan_id": 0 if self.plan is None else self.plan.id,
                "plan_index": -1 if self.plan is None else 0,
                "write_ns": now_ns,
            }
            answer = None
            if not self.twin_answers:
                self.asked = None  # it is being restarted: what was proposed is lost
            if self.asked is not None:
                answer = Answer(self.asked.id, self.verdict, PlanReason.LINK_ON_TABLE)
                self.plan = self.asked if self.verdict is Verdict.PASS else None
                self.asked = None
            row = tick if self.index % 8 == 0 else None
            self.asked = self.session.step(tick, row, answer) or self.asked
            if self.session.finished:
                return


def world(config: Config, saved_dataset: Path, fps: int | None = None) -> World:
    recorded = read_recorded_actions(str(saved_dataset), 1, robot_features(config).joints)
    border = Border(config, load_calibrations(config), recorded.units)
    start_rad = border.actions_rad(np.array([-30.0, 20.0, -20.0, 40.0, 0.0, 80.0]))
    return World(lambda clock: ReplaySession(recorded, config, border, clock, fps=fps), start_rad)


def recorded_rad(config: Config) -> np.ndarray:
    border = Border(config, load_calibrations(config))
    return border.actions_rad(np.array([recorded_row(1, row) for row in range(ROWS)]))


def test_a_replay_goes_softly_to_its_start_and_then_plays_the_recording(
    config: Config, saved_dataset: Path
) -> None:
    stage = world(config, saved_dataset)
    stage.run(5000)
    assert stage.session.finished
    path = np.array(stage.path)
    recording = recorded_rad(config)
    # A tick at each row's time: every recorded action is sent exactly as it was recorded.
    ends = [np.abs(path - row).max(axis=1).min() for row in recording]
    assert max(ends) < 1e-6
    speeds = np.abs(np.diff(path, axis=0)) * 120
    assert speeds.max() < math.radians(config.poses.move_speed_deg_s) * 1.01
    np.testing.assert_allclose(path[-1], recording[-1], atol=1e-9)
    played_s = (len(path) * TICK_NS) / NS_PER_S
    farthest = np.abs(recording[0] - path[0]).max()
    approach_s = 1.875 * farthest / math.radians(config.poses.move_speed_deg_s)
    assert played_s == pytest.approx(approach_s + ROWS / 15, abs=0.6)


def test_another_rate_is_only_what_was_asked_for(config: Config, saved_dataset: Path) -> None:
    lengths = []
    for fps in (None, 5):
        stage = world(config, saved_dataset, fps)
        stage.run(5000)
        assert stage.session.finished
        lengths.append(len(stage.path))
    assert (lengths[1] - lengths[0]) / 120 == pytest.approx(ROWS / 5 - ROWS / 15, abs=0.5)


def test_a_silent_twin_delays_a_replay_but_cuts_nothing_out(
    config: Config, saved_dataset: Path
) -> None:
    stage = world(config, saved_dataset)
    stage.run(300)
    stage.twin_answers = False
    stage.run(600)  # five seconds: a plan lasts for two
    held = stage.path[-1]
    np.testing.assert_array_equal(stage.path[-200], held)
    stage.twin_answers = True
    stage.run(5000)
    assert stage.session.finished
    path = np.array(stage.path)
    assert max(np.abs(path - row).max(axis=1).min() for row in recorded_rad(config)) < 1e-6
    steps = np.abs(np.diff(path, axis=0)) * 120
    assert steps.max() < math.radians(config.poses.move_speed_deg_s) * 1.01  # no jump ahead


def test_a_refused_replay_ends_with_a_reason(config: Config, saved_dataset: Path) -> None:
    stage = world(config, saved_dataset)
    stage.run(100)
    stage.verdict = Verdict.REJECT
    with pytest.raises(StateError, match="a link would hit the table"):
        stage.run(1000)


def test_a_replay_that_somebody_ends_says_so(config: Config, saved_dataset: Path) -> None:
    stage = world(config, saved_dataset)
    stage.run(100)
    stage.state = State.HOLDING
    with pytest.raises(StateError, match="stopped before its end"):
        stage.run(2)
    idle = world(config, saved_dataset)
    idle.state = State.HOLDING
    idle.run(100)  # its turn has not come yet
    assert idle.asked is None


def test_a_playback_begins_again_from_where_the_arm_is() -> None:
    actions = np.linspace(0, 1, 20)[:, None] * np.ones(len(JOINTS))
    playback = Playback(
        actions, NS_PER_S // 15, window=10, peak_speed_rad_s=1.0, lead_ns=90 * NS_PER_MS
    )
    for start in (0.5, -0.5):
        playback.reset()
        seen = Observation(NS_PER_S, 1, NS_PER_S, {"applied_rad": np.full(6, start)})
        window = playback.predict(seen)
        assert window.shape == (10, 6)
        np.testing.assert_allclose(window[:2], start)  # until the plan can be approved: stay
        assert not playback.finished
