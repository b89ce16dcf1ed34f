"""Verdicts of rehearsals: found only for the very same thing, and what they allow."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from config.loader import load
from config.schema import Config
from daemon.rehearsals import (
    Evidence,
    Rehearsal,
    RehearsalStore,
    Subject,
    evidence,
    outcome,
    rehearsal_key,
    standing,
)
from daemon.supervisor.rehearsed import RobotRehearsals, refuse_unrehearsed
from daemon.supervisor.shadowing import ShadowDesk
from drivers.calibration import MotorCalibration, fingerprint, load_robot_calibration
from robotd.clock import NS_PER_S, VirtualClock
from robotd.errors import StateError
from robotd.messages import Shadow
from robotd.policy_channel import Ready, Shadowed, ShadowOrder, decode_to_process
from robotd.states import State

CALIBRATIONS = Path(__file__).parents[2] / "config" / "calibration"
SUBJECT = Subject(sha256="aa", fps=15.0, units="degrees", n_action_steps=10)
GOOD = Rehearsal(
    kind="shadow",
    passed=True,
    evidence=True,
    why_evidence="it looks through wrist",
    at="2026-11-21T10:00:00+00:00",
    robot="bench",
    subject="P",
    seconds=41.2,
    chunks=61,
    refused=0,
)


def robot() -> Config:
    return load(simulated=True).config


def changed(config: Config, section: str, **values: object) -> Config:
    part = msgspec.structs.replace(getattr(config, section), **values)
    return msgspec.structs.replace(config, **{section: part})


def key(config: Config | None = None, prints: tuple[str, ...] = ("p",), **subject: Any) -> str:
    wanted = msgspec.structs.replace(SUBJECT, **subject)
    return rehearsal_key(robot() if config is None else config, prints, wanted)


def test_a_verdict_is_not_found_for_another_checkpoint_calibration_or_robot() -> None:
    config = robot()
    arm = msgspec.structs.replace(config.arms["arm"], joint_offset_deg=(1.0,) + (0.0,) * 5)
    camera = msgspec.structs.replace(config.cameras["wrist"], device="/dev/v4l/by-id/other")
    calibration = dict(load_robot_calibration("sim", CALIBRATIONS))
    before = fingerprint(calibration)
    elbow = calibration["elbow_flex"]
    calibration["elbow_flex"] = replace(elbow, range_max=elbow.range_max + 1)
    others = [
        key(sha256="ab"),
        key(fps=30.0),
        key(units="range_m100_100"),
        key(n_action_steps=20),
        key(mode="ensemble newest:0.01"),
        key(rename={"a": "b"}),
        key(prints=(before,)),
        key(prints=(fingerprint(calibration),)),
        key(changed(config, "limits", squeeze_deg=4.0)),
        key(changed(config, "limits", workspace_max_m=(0.4, 0.4, 0.4))),
        key(changed(config, "control", tick_hz=240)),
        key(changed(config, "twin", late_rule="pass")),
        key(changed(config, "policy", crossfade_ms=1.0)),
        key(changed(config, "recording", fps=30)),  # the rate of a policy's observations
        key(msgspec.structs.replace(config, arms={"arm": arm})),
        key(msgspec.structs.replace(config, cameras={**config.cameras, "wrist": camera})),
        key(msgspec.structs.replace(config, simulation=None)),
    ]
    assert len({key(), *others}) == len(others) + 1


def test_what_only_concerns_recording_or_the_plug_changes_no_verdict() -> None:
    config = robot()
    arm = msgspec.structs.replace(config.arms["arm"], port="/dev/ttyACM7", leader=None)
    same = [
        changed(config, "recording", video_crf=30, min_free_gb=9.0, robot_type="other"),
        changed(config, "control", realtime_priority=0, idle_release_s=1.0),
        msgspec.structs.replace(config, name="other", arms={"arm": arm}),
    ]
    assert {key(each) for each in same} == {key()}


def test_the_newest_verdict_of_each_kind_is_kept_and_half_a_file_is_none(tmp_path: Path) -> None:
    store = RehearsalStore(tmp_path / "rehearsals")
    plant = msgspec.structs.replace(GOOD, kind="plant", at="2026-11-22T10:00:00+00:00")
    store.keep("k", GOOD)
    path = store.keep("k", plant)
    again = msgspec.structs.replace(GOOD, refused=3)
    store.keep("k", again)
    assert store.find("k").shadow == again and store.find("k").plant == plant
    assert store.find("k").newest(evidence=True) == plant
    assert [each.name for each in store.folder.iterdir()] == ["k.json"]
    path.write_bytes(path.read_bytes()[:100])
    assert store.find("k").newest(evidence=False) is None
    assert store.find("other").shadow is None


def test_for_a_policy_with_cameras_only_shadow_is_evidence() -> None:
    def of(**known: Any) -> tuple[bool, bool]:
        given: dict[str, Any] = {"simulated": False, "cameras": (), "told": ""} | known
        found = evidence(**given)
        assert found.why
        return found.of("shadow"), found.of("plant")

    assert of(cameras=("wrist",)) == (True, False)
    assert of(told="where block and bowl are") == (False, True)
    assert of() == of(replay=True) == of(cameras=("wrist",), simulated=True) == (True, True)


def test_the_arming_list_says_how_a_policy_was_rehearsed_and_what_is_missing() -> None:
    def stands(store: dict[str, Rehearsal]) -> tuple[bool, str, str]:
        found = standing(RehearsalStoreOf(store).find("k"), "robotd rehearse --policy P")
        return found.rehearsed, found.words, found.do

    assert stands({}) == (False, "never rehearsed", "robotd rehearse --policy P")
    assert stands({"shadow": GOOD}) == (
        True,
        "rehearsed in shadow 41 s, 0 of 61 chunks refused",
        "",
    )
    bad = msgspec.structs.replace(GOOD, passed=False, refused=12, do="Put the arm back.")
    rehearsed, words, do = stands({"shadow": bad})
    assert not rehearsed and "12 of 61" in words and do.startswith("Put the arm back.")
    rendered = msgspec.structs.replace(GOOD, kind="plant", evidence=False)
    rehearsed, words, do = stands({"plant": rendered})
    assert not rehearsed and "it looks through wrist" in words and do


class RehearsalStoreOf:
    """A store in memory."""

    def __init__(self, kept: dict[str, Rehearsal]) -> None:
        self._kept = kept

    def find(self, _key: str) -> Any:
        from daemon.rehearsals import Kept

        return Kept(**self._kept)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("counts", "part"),
    [
        ({"chunks": 0}, "No chunk"),
        ({"chunks": 9, "refused": 2, "reasons": {"far": 2}}, "2 of 9 chunks were refused"),
        ({"chunks": 9, "faults": ("stalled",)}, "faulted: stalled"),
    ],
)
def test_a_rehearsal_that_did_not_pass_says_why_in_three_parts(
    counts: dict[str, Any], part: str
) -> None:
    given = {"refused": 0, "reasons": {}, "faults": (), "trouble": ""} | counts
    what, likely, do = outcome(**given)  # type: ignore[arg-type]
    assert part in what and likely and do
    assert outcome(chunks=5, refused=0, reasons={}, faults=(), trouble="late") == ("", "", "")


def test_a_policy_without_a_verdict_that_is_evidence_is_refused_and_told_what_to_do(
    tmp_path: Path,
) -> None:
    calibration = load_robot_calibration("sim", CALIBRATIONS)
    assert isinstance(calibration["gripper"], MotorCalibration)
    maps = [cast(Any, SimpleNamespace(calibration=calibration))]
    known = RobotRehearsals(robot(), maps, RehearsalStore(tmp_path))
    loaded = ready()
    wanted = known.key(loaded)
    with pytest.raises(StateError, match="never rehearsed") as caught:
        refuse_unrehearsed(known.standing(wanted, "--policy P"))
    assert "robotd rehearse --policy P" in caught.value.do and "--unrehearsed" in caught.value.do
    known.store.keep(wanted, GOOD)
    refuse_unrehearsed(known.standing(wanted, "--policy P"))
    other = msgspec.structs.replace(loaded, sha256="bb")
    with pytest.raises(StateError):
        refuse_unrehearsed(known.standing(known.key(other), "--policy P"))


def ready() -> Ready:
    return Ready(
        path="P",
        kind="act",
        fps=15,
        fps_source="",
        units="degrees",
        units_source="",
        chunk=10,
        n_action_steps=10,
        sha256="aa",
    )


class Robot:
    """What a shadow needs of the robot: a tick, a twin, a policy process that only listens."""

    def __init__(self, folder: Path) -> None:
        self.state = State.DISARMED
        self.twin = SimpleNamespace(alive=True)
        self.clock = VirtualClock()
        self.orders: list[ShadowOrder] = []
        self.store = RehearsalStore(folder)
        self.desk = ShadowDesk("bench", self.store, cast(Any, self), self.clock, self.send)

    def fresh_tick(self) -> dict[str, Any]:
        return {"state": int(self.state)}

    def send(self, body: bytes) -> bool:
        order = decode_to_process(body)
        assert isinstance(order, ShadowOrder)
        self.orders.append(order)
        return True

    def begin(self, seconds: float = 40.0) -> int:
        means = Evidence(True, False, "it looks through wrist")
        number: int = self.desk.begin(Shadow(seconds=seconds), "P", "k", means)["shadow"]
        return number

    def judged(self, number: int, chunks: int, refused: int = 0) -> None:
        self.desk.heard(
            Shadowed(
                number=number,
                chunks=chunks,
                refused=refused,
                late=0,
                reasons={"far": refused} if refused else {},
                inference_ms=20.0,
                inference_max_ms=30.0,
                observation_age_max_ms=40.0,
            )
        )

    def passes(self, seconds: float, trouble: str = "") -> bool:
        self.clock.sleep_until_ns(self.clock.now_ns() + int(seconds * NS_PER_S))
        return self.desk.step(trouble)

    def goes_on(self, number: int, seconds: int, chunks: int = 0, refused: int = 0) -> int:
        """A chunk every second, some of the first of them refused; how many there were."""
        for _ in range(seconds):
            assert not self.passes(1.0)
            chunks += 1
            self.judged(number, chunks, min(refused, chunks))
        return chunks


def test_a_shadow_ends_with_its_time_and_its_verdict_is_kept(tmp_path: Path) -> None:
    robot = Robot(tmp_path)
    number = robot.begin()
    robot.goes_on(number, 38)
    robot.judged(number, 61)
    robot.judged(number - 1, 7)  # of an earlier one
    assert robot.passes(2.5)
    status = robot.desk.status
    assert (status.phase, status.passed, status.chunks) == ("finished", True, 61)
    kept = robot.store.find("k").shadow
    assert kept is not None and kept.passed and kept.evidence and kept.chunks == 61
    assert [order.on for order in robot.orders] == [True, False]
    assert not robot.passes(100.0)


def test_a_shadow_whose_chunks_were_refused_is_kept_as_failed(tmp_path: Path) -> None:
    robot = Robot(tmp_path)
    robot.goes_on(robot.begin(), 39, refused=4)
    assert robot.passes(2.0)
    kept = robot.store.find("k").shadow
    assert kept is not None and not kept.passed and "4 of 39" in kept.what
    assert robot.desk.status.error == kept.what and robot.desk.status.do


@pytest.mark.parametrize("when", ["end", "middle", "beginning"])
def test_a_shadow_that_was_blind_for_much_of_its_time_has_not_passed(
    when: str, tmp_path: Path
) -> None:
    """One chunk, then a dead camera for 39 s, was kept as a rehearsal that ended well."""
    robot = Robot(tmp_path)
    number = robot.begin()
    chunks = 0 if when == "beginning" else robot.goes_on(number, 9)
    blind = "camera wrist's picture is 29000 ms old"
    if when == "end":
        assert robot.passes(32.0, blind)
    else:
        assert not robot.passes(15.0, blind)
        robot.judged(number, chunks + 1)
        robot.goes_on(number, 39 - 15 - chunks, chunks + 1)
        assert robot.passes(2.0)
    kept = robot.store.find("k").shadow
    assert kept is not None and not kept.passed
    assert ("For 32 s" if when == "end" else "For 15 s") in kept.what
    assert when != "end" or kept.likely == blind


@pytest.mark.parametrize("how", ["armed", "twin", "request", "policy", "nothing judged"])
def test_a_shadow_that_broke_off_keeps_no_verdict(how: str, tmp_path: Path) -> None:
    robot = Robot(tmp_path)
    number = robot.begin()
    if how != "nothing judged":
        robot.judged(number, 3)
    if how == "armed":
        robot.state = State.ARMING
    elif how == "twin":
        robot.twin.alive = False
    elif how == "request":
        robot.desk.end()
    elif how == "policy":
        robot.desk.policy_is_gone(StateError("It died.", "Killed.", "Load again."))
    assert not robot.passes(41.0)
    status = robot.desk.status
    assert status.phase == "failed" and status.error and status.likely and status.do
    assert robot.store.find("k").shadow is None
    assert not robot.orders[-1].on
    robot.state, robot.twin.alive = State.DISARMED, True
    assert robot.begin() == number + 1


@pytest.mark.parametrize("state", [each for each in State if each is not State.DISARMED])
def test_a_shadow_is_refused_in_every_state_but_disarmed(state: State, tmp_path: Path) -> None:
    robot = Robot(tmp_path)
    robot.state = state
    with pytest.raises(StateError, match="disarmed"):
        robot.begin()
    assert robot.orders == []


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_a_shadow_of_no_time_is_refused(seconds: float, tmp_path: Path) -> None:
    robot = Robot(tmp_path)
    with pytest.raises(StateError, match="cannot last"):
        robot.begin(seconds)
    number = robot.begin()
    with pytest.raises(StateError, match="going on already"):
        robot.begin()
    assert robot.desk.status.number == number
