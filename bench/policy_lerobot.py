"""LeRobot's side of the seams: its own synchronous `select_action` in its own kind of loop.

`lerobot-record` and `lerobot-rollout` without RTC ask the policy in the control loop: an action
comes out of a queue, and when the queue is empty the loop waits for a whole chunk. The queue, the
policy classes and their `select_action` are LeRobot 0.6.1's; the time is virtual, as on robotd's
side, and a chunk takes the set time in it. The loop sleeps 1 / fps less what it took
(`lerobot.utils.robot_utils.precise_sleep`), as LeRobot's does.
"""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.policy_flow import CHUNK
from robotd.clock import NS_PER_S, VirtualClock

_LATE = 1.25  # of a period between two goals: what is more is a stall

type SelectAction = Callable[[], Any]


def act(
    checkpoint: Path, clock: VirtualClock, latency_ns: int, n_action_steps: int
) -> SelectAction:
    """LeRobot's ACTPolicy with its processors, every chunk of which takes `latency_ns`."""
    import torch

    from policies.checkpoint.loading import load_checkpoint

    loaded = load_checkpoint(checkpoint)
    policy = loaded.policy
    policy.config.n_action_steps = n_action_steps
    policy.reset()
    _slow(policy, clock, latency_ns)
    batch = {
        "observation.state": torch.zeros(6),
        "observation.environment_state": torch.zeros(7),
    }

    def select() -> Any:
        with torch.no_grad():
            return loaded.postprocess(policy.select_action(loaded.preprocess(dict(batch))))

    return select


def pi0(clock: VirtualClock, latency_ns: int, n_action_steps: int) -> SelectAction:
    """The `select_action` of LeRobot's PI0Policy over chunks of 50 that take `latency_ns`. Its
    weights are left out: what is measured is when goals come, not which."""
    import torch
    from lerobot.policies.pi0.modeling_pi0 import PI0Policy

    policy = SimpleNamespace(
        config=SimpleNamespace(n_action_steps=n_action_steps),
        predict_action_chunk=lambda _batch: torch.zeros(1, CHUNK, 6),
        eval=lambda: None,
        _rtc_enabled=lambda: False,
        _action_queue=deque(maxlen=n_action_steps),
    )
    _slow(policy, clock, latency_ns)
    return lambda: PI0Policy.select_action(policy, {})


def _slow(policy: Any, clock: VirtualClock, latency_ns: int) -> None:
    own = policy.predict_action_chunk

    def predict(batch: Any, **more: Any) -> Any:
        clock.sleep_until_ns(clock.now_ns() + latency_ns)
        return own(batch, **more)

    policy.predict_action_chunk = predict


def run(select: SelectAction, clock: VirtualClock, fps: int, seconds: float) -> dict[str, Any]:
    """The loop for `seconds` of virtual time: goals sent, and the stalls between them."""
    period_ns = NS_PER_S // fps
    end_ns = clock.now_ns() + round(seconds * NS_PER_S)
    sent: list[int] = []
    while clock.now_ns() < end_ns:
        began_ns = clock.now_ns()
        select()
        sent.append(clock.now_ns())
        left_ns = period_ns - (clock.now_ns() - began_ns)
        if left_ns > 0:
            clock.sleep_until_ns(clock.now_ns() + left_ns)
    gaps = np.diff(sent)
    stalls = gaps[gaps > _LATE * period_ns] - period_ns
    return {
        "goals": len(sent),
        "stalls": len(stalls),
        "stalled_ms": round(float(stalls.sum()) / 1e6, 1),
        "longest_ms": round(float(stalls.max(initial=0)) / 1e6, 1),
    }
