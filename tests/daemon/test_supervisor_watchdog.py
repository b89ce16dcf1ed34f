"""systemd's watchdog is fed by completed ticks of a living control; by what else, and what not."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from daemon.supervisor.notify import Notifier
from daemon.supervisor.watchdog import STARTING_NS, Proof
from robotd.clock import NS_PER_S


def control(*, running: bool = True, started_ns: int = 100) -> Any:
    return SimpleNamespace(running=running, started_ns=started_ns)


def test_only_a_new_tick_of_the_control_that_runs_is_a_proof() -> None:
    proof = Proof()
    assert proof.look(control(), 1, 200, 300)
    assert not proof.look(control(), 1, 200, 300)
    assert proof.look(control(), 2, 210, 310)
    for later_ns in (NS_PER_S, 100 * NS_PER_S):
        assert not proof.look(control(), 2, 210, later_ns)
    assert proof.look(control(started_ns=400), 2, 450, 500)  # another control, as many ticks


def test_a_ring_of_the_one_before_proves_nothing_of_a_control_that_hangs_at_its_start() -> None:
    proof = Proof()
    proof.look(control(), 7, 200, 300)
    new = control(started_ns=1_000)
    assert proof.look(new, 7, 200, 1_000 + STARTING_NS // 2)
    assert not proof.look(new, 7, 200, 1_000 + 2 * STARTING_NS)
    assert not proof.look(new, 0, None, 1_000 + 2 * STARTING_NS)


def test_a_control_that_is_absent_by_rule_is_no_reason_to_start_the_supervisor_again() -> None:
    proof = Proof()
    assert proof.look(None, 0, None, 0)
    for now_ns in range(0, 100 * NS_PER_S, 10 * NS_PER_S):
        assert proof.look(control(running=False), 7, 200, now_ns)


def test_the_watchdog_period_is_read_and_a_deaf_service_manager_holds_nobody_up(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "5000000")
    assert Notifier(str(tmp_path / "nobody")).watchdog_s == 5.0
    Notifier(str(tmp_path / "nobody")).watchdog()
