"""What is heard, and that hearing it holds nothing up."""

import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from robotd.messages import EpisodeLine, LoopStatus, RecordingStatus, Status
from robotd.sound import Sound, cues

STATUS = Status(
    name="a",
    simulated=True,
    state="teleop",
    torque="on",
    source="leader",
    stamp_ns=0,
    uptime_s=0.0,
    handover_version=1,
    estop_presses=0,
    joints=(),
    cameras=(),
    loop=LoopStatus(
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
)


def at(phase: str, state: str = "teleop", **recording: Any) -> Status:
    return msgspec.structs.replace(
        STATUS, state=state, recording=RecordingStatus(phase=phase, **recording)
    )


def line(index: int, outcome: str) -> EpisodeLine:
    return EpisodeLine(index=index, seconds=1.0, frames=1, outcome=outcome)


def words(*states: Status) -> list[str]:
    return [
        cue.words
        for before, now in zip((None, *states), states, strict=False)
        for cue in cues(before, now)
    ]


def test_start_kept_discarded_and_fault_are_heard_once_each() -> None:
    kept, thrown = (line(0, "success"),), (line(0, "success"), line(1, "discarded"))
    assert words(
        at("ready"),
        at("recording", frames=0),
        at("recording", frames=5),
        at("ready", episodes=kept, episodes_kept=1),
        at("ready", episodes=kept, episodes_kept=1),
        at("recording", episodes=kept, episodes_kept=1),
        at("ready", episodes=thrown, episodes_kept=1),
        at("ready", "fault", episodes=thrown),
        at("ready", "fault", episodes=thrown),
    ) == ["episode 1", "kept", "episode 2", "discarded", "fault"]


def test_a_redo_is_heard_as_the_end_of_one_and_the_start_of_the_next() -> None:
    heard = words(
        at("recording", frames=80),
        at("recording", frames=2, episodes=(line(0, "discarded"),)),
    )
    assert heard == ["discarded", "episode 1"]


def test_the_last_three_seconds_of_an_episode_and_of_a_countdown_are_counted() -> None:
    running = [at("recording", limit_s=10.0, elapsed_s=tenth / 10) for tenth in range(50, 110)]
    assert words(*running) == ["3", "2", "1"]
    reset = [at("ready", goes_on=True, reset_left_s=5 - tenth / 10) for tenth in range(51)]
    assert words(*reset) == ["3", "2", "1"]
    waiting = [at("ready", reset_left_s=5 - tenth / 10) for tenth in range(51)]
    assert words(*waiting) == []  # nothing will begin by itself


def test_opening_a_screen_in_the_middle_of_a_session_makes_no_noise() -> None:
    assert words(at("recording", frames=50, episodes=(line(0, "kept"),))) == []


def test_bells_tell_kept_from_discarded_and_off_is_silent() -> None:
    rung: list[float] = []

    def after(delay_s: float, run: Callable[[], None]) -> None:
        rung.append(delay_s)

    for mode, count in (("bell", 3), ("off", 0)):
        rung.clear()
        sound = Sound(mode, lambda: None, pytest.fail, after)
        sound.seen(at("recording"))
        sound.seen(at("ready", episodes=(line(0, "discarded"),)))
        assert len(rung) == count


def speaker(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "spd-say"
    program.write_text(f"#!{sys.executable}\nimport sys, time\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))


def test_speech_is_a_process_of_its_own_that_nothing_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    script = f"open({str(said)!r}, 'a').write(sys.argv[1] + '\\n'); time.sleep(5)"
    speaker(tmp_path, script, monkeypatch)
    sound = Sound("speech", pytest.fail, pytest.fail)
    began_s = time.monotonic()
    sound.seen(at("ready"))
    sound.seen(at("recording"))
    assert time.monotonic() - began_s < 1.0
    give_up_s = time.monotonic() + 20
    while not said.exists() and time.monotonic() < give_up_s:
        time.sleep(0.01)
    sound.seen(at("ready", episodes=(line(0, "kept"),)))  # it still speaks: this one is left out
    sound.seen(at("ready", "fault", episodes=(line(0, "kept"),)))  # and this one cuts it short
    while said.read_text() != "episode 1\nfault\n" and time.monotonic() < give_up_s:
        time.sleep(0.01)
    assert said.read_text() == "episode 1\nfault\n"
    assert isinstance(sound._speaking, subprocess.Popen)
    sound._speaking.kill()
    sound._speaking.wait()


def test_where_nothing_speaks_the_bell_rings_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[str] = []
    rung: list[float] = []
    monkeypatch.setenv("PATH", str(tmp_path))
    sound = Sound("speech", lambda: None, complaints.append, lambda s, _: rung.append(s))
    sound.seen(at("ready"))
    sound.seen(at("recording"))
    assert len(complaints) == 1 and len(rung) == 1
    speaker(tmp_path, "sys.exit(3)", monkeypatch)
    sound = Sound("speech", lambda: None, complaints.append, lambda s, _: rung.append(s))
    sound.seen(at("ready"))
    for number in range(3):
        sound.seen(at("recording"))
        if sound._speaking is not None:
            sound._speaking.wait()
        sound.seen(at("ready", episodes=(line(number, "kept"),)))
    assert len(complaints) == 2 and "exit code 3" in complaints[1]
    assert len(rung) > 1
