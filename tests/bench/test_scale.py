"""What `bench scale` says of a run: from durations to the lines of the page."""

from bench.page import PAGE, filled, section
from bench.scale import ends


def test_the_ends_are_compared_by_their_medians() -> None:
    durations_s = [0.9, *[0.1] * 9, *[7.0] * 30, *[0.12] * 9, 3.0]
    assert ends(durations_s) == {"first_ms": 100.0, "last_ms": 120.0, "ratio": 1.2}


def test_a_result_has_its_place_on_the_page() -> None:
    machine = {"date": "2026-01-02", "cpu": "a CPU", "cores": 2, "kernel": "6.1"}
    saved = ends([0.1] * 40)
    report = {
        "machine": {**machine, "python": "3.12.1", "load_1min": 0.1},
        "episodes": 40,
        "rows": 10,
        "publish": saved,
        "publish_cpu": saved,
        "lerobot_save": saved,
        "open": {"compacted": {"first_s": 1.5, "again_s": 0.5}},
        "compact_s": 2.0,
        "files_before": 123,
        "files_after": 6,
    }
    place, lines = section(report)
    assert "| compacted | 1.5 | 0.5 |" in lines
    assert "compact: 2.0 s, 123 files became 6." in lines
    assert "| compacted | 1.5 | 0.5 |" in filled(PAGE.read_text(), place, lines)
