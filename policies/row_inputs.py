"""What a policy is shown of a row, in real time: the pictures and the world of the row's moment.

A picture takes tens of milliseconds from its capture to its ring, so the one that belongs to a row
is still on its way when the row's tick comes. The recorder waits for it; a policy that took what is
there would see pictures one or two frames older than those it was trained on at the same moment. So
it waits too, as long as the recorder at most, and no longer than until no further picture of
before the row is to be expected.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from policies.observation import NotYetObservedError
from robotd.clock import Clock
from robotd.frames import PICTURE_WAIT_NS, Frame

_EARLY = 0.25
"""How much of its period a camera's next picture may come early: stamps jitter by some ms."""

_WORLDS_KEPT = 1024  # seconds of them: more than any policy looks back

type World = Mapping[str, Any]
"""A record of layout `environment_state`."""


class Published(Protocol):
    """What is read of the runtime folder; `policies.link.RuntimeLink`."""

    def latest_capture_ns(self, camera: str) -> int | None:
        """When the newest picture that has arrived was captured; None before the first."""
        ...

    def frame(self, camera: str, deadline_ns: int) -> Frame | None:
        """The camera's newest frame captured at or before `deadline_ns`."""
        ...

    def environment(self) -> World | None:
        """The newest environment state; None where there is none."""
        ...


def settled(latest_ns: int | None, deadline_ns: int, period_ns: int) -> bool:
    """Whether no further picture captured at or before `deadline_ns` is to be expected.

    `latest_ns` is when the newest picture that has arrived was captured, None while there is none;
    `period_ns` the time between two pictures of that camera. True without any picture: a camera
    that never delivered is nothing to wait for.
    """
    if latest_ns is None or latest_ns > deadline_ns:
        return True
    return latest_ns + (1.0 - _EARLY) * period_ns > deadline_ns


class RowInputs:
    """The pictures and the world of one row after another.

    `periods_ns` has the time between two pictures for each camera the policy looks through;
    `told`: whether it is told the environment state; `looks_back`: whether `past` will be asked.
    """

    def __init__(
        self,
        published: Published,
        periods_ns: Mapping[str, int],
        clock: Clock,
        *,
        told: bool,
        looks_back: bool = False,
    ) -> None:
        self._published = published
        self._periods_ns = periods_ns
        self._clock = clock
        self._told = told
        self._looks_back = looks_back
        self._world: tuple[int, World | None] = (-1, None)
        self._worlds: deque[World] = deque(maxlen=_WORLDS_KEPT)

    def of(self, deadline_ns: int) -> tuple[dict[str, Frame | None], World | None]:
        """The frame of each camera and the environment state that belong to the row.

        Raises NotYetObservedError while a picture is on its way: ask again for the same row. Ask
        for the first time at once: the world is that of the first call.
        """
        if self._told and self._world[0] != deadline_ns:
            self._world = (deadline_ns, self._published.environment())
        if self._clock.now_ns() - deadline_ns <= PICTURE_WAIT_NS and not all(
            settled(self._published.latest_capture_ns(camera), deadline_ns, period_ns)
            for camera, period_ns in self._periods_ns.items()
        ):
            raise NotYetObservedError
        frames = {name: self._published.frame(name, deadline_ns) for name in self._periods_ns}
        return frames, self._world[1] if self._told else None

    def watch(self) -> None:
        """Note the world as it is now: only the newest is published, and `past` tells of these."""
        world = self._published.environment() if self._told and self._looks_back else None
        newest_ns = self._worlds[-1]["stamp_ns"] if self._worlds else -1
        if world is not None and world["stamp_ns"] != newest_ns:
            self._worlds.append(world)

    def past(self, at_ns: int) -> tuple[dict[str, Frame | None], World | None]:
        """The frames and the world of a moment that has passed.

        Of frames the newest captured at or before it. Of worlds the nearest that `watch` noted, as
        if it were of that moment: while a chunk is inferred nobody looks, and only a simulation
        tells any.
        """
        frames = {name: self._published.frame(name, at_ns) for name in self._periods_ns}
        if not self._worlds:
            return frames, None
        world = min(self._worlds, key=lambda world: abs(int(world["stamp_ns"]) - at_ns))
        return frames, {**world, "stamp_ns": at_ns}
