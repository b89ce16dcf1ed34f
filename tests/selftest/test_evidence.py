"""What a selftest changes: caps until there was one, and what it found afterwards."""

from pathlib import Path

import msgspec
import pytest

from config.loader import load
from config.schema import Config
from daemon.selftest import record
from daemon.selftest.evidence import hardware_checks, with_evidence
from daemon.selftest.facts import FACTS, Verdict
from daemon.selftest.findings import Findings
from daemon.selftest.record import Record


@pytest.fixture
def real(tmp_path: Path) -> Config:
    """A robot with one real arm."""
    file = tmp_path / "bench.yaml"
    file.write_text("extends: so101\nname: bench\narms: {arm: {port: /dev/x, id: mine}}\n")
    return load(file=file).config


def recorded(verdict: Verdict = "confirmed", **other: object) -> Record:
    found = Findings()
    found.measured = {fact.id: ("as expected", verdict) for fact in FACTS}
    plain = Record(
        arm="mine",
        at="2026-11-21T12:00:00Z",
        simulated=False,
        finished=True,
        supply="12V",
        present_v=12.1,
        telemetry_p99_ms=2.0,
        facts=found.facts(),
    )
    return msgspec.structs.replace(plain, **other)


def test_until_a_selftest_has_run_speed_and_torque_are_capped_and_arming_says_so(
    real: Config,
) -> None:
    config = with_evidence(real, {"arm": None})
    assert max(config.limits.speed_deg_s) == real.limits.untried_speed_deg_s
    assert max(config.limits.torque_limit_permille) == real.limits.untried_torque_permille
    (line,) = hardware_checks(config, {"arm": None})
    assert line.outcome == "warn"
    assert "40°/s" in line.detail and "60 %" in line.detail and "plug" in line.do


def test_a_selftest_that_confirmed_what_is_needed_lifts_the_caps(real: Config) -> None:
    tried = {"arm": recorded()}
    config = with_evidence(real, tried)
    assert config.limits == real.limits
    (line,) = hardware_checks(config, tried)
    assert line.outcome == "pass" and "2026-11-21" in line.detail


@pytest.mark.parametrize(
    "poor",
    [
        {"finished": False},
        {"simulated": True},
        {"facts": recorded("unclear").facts},
        {"facts": recorded().facts[:-1]},
    ],
    ids=["broken off", "of a virtual arm", "nobody looked", "no release"],
)
def test_a_selftest_that_did_not_see_everything_needed_lifts_nothing(
    real: Config, poor: dict[str, object]
) -> None:
    tried = {"arm": recorded(**poor)}
    config = with_evidence(real, tried)
    assert max(config.limits.speed_deg_s) == real.limits.untried_speed_deg_s
    assert hardware_checks(config, tried)[0].outcome == "warn"


def test_one_untried_arm_of_two_caps_both(real: Config) -> None:
    arm = real.arms["arm"]
    other = msgspec.structs.replace(arm, id="other", port="/dev/y")
    pair = msgspec.structs.replace(real, arms={"left": arm, "right": other})
    tried = {"left": recorded(), "right": None}
    config = with_evidence(pair, tried)
    assert max(config.limits.speed_deg_s) == real.limits.untried_speed_deg_s
    assert [line.outcome for line in hardware_checks(config, tried)] == ["pass", "warn"]


@pytest.mark.parametrize(("p99_ms", "deadline_ms"), [(2.0, 4.0), (2.6, 5.2), (20.0, 6.25)])
def test_a_slow_adapter_gets_the_deadline_that_it_was_measured_to_need(
    real: Config, p99_ms: float, deadline_ms: float
) -> None:
    config = with_evidence(real, {"arm": recorded(telemetry_p99_ms=p99_ms)})
    assert config.control.read_deadline_ms == pytest.approx(deadline_ms)


@pytest.mark.parametrize(
    ("supply", "hold", "cap"), [("12V", 336, 450), ("12V", 420, 563), ("7.4V", 600, 522)]
)
def test_a_heavier_arm_keeps_what_it_needs_between_episodes(
    real: Config, supply: str, hold: float, cap: int
) -> None:
    config = with_evidence(real, {"arm": recorded(supply=supply, heaviest_hold_permille=hold)})
    assert config.limits.reset_torque_permille == cap


def test_the_servos_that_were_found_set_the_robot_unless_a_person_wrote_which(real: Config) -> None:
    weak = {"arm": recorded(supply="5V")}
    assert with_evidence(real, weak).arms["arm"].supply == "5V"
    arm = msgspec.structs.replace(real.arms["arm"], supply="7.4V")
    written = msgspec.structs.replace(real, arms={"arm": arm})
    assert with_evidence(written, weak).arms["arm"].supply == "7.4V"
    assert with_evidence(real, {"arm": None}).arms["arm"].supply == "12V"


def test_a_weak_kit_is_capped_to_as_many_newton_metres(real: Config) -> None:
    arm = msgspec.structs.replace(real.arms["arm"], supply="7.4V")
    weak = msgspec.structs.replace(real, arms={"arm": arm})
    config = with_evidence(weak, {"arm": None})
    assert max(config.limits.torque_limit_permille) == round(600 * 2.94 / 1.91)


def test_a_simulated_arm_waits_for_no_selftest_and_has_its_profiles_servos() -> None:
    sim = load(simulated=True).config
    config = with_evidence(sim, {"arm": None})
    assert config.limits == sim.limits
    assert config.arms["arm"].supply == "12V"
    assert hardware_checks(config, {"arm": None}) == ()


def test_a_record_survives_the_disk_and_a_shared_one_names_nobody(tmp_path: Path) -> None:
    kept = recorded()
    record.save(kept, tmp_path)
    assert record.load("mine", tmp_path) == kept
    assert b"mine" not in record.text(record.shareable(kept))
    (tmp_path / "mine.json").write_bytes(b'{"schema": 1, "arm"')
    assert record.load("mine", tmp_path) is None
