"""When a robot that is starting is up: control ticks and the recorder listens, and the others are
there, have given up, or have taken too long."""

from collections.abc import Callable

from daemon.supervisor.blueprint import CONTROL, PLANT, RECORDER, TWIN
from daemon.supervisor.children import Children, Spec
from daemon.supervisor.observed import Observed
from robotd.clock import NS_PER_S

_WAIT_FOR_ALL_NS = 12 * NS_PER_S  # then it is up without the twin or a camera, and says so


class Readiness:
    """Watches a start. `needed` names the processes without which there is none."""

    needed = (CONTROL, PLANT, RECORDER)

    def __init__(
        self, children: Children, observed: Observed, now_ns: Callable[[], int], began_ns: int
    ) -> None:
        self.up = False
        self.waits_for_plant: Spec | None = None  # control, until there is a body to attach to
        self._children = children
        self._observed = observed
        self._now_ns = now_ns
        self._began_ns = began_ns

    def look(self) -> float | None:
        """Judge the present moment; returns the seconds that it took when it is up just now."""
        if self._observed.twin.alive:  # it says nothing else, also when it was started again
            self._children[TWIN].ready = True
        if self.up:
            return None
        if self.waits_for_plant is not None and self._children[PLANT].ready:
            self._children.start(self.waits_for_plant)
            self.waits_for_plant = None
        control = self._children.get(CONTROL)
        if control is not None and self._observed.fresh_tick() is not None:
            control.ready = True
        needed = control is not None and control.ready and self._children[RECORDER].ready
        waited_ns = self._now_ns() - self._began_ns
        # The plant's renderer says nothing; its pictures do, in the camera processes.
        others = all(
            c.ready or c.given_up for c in self._children.all() if c.spec.name != "plant-cameras"
        )
        self.up = needed and (others or waited_ns > _WAIT_FOR_ALL_NS)
        return waited_ns / NS_PER_S if self.up else None
