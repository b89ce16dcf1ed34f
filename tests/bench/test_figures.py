"""The benchmarks' sums, on stamps whose answers are known beforehand."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from bench.bare import alternate, judge
from bench.figures import nearest, period_errors_ns, ratio, slope_per_hour, spread, within
from bench.goal_writes import beyond_the_wire_ns, kept_time
from bench.growth import Sample
from bench.growth import judge as judge_growth
from bench.lerobot_side import judge as judge_lerobot
from bench.tick_report import compared
from robotd.layouts import tick_layout

HZ = 125
PERIOD_NS = 8_000_000


def test_a_percentile_is_a_value_that_occurred() -> None:
    found = spread([1_000.0 * value for value in range(1, 1_001)])
    assert (found.p50_us, found.p99_us, found.p999_us, found.max_us) == (500, 990, 999, 1000)
    assert spread([5_000.0]).p50_us == spread([5_000.0]).p999_us == 5
    assert spread([]).samples == 0


def test_a_periods_error_is_how_far_its_interval_is_from_it_early_or_late() -> None:
    stamps = np.array([0, 8_000_000, 16_500_000, 24_000_000], np.int64)
    assert period_errors_ns(stamps, PERIOD_NS).tolist() == [0, 500_000, 500_000]


def test_the_nearest_stamp_is_found_on_both_sides() -> None:
    stamps = np.array([10, 20, 30], np.int64)
    wanted = np.array([0, 14, 16, 30, 99], np.int64)
    assert nearest(stamps, wanted).tolist() == [0, 0, 1, 2, 2]
    assert nearest(stamps[:1], wanted).tolist() == [0] * 5


def ticks(indices: list[int], wrote: list[bool]) -> Any:
    """Ticks that ran at `indices`; the goal of each leaves 2 ms after its deadline."""
    found = np.zeros(len(indices), np.dtype(tick_layout(6).descr))
    found["index"] = indices
    found["deadline_ns"] = np.array(indices) * PERIOD_NS
    found["read_ns"] = found["deadline_ns"] + 1_700_000
    found["write_ns"] = np.where(wrote, found["deadline_ns"] + 2_000_000, 0)
    found["missed_ticks"] = np.array(indices) - np.arange(len(indices))
    found["read_us"], found["gate_us"], found["write_us"] = 1_700, 100, 50
    return found


def test_a_tick_without_a_new_goal_is_no_error_and_a_skipped_one_is() -> None:
    held = ticks([0, 1, 2, 3, 4, 5], [True, True, False, False, True, True])
    whole = ((0, 6 * PERIOD_NS),)
    writes = held["write_ns"][held["write_ns"] > 0].astype(np.int64) + 30_000
    kept = kept_time(writes, held, whole, HZ)
    assert (kept.missed, kept.errors.samples, kept.errors.max_us, kept.unmatched) == (0, 3, 0, 0)

    skipped = ticks([0, 1, 4, 5], [True] * 4)
    kept = kept_time(skipped["write_ns"].astype(np.int64), skipped, whole, HZ)
    assert kept.missed == 2
    assert kept.errors.max_us == 16_000  # both periods that were skipped, to the full


def test_only_what_lies_in_a_slice_counts_and_nothing_across_two() -> None:
    ran = ticks(list(range(10)), [True] * 10)
    writes = ran["write_ns"].astype(np.int64)
    slices = ((0, 3 * PERIOD_NS), (6 * PERIOD_NS, 9 * PERIOD_NS))
    kept = kept_time(writes, ran, slices, HZ)
    assert kept.errors.samples == 4
    assert len(kept.work_ns) == 6
    assert kept.stages["read"].p50_us == 1_700
    assert len(within(writes, 0, 3 * PERIOD_NS)) == 3


def test_the_lines_own_time_is_taken_off_a_ticks_work() -> None:
    ran = ticks([0, 1, 2], [True] * 3)
    asked = ran["deadline_ns"].astype(np.int64) + 40_000
    whole = ((0, 3 * PERIOD_NS),)
    beyond = beyond_the_wire_ns(ran, whole, asked, asked + 1_600_000)
    assert beyond.tolist() == [250_000] * 3  # 1,850 us of work, 1,600 of it the line's


def test_slices_of_both_loops_alternate_and_are_as_long() -> None:
    ours, bare = alternate(1_000, 30.0, 5.0)
    assert len(ours) == len(bare) == 6
    assert sum(end - begin for begin, end in ours) == sum(end - begin for begin, end in bare)
    turns = sorted([*ours, *bare])
    assert turns[0] == ours[0]
    assert all(one[1] == other[0] for one, other in pairwise(turns))


def test_a_bare_loop_is_judged_within_its_slices() -> None:
    stamps = np.array([0, 8_000_000, 16_000_000, 80_000_000, 88_000_500], np.int64)
    found = judge(stamps, ((0, 24_000_000), (80_000_000, 96_000_000)), HZ)
    assert (found.samples, found.max_us) == (3, 0.5)


def test_lerobot_is_judged_by_the_same_measure_after_its_lead() -> None:
    period = 1e9 / 30
    stamps = np.rint(np.arange(150) * period).astype(np.int64)
    late = stamps.copy()
    late[100:] += round(3 * period)
    assert judge_lerobot(stamps, 0, int(5e9))["max_us"] < 1
    found = judge_lerobot(late, 0, int(6e9))
    assert found["missed"] == 3
    assert found["max_us"] == pytest.approx(100_000, rel=1e-3)
    assert found["samples"] == 89


def test_the_best_setting_is_the_one_with_the_smallest_p99() -> None:
    settings = {
        "default": {"p99_us": 42_000.0, "max_us": 144_000.0},
        "h264_streaming": {"p99_us": 1_300.0, "max_us": 2_000.0},
    }
    found = compared({"p99_us": 260.0}, settings)
    assert (found["lerobot"]["p99_us"], found["lerobot"]["max_us"]) == (1_300.0, 2_000.0)
    assert found["ratio_lerobot_best"] == 5.0
    assert found["ratio_lerobot_default"] == pytest.approx(161.538)
    assert ratio(1.0, 0.0) is None


def test_a_slope_is_that_of_the_line_through_all_samples() -> None:
    hours = [0.0, 900.0, 1_800.0, 3_600.0]
    line = slope_per_hour(hours, [10.0, 10.5, 11.0, 12.0])
    assert line.per_hour == pytest.approx(2.0)
    assert line.swing == pytest.approx(0.0, abs=1e-9)
    assert slope_per_hour([1.0], [5.0]).per_hour == 0.0


def test_a_slopes_error_is_how_far_it_lies_from_the_truth() -> None:
    times = np.linspace(0.0, 1_200.0, 100)
    rng = np.random.default_rng(0)
    runs = [slope_per_hour(times, 40.0 + 5.0 * rng.standard_normal(100)) for _ in range(400)]
    missed_by = np.std([run.per_hour for run in runs])
    assert np.mean([run.error_per_hour for run in runs]) == pytest.approx(missed_by, rel=0.15)
    assert np.mean([run.swing for run in runs]) == pytest.approx(5.0, rel=0.05)


def test_a_process_grows_by_memory_or_by_descriptors() -> None:
    times = [60.0 + 60.0 * k for k in range(20)]
    filling = [Sample(10.0, 10.0, 5)]  # before the warm-up is over: does not count
    seen = {
        "steady": [
            *filling,
            *(Sample(at, 40.0 + 0.001 * (k % 2), 9) for k, at in enumerate(times)),
        ],
        "leaking": [Sample(at, 40.0 + at / 3_600.0, 9) for at in times],
        "opening": [Sample(at, 40.0, 9 + k) for k, at in enumerate(times)],
        "restarting": [Sample(at, 40.0, 9, pid=k // 10) for k, at in enumerate(times)],
        "young": [Sample(60.0, 40.0, 9)],
        "swinging": [
            Sample(at, 40.0 + at / 600.0 + 5.0 * (-1) ** k, 9) for k, at in enumerate(times)
        ],
    }
    found = judge_growth(seen, 60.0)
    good = {name: each["good"] for name, each in found.items()}
    assert good == {
        "steady": True,
        "leaking": False,
        "opening": False,
        "restarting": False,
        "young": None,
        "swinging": None,  # by more than it would grow in that time
    }
    assert found["leaking"]["slope_mb_per_hour"] == 1.0
