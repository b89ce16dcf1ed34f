"""Verdicts of probes: kept for the very same thing, shown in the arming list, and what they forbid."""

from pathlib import Path
from typing import Any

import pytest

from daemon.probes import Probe, ProbeStore, probe_key, probed, refuse_failed
from daemon.supervisor.checks import surroundings_checks
from robotd.errors import StateError
from robotd.messages import Check, PolicyStatus, TwinStatus

from .test_supervisor_checks import changed

FAILED = Probe(
    outcome="fail",
    at="2026-11-22T01:00:00+00:00",
    policy="P",
    dataset="/data/me/blocks",
    dataset_sha256="d",
    frames=500,
    held_out=True,
    error=2.1,
    cause="un-normalised",
    what="It says normalised numbers.",
    likely="Its postprocessor does nothing.",
    do="robotd ckpt stats P --from DATASET.",
)
PASSED = Probe(
    outcome="pass",
    at="2026-11-22T01:00:00+00:00",
    policy="P",
    dataset="/data/me/blocks",
    dataset_sha256="d",
    frames=500,
    held_out=True,
    error=0.12,
)


def test_a_verdict_holds_for_the_same_weights_read_the_same_way_and_nothing_else(
    tmp_path: Path,
) -> None:
    store = ProbeStore(tmp_path / "probes")
    key = probe_key("a", 30, "degrees", {})
    store.keep(key, FAILED)
    assert store.find(key) == FAILED
    others = [
        probe_key("b", 30, "degrees", {}),
        probe_key("a", 15, "degrees", {}),
        probe_key("a", 30, "range_m100_100", {}),
        probe_key("a", 30, "degrees", {"front": "wrist"}),
        probe_key("a", 30, "degrees", {}, "so101-radians"),
    ]
    assert [store.find(each) for each in others] == [None] * len(others)
    store.keep(key, PASSED)  # the last one stands
    assert store.find(key) == PASSED
    (tmp_path / "probes" / f"{key}.json").write_text('{"outcome": "pa')
    assert store.find(key) is None  # cut short is no verdict
    assert probe_key("", 30, "degrees", {}) == "" and probed(store, "", "P") is None


def test_only_a_failed_probe_is_refused_and_the_override_is_named(tmp_path: Path) -> None:
    store = ProbeStore(tmp_path / "probes")
    key = probe_key("a", 30, "degrees", {})
    missing = probed(store, key, "P")
    assert missing is not None and missing.outcome == "missing"
    assert "robotd probe --policy P --dataset" in missing.do
    refuse_failed(missing)
    store.keep(key, PASSED)
    refuse_failed(probed(store, key, "P"))
    store.keep(key, FAILED)
    with pytest.raises(StateError, match="un-normalised") as caught:
        refuse_failed(probed(store, key, "P"))
    error = caught.value
    assert FAILED.likely in error.likely and FAILED.do in error.do
    assert "--despite-probe" in error.do


def listed(**policy: Any) -> Check | None:
    status = PolicyStatus(phase="ready", kind="act", **policy)
    checks = surroundings_checks(changed(policy=status, twin=TwinStatus(alive=True)))
    return next((check for check in checks if check.name == "probe"), None)


@pytest.mark.parametrize(
    ("probed", "outcome"),
    [("pass", "pass"), ("warn", "warn"), ("missing", "warn"), ("fail", "warn")],
)
def test_the_arming_list_says_how_a_policy_was_probed_and_forbids_nobody_the_arm(
    probed: str, outcome: str
) -> None:
    """A failed probe forbids running the policy; a person may still take the arm by hand."""
    check = listed(probed=probed, probe="FAILED on blocks: un-normalised", probe_do="mend it")
    assert check is not None
    assert (check.outcome, check.detail) == (outcome, "FAILED on blocks: un-normalised")
    assert check.do == "mend it"


def test_a_policy_that_cannot_be_probed_is_not_asked_for_one() -> None:
    assert listed() is None
