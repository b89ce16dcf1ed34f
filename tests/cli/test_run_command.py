"""`robotd run` ends in an error when its policy or its arm failed."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

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


def test_an_arm_that_was_taken_over_is_no_error() -> None:
    raise_if_failed(shows("holding", PolicyStatus(phase="ready")))
