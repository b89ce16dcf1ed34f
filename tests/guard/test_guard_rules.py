"""The guard's rules: every combination of facts, and silence that is watched, not computed."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.guard.machine import RULES, Facts, Guarding, Life, next_state
from daemon.guard.silence import LONGEST_LOOK_NS, Silence
from daemon.guard.table import rules_table
from daemon.guard.watched import may_hold
from robotd.states import State, Torque

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "safety.md"
EVERYTHING = [Facts(life, *bits) for life in Life for bits in product((False, True), repeat=5)]


def test_the_safety_page_prints_the_rules_that_run() -> None:
    assert rules_table() in PAGE.read_text()


def test_a_control_that_ticks_or_is_only_late_is_never_acted_upon() -> None:
    for facts in EVERYTHING:
        if facts.life in (Life.TICKING, Life.SILENT, Life.ABSENT):
            assert next_state(Guarding.WATCHING, facts) is Guarding.WATCHING


def test_an_arm_that_control_said_is_limp_is_never_taken() -> None:
    for facts in EVERYTHING:
        if not facts.held:
            assert next_state(Guarding.WATCHING, facts) is Guarding.WATCHING


def test_no_port_is_taken_before_control_is_dead() -> None:
    for state, facts in product((Guarding.WATCHING, Guarding.KILLING, Guarding.CANNOT), EVERYTHING):
        if next_state(state, facts) is Guarding.TAKING:
            assert facts.life is Life.DEAD


def test_nothing_is_let_down_that_was_not_in_hand_and_nothing_held_is_called_down() -> None:
    for state, facts in product(Guarding, EVERYTHING):
        after = next_state(state, facts)
        if after in (Guarding.HOLDING, Guarding.RELEASING) and after is not state:
            assert facts.in_hand
        if after is Guarding.DOWN and state is not Guarding.DOWN:
            assert not facts.in_hand
            assert not facts.missing


def test_every_state_has_a_way_on() -> None:
    assert set(RULES) == set(Guarding)
    for state in Guarding:
        assert any(next_state(state, facts) is not state for facts in EVERYTHING)


@pytest.mark.parametrize("paused_s", [1, 60, 3_600])
def test_a_machine_that_was_paused_is_not_a_silent_control(paused_s: int) -> None:
    silence = Silence()
    silence.look(0, 7)
    assert silence.look(paused_s * 1_000_000_000, 7) == LONGEST_LOOK_NS


@given(st.lists(st.integers(0, 10**10), min_size=2))
def test_silence_is_never_longer_than_the_clock_nor_than_the_looks(gaps: list[int]) -> None:
    silence, now_ns = Silence(), 0
    silence.look(now_ns, 0)
    for gap_ns in gaps:
        now_ns += gap_ns
        silence.look(now_ns, 0)
    assert silence.ns <= min(now_ns, len(gaps) * LONGEST_LOOK_NS)
    assert silence.look(now_ns, 1) == 0


@pytest.mark.parametrize("before", [False, True])
def test_torque_off_is_believed_except_where_the_next_write_is_torque_on(before: bool) -> None:
    for state in State:
        off = may_hold({"torque": Torque.OFF, "state": state}, before)
        assert off is (state is State.ARMING)
        for torque in (Torque.ON, Torque.MIXED):
            assert may_hold({"torque": torque, "state": state}, before)
        unknown = may_hold({"torque": Torque.UNKNOWN, "state": state}, before)
        assert unknown is (before or state not in (State.DISARMED, State.ESTOP))


def test_the_guard_shares_no_more_with_control_than_the_line_and_the_release() -> None:
    code = "import sys, daemon.guard.__main__; print(*(m for m in sys.modules))"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(said.stdout.split())
    shared = {name for name in modules if name.startswith("daemon.control.")}
    assert shared == {f"daemon.control.{n}" for n in ("letdown", "link", "realtime", "release")}
    assert not modules & {"torch", "cv2", "mujoco", "av", "zmq", "lerobot"}
