"""The view of a running robot, over real rings and slots. Needs a GL backend, as the product does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from config.loader import load
from robotd import messages
from robotd.clock import NS_PER_MS, VirtualClock
from robotd.errors import ModelError
from robotd.frames import FrameRingWriter
from robotd.layouts import plan_layout, tick_layout
from robotd.shm import RingWriter, SlotWriter
from robotd.states import Source, State, Torque, Verdict
from sim.plant.state_layout import state_layout
from sim.view.compose import BAR_PX
from sim.view.live import REAL_NOTE, TRUTH_NOTE, LiveView

NOW_NS = 50_000 * NS_PER_MS
REST = (0.0, -1.70, 1.61, 0.66, 0.0, 0.0)
TWIN_AREA = (slice(BAR_PX, BAR_PX + 480), slice(0, 640))


class Stage:
    """A runtime folder that looks like a running robot's."""

    def __init__(self, runtime: Path, simulated: bool = True) -> None:
        self.runtime = runtime
        config = load(file="so101-sim").config
        (runtime / "config.json").write_bytes(msgspec.json.encode(config))
        self.instance = messages.Instance(
            name="sim",
            pid=1,
            boot_id="boot",
            simulated=simulated,
            joints=tuple("abcdef"),
            cameras=("overhead", "wrist"),
            tick_hz=120,
            fps=15,
        )
        self.clock = VirtualClock(NOW_NS)
        self.layout = tick_layout(6)
        self.ticks: RingWriter | None = None
        self.view = LiveView(runtime, self.instance, clock=self.clock)
        (runtime / "plant").mkdir()

    def tick(self, position_rad: tuple[float, ...], **changes: Any) -> None:
        if self.ticks is None:
            self.ticks = RingWriter(self.runtime / "ticks", self.layout, 8)
        record: dict[str, Any] = {
            field.name: 0 if field.count == 1 else (0,) * field.count
            for field in self.layout.fields
        }
        record |= {
            "state": State.TELEOP,
            "torque": Torque.ON,
            "source": Source.SCRIPTED,
            "read_ns": NOW_NS - 4 * NS_PER_MS,
            "present_position_rad": position_rad,
        }
        self.ticks.append(record | changes)

    def truth(self, block_xy_m: tuple[float, float]) -> None:
        nq = 6 + 7
        slot = SlotWriter(self.runtime / "plant" / "state", state_layout(nq))
        block = (*block_xy_m, 0.0096, 1.0, 0.0, 0.0, 0.0)
        slot.write({"stamp_ns": NOW_NS, "qpos": (0.0,) * 6 + block})
        slot.close()

    def frame(self, camera: str, value: int, age_ms: int = 30) -> None:
        ring = FrameRingWriter(self.runtime / f"frames-{camera}", 32, 24, 4)
        ring.append(NOW_NS - age_ms * NS_PER_MS, 0, bytes([value]) * (32 * 24 * 3))
        ring.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.view.close()


def red(picture: np.ndarray) -> np.ndarray:
    """Where the block is drawn: bool [480, 640]."""
    twin = picture[TWIN_AREA].astype(int)
    return (twin[..., 0] > 90) & (twin[..., 1] < 60) & (twin[..., 2] < 60)


def test_before_the_first_tick_it_says_that_it_waits(stage: Stage) -> None:
    twin, cameras, caption = stage.view.parts()
    assert caption.state is None
    assert [camera.rgb for camera in cameras] == [None, None]
    assert twin.std() > 5, "the scene is there all the same"


def test_the_picture_follows_the_measured_joints(stage: Stage) -> None:
    stage.tick(REST)
    before = stage.view.picture()[TWIN_AREA].astype(int)
    stage.tick((1.0, *REST[1:]))
    after = stage.view.picture()[TWIN_AREA].astype(int)
    assert (np.abs(before - after).max(axis=2) > 40).mean() > 0.01


def test_the_block_stands_where_the_simulator_has_it_and_the_picture_says_so(stage: Stage) -> None:
    stage.tick(REST)
    stage.truth((0.217, 0.225))
    here = red(stage.view.picture())
    stage.truth((0.30, 0.0))
    there = red(stage.view.picture())
    assert here.sum() > 100 and there.sum() > 100
    assert not (here & there).any()
    assert stage.view.parts()[2].note == TRUTH_NOTE


def test_a_real_arm_is_shown_without_objects(tmp_path: Path) -> None:
    stage = Stage(tmp_path, simulated=False)
    stage.tick(REST)
    stage.truth((0.217, 0.225))
    picture = stage.view.picture()
    assert red(picture).sum() == 0
    assert stage.view.parts()[2].note == REAL_NOTE
    stage.view.close()


def test_camera_pictures_come_with_their_age(stage: Stage) -> None:
    stage.frame("overhead", 200, age_ms=30)
    _, cameras, _ = stage.view.parts()
    assert cameras[0].age_ms == pytest.approx(30)
    assert cameras[0].rgb is not None and cameras[0].rgb.shape == (24, 32, 3)
    assert cameras[1].rgb is None


def test_a_restarted_daemon_is_seen_without_restarting_the_view(stage: Stage) -> None:
    stage.tick(REST, state=State.HOLDING)
    assert stage.view.parts()[2].state is State.HOLDING
    stage.ticks = None
    stage.tick(REST, state=State.DISARMED)
    assert stage.view.parts()[2].state is State.DISARMED


def _status(**parts: Any) -> messages.Status:
    """A published state of now with `parts`."""
    fields: dict[str, Any] = {
        "name": "sim",
        "simulated": True,
        "state": "policy",
        "torque": "on",
        "source": "policy",
        "stamp_ns": NOW_NS,
        "uptime_s": 1.0,
        "handover_version": 1,
        "estop_presses": 0,
        "joints": (),
        "cameras": (),
        "loop": messages.LoopStatus(
            tick_hz=120,
            ticks=0,
            missed_ticks=0,
            late_p50_us=0,
            late_p99_us=0,
            read_p50_us=0,
            read_p99_us=0,
            age_ms=0,
            scheduler="other",
            memory_locked=False,
            rss_mb=0,
        ),
    }
    return messages.Status(**(fields | parts))


def test_a_policy_that_is_told_something_says_so_on_the_picture(stage: Stage) -> None:
    told = messages.PolicyStatus(phase="running", told="where the block is")
    stage.tick(REST, state=State.POLICY)
    status = _status(
        policy=told,
        recording=messages.RecordingStatus(phase="recording", episodes_kept=2, elapsed_s=7.4),
    )
    caption = stage.view.parts(status)[2]
    assert "told where the block is" in caption.note
    assert caption.recording == "REC 3  7.4 s"
    old = msgspec.structs.replace(status, stamp_ns=stage.clock.now_ns() - 3_000_000_000)
    caption = stage.view.parts(old)[2]
    assert caption.recording == "DAEMON SILENT" and "told" not in caption.note


def test_without_a_gl_backend_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "nothing")
    with pytest.raises(ModelError, match=r"No OpenGL backend works"):
        Stage(tmp_path)


def whisker(picture: np.ndarray, red: bool) -> int:
    """How many pixels of the twin are of a whisker's colour."""
    twin = picture[TWIN_AREA].astype(int)
    hot, cold = (twin[..., 0], twin[..., 1]) if red else (twin[..., 1], twin[..., 0])
    return int(((hot > 120) & (hot - cold > 60) & (hot - twin[..., 2] > 30)).sum())


def test_the_newest_plan_is_a_line_where_the_tip_would_go_green_or_red_until_its_time_is_over(
    stage: Stage,
) -> None:
    home = (0.0, -1.07, 0.87, 1.13, 0.0, 0.3)
    stage.tick(home, applied_rad=home, state=State.DISARMED)
    bare = stage.view.picture()
    layout = plan_layout(6)
    plans = SlotWriter(stage.runtime / "plan", layout)
    goals = [value for k in range(30) for value in (0.03 * k, *home[1:])]
    plan: dict[str, Any] = {
        field.name: 0 if field.count == 1 else (0.0,) * field.count for field in layout.fields
    }
    plan |= {
        "id": 1,
        "source": Source.SHADOW,
        "start_ns": NOW_NS,
        "step_ns": 66 * NS_PER_MS,
        "waypoints": 30,
        "verdict": Verdict.PASS,
        "goal_rad": (*goals, *(0.0,) * (6 * 128 - len(goals))),
    }
    plans.write(plan)
    passed = stage.view.picture()
    assert whisker(passed, red=False) > whisker(bare, red=False) + 100
    plans.write(plan | {"id": 2, "verdict": Verdict.REJECT})
    refused = stage.view.picture()
    assert whisker(refused, red=True) > whisker(bare, red=True) + 100
    assert whisker(refused, red=False) <= whisker(bare, red=False) + 20
    stage.clock.sleep_until_ns(NOW_NS + 3000 * NS_PER_MS)
    assert whisker(stage.view.picture(), red=True) <= whisker(bare, red=True) + 20
    plans.close()


def test_a_shadow_is_named_on_the_picture_with_what_was_refused(stage: Stage) -> None:
    stage.tick(REST, state=State.DISARMED)
    shadow = messages.ShadowStatus(phase="running", chunks=9, refused=2)
    _, _, caption = stage.view.parts(_status(shadow=shadow))
    assert caption.recording == "SHADOW 2 of 9 refused"
