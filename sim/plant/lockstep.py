"""The plant in virtual time: the same servos and physics as the process, stepped by whoever asks.

    plant = LockStepPlant(PlantOptions(), seed=7)
    port = plant.port("follower")
    port.write(instruction); reply = port.read(256)
    plant.advance(plant.now_ns + 8_333_333)

Bytes take no time; a reply is there as soon as the instruction is written. A fault that delays a
reply does so in virtual time.
"""

import errno
import os
from collections import deque
from typing import Any

import msgspec

from sim.plant.bus import VirtualBus
from sim.plant.options import PlantOptions
from sim.plant.world import World
from sim.plant.world_messages import Request, TruthReply

_NS_PER_MS = 1_000_000


class VirtualCable:
    """An arm's USB cable. A port that was open when it was pulled is dead for good."""

    def __init__(self) -> None:
        self.plugged_in = True
        self.pulled = 0

    def plug(self, elsewhere: bool = False) -> None:
        """Put it in. A virtual port has no name: `elsewhere` makes no difference."""
        self.plugged_in = True

    def unplug(self) -> None:
        """Pull it."""
        self.plugged_in = False
        self.pulled += 1


class VirtualPort:
    """A serial port whose other end is a `VirtualBus`. Never blocks. Raises OSError when its cable
    is not in."""

    def __init__(self, plant: "LockStepPlant", bus: VirtualBus, cable: VirtualCable) -> None:
        self._plant = plant
        self._bus = bus
        self._cable = cable
        self._pulled = cable.pulled
        self._require()
        self._pending: deque[tuple[int, bytes]] = deque()
        self.is_open = True

    def write(self, data: bytes) -> int:
        """Send; the servos act at once. Returns the number of bytes taken."""
        self._require()
        self._pending.extend(self._bus.feed(bytes(data), self._plant.now_ns))
        return len(data)

    def read(self, max_bytes: int) -> bytes:
        """What has arrived by now, at most `max_bytes`; empty when nothing has."""
        self._require()
        if not self._pending:
            return b""
        now_ns = self._plant.now_ns
        taken = bytearray()
        waiting: deque[tuple[int, bytes]] = deque()
        for at_ns, data in self._pending:
            room = max_bytes - len(taken)
            if at_ns > now_ns or room <= 0:
                waiting.append((at_ns, data))
                continue
            taken += data[:room]
            if len(data) > room:
                waiting.append((at_ns, data[room:]))
        self._pending = waiting
        return bytes(taken)

    @property
    def in_waiting(self) -> int:
        """Bytes that `read` would return now."""
        now_ns = self._plant.now_ns
        return sum(len(data) for at_ns, data in self._pending if at_ns <= now_ns)

    def reset_input_buffer(self) -> None:
        """Forget what has arrived; what is still on its way comes."""
        now_ns = self._plant.now_ns
        self._pending = deque(item for item in self._pending if item[0] > now_ns)

    def close(self) -> None:
        """Let go. The servos keep their goals, as on the real bus."""
        self._pending.clear()
        self.is_open = False

    def _require(self) -> None:
        if not self._cable.plugged_in or self._pulled != self._cable.pulled:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


class LockStepPlant:
    """One plant on a clock that only `advance` moves."""

    def __init__(
        self, options: PlantOptions | None = None, seed: int = 0, start_ns: int = 1_000_000_000
    ) -> None:
        """`start_ns` is the virtual clock's reading now; bytes take no time whatever the options
        say."""
        given = options or PlantOptions()
        self.options = msgspec.structs.replace(given, zero_time=True, seed=seed)
        self.world = World(self.options)
        self.now_ns = start_ns
        self._start_ns = start_ns
        self.model = self.world.physics.model
        self.data = self.world.physics.data
        self.index = self.world.physics.index
        self._cables = {name: VirtualCable() for name in self.world.arms}
        self.world.injector.cables.update(self._cables)

    def port(self, arm: str = "follower") -> VirtualPort:
        """A serial port on an arm's bus. Raises OSError when its cable is not in."""
        return VirtualPort(self, self.world.arm(arm).bus, self._cables[arm])

    def advance(self, to_ns: int) -> None:
        """Move the clock to `to_ns` and step everything up to it (whole physics steps)."""
        self.now_ns = max(self.now_ns, to_ns)
        self.world.advance((self.now_ns - self._start_ns) // _NS_PER_MS)

    def reset(self, seed: int, arms: bool = False) -> None:
        """Lay the block out anew; with `arms`, followers back in their rest pose."""
        self.world.reset(seed, arms)

    def truth(self) -> TruthReply:
        """Where everything really is."""
        return self.world.truth()

    def environment_state(self) -> list[float]:
        """The seven floats of `observation.environment_state`."""
        return self.world.environment_state()

    def handle(self, request: Request) -> Any:
        """A message of the world socket, answered here."""
        return self.world.handle(request)
