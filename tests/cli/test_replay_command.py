"""`robotd replay` says Done only for a replay that came to its end."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from daemon.cli import replay
from daemon.cli.replay import follow
from robotd.errors import DaemonError, StateError
from robotd.messages import ReplayStatus

MINE = 7


class Robot:
    """Publishes what it was given, the last for ever; counts presses of the software stop."""

    def __init__(self, *published: Any) -> None:
        self.published = list(published)
        self.presses = 0
        self.instance = SimpleNamespace(name="sim")

    def watch(self, timeout_s: float) -> Any:
        return self.published.pop(0) if len(self.published) > 1 else self.published[0]

    def estop(self) -> None:
        self.presses += 1


def shows(state: str, phase: str, number: int = MINE, **words: str) -> Any:
    return SimpleNamespace(
        state=state,
        fault="overload: elbow_flex" if state == "fault" else "",
        fault_do="Let it cool." if state == "fault" else "",
        message="",
        replay=ReplayStatus(phase=phase, number=number, **words),
    )


def followed(robot: Robot, *keys: str) -> bool:
    pressed = list(keys)
    reader = SimpleNamespace(read=lambda timeout_s: pressed.pop(0) if pressed else "")
    return follow(cast(Any, robot), cast(Any, reader), MINE)


def test_a_replay_that_finished_is_done_when_the_arm_holds() -> None:
    before = shows("holding", "finished", MINE - 1)  # published before ours was asked for
    robot = Robot(before, shows("replay", "running"), shows("replay", "finished"))
    robot.published.append(shows("holding", "finished"))
    assert followed(robot)


def test_a_replay_that_the_twin_refused_is_an_error_though_the_arm_holds() -> None:
    """It used to print Done with exit status 0."""
    words = {"error": "The twin refused.", "likely": "Contact.", "do": "Clear the way."}
    robot = Robot(shows("replay", "running"), shows("holding", "failed", **words))
    with pytest.raises(StateError) as caught:
        followed(robot)
    error = caught.value
    assert (error.what, error.likely, error.do) == (words["error"], words["likely"], words["do"])


@pytest.mark.parametrize(
    ("last", "says"),
    [
        (shows("fault", "running"), "elbow_flex"),
        (shows("estop", "failed", error="Stopped."), "software stop"),
        (shows("holding", "loading", MINE + 1), "another one took its place"),
    ],
)
def test_whatever_else_ends_a_replay_is_an_error_in_three_parts(last: Any, says: str) -> None:
    with pytest.raises(StateError, match=says) as caught:
        followed(Robot(shows("replay", "running"), last))
    assert caught.value.likely and caught.value.do


def test_a_key_stops_it_and_that_is_not_done() -> None:
    robot = Robot(shows("replay", "running"))
    with pytest.raises(StateError, match="stopped before its end"):
        followed(robot, "stop")
    assert robot.presses == 0
    with pytest.raises(StateError):
        followed(robot, "estop")
    assert robot.presses == 1


def test_a_daemon_that_falls_silent_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_SILENT_S", 0.0)
    with pytest.raises(DaemonError, match="said nothing"):
        followed(Robot(None))
