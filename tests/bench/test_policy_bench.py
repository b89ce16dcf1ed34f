"""`bench policy`: what it counts, counted by hand; the seams of a flow policy, in virtual time."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from bench import policy, policy_bound, policy_seams
from bench.policy_report import jump_ratios
from policies.pi0.placing import released
from robotd.clock import NS_PER_MS, VirtualClock
from robotd.states import LimitedBy

WORK = {"views": 2, "prompt": 48, "chunk": 50, "steps": 10}


def test_the_least_time_of_a_chunk_is_that_of_published_cards() -> None:
    """About 22 ms on a 4090 and 4.5 ms on an H100, where the last is limited by arithmetic in the
    prefix and by memory in the expert."""
    dims = released("pi0")
    card = policy_bound.gpu_called("NVIDIA GeForce RTX 4090")
    h100 = policy_bound.gpu_called("NVIDIA H100 80GB HBM3")
    assert card is not None and h100 is not None
    assert policy_bound.bound_ms(dims, card, **WORK) == pytest.approx(22.0, abs=1.5)
    assert policy_bound.bound_ms(dims, h100, **WORK) == pytest.approx(4.5, abs=0.4)
    vision, prefix, expert = policy_bound.stages(dims, **WORK)
    assert prefix.flops / h100.tera_flops / 1e12 > prefix.bytes / h100.giga_bytes_s / 1e9
    assert expert.flops / h100.tera_flops / 1e12 < expert.bytes / h100.giga_bytes_s / 1e9
    assert vision.bytes == pytest.approx(2 * 413e6, rel=0.02)  # So400m in bf16
    assert policy_bound.gpu_called("NVIDIA H200").giga_bytes_s == 4800  # type: ignore[union-attr]
    assert policy_bound.gpu_called("Radeon") is None


def tick(plan: int, goal_deg: float, *, index: int = 0, limited: int = 0) -> dict[str, Any]:
    return {
        "plan_id": plan,
        "plan_index": index,
        "requested_rad": (np.radians(goal_deg),) * 6,
        "limited_by": (limited,) * 6,
    }


def test_a_stall_is_a_run_of_ticks_without_a_goal_and_a_jump_is_what_bends_the_path() -> None:
    before = [tick(0, 0.0, index=-1)] * 30  # nothing was followed yet: no stall
    first = [tick(1, 0.1 * k) for k in range(60)]
    hungry = [tick(1, 5.9, index=-1, limited=LimitedBy.STARVED)] * 12
    second = [tick(2, 8.9 + 0.1 * k) for k in range(60)]
    found = policy_seams.judged([*before, *first, *hungry, *second], 120, refused=0)
    assert (found.seams, found.stalls) == (1, 1)
    assert found.longest_ms == pytest.approx(100.0)
    # 3° at once, and the speed of 0.4° a step that was lost and is there again.
    assert found.jumps_deg == pytest.approx([3.0], abs=0.41)
    smooth = policy_seams.judged([tick(1 + k // 60, 0.1 * k) for k in range(180)], 120, refused=0)
    assert (smooth.seams, smooth.stalls) == (2, 0)
    assert smooth.jumps_deg.max() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.slow
def test_a_flow_policy_goes_over_its_seams_without_stall_or_jump() -> None:
    """Chunks of 300 ms at 30 Hz through control, gate and twin: no stall, and less than a third of
    the jump of naive switching."""
    config = policy_seams.configuration()
    flow = policy_seams.Flow(config)
    latency_ns = 300 * NS_PER_MS
    ours, naive = (
        policy_seams.run(flow, config, latency_ns, 5.0, naive=each) for each in (False, True)
    )
    assert ours.seams >= 5 and ours.stalls == 0 and ours.refused == 0
    row = {"policy": flow.name, "robotd": ours.as_json(), "naive": naive.as_json()}
    assert 0 < jump_ratios([row])["pi0_like"] < 1 / 3


@pytest.mark.skipif(importlib.util.find_spec("lerobot") is None, reason="the light install")
def test_lerobots_own_loop_waits_for_every_chunk_longer_than_a_period() -> None:
    """So the comparison is one: its `select_action`, its queue, the same time for a chunk."""
    from bench import policy_lerobot

    for latency_ms, stalls in ((0, 0), (300, 5)):
        clock = VirtualClock()
        select = policy_lerobot.pi0(clock, latency_ms * NS_PER_MS, 20)
        found = policy_lerobot.run(select, clock, 30, 5.0)
        assert found["stalls"] == stalls
        assert found["longest_ms"] == (0.0 if latency_ms == 0 else pytest.approx(300, abs=1))


def test_a_report_reads_as_text_with_and_without_a_gpu() -> None:
    run: dict[str, Any] = {"seams": 9, "stalls": 0, "longest_ms": 0.0, "jump_deg": 0.8}
    row: dict[str, Any] = {
        "policy": "act",
        "inference_ms": 300.0,
        "robotd": run,
        "naive": run | {"jump_deg": 4.0},
    }
    spread = {"p50_us": 900.0, "p99_us": 1500.0}
    path = {"kind": "act", "pictures": [], "ours": spread, "forward": spread}
    report: dict[str, Any] = {
        "fps": 30,
        "n_action_steps": 20,
        "seams": [row | {"lerobot": {"stalls": 9, "longest_ms": 267.0}}],
        "jump_ratio": {"act": 0.2},
        "overhead": [path],
        "gpu": {"gpu": None, "claim": "no GPU here: nothing claimed"},
    }
    text = policy.text(report)
    assert "naive 4" in text and "267" in text and "nothing claimed" in text
    ours = {"p50_ms": 24.0, "peak_over_weights": 1.1}
    theirs: dict[str, Any] = {"lerobot_eager": {"p50_ms": 120.0}, "times_faster": 5.0}
    report["gpu"] = theirs | {"gpu": "RTX 4090", "what": "x", "robotd": ours, "bound_ms": 22.0}
    report["gpu"] |= {"over_bound": 1.09}
    text = policy.text(report)
    assert "5 times" in text and "1.09" in text
