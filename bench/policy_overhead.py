"""What robotd adds to a model's own forward, chunk by chunk, in real time on this machine's CPU.

A chunk's path of the policy process: the row's tick to an observation, pictures and joints to what
the model takes, its answer to radians, ensembling or fading, and the proposal's record. All but the
forward itself, which is timed apart with the device synchronised.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.figures import spread
from config.schema import Config
from learning.world import lockstep_calibrations
from policies.executor import Executor
from policies.loaded import LoadedPolicy, load_policy
from policies.observation import build_observation
from policies.plan import Chunk
from robotd.clock import NS_PER_S
from robotd.frames import Frame
from robotd.layouts import plan_layout
from robotd.policy_channel import Load
from robotd.states import Verdict

_WARM_UP = 3
_ENCODER = (2045, 2080, 2057, 1965, 2098, 2600)  # the shipped arm near home


def measure(checkpoint: Path, config: Config, rounds: int, *, threads: int = 1) -> dict[str, Any]:
    """Our path and the forward of `rounds` chunks, in µs."""
    request = Load(path=str(checkpoint), mode="chunk")
    policy = load_policy(request, config, lockstep_calibrations(config), threads=threads)
    path, forward = [], []
    for number in range(_WARM_UP + rounds):
        ours_ns, infer_ns = _one(policy, config, number)
        if number >= _WARM_UP:
            path.append(ours_ns)
            forward.append(infer_ns)
    return {
        "kind": policy.model.kind,
        "pictures": [
            f"{camera}: {config.cameras[camera].width}x{config.cameras[camera].height}"
            for camera in policy.fit.cameras
        ],
        "rounds": rounds,
        "ours": spread(path).as_json(),
        "forward": spread(forward).as_json(),
    }


def _one(policy: LoadedPolicy, config: Config, number: int) -> tuple[int, int]:
    """One chunk from tick to record: what is ours and what the forward took, in ns."""
    executor = Executor(policy.settings)
    executor.hand_over(1, 0)
    deadline_ns = (number + 1) * NS_PER_S
    tick = {
        "deadline_ns": deadline_ns,
        "handover_version": 1,
        "present_position_ticks": _ENCODER,
    }
    frames = {
        name: Frame(1, deadline_ns - 1, 1, camera.width, camera.height, _picture(camera, number))
        for name, camera in config.cameras.items()
        if name in policy.fit.cameras
    }
    world = {"stamp_ns": deadline_ns, "values": (0.1,) * 7}
    began_ns = time.monotonic_ns()
    observation = build_observation(
        tick,
        policy.border,
        frames,
        world,
        NS_PER_S,
        told=policy.fit.environment,
    )
    actions_rad = policy.predict(observation, executor.leftover(deadline_ns))
    chunk = Chunk(number + 1, 1, deadline_ns, policy.step_ns, actions_rad, policy.raw)
    executor.offer(chunk, deadline_ns)
    proposal = executor.propose(deadline_ns, np.zeros(6))
    assert proposal is not None
    plan_layout(6).pack(proposal.record())
    executor.answer(proposal.id, Verdict.PASS, deadline_ns)
    took_ns = time.monotonic_ns() - began_ns
    return took_ns - policy.timings.infer_ns, policy.timings.infer_ns


def _picture(camera: Any, number: int) -> bytes:
    random = np.random.default_rng(number)
    return bytes(random.integers(0, 255, camera.width * camera.height * 3, np.uint8))
