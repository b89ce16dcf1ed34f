"""A fault leaves one black box, whole, and its story is what happened.

The robot is the real core in lock-step; rings, folder and reader are the real ones.
"""

import argparse
import json
import logging
import shutil
from pathlib import Path

import msgspec
import pytest

from daemon.blackbox.folder import KEPT, Contents, boxes, read_box, write_box
from daemon.blackbox.onset import Onsets
from daemon.blackbox.story import tell, words
from daemon.blackbox.wire_words import heard, sent, transactions
from daemon.cli import blackbox
from robotd.errors import DaemonError
from robotd.states import Fault, RequestKind, State
from sim.plant.world_messages import ClearFaults, SetFault

from .conftest import Recorded


def test_a_fault_leaves_one_box_whose_story_names_it_and_its_joint(recorded: Recorded) -> None:
    recorded.moving()
    recorded.world.plant.handle(SetFault(servo_id=3, kind="silent"))
    recorded.run(4.0)
    (box,) = recorded.read()
    story = tell(box)
    assert (story.kind, story.fault, story.joint) == ("fault", "SERVO_LOST", "elbow_flex")
    assert box.note.id.endswith("-servo_lost")
    assert story.kept_s[0] < -1.5 and 2.5 < story.kept_s[1] < 3.5
    said = [change.words for change in story.changes]
    order = ["holding -> homing", "reads are being lost", "homing -> fault"]
    assert [each for each in said if each in order] == order
    assert "fault: servo_lost at elbow_flex" in said
    assert story.lost_reads["elbow_flex"] >= 10 and story.lost_reads["wrist_flex"] == 0
    onset = next(row for row in story.joint_rows if row.at_s == 0.0)
    assert onset.joint == "elbow_flex" and onset.age_ms > 60
    assert story.failed_checks == ("disk: little is left",)
    assert any("elbow_flex does not answer" in line for line in words(story))


def test_the_box_has_the_bytes_of_the_line_around_the_fault_in_words(recorded: Recorded) -> None:
    recorded.moving()
    recorded.world.plant.handle(SetFault(servo_id=3, kind="silent"))
    recorded.run(4.0)
    (box,) = recorded.read()
    tick = next(each for each in box.ticks if each["index"] == box.note.cause.tick)
    at_ns = tick["deadline_ns"]
    told = [text for _, text in transactions(box.bus, box.note.lines, at_ns, at_ns)]
    assert "arm follower -> sync read Present_Position+" in told[0]
    assert told[1].startswith("arm follower <- 1 at ")
    assert "| 2 at" in told[1] and "| 3 at" not in told[1] and "| 4 at" in told[1]


def test_the_same_fault_is_written_once_and_the_next_one_again(recorded: Recorded) -> None:
    recorded.moving()
    for _ in range(2):
        recorded.world.plant.handle(SetFault(servo_id=2, kind="current_bit"))
        recorded.run(5.0)
        assert recorded.box.newest.split("-")[2] == "servo_status"
        recorded.world.plant.handle(ClearFaults())
        recorded.run(0.5)
        recorded.ask(RequestKind.CLEAR)
        assert recorded.box.newest == ""  # nothing is latched: nothing is pointed at
    assert [box.note.cause.fault for box in recorded.read()] == ["SERVO_STATUS"] * 2


def test_an_estop_leaves_a_box_with_the_way_down_in_it(recorded: Recorded) -> None:
    recorded.moving()
    recorded.world.exchange.presses += 1
    recorded.run(4.0)
    (box,) = recorded.read()
    story = tell(box)
    assert story.kind == "estop"
    said = [change.words for change in story.changes]
    assert "e-stop pressed" in said and "homing -> estop" in said
    assert min(row.torque_limit_percent for row in story.joint_rows) < 100


def test_controls_death_leaves_what_it_had_written_and_a_new_one_is_not_blamed(
    recorded: Recorded,
) -> None:
    recorded.moving()
    recorded.box.look()
    recorded.box.control_died("control is gone", "look")
    recorded.new_control()
    recorded.run(1.0)
    (box,) = recorded.read()
    story = tell(box)
    assert (story.kind, story.what, story.do) == ("control_died", "control is gone", "look")
    assert story.kept_s[1] == 0.0
    assert story.joint_rows


def test_a_disk_that_takes_nothing_costs_the_box_and_nothing_else(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    recorded.parent.write_text("a file where the folder should be")
    recorded.moving()
    recorded.world.plant.handle(SetFault(servo_id=2, kind="current_bit"))
    recorded.run(4.0)
    recorded.box.close()
    assert [r for r in caplog.records if r.levelno == logging.ERROR and "could not be" in r.message]
    recorded.run(0.1)


def test_a_copied_box_is_told_without_the_machine_it_came_from(
    recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.moving()
    recorded.world.plant.handle(SetFault(servo_id=3, kind="silent"))
    recorded.run(4.0)
    (box,) = recorded.read()
    copy = tmp_path / "elsewhere"
    shutil.copytree(box.folder, copy)
    shutil.rmtree(recorded.parent)
    parser = argparse.ArgumentParser()
    blackbox.configure(parser)
    assert blackbox.run(parser.parse_args(["show", str(copy), "--bus", "--logs"])) == 0
    text = capsys.readouterr().out
    assert "elbow_flex does not answer" in text
    assert "sync read" in text and "line 499" in text and "line 299" not in text
    assert blackbox.run(parser.parse_args(["show", str(copy), "--json"])) == 0
    assert json.loads(capsys.readouterr().out)["joint"] == "elbow_flex"
    (copy / "box.json").write_text("{}")
    with pytest.raises(DaemonError, match="not a black box"):
        blackbox.run(parser.parse_args(["show", str(copy)]))


def test_only_the_newest_boxes_are_kept(recorded: Recorded, tmp_path: Path) -> None:
    recorded.moving()
    recorded.world.exchange.presses += 1
    recorded.run(4.0)
    (box,) = recorded.read()
    for number in range(KEPT + 3):
        note = msgspec.structs.replace(box.note, id=f"2026{number:02}-x", ticks=None, bus=None)
        write_box(tmp_path / "many", note, Contents({}, {}))
    names = [path.name for path in boxes(tmp_path / "many")]
    assert names == [f"2026{number:02}-x" for number in range(KEPT + 2, 2, -1)]
    assert tell(read_box(tmp_path / "many" / names[0])).joint_rows == ()  # told without ticks too


def test_a_fault_that_goes_on_or_is_let_down_begins_once() -> None:
    onsets = Onsets()
    told = [
        onsets.feed(index, state, fault, joint)
        for index, (state, fault, joint) in enumerate(
            [
                (State.HOLDING, Fault.NONE, -1),
                (State.FAULT, Fault.STALLED, 2),
                (State.FAULT, Fault.STALLED, 2),
                (State.RELEASING, Fault.STALLED, 2),
                (State.DISARMED, Fault.NONE, -1),
                (State.FAULT, Fault.STALLED, 2),
                (State.ESTOP, Fault.STALLED, 2),
                (State.ESTOP, Fault.NONE, -1),
                (State.DISARMED, Fault.NONE, -1),
            ]
        )
    ]
    kinds = [(index, each.kind) for index, each in enumerate(told) if each is not None]
    assert kinds == [(1, "fault"), (5, "fault"), (6, "estop")]


def test_bytes_of_the_protocol_become_words_whatever_they_are() -> None:
    assert sent(bytes.fromhex("FFFF010201FB")) == "ping servo 1"
    assert sent(bytes.fromhex("FFFF0104023802BE")) == ("read Present_Position of servo 1")
    assert sent(bytes.fromhex("FFFFFE0A82380201020304050626")).endswith("of 1,2,3,4,5,6")
    assert sent(b"\x12\x34") == "12 34"
    assert heard(bytes.fromhex("FFFF0104001805DD")) == "1 1304"
    assert heard(bytes.fromhex("5A00FFFF010220DC")) == "[5a 00] | 1 status 20 ok"
    assert "BAD CHECKSUM" in heard(bytes.fromhex("FFFF010400180500"))
    assert heard(bytes.fromhex("FFFF0104")).startswith("[cut")
