"""Speed is evidence: another one is said, bounded, and never an accident."""

from pathlib import Path

import pytest

from daemon.cli.checkpoint import played_differently
from policies.checkpoint.evidence import Sidecar, find_evidence, write_sidecar
from policies.playing import Played, played
from robotd.errors import CheckpointError
from robotd.messages import PolicyStatus
from robotd.policy_channel import Load

JOINTS = ("shoulder_pan.pos", "gripper.pos")


class Folder:
    stats: dict[str, dict[str, object]] = {}  # noqa: RUF012

    def __init__(self, path: Path) -> None:
        self.path = path


def test_half_the_speed_is_twice_the_time_between_two_actions() -> None:
    assert Played().step_ns(30) == 33_333_333
    assert Played(time_scale=0.5).step_ns(30) == 66_666_667


@pytest.mark.parametrize("factor", [0.0, -1.0, 5.0, float("nan")])
def test_a_speed_that_nobody_means_is_refused(factor: float) -> None:
    with pytest.raises(CheckpointError, match="times the speed"):
        played(Load(path="x", time_scale=factor), JOINTS)


def test_what_is_changed_is_said() -> None:
    request = Load(path="x", gripper_bias=-5, gripper_clip="0:80")
    asked = played(request, JOINTS)
    assert asked.grippers == (1,)
    assert asked.words == "gripper -5, gripper within 0 to 80"
    assert Played().words == ""


def test_another_rate_than_the_trainings_is_refused_and_the_way_is_named(tmp_path: Path) -> None:
    """--fps answers a question; it does not change how fast a chunk is."""
    write_sidecar(tmp_path, Sidecar(fps=30, units="degrees"))
    assert find_evidence(Folder(tmp_path), 30, "").fps == 30
    with pytest.raises(CheckpointError, match="trained at 30") as caught:
        find_evidence(Folder(tmp_path), 15, "")
    assert "--time-scale 0.5" in caught.value.do


def test_what_is_played_otherwise_than_trained_is_shown_line_by_line() -> None:
    policy = PolicyStatus(
        embodiment="so101 (asked for)",
        time_scale=0.5,
        changed="gripper -5",
        camera_differences=("wrist: trained without a crop",),
        camera_do="Set cameras.wrist.crop",
    )
    assert played_differently(policy) == [
        "as so101 (asked for)",
        "at 0.5 times the speed it was trained at",
        "changed: gripper -5",
        "camera wrist: trained without a crop",
        "  do: Set cameras.wrist.crop",
    ]
    assert played_differently(PolicyStatus()) == []
