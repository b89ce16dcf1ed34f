"""A recording as a predictor: a soft move to its first action, then its actions in their own time.

Played through the same executor as a policy, window by window. Its time stands still whenever
nothing approved is left to follow, so that a late twin delays a replay instead of cutting a piece
out of it.
"""

import numpy as np
import numpy.typing as npt

from policies.model import Timings
from policies.observation import Observation
from policies.plan import Chunk
from policies.rtc import Leftover, RawChunk
from robotd.trajectory import rest_to_rest

APPLIED = "applied_rad"
"""What a replay observes: the goal that the arm has, [joints] in radians."""

Array = npt.NDArray[np.float64]


class Playback:
    """Plays `actions_rad` [rows, joints], a row every `step_ns`.

    A window has `window` actions. The move to the first action is a minimum-jerk one of at most
    `peak_speed_rad_s`. `lead_ns` is the time that a plan needs to be approved: the path starts that
    much after it was begun or taken up again, rounded up to whole steps, so that actions fall on
    the deadlines of rows and are sent exactly as they were recorded.
    """

    def __init__(
        self,
        actions_rad: Array,
        step_ns: int,
        *,
        window: int,
        peak_speed_rad_s: float,
        lead_ns: int,
    ) -> None:
        self._actions_rad = actions_rad
        self._step_ns = step_ns
        self._window = window
        self._peak_speed_rad_s = peak_speed_rad_s
        self._lead_ns = lead_ns
        self._path: Chunk | None = None  # in path time, which starts at zero
        self._origin_ns = 0  # when path time zero is
        self._floor_ns = 0  # path time does not fall below what was already played
        self._reached_ns = 0

    @property
    def step_ns(self) -> int:
        """The recording's own time step."""
        return self._step_ns

    @property
    def finished(self) -> bool:
        """Whether the last action was due while an approved plan was followed."""
        return self._path is not None and self._reached_ns >= self._path.end_ns + self._step_ns

    def reset(self) -> None:
        """Begin again, from wherever the arm is then."""
        self._path = None
        self._floor_ns = self._reached_ns = 0

    def followed(self, until_ns: int) -> None:
        """An approved plan moved the arm until `until_ns`: path time ran."""
        if self._path is not None:
            self._reached_ns = max(self._reached_ns, until_ns - self._origin_ns)

    @property
    def raw(self) -> RawChunk | None:
        """Nothing: a recording goes on as it was recorded."""
        return None

    @property
    def timings(self) -> Timings:
        """None worth telling: no model is asked."""
        return Timings()

    def predict(self, observation: Observation, leftover: Leftover | None = None) -> Array:
        """The window [T, joints] in radians that begins at the observation."""
        at_ns = observation.deadline_ns
        if self._path is None:
            self._path = self._whole_path(observation.values[APPLIED])
            self._origin_ns = self._start(at_ns)
        elif at_ns - self._origin_ns > self._reached_ns + 2 * self._step_ns:
            # Time went on but the path did not: take it up where it stopped.
            self._floor_ns = self._reached_ns
            self._origin_ns = self._start(at_ns)
        times_ns = at_ns - self._origin_ns + np.arange(self._window, dtype=np.int64) * self._step_ns
        path_rad, _ = self._path.at(np.maximum(times_ns, self._floor_ns))
        return path_rad

    def _start(self, at_ns: int) -> int:
        """When path time zero must be for the path to go on a lead after `at_ns`."""
        steps = -((self._reached_ns - self._lead_ns) // self._step_ns)
        return at_ns + steps * self._step_ns

    def _whole_path(self, from_rad: Array) -> Chunk:
        first = self._actions_rad[0]
        approach = rest_to_rest(
            from_rad.tolist(), first.tolist(), 0, self._step_ns, self._peak_speed_rad_s
        )
        goals = np.concatenate([np.asarray(approach.goals_rad)[:-1], self._actions_rad])
        return Chunk(0, 0, 0, self._step_ns, goals)
