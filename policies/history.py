"""What a policy that looks back is shown of the past: observations at its own rate, of this episode.

Diffusion, VQ-BeT and others of LeRobot's are trained on several observations in a row, one step of
their dataset apart. LeRobot's `select_action` is called at every step and keeps them in queues,
which it fills with the first observation of an episode. Here a policy is asked for a chunk only now
and then, so what such a queue would hold at that moment is fetched from what was recorded of it.
"""

from collections.abc import Callable
from dataclasses import replace

from policies.observation import Observation

ObservedAt = Callable[[int], Observation]
"""The observation of a moment that has passed, nearest to that time (monotonic ns).

Raises NotObservedError where nothing is known of it any more."""


def moments_ns(now_ns: int, first_ns: int, step_ns: int, count: int) -> tuple[int, ...]:
    """When the `count` - 1 observations before `now_ns` were, oldest first: `step_ns` apart, and the
    first of the episode (`first_ns`) again and again for what would lie before it."""
    return tuple(max(first_ns, now_ns - k * step_ns) for k in range(count - 1, 0, -1))


class History:
    """The observations of one episode after another, `count` at a time.

    An episode begins with its hand-over; its first observation is the first that is asked for.
    `step_ns` is the policy's own time step at the speed it is played, `at` tells of the past.
    """

    def __init__(self, count: int, step_ns: int, at: ObservedAt) -> None:
        self._count = count
        self._step_ns = step_ns
        self._at = at
        self._version: int | None = None
        self._first_ns = 0

    def of(self, observation: Observation) -> Observation:
        """The observation with its `past`. Raises NotObservedError where that is not known."""
        if self._count == 1:
            return observation
        now_ns = observation.deadline_ns
        if observation.handover_version != self._version:
            self._version, self._first_ns = observation.handover_version, now_ns
        past = [
            observation.values if at_ns == now_ns else self._at(at_ns).values
            for at_ns in moments_ns(now_ns, self._first_ns, self._step_ns, self._count)
        ]
        return replace(observation, past=tuple(past))
