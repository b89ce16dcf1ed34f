"""Figures come onto the page from results, and into their own place only."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from bench.page import PAGE, filled, run, section
from robotd.errors import ConfigError

MACHINE = {
    "date": "2026-01-02",
    "cpu": "a CPU",
    "cores": 2,
    "kernel": "6.1",
    "python": "3.12.1",
    "load_1min": 0.1,
}
FIGURES = {"samples": 9, "p50_us": 10.5, "p99_us": 250.0, "p999_us": 900.0, "max_us": 1000.0}
TICK: dict[str, Any] = {
    "machine": MACHINE,
    "hz": 120,
    "seconds": 30.0,
    "load": ["encode", "policy"],
    "missed": 3,
    **FIGURES,
    "work_p50_us": 200.0,
    "bare": {"missed": 4, **FIGURES},
    "ratio_p99": 1.25,
    "schedulers": {"control": "fifo:50"},
    "lerobot": {"settings": {"default": {"missed": 7, **FIGURES}}},
    "ratio_lerobot_best": 5.5,
    "ratio_lerobot_default": 160.0,
}


def test_a_tick_result_has_a_row_for_everyone_that_was_measured() -> None:
    place, lines = section(TICK)
    assert place == "tick-120-encode-policy"
    text = "\n".join(lines)
    assert "| robotd | 3 | 10.5 | 250 | 900 | 1000 |" in text
    assert "| bare loop of the same run | 4 |" in text
    assert "| LeRobot 0.6.1, default | 7 |" in text
    assert "2 cores of a CPU" in text


def test_every_kind_of_run_has_its_place_on_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text())
    reads = {"read_2_bytes": {**FIGURES, "cpu_us": 1.0, "values": 6.0}, "scheduler": "other"}
    bus = {"machine": MACHINE, "transactions": 10, "backends": {"own": {"zero": reads}}}
    each = {
        "resident_mb": 40.0,
        "warm_up_mb": 1.0,
        "slope_mb_per_hour": 0.1,
        "slope_error_mb_per_hour": 0.02,
        "swing_mb": 0.3,
        "descriptors": 9,
        "starts": 1,
        "good": None,
    }
    fault = {"at_min": 7.56, "words": "gripper does not answer", "load": 2.7}
    soak = {"machine": MACHINE, "minutes": 30.0, "missed": 0, "faults": [fault]}
    soak["processes"] = {"control": each}
    results = []
    for number, report in enumerate((TICK, TICK | {"load": [], "hz": 250}, bus, soak)):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(report))
        results.append(file)
    for _ in range(2):  # a second time replaces, and adds nothing
        run(argparse.Namespace(results=results, page=page))
    text = page.read_text()
    assert text.count("| control | 40.0 | 0.3 | 1 | 0.10 ± 0.02 | 9 | too short to say |") == 1
    assert text.count("after 7.6 minutes: gripper does not answer (load 2.7).") == 1
    assert text.count("| own, wire zero, read 2 bytes |") == 1
    assert text.count("| LeRobot 0.6.1, default | 7 |") == 2
    begins = [line for line in PAGE.read_text().splitlines() if line.startswith("#")]
    assert [line for line in text.splitlines() if line.startswith("#")] == begins


def test_what_the_page_does_not_show_is_refused() -> None:
    with pytest.raises(ConfigError, match="no place for tick-120-encode"):
        filled(PAGE.read_text(), "tick-120-encode", [])


def test_a_run_that_failed_leaves_no_figures(tmp_path: Path) -> None:
    empty = tmp_path / "tick.json"
    for text in ("", '{"error": "DaemonError"}', "[]"):
        empty.write_text(text)
        with pytest.raises(ConfigError, match="not the result of a benchmark"):
            run(argparse.Namespace(results=[empty], page=PAGE))
