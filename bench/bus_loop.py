"""One backend's transactions, in a process of its own: `python -m bench.bus_loop OPTIONS` (JSON).

Runs at control's priority where it is allowed to, with the garbage collector frozen, as the tick
does. Prints READY and the figures as JSON.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bench.bus_backends import BACKENDS, BLOCK, IDS, POSITION
from bench.figures import spread
from bench.rig import CONTROL_PRIORITY
from daemon.control import realtime
from drivers.bus import ServoBus, collect
from drivers.serial_port import PySerialPort
from robotd.clock import NS_PER_MS, MonotonicClock

_WARM_UP = 20
_PAUSE_S = 0.002  # between two transactions, as between two ticks: nothing queues
_FOUR_DEADLINE_NS = 40 * NS_PER_MS  # for comparing: no bus is cut short


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`devices`: one for a backend, four for `together`. `lengths`: the reads to measure."""

    what: str
    devices: tuple[str, ...]
    transactions: int
    lengths: tuple[int, ...] = (POSITION, BLOCK)


def main() -> int:
    options = msgspec.json.decode(sys.argv[1], type=Options)
    obtained = realtime.take(CONTROL_PRIORITY, None)
    realtime.freeze_garbage_collector()
    figures = _together(options) if options.what == "together" else _backend(options)
    found = figures | {"scheduler": obtained.scheduler}
    sys.stdout.write(f"READY {msgspec.json.encode(found).decode()}\n")
    sys.stdout.flush()
    return 0


def _backend(options: Options) -> dict[str, Any]:
    make, _, _ = BACKENDS[options.what]
    backend = make(Path(options.devices[0]))
    try:
        return {
            f"read_{length}_bytes": measure(lambda n=length: backend.read(n), options.transactions)  # type: ignore[misc]
            for length in options.lengths
        }
    finally:
        backend.close()


def _together(options: Options) -> dict[str, Any]:
    """Four buses: all requests written first and all polled at once, and one after the other."""
    clock = MonotonicClock()
    buses = [ServoBus(PySerialPort(device), IDS, clock) for device in options.devices]

    def read(some: list[ServoBus]) -> int:
        readings = collect(some, clock.now_ns() + _FOUR_DEADLINE_NS)
        return sum(each is not None for one in readings for each in one.telemetry.values())

    try:
        return {
            "together": measure(lambda: read(buses), options.transactions),
            "one_after_the_other": measure(
                lambda: sum(read([bus]) for bus in buses), options.transactions
            ),
        }
    finally:
        for bus in buses:
            bus.close()


def measure(transact: Callable[[], int], transactions: int) -> dict[str, Any]:
    """Do it `transactions` times: wall time of each, CPU time of all, and the values that came."""
    for _ in range(min(_WARM_UP, transactions)):
        transact()
    walls_ns: list[int] = []
    values = 0
    cpu_ns = 0
    for _ in range(transactions):
        time.sleep(_PAUSE_S)
        cpu_before_ns, began_ns = time.process_time_ns(), time.monotonic_ns()
        values += transact()
        walls_ns.append(time.monotonic_ns() - began_ns)
        cpu_ns += time.process_time_ns() - cpu_before_ns
    return {
        **spread(walls_ns).as_json(),
        "cpu_us": round(cpu_ns / transactions / 1e3, 1),
        "values": round(values / transactions, 2),
    }


if __name__ == "__main__":
    sys.exit(main())
