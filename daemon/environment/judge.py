"""From what the probes found to the list of findings, worst words first within each. Pure."""

from daemon.environment.accelerators import judge_driver, judge_jax, judge_torch
from daemon.environment.finding import Finding
from daemon.environment.surroundings import (
    judge_gl,
    judge_hub,
    judge_pins,
    judge_room,
    judge_stdio,
    judge_video,
)
from daemon.environment.survey import Survey


def judge(found: Survey) -> list[Finding]:
    """Every finding, in the order in which they are to be mended."""
    return [
        judge_driver(found.gpu, found.torch),
        judge_torch(found.torch, found.gpu),
        *judge_jax(found.jax, found.gpu),
        judge_gl(found.gl, found.gl_wanted, found.egl_device),
        judge_video(found.video),
        judge_stdio(found.stdio),
        judge_pins(found.pins),
        *judge_room(found.room),
        judge_hub(found.hub),
    ]
