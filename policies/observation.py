"""One observation: what a dataset row of the same tick holds, in LeRobot's names and units.

Made at a row's nominal deadline from that tick's encoder ticks, the newest frame of each camera
captured at or before the deadline, and in simulation the environment state. Pictures are uint8
[height, width, 3], vectors float32.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from policies.border import ENVIRONMENT, IMAGES, STATE, Border
from robotd.clock import NS_PER_MS
from robotd.frames import Frame


class NotObservedError(Exception):
    """No observation can be made now; `str()` says why, for the person at the robot."""


class NotYetObservedError(Exception):
    """A picture of before the row's deadline is still on its way: ask again for the same row."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen at `deadline_ns`. `oldest_ns` is when the oldest input was captured.

    `past` has the values of the moments before, oldest first, for a policy that looks back
    (`policies.history`).
    """

    deadline_ns: int
    handover_version: int
    oldest_ns: int
    values: Mapping[str, npt.NDArray[Any]]
    past: tuple[Mapping[str, npt.NDArray[Any]], ...] = ()


def build_observation(
    tick: Mapping[str, Any],
    border: Border,
    frames: Mapping[str, Frame | None],
    environment: Mapping[str, Any] | None,
    stale_ns: int,
    *,
    told: bool,
) -> Observation:
    """Make the observation of a row's tick (layout `tick`).

    `frames` has an entry for every camera the policy looks through; `environment` is the newest
    `environment_state` record, looked at where the policy is `told`. Raises NotObservedError for
    an input that is missing or older than `stale_ns`.
    """
    deadline_ns = int(tick["deadline_ns"])
    oldest_ns = deadline_ns
    values: dict[str, npt.NDArray[Any]] = {STATE: border.state(tick["present_position_ticks"])}
    for name, frame in frames.items():
        if frame is None:
            raise NotObservedError(f"camera {name} has no picture yet")
        age_ns = deadline_ns - frame.stamp_ns
        if age_ns > stale_ns:
            raise NotObservedError(f"camera {name}'s picture is {age_ns / NS_PER_MS:.0f} ms old")
        pixels = np.frombuffer(frame.rgb, np.uint8).reshape(frame.height, frame.width, 3)
        values[IMAGES + name] = pixels
        oldest_ns = min(oldest_ns, frame.stamp_ns)
    if told:
        if environment is None:
            raise NotObservedError("the simulation has not said where the objects are")
        age_ns = deadline_ns - int(environment["stamp_ns"])
        if age_ns > stale_ns:
            raise NotObservedError(f"the environment state is {age_ns / NS_PER_MS:.0f} ms old")
        oldest_ns = min(oldest_ns, int(environment["stamp_ns"]))
        values[ENVIRONMENT] = np.asarray(environment["values"], np.float32)
    return Observation(deadline_ns, int(tick["handover_version"]), oldest_ns, values)
