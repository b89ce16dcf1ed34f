"""Real-time chunking for LeRobot's own flow policies (pi0, pi05, smolvla, …), by their own code.

Their `predict_action_chunk` takes the leftover when the policy has an RTC processor. Everything
else of LeRobot's RTC (queue, delay, engine) is not used: the executor does that.
"""

from typing import Any

import numpy as np

from policies.rtc import Leftover, RawChunk


def can_be_guided(policy: Any) -> bool:
    """Whether LeRobot's class says that it takes a leftover."""
    supports = getattr(policy, "supports_rtc", None)
    return bool(callable(supports) and supports())


def enable(policy: Any) -> None:
    """Give a policy that can be guided its RTC processor, and switch the gradients of its weights
    off: LeRobot infers the guided flow with gradients on, which would keep every activation."""
    from lerobot.policies.rtc.configuration_rtc import RTCConfig

    policy.config.rtc_config = RTCConfig()
    policy.init_rtc_processor()
    policy.requires_grad_(False)


def arguments(policy: Any, preprocess: Any, leftover: Leftover | None) -> dict[str, Any]:
    """What `predict_action_chunk` is to be given for `leftover`; call it after `preprocess`."""
    if leftover is None:
        return {}
    import torch
    from lerobot.configs import RTCAttentionSchedule

    config = policy.rtc_processor.rtc_config
    config.prefix_attention_schedule = RTCAttentionSchedule(leftover.schedule.name)
    config.max_guidance_weight = leftover.max_weight
    step = _relative_step(preprocess)
    if step is not None:
        width = leftover.actions.shape[1]
        delta = np.asarray(step._build_mask(width))
        leftover = leftover.rebased(_state(step), delta, _scale(preprocess, width))
    device = next(policy.parameters()).device
    return {
        "prev_chunk_left_over": torch.from_numpy(leftover.actions).to(device),
        "inference_delay": leftover.delay_steps,
        "execution_horizon": leftover.horizon,
    }


def raw_chunk(preprocess: Any, chunk: Any) -> RawChunk:
    """What the policy said [T, A], with the pose that its deltas are from; call it before the next
    `preprocess`."""
    import torch

    step = _relative_step(preprocess)
    actions = chunk.to("cpu", torch.float32).numpy()
    return RawChunk(actions, None if step is None else _state(step))


def _relative_step(preprocess: Any) -> Any:
    """The pipeline's step that makes actions relative to the state; None where they are absolute."""
    from lerobot.processor import RelativeActionsProcessorStep

    for step in preprocess.steps:
        if isinstance(step, RelativeActionsProcessorStep) and step.enabled:
            return step
    return None


def _state(step: Any) -> Any:
    """The pose of the last observation, in the actions' units, [A] float32."""
    state = step.get_cached_state().detach().to("cpu")
    return state.reshape(-1, state.shape[-1])[-1].float().numpy()


def _scale(preprocess: Any, width: int) -> Any:
    """How many of the actions' units one unit of model space is, [A]: every way of normalising that
    LeRobot has is a straight line."""
    import torch
    from lerobot.processor import NormalizerProcessorStep, TransitionKey, create_transition

    step = next(s for s in preprocess.steps if isinstance(s, NormalizerProcessorStep))
    ends = torch.stack([torch.zeros(width), torch.ones(width)])
    ends = step(create_transition(action=ends))[TransitionKey.ACTION].to("cpu")
    return (1.0 / (ends[1] - ends[0])).float().numpy()
