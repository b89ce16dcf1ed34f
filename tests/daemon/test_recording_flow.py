"""The pace of a session and what a person says in it: countdown, redo, marks, notes, takeovers."""

import time
from typing import Any

import pyarrow.parquet as pq
import pytest

from daemon.recorder import channel
from daemon.recorder.catalog import read_episode_about, read_info
from daemon.recorder.labels import columns
from daemon.recorder.schema import Mark
from robotd.clock import NS_PER_S
from robotd.states import Source, State

from .test_recorder_process import TICKS_PER_ROW, Bench, bench, config, own_places

__all__ = ["bench", "config", "own_places"]  # fixtures

TICK_HZ, FPS = 120, 15


def settle(bench: Bench) -> None:
    give_up_s = time.monotonic() + 20
    while not bench.service.idle and time.monotonic() < give_up_s:
        bench.service.step()
        time.sleep(0.005)


def test_episodes_take_their_own_time_and_their_resets_with_one_key_each(bench: Bench) -> None:
    episodes, episode_s, reset_s = 4, 2.0, 1.0
    bench.open(episodes=episodes, reset_s=reset_s, auto=True)
    began_ns = bench.clock.now_ns()
    keys = 1
    bench.done(channel.Start)
    for number in range(episodes):
        bench.run(round(episode_s * TICK_HZ))
        bench.done(channel.Keep, success=True)
        keys += 1
        if number == episodes - 1:
            break
        assert bench.status.goes_on
        assert bench.status.reset_left_s == pytest.approx(reset_s, abs=0.02)
        while bench.status.phase != "recording":
            bench.run(1)
    took_s = (bench.clock.now_ns() - began_ns) / NS_PER_S
    wanted_s = episodes * episode_s + (episodes - 1) * reset_s
    assert took_s <= 1.02 * wanted_s
    assert keys == episodes + 1
    assert not bench.status.goes_on  # the session has what it wanted
    bench.done(channel.Close)
    assert read_info(bench.root).lengths == (round(episode_s * FPS),) * episodes


def test_nothing_begins_by_itself_until_somebody_has_the_arm(bench: Bench) -> None:
    bench.open(reset_s=0.5, auto=True)
    bench.done(channel.Start)
    bench.run(3 * TICKS_PER_ROW)
    bench.robot.state = State.HOLDING
    bench.done(channel.Keep)
    bench.run(2 * TICK_HZ)
    assert bench.status.phase == "ready" and bench.status.reset_left_s == 0.0
    bench.robot.state = State.TELEOP
    bench.run(2)
    assert bench.status.phase == "recording"


def test_without_auto_and_after_a_discard_or_an_undo_the_next_episode_waits_for_a_key(
    bench: Bench,
) -> None:
    def waits() -> bool:
        bench.run(TICK_HZ)
        return bench.status.phase == "ready"

    bench.open(reset_s=0.5)
    bench.done(channel.Start)
    bench.run(3 * TICKS_PER_ROW)
    bench.done(channel.Keep)
    assert waits()
    bench.open(reset_s=0.5, auto=True)
    for after in (channel.Discard, channel.Keep):
        bench.done(channel.Start)
        bench.run(3 * TICKS_PER_ROW)
        bench.done(after)
        if after is channel.Keep:
            bench.done(channel.Undo)
        assert waits()


def test_redo_throws_the_episode_away_and_records_it_again_with_that_one_key(bench: Bench) -> None:
    bench.open(reset_s=3.0)
    bench.done(channel.Start)
    bench.run(4 * TICKS_PER_ROW)
    answer = bench.done(channel.Discard, again=True)
    assert answer["next"] and answer["next"] != answer["journal"]
    assert bench.status.phase == "recording" and bench.status.frames == 0
    bench.run(5 * TICKS_PER_ROW)
    assert bench.done(channel.Keep)["frames"] == 5
    assert [line.outcome for line in bench.status.episodes] == ["discarded", "kept"]
    bench.done(channel.Close)
    assert read_info(bench.root).lengths == (5,)


def test_in_an_automatic_session_redo_leaves_time_to_lay_the_things_back(bench: Bench) -> None:
    bench.open(reset_s=0.5, auto=True)
    bench.done(channel.Start)
    bench.run(4 * TICKS_PER_ROW)
    assert bench.done(channel.Discard, again=True)["next"] == ""
    assert bench.status.phase == "ready" and bench.status.goes_on
    bench.run(TICK_HZ // 2 + 2)
    assert bench.status.phase == "recording"


def test_an_episode_that_cannot_begin_by_itself_says_why_and_waits_for_a_key(bench: Bench) -> None:
    bench.open(reset_s=0.1, auto=True)
    bench.done(channel.Start)
    bench.run(3 * TICKS_PER_ROW)
    bench.done(channel.Keep)
    bench.robot.skip(3 * TICK_HZ)
    bench.run(10)
    assert bench.status.phase == "ready" and not bench.status.goes_on
    assert "stands still" in bench.status.last_error


def test_marks_stand_at_the_row_of_their_moment_and_become_columns(bench: Bench) -> None:
    bench.open()
    bench.done(channel.Start)
    bench.run(4 * TICKS_PER_ROW)
    assert bench.done(channel.Mark, name="subgoal") == {"row": 4, "number": 1}
    bench.run(3 * TICKS_PER_ROW)
    assert bench.done(channel.Mark, name="Griff zu / 抓住") == {"row": 7, "number": 1}
    assert bench.done(channel.Mark, name="subgoal")["number"] == 2
    assert bench.status.marks == 3
    bench.run(2 * TICKS_PER_ROW)
    bench.done(channel.Mark, name="subgoal")  # at a row that is not made any more
    bench.done(channel.Keep, success=True)
    assert bench.refused(channel.Mark, name="subgoal").kind == "StateError"
    bench.done(channel.Close)
    about = read_episode_about(bench.root, 0)
    assert about is not None
    assert about.marks == (
        Mark(4),
        Mark(7, "Griff zu / 抓住"),
        Mark(7),
        Mark(8),
    )
    found = columns(about)
    assert found["subgoal"].tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 3]
    assert found["next.done"].tolist() == [False] * 8 + [True]
    assert found["next.success"].tolist() == [False] * 8 + [True]
    assert found["next.reward"].tolist() == [0.0] * 8 + [1.0]


def test_a_note_is_taken_during_an_episode_after_it_and_after_it_was_saved(bench: Bench) -> None:
    def page(episode: int) -> Any:
        about = read_episode_about(bench.root, episode)
        assert about is not None
        return about.label

    bench.open()
    assert bench.refused(channel.SetLabel, note="too early").kind == "StateError"
    bench.done(channel.Start)
    bench.run(3 * TICKS_PER_ROW)
    note = "zu schnell / 太快了\nsecond try 🥣"
    bench.done(channel.SetLabel, note=note)
    assert bench.status.said == note
    bench.done(channel.Keep, success=True)
    settle(bench)
    assert (page(0).success, page(0).note) == (True, note)
    bench.done(channel.SetLabel, success=False)
    assert (page(0).success, page(0).note) == (False, note)
    assert bench.status.episodes[-1].outcome == "fail"
    bench.done(channel.Start)
    bench.run(3 * TICKS_PER_ROW)
    bench.done(channel.Keep)
    bench.done(channel.SetLabel, note="of the second one")  # it may be saved by then, or not
    bench.done(channel.Close)
    assert (page(0).note, page(1).note) == (note, "of the second one")


@pytest.mark.parametrize("note", ["\x1b[2J", "x" * 5000, "half \ud800"])
def test_a_note_that_is_no_text_is_refused_and_changes_nothing(bench: Bench, note: str) -> None:
    bench.open()
    bench.done(channel.Start)
    assert bench.refused(channel.SetLabel, note=note).kind == "DatasetError"
    assert bench.refused(channel.Mark, name="").kind == "DatasetError"
    assert bench.status.said == "" and bench.status.marks == 0


def test_a_policys_episode_that_a_person_corrects_twice_is_one_episode_that_says_so(
    bench: Bench,
) -> None:
    policy, person, nobody = (
        (State.POLICY, Source.POLICY),
        (State.TELEOP, Source.CORRECTION),
        (State.HOLDING, Source.NONE),
    )
    keyboard = (State.TELEOP, Source.KEYBOARD)
    bench.open()
    bench.done(channel.Start)
    for state, source in (policy, person, keyboard, policy, nobody, person, nobody, policy):
        bench.robot.state, bench.robot.source = state, source
        bench.run(2 * TICKS_PER_ROW)
    assert bench.status.takeovers == 2
    bench.done(channel.Keep, success=True)
    assert bench.status.episodes[-1].takeovers == 2
    bench.done(channel.Close)
    folder = bench.root / "robotd" / "episodes" / "episode-000000"
    rows = pq.read_table(folder / "evidence.parquet").to_pylist()
    said = [(row["source"], row["intervention_id"]) for row in rows[::2]]
    assert said == [
        ("policy", -1),
        ("correction", 0),
        ("correction", 0),
        ("policy", -1),
        ("none", -1),
        ("correction", 1),
        ("none", -1),
        ("policy", -1),
    ]


def test_a_person_without_a_policy_corrects_nothing(bench: Bench) -> None:
    bench.open()
    bench.robot.source = Source.LEADER
    bench.done(channel.Start)
    bench.run(3 * TICKS_PER_ROW)
    assert bench.status.takeovers == 0
    bench.done(channel.Keep)
    bench.done(channel.Close)
    evidence = bench.root / "robotd" / "episodes" / "episode-000000" / "evidence.parquet"
    assert set(pq.read_table(evidence)["source"].to_pylist()) == {"leader"}
