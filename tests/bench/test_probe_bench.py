"""Results of parts are counted together, of one round only, and say on the page what was named wrongly."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.page import section
from bench.probe import _earlier, _part, _result
from robotd.errors import ConfigError

from .test_page import MACHINE


def case(checkpoint: str, fault: str, right: bool) -> dict[str, Any]:
    return {
        "checkpoint": checkpoint,
        "fault": fault,
        "expected": ["sign"] if fault else [],
        "cause": "sign" if fault and right else "",
        "outcome": "fail" if fault and right else "pass",
        "right": right,
        "error": 0.1,
        "evidence": "",
        "wall_s": 3.0,
        "cpu_s": 2.0,
    }


def test_parts_are_counted_together_and_what_was_missed_is_named(tmp_path: Path) -> None:
    cases = []
    for number, each in enumerate(([("a", "", True), ("a", "x", True)], [("b", "y", False)])):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps({"round": 1, "cases": [case(*one) for one in each]}))
        cases += _earlier(file, 1)
        with pytest.raises(ConfigError, match="of round 1"):
            _earlier(file, 0)
    asked = {"machine": MACHINE, "round": 1, "episodes": 1, "held": 1, "steps": 1, "frames": 1}
    report = _result(cases) | asked
    assert (report["faults"], report["right"], report["false_alarms"]) == (2, 1, 0)
    assert report["passed"] is False
    place, lines = section(report)
    text = "\n".join(lines)
    assert place == "probe-fresh"
    assert "| all | 2 | 1 | 1 | 0 |" in text and "Named wrongly: b, y: nothing." in text


def test_parts_are_every_nth() -> None:
    assert (_part("1/3"), _part("3/3")) == ((0, 3), (2, 3))
    for wrong in ("0/3", "4/3", "x"):
        with pytest.raises(ValueError):
            _part(wrong)
