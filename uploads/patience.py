"""How long to wait before the next try: longer each time, never in step with others. Pure."""

import random
from dataclasses import dataclass

RETRY_AFTER_LIMIT_S = 3600.0
"""A hub that asks for more than an hour is asked again after one."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Exponential back-off with jitter: `first_s`, twice that, … up to `longest_s`."""

    first_s: float = 2.0
    longest_s: float = 300.0

    def wait_s(self, attempt: int, retry_after_s: float | None, chance: random.Random) -> float:
        """Seconds until try `attempt` + 1, `attempt` counted from 1 since the last success.

        Between half and all of the doubled time, so that a fleet that lost its network together
        does not come back together; never less than what the hub asked for.
        """
        doubled = min(self.longest_s, self.first_s * 2.0 ** min(attempt - 1, 30))
        wait = doubled * chance.uniform(0.5, 1.0)
        return float(max(wait, min(retry_after_s or 0.0, RETRY_AFTER_LIMIT_S)))
