"""Reading every bus at once: requests first, then all descriptors are polled until the deadline.

One thread, so several arms cost little more than one (four buses: 1.9 ms together, 7 to 10 ms one
after the other).
"""

from collections.abc import Callable, Sequence

from daemon.control.arm import FollowerArm
from daemon.control.leader import LeaderArm
from drivers.bus import collect


class Readout:
    """The buses of all arms and leaders."""

    def __init__(
        self,
        arms: Sequence[FollowerArm],
        leaders: Sequence[LeaderArm],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """`meanwhile` is called while the wire is busy with the replies (see `collect`)."""
        self._arms = arms
        self._meanwhile = meanwhile
        self._holders: tuple[FollowerArm | LeaderArm, ...] = (*arms, *leaders)
        self._opened = [0] * len(arms)

    def read(self, deadline_ns: int) -> bool:
        """Read one telemetry block of every servo; True when every follower servo answered.

        What answered in part is kept in part. A bus that went away is closed and tried again later.
        """
        for holder in self._holders:
            holder.link.open_if_due()
        for number, arm in enumerate(self._arms):
            if arm.link.opened != self._opened[number]:
                self._opened[number] = arm.link.opened
                arm.forget()
        open_buses = [holder.link.bus for holder in self._holders if holder.link.bus is not None]
        readings = iter(collect(open_buses, deadline_ns, self._meanwhile))
        complete = True
        for holder in self._holders:
            whole = False
            if holder.link.bus is None:
                holder.missed_all()
            else:
                reading = next(readings)
                if reading.fault is None:
                    whole = holder.take(reading.telemetry)
                else:
                    holder.link.lost(reading.fault)
                    holder.missed_all()
            complete = complete and (whole or isinstance(holder, LeaderArm))
        return complete

    def close(self) -> None:
        """Give every serial device back."""
        for holder in self._holders:
            holder.link.close()
