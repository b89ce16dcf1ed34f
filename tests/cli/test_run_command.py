"""`robotd run` ends in an error when its policy or its arm failed."""

import argparse
from types import SimpleNamespace
from typing import Any, cast

import pytest

from daemon.cli import checkpoint
from daemon.cli.checkpoint import consent_unrehearsed
from daemon.cli.probed import consent_probe
from daemon.cli.run import raise_if_failed
from robotd.errors import StateError
from robotd.messages import PolicyStatus

FAILED = PolicyStatus(phase="failed", error="No action.", likely="It overflows.", do="Choose.")


def shows(state: str, policy: PolicyStatus = FAILED) -> Any:
    fault = "overload" if state == "fault" else ""
    shown = SimpleNamespace(state=state, fault=fault, fault_do="", message="", policy=policy)
    return cast(Any, shown)


def test_a_policy_that_failed_in_its_run_is_its_own_three_parts() -> None:
    """It used to end with `taken over` and exit status 0."""
    with pytest.raises(StateError) as caught:
        raise_if_failed(shows("holding"))
    error = caught.value
    assert (error.what, error.likely, error.do) == (FAILED.error, FAILED.likely, FAILED.do)


@pytest.mark.parametrize("state", ["fault", "estop"])
def test_an_arm_that_stopped_itself_is_an_error(state: str) -> None:
    with pytest.raises(StateError, match=state) as caught:
        raise_if_failed(shows(state, PolicyStatus(phase="ready")))
    assert caught.value.likely and caught.value.do


NEW = PolicyStatus(phase="ready", rehearsal="never rehearsed", rehearsal_do="robotd rehearse P")


def consents(
    *,
    simulated: bool = False,
    policy: PolicyStatus = NEW,
    yes: bool = False,
    unrehearsed: bool = False,
) -> bool:
    robot = SimpleNamespace(instance=SimpleNamespace(simulated=simulated, name="bench"))
    args = argparse.Namespace(yes=yes, unrehearsed=unrehearsed)
    return consent_unrehearsed(cast(Any, robot), policy, args)


def test_a_simulated_robot_and_a_rehearsed_policy_need_no_further_consent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint, "ask", lambda _question: pytest.fail("asked"))
    assert not consents(simulated=True)
    assert not consents(policy=PolicyStatus(phase="ready", rehearsed=True))
    assert consents(unrehearsed=True)


def test_a_policy_that_was_never_rehearsed_runs_on_a_real_arm_only_by_a_persons_own_yes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoint, "ask", lambda _question: True)
    assert consents()
    assert "robotd rehearse P" in capsys.readouterr().out
    with pytest.raises(StateError, match="never rehearsed") as caught:
        consents(yes=True)  # --yes is the consent to arming, and to nothing else
    assert "robotd rehearse P" in caught.value.do and "--unrehearsed" in caught.value.do
    monkeypatch.setattr(checkpoint, "ask", lambda _question: False)
    with pytest.raises(StateError):
        consents()


def test_an_arm_that_was_taken_over_is_no_error() -> None:
    raise_if_failed(shows("holding", PolicyStatus(phase="ready")))


PROBED = PolicyStatus(
    phase="ready", probed="fail", probe="FAILED on blocks: polarity.", probe_do="Turn it back."
)


def test_a_policy_whose_probe_failed_is_not_started_but_by_a_word_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    silent = argparse.Namespace(yes=True, unrehearsed=True, despite_probe=False)
    with pytest.raises(StateError, match="polarity") as caught:
        consent_probe(PROBED, silent)
    assert "Turn it back." in caught.value.do and "--despite-probe" in caught.value.do
    assert consent_probe(PROBED, argparse.Namespace(despite_probe=True))
    said = capsys.readouterr().out
    assert "FAILED on blocks: polarity." in said and "you said --despite-probe" in said


def test_a_policy_that_was_never_probed_runs_and_is_told_how_it_would_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    new = PolicyStatus(
        phase="ready", probed="missing", probe="never probed", probe_do="robotd probe --policy P"
    )
    assert not consent_probe(new, argparse.Namespace(despite_probe=False))
    assert "robotd probe --policy P" in capsys.readouterr().out
    passed = PolicyStatus(phase="ready", probed="pass", probe="does what people did")
    assert not consent_probe(passed, argparse.Namespace(despite_probe=False))
    assert capsys.readouterr().out == ""
