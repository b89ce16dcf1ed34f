"""The slot `<runtime>/plant/state`: the world's pose, from the physics process to the one that
draws it."""

from functools import cache

from robotd.shm import Field, Layout

STATE_FILE = "state"


@cache
def state_layout(nq: int) -> Layout:
    """`stamp_ns` is CLOCK_MONOTONIC of the pose; `qpos` is MuJoCo's generalised position [nq]."""
    return Layout("plant-state", 1, [Field("stamp_ns", "q"), Field("qpos", "d", nq)])
