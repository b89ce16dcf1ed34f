"""Health as it is published: from control's slots to the figures that a person and a monitor read."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.joints import joint_names
from config.loader import load
from daemon.control.stages import StageTimes
from daemon.guard.machine import Guarding
from daemon.guard.report import GuardReport
from daemon.supervisor.health import Seen, health_status, service_line
from daemon.supervisor.timing_watch import LineCounts, Timing, TimingWatch
from robotd.clock import NS_PER_S
from robotd.health import HealthStatus
from robotd.layouts import STAGES, tick_layout, timing_layout
from robotd.messages import CameraStatus, LoopStatus, Status, TwinStatus
from robotd.shm import SlotWriter
from robotd.states import Fault, State

CONFIG = load(simulated=True).config
JOINTS = joint_names(CONFIG)
HZ = 100


class Control:
    """What control publishes, at a rate that a test chooses."""

    def __init__(self, path: Path) -> None:
        self._slot = SlotWriter(path, timing_layout(len(JOINTS)))
        self.times = StageTimes((), (), HZ)
        self.index = 0
        self.missed = 0
        self.lost = [0] * len(JOINTS)
        self.reopened = 0

    def tick(self, late_us: int = 50) -> None:
        due = self.index * NS_PER_S // HZ
        self.index += 1
        began = due + late_us * 1000
        self.times.took(
            deadline_ns=due,
            began_ns=began,
            read_ns=began + 2_000_000,
            gated_ns=began + 2_100_000,
            waited_ns=began + 2_100_000,
            written_ns=began + 2_200_000,
            back_ns=began + 2_200_000,
            ended_ns=began + 2_400_000,
            complete=True,
            looking=False,
        )

    def publish(self) -> int:
        """Say it now; returns when that is."""
        now_ns = self.index * NS_PER_S // HZ
        # Without arms the times have no `lost` cells: the record is put together here.
        bare = timing_layout(0).unpack(self.times.packed(now_ns, self.missed))
        none = [0] * len(JOINTS)
        lost = {"lost": self.lost, "leader_lost": none, "reopened": self.reopened}
        self._slot.write({**bare, **lost})
        return now_ns


def watched(tmp_path: Path) -> tuple[Control, TimingWatch]:
    return Control(tmp_path / "timing"), TimingWatch(tmp_path / "timing", JOINTS)


def test_a_bad_second_leaves_the_last_ten_and_stays_in_since_start(tmp_path: Path) -> None:
    control, watch = watched(tmp_path)
    for second in range(30):
        for _ in range(HZ):
            control.tick(late_us=8_000 if second == 3 else 50)
        control.missed = 7 if second >= 3 else 0
        watch.look(control.publish())
        if second == 8:
            during = watch.newest
    after = watch.newest
    assert during.stages["late"].last_10_s.p99_us == pytest.approx(8_000, rel=0.05)
    assert during.recent_missed == 7
    assert after.stages["late"].last_10_s.max_us == 50
    assert after.stages["late"].since_start.max_us == 8_000
    assert after.stages["late"].since_start.count == 30 * HZ - 1
    assert (after.recent_missed, after.missed) == (0, 7)
    assert after.hz == pytest.approx(HZ)
    assert (after.ticks, after.recent_ticks) == (30 * HZ, 10 * HZ)


def test_lost_replies_of_a_minute_ago_are_not_news(tmp_path: Path) -> None:
    control, watch = watched(tmp_path)
    for second in range(100):
        for _ in range(HZ):
            control.tick()
        if second == 5:
            control.lost[2] = 40
        watch.look(control.publish())
        if second == 50:
            lately = watch.newest.line.lost[2] - watch.newest.minute.lost[2]
    assert lately == 40
    assert watch.newest.line.lost[2] - watch.newest.minute.lost[2] == 0
    assert watch.newest.line.lost[2] == 40


def test_a_control_that_was_started_again_begins_its_figures_anew(tmp_path: Path) -> None:
    control, watch = watched(tmp_path)
    for _ in range(3 * HZ):
        control.tick(late_us=9_000)
    watch.look(control.publish())
    again = Control(tmp_path / "timing")
    again.index = 10 * HZ  # time goes on
    for _ in range(HZ):
        again.tick()
    watch.look(again.publish())
    assert watch.newest.ticks == HZ
    assert watch.newest.stages["late"].since_start.max_us == 50


def test_the_figures_are_kept_beside_the_log_when_control_ends(tmp_path: Path) -> None:
    control, watch = watched(tmp_path)
    watch.keep(tmp_path / "timing.json")
    assert not (tmp_path / "timing.json").exists()  # it never ticked: there is nothing to keep
    for _ in range(HZ):
        control.tick()
    control.lost[5] = 3
    control.publish()
    watch.keep(tmp_path / "timing.json")
    kept = json.loads((tmp_path / "timing.json").read_text())
    assert kept["ticks"] == HZ
    assert kept["lost"]["gripper"] == 3
    assert set(kept["stages"]) == set(STAGES)
    assert kept["stages"]["read"]["p99_us"] == pytest.approx(2_000, rel=0.05)


# --- put together ---------------------------------------------------------------------------------


def tick(**changes: Any) -> dict[str, Any]:
    """A tick of a well arm at time 100 s."""
    record: dict[str, Any] = {
        field.name: 0 if field.count == 1 else (0,) * field.count
        for field in tick_layout(len(JOINTS)).fields
    }
    record |= {
        "deadline_ns": 100 * NS_PER_S,
        "read_ns": 100 * NS_PER_S,
        "missed_ticks": 4,
        "present_temperature_c": (31.0,) * 6,
        "present_voltage_v": (12.1,) * 6,
        "present_load_permille": (-120,) * 6,
        "present_current_a": (0.2,) * 6,
    }
    return record | changes


def seen(**changes: Any) -> Seen:
    values: dict[str, Any] = {
        "now_ns": 100 * NS_PER_S + 5_000_000,
        "state": State.HOLDING,
        "fault": "",
        "fault_do": "",
        "starting": False,
        "tick": tick(),
        "timing": Timing(hz=120.0, ticks=12_000, recent_ticks=1_200),
        "realtime": {
            "scheduler": "fifo:50",
            "memory_locked": False,
            "memory_why": "refused; allow it with LimitMEMLOCK=infinity",
            "cpu": 3,
        },
        "guard": GuardReport(stamp_ns=0, pid=1, state=Guarding.WATCHING, held=True),
        "twin": TwinStatus(alive=True, residual_deg=(0.1, -2.0, 0, 0, 0, 0)),
        "twin_finding": (0, -1),
        "cameras": (CameraStatus(name="wrist", age_ms=30, fps=30, width=640, height=480),),
        "processes": {"control": "running"},
    }
    return Seen(**(values | changes))


def test_the_published_health_has_the_keys_that_monitors_are_written_for() -> None:
    body = msgspec.to_builtins(health_status(CONFIG, seen()))
    assert set(body) >= {"verdict", "reasons", "hz", "missed", "p99_us", "rt", "bus", "servos"}
    assert set(body) >= {"twin", "stages", "guard", "processes"}
    assert set(body["rt"]) == {"fifo", "mlock", "affinity", "why"}
    assert set(body["bus"]) >= {"errors", "coasted", "reopened"}
    assert set(body["servos"][0]) == {"name", "temp_c", "volt_v", "load", "current_a", "flags"}
    assert set(body["twin"]) == {"residual_rad", "verdict"}
    assert (body["verdict"], body["reasons"]) == ("good", ())
    assert (body["hz"], body["missed"], body["guard"]) == (120.0, 4, "watching")
    assert (body["rt"]["fifo"], body["rt"]["mlock"], body["rt"]["affinity"]) == (True, False, 3)
    assert body["rt"]["why"] == {"mlock": "refused; allow it with LimitMEMLOCK=infinity"}
    assert body["servos"][1]["load"] == -12.0
    assert body["twin"] == {"residual_rad": pytest.approx(math.radians(2.0)), "verdict": "agrees"}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"state": State.DISARMED}, "limp"),
        ({"twin": TwinStatus(alive=False)}, "absent"),
        ({"twin_finding": (Fault.COLLISION, 1)}, "collision"),
        ({"twin_finding": (Fault.COLLISION, 1), "state": State.DISARMED}, "limp"),
    ],
)
def test_the_twin_is_only_said_to_agree_when_it_compared(
    changes: dict[str, Any], verdict: str
) -> None:
    assert health_status(CONFIG, seen(**changes)).twin.verdict == verdict


def test_a_leaders_lost_replies_are_told_from_the_arms() -> None:
    before = LineCounts(0, 0, 0, (0,) * 6, (0,) * 6)
    now = LineCounts(60 * NS_PER_S, 0, 0, (0,) * 6, (0, 0, 0, 0, 300, 300))
    timing = Timing(hz=120.0, line=now, minute=before)
    health = health_status(CONFIG, seen(timing=timing))
    assert health.bus.lost == {"leader wrist_roll": 300, "leader gripper": 300}
    assert (health.bus.errors, health.bus.errors_last_minute) == (600, 600)
    assert health.reasons[0].what.startswith("leader wrist_roll lost 300 of 7200")
    assert "servo 5" in health.reasons[0].do


def test_a_servos_complaints_are_words_and_an_unknown_one_a_number() -> None:
    health = health_status(CONFIG, seen(tick=tick(servo_status=(0, 0x21, 0x40, 0, 0, 0))))
    assert [servo.flags for servo in health.servos[:3]] == [(), ("voltage", "overload"), ("0x40",)]


def test_a_loop_that_hangs_is_reported_by_its_own_silence() -> None:
    """Health is published from what others see, so no process can report itself well for ever."""
    health = health_status(
        CONFIG,
        seen(
            now_ns=103 * NS_PER_S,
            state=State.FAULT,
            fault="control is silent",
            fault_do="support it",
        ),
    )
    assert (health.verdict, health.hz) == ("bad", 0.0)
    assert [reason.what for reason in health.reasons] == ["control is silent"]


def test_before_the_first_tick_there_is_a_verdict_too() -> None:
    health = health_status(
        CONFIG,
        seen(
            tick=None,
            timing=Timing(),
            realtime={},
            guard=None,
            starting=True,
            twin=TwinStatus(),
            state=State.DISARMED,
        ),
    )
    assert health.verdict == "degraded"
    assert health.servos == ()
    assert health.guard == "absent"


def test_systemd_is_told_the_state_in_one_line() -> None:
    loop = LoopStatus(
        tick_hz=120,
        ticks=1,
        missed_ticks=4,
        late_p50_us=0,
        late_p99_us=0,
        read_p50_us=0,
        read_p99_us=0,
        age_ms=0,
        scheduler="",
        memory_locked=True,
        rss_mb=0,
    )
    status = Status(
        name="bench",
        simulated=False,
        state="holding",
        torque="on",
        source="none",
        stamp_ns=0,
        uptime_s=0,
        handover_version=0,
        estop_presses=0,
        joints=(),
        cameras=(),
        loop=loop,
        health=HealthStatus(verdict="good", hz=119.96, missed=4, p99_us=312.0),
    )
    line = service_line(status)
    assert line == "holding, torque on, 120 Hz, p99 0.3 ms late, 4 missed, health good"
    assert "\n" not in line
    idle = msgspec.structs.replace(status, message="letting the arm down in 30 s")
    assert service_line(idle).endswith(": letting the arm down in 30 s")
