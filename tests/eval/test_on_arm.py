"""Verdict keys on the running robot, in a real terminal, against a robot that does as a test says."""

import argparse
import contextlib
import os
import pty
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learning.evaluation import on_arm
from learning.evaluation.on_arm import evaluate_on_arm
from learning.evaluation.variants import Variant
from robotd import messages
from robotd.errors import StateError
from robotd.messages import PolicyStatus, Status, TwinStatus
from robotd.policy_channel import Load

from ..cli.test_typed import status as plain_status


class Arm:
    """A robot whose policy drives for as long as it is let; counts what was asked of it."""

    def __init__(self) -> None:
        self.state = "holding"
        self.episodes = 0
        self.presses = 0
        self.running = False
        self.refuses = False  # no chunk passes the twin
        self.chunks = 0
        self.asked = threading.Event()  # how it failed
        self.instance = messages.Instance(
            name="bench",
            pid=1,
            boot_id="b",
            simulated=False,
            joints=(),
            cameras=(),
            tick_hz=120,
            fps=30,
        )

    def __enter__(self) -> "Arm":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def status(self) -> Status:
        status: Status = plain_status(self.state, time.monotonic_ns())
        return status

    def watch(self, timeout_s: float) -> Status:
        time.sleep(0.001)
        state = "policy" if self.running and self.state == "holding" else self.state
        status: Status = plain_status(state, time.monotonic_ns())
        if state != "policy":
            return status
        self.chunks += 1
        reason = "elbow_flex would go 90° beyond its range 0.0 s into the plan"
        passed, rejected = (0, self.chunks) if self.refuses else (self.chunks, 0)
        return msgspec.structs.replace(
            status,
            twin=TwinStatus(alive=True, plans_passed=passed, plans_rejected=rejected),
            policy=PolicyStatus(phase="running", error=reason if self.refuses else ""),
        )

    def estop(self) -> int:
        self.presses += 1
        return self.presses

    @contextlib.contextmanager
    def drives(self, _robot: Any, name: str, seconds: float, **consent: bool) -> Iterator[Any]:
        assert name == "policy" and consent == {"unrehearsed": False, "despite_probe": False}
        self.episodes += 1
        self.running = True
        try:
            yield lambda: False
        finally:
            self.running = False


@pytest.fixture
def arm(monkeypatch: pytest.MonkeyPatch) -> Arm:
    robot = Arm()
    monkeypatch.setattr(on_arm.Robot, "connect", lambda _name: robot)
    ready = PolicyStatus(path="/p", phase="ready", sha256="f" * 64, n_action_steps=25)
    monkeypatch.setattr(on_arm, "load_policy", lambda *_: ready)
    monkeypatch.setattr(on_arm, "consent_unrehearsed", lambda *_: False)
    monkeypatch.setattr(on_arm, "arm_with_consent", lambda *_: None)
    monkeypatch.setattr(on_arm, "set_the_scene", lambda *_: True)
    monkeypatch.setattr(on_arm, "source", robot.drives)
    ask = on_arm._Desk._how

    def asks(desk: Any) -> Any:
        robot.asked.set()
        return ask(desk)

    monkeypatch.setattr(on_arm._Desk, "_how", asks)
    return robot


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal on stdin; its other end."""
    outer, inner = pty.openpty()
    stdin = os.fdopen(inner)
    monkeypatch.setattr(sys, "stdin", stdin)
    yield outer
    stdin.close()
    os.close(outer)


def presses(arm: Arm, terminal: int, *keys: str) -> threading.Thread:
    """Press each key when a new episode has begun, a digit when it is asked how the last one failed."""

    def work() -> None:
        begun = 0
        for key in keys:
            if key.isdigit() or key.startswith("?"):  # ?R: R where it is asked how it failed
                arm.asked.wait(60)
                arm.asked.clear()
            else:
                while arm.episodes == begun or not arm.running:
                    time.sleep(0.01)
                begun = arm.episodes
                chunks = arm.chunks
                while arm.chunks < chunks + 2:  # it has been seen to follow one
                    time.sleep(0.01)
                time.sleep(0.1)
            os.write(terminal, key.removeprefix("?").encode())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def options(folder: Path, **changes: Any) -> argparse.Namespace:
    values = {
        "name": None,
        "task": "block_in_bowl",
        "episodes": 3,
        "first_seed": 0,
        "seconds": 60.0,
        "out": folder,
        "fresh": False,
        "json": True,
        "yes": True,
        "despite_probe": False,
        "unrehearsed": False,
    }
    return argparse.Namespace(**(values | changes))


POLICY = [Variant(name="p", load=Load(path="/p", task="put it there"))]


def test_a_person_judges_with_keys_and_a_redone_episode_does_not_count(
    arm: Arm, terminal: int, tmp_path: Path
) -> None:
    thread = presses(arm, terminal, "s", "r", "f", "2", "s")
    content = evaluate_on_arm(options(tmp_path), POLICY)
    thread.join()
    assert arm.episodes == 4
    assert content["outcomes"] == {"dropped_during_transport": 1, "success": 2}
    assert content["source"] == "arm bench" and content["successes"] == 2
    assert content["n_action_steps"] == 25 and content["ckpt_sha"] == "f" * 64
    assert content["seeds"] is None and content["pick_rate"] == 1.0
    episode = content["per_episode"][0]
    assert (episode["dist"], episode["slips"], episode["limited_ticks"]) == (None, None, None)
    assert content["wall_s"] == pytest.approx(
        sum(each["seconds"] for each in content["per_episode"]), abs=0.1
    )
    assert {episode["judged_by"] for episode in content["per_episode"]} == {"person"}
    assert (tmp_path / "report.html").exists()


def test_ending_early_keeps_what_was_judged_and_the_next_time_goes_on(
    arm: Arm, terminal: int, tmp_path: Path
) -> None:
    presses(arm, terminal, "s", "q").join(0)
    assert evaluate_on_arm(options(tmp_path), POLICY)["episodes"] == 1
    arm.episodes = 0
    presses(arm, terminal, "s", "f", "1").join(0)
    content = evaluate_on_arm(options(tmp_path), POLICY)
    assert content["episodes"] == 3
    assert content["outcomes"] == {"never_picked_up": 1, "success": 2}
    assert arm.episodes == 2


def test_time_that_is_up_holds_and_waits_for_the_verdict(
    arm: Arm, terminal: int, tmp_path: Path
) -> None:
    def judge() -> None:
        while not (arm.episodes and not arm.running):
            time.sleep(0.01)
        os.write(terminal, b"s")

    threading.Thread(target=judge, daemon=True).start()
    content = evaluate_on_arm(options(tmp_path, episodes=1, seconds=0.3), POLICY)
    assert content["successes"] == 1 and content["per_episode"][0]["steps"] == 9


def test_a_stop_ends_it_at_once_and_nothing_judged_is_an_answer(
    arm: Arm, terminal: int, tmp_path: Path
) -> None:
    presses(arm, terminal, "x")
    with pytest.raises(StateError, match="software stop"):
        evaluate_on_arm(options(tmp_path), POLICY)
    assert arm.presses == 1 and not arm.running


def test_a_takeover_ends_it(arm: Arm, terminal: int, tmp_path: Path) -> None:
    def take() -> None:
        while not arm.running:
            time.sleep(0.01)
        arm.state = "teleop"

    threading.Thread(target=take, daemon=True).start()
    with pytest.raises(StateError, match="taken over"):
        evaluate_on_arm(options(tmp_path), POLICY)


def test_without_a_terminal_or_in_a_wrong_state_nothing_is_begun(
    arm: Arm, terminal: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for state in ("fault", "estop", "policy", "teleop", "homing"):
        arm.state = state
        with pytest.raises(StateError, match=state):
            evaluate_on_arm(options(tmp_path), POLICY)
    arm.state = "holding"
    with (tmp_path / "nothing").open("w+") as no_terminal:
        monkeypatch.setattr(sys, "stdin", no_terminal)
        with pytest.raises(StateError, match="needs a terminal"):
            evaluate_on_arm(options(tmp_path), POLICY)
    with pytest.raises(StateError, match="one policy"):
        evaluate_on_arm(options(tmp_path), [*POLICY, *POLICY])
    assert arm.episodes == 0


def test_a_policy_that_was_never_let_move_is_no_failure_of_its_own_until_a_person_says_so(
    arm: Arm, terminal: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A twin that refuses every chunk, or a camera that is gone, was counted as the policy's failure."""
    arm.refuses = True

    def judge() -> None:
        for episode, keys in ((1, "f r"), (2, "s f 1")):
            while arm.episodes < episode or not arm.running:
                time.sleep(0.01)
            time.sleep(0.4)  # it was seen to wait
            for key in keys.split():
                os.write(terminal, key.encode())
                time.sleep(0.3)

    thread = threading.Thread(target=judge, daemon=True)
    thread.start()
    content = evaluate_on_arm(options(tmp_path, episodes=1), POLICY)
    thread.join()
    said = capsys.readouterr().err
    assert arm.episodes == 2 and content["outcomes"] == {"never_picked_up": 1}
    assert "the arm waits: elbow_flex would go 90° beyond its range" in said
    assert "The policy moved nothing: none of its" in said and "robotd probe --policy /p" in said
    assert "R does it again" in said and "0 chunks passed the twin" in said


def test_a_failure_by_mistake_is_taken_back_where_it_is_asked_how(
    arm: Arm, terminal: int, tmp_path: Path
) -> None:
    thread = presses(arm, terminal, "f", "?r", "s", "f", "?q")
    content = evaluate_on_arm(options(tmp_path), POLICY)
    thread.join()
    assert arm.episodes == 3
    assert content["outcomes"] == {"success": 1}
