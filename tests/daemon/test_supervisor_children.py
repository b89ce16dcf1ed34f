"""Children: started, heard, restarted by rule, ended. Against a small zoo of real processes."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.supervisor.children import Children, Spec
from daemon.supervisor.process import ProcessId, alive, end, identify, start_time
from daemon.supervisor.restart import (
    ENDS_ALLOWED,
    LONGEST_BACKOFF_NS,
    WINDOW_NS,
    History,
    ended,
    given_up,
    restart_at_ns,
)

ZOO = Path(__file__).parent / "zoo"
ROOT = Path(__file__).parents[2]


def animal(name: str, *, restarts: bool = True) -> Spec:
    return Spec(name, name, restarts=restarts, environment={"PYTHONPATH": f"{ZOO}:{ROOT}"})


def until(done: Callable[[], bool], children: Children, seconds: float = 10.0) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        children.poll()
        if done():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


@pytest.fixture
def noted() -> list[list[ProcessId]]:
    return []


@pytest.fixture
def children(tmp_path: Path, noted: list[list[ProcessId]]) -> Iterator[Children]:
    made = Children(tmp_path / "logs", time.monotonic_ns, noted.append)
    yield made
    for child in made.all():
        if child.process is not None:
            child.process.kill()
            child.process.wait()


def test_a_child_is_ready_when_it_says_so_and_ends_when_asked(
    children: Children, noted: list[list[ProcessId]]
) -> None:
    child = children.start(animal("well_behaved"))
    assert child.word == "starting"
    until(lambda: child.ready, children)
    assert child.word == "running"
    assert [each.name for each in noted[-1]] == ["well_behaved"]
    children.ask_to_end("well_behaved")
    until(lambda: not child.running, children)
    assert child.word == "ended"
    assert noted[-1] == []


def test_a_child_that_says_much_and_never_ready_is_not_taken_for_ready(
    children: Children,
) -> None:
    child = children.start(animal("silent"))
    until(lambda: children.last_words("silent") == "words", children)
    assert not child.ready


def test_a_child_that_dies_is_started_again_and_its_reason_is_kept(children: Children) -> None:
    child = children.start(animal("always_crashes"))
    until(lambda: len(child.history.ends_ns) >= 2, children)
    assert "The cable is gone." in children.last_words("always_crashes")
    assert "exit 3" in child.word


def test_a_child_whose_rule_forbids_it_is_not_started_again(children: Children) -> None:
    child = children.start(animal("always_crashes", restarts=False))
    until(lambda: not child.running, children)
    for _ in range(100):
        children.poll()
        time.sleep(0.01)
    assert not child.running
    assert child.word == "dead (exit 3)"


def test_a_child_that_ignores_being_asked_is_killed(children: Children) -> None:
    child = children.start(animal("deaf"))
    until(lambda: child.ready, children)
    children.ask_to_end("deaf")
    time.sleep(0.2)
    children.poll()
    assert child.running
    children.kill("deaf")
    until(lambda: not child.running, children)
    assert child.exit_code == -signal.SIGKILL


def test_logs_stay_bounded_while_their_writer_lives(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.supervisor.children._LOG_BYTES", 100)
    path = tmp_path / "logs" / "x.log"
    path.write_text("old " * 100)
    children.trim_logs()
    assert path.stat().st_size == 0
    assert (tmp_path / "logs" / "x.log.1").stat().st_size == 400


def test_a_pid_that_was_given_to_another_process_is_not_ours(children: Children) -> None:
    child = children.start(animal("well_behaved"))
    until(lambda: child.ready, children)
    assert child.identity is not None
    assert alive(child.identity)
    stranger = ProcessId(name="old", pid=child.identity.pid, started=child.identity.started + 1)
    assert not alive(stranger)
    assert end(stranger, 0.1)
    assert alive(child.identity)


def test_ending_a_deaf_orphan_takes_a_kill_and_says_so(children: Children) -> None:
    child = children.start(animal("deaf"))
    until(lambda: child.ready, children)
    assert child.identity is not None
    assert not end(child.identity, 0.2)
    until(lambda: not child.running, children)


def test_a_process_knows_its_own_start_time() -> None:
    import os

    mine = identify("me", os.getpid())
    assert mine.started == start_time(os.getpid()) > 0
    assert alive(mine)


@given(st.lists(st.integers(0, 300_000_000_000), min_size=1, max_size=30))
def test_restarts_back_off_and_stop_after_too_many(times: list[int]) -> None:
    history = History()
    for when in sorted(times):
        history = ended(history, when)
        recent = [end_ns for end_ns in history.ends_ns if when - end_ns < WINDOW_NS]
        assert given_up(history) == (len(recent) > ENDS_ALLOWED)
        due_ns = restart_at_ns(history)
        if due_ns is not None:
            assert when < due_ns <= when + LONGEST_BACKOFF_NS
