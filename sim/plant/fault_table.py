"""Every fault the plant can have, in one table: name, what it takes, what it does.

`robotd sim fault`, the world socket's validation and `docs/faults.md` are made from it. What a
fault does to the plant is `sim.plant.injection`; what it does to the bytes of a reply
`sim.plant.faults`.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reach(StrEnum):
    """What a fault is of."""

    SERVO = "servo"  # one servo, which has to be named
    JOINT = "joint"  # one joint of a follower: the mechanics, not the electronics
    WIRE = "wire"  # one servo's replies, or all of an arm's where none is named
    ARM = "arm"  # the whole arm


@dataclass(frozen=True, slots=True)
class Value:
    """The number that a fault may be given."""

    unit: str
    default: int
    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """One fault. `does` ends the sentence "the plant …"; `momentary` ones have nothing to undo."""

    name: str
    reach: Reach
    does: str
    value: Value | None = None
    momentary: bool = False

    @property
    def counts_replies(self) -> bool:
        """Whether it can end by itself after a number of replies."""
        return self.name in _REPLY_FAULTS


_REPLY_FAULTS = frozenset(
    ("silent", "cable_break", "mute", "bad_checksum", "truncated", "noise", "delayed", "wrong_id")
)

_SPECS = (
    FaultSpec("silent", Reach.SERVO, "neither hears nor answers; torque stays (a loose plug)"),
    FaultSpec("cable_break", Reach.SERVO, "is silent from this servo on (a broken cable)"),
    FaultSpec("mute", Reach.SERVO, "hears and obeys, but never answers"),
    FaultSpec("bad_checksum", Reach.SERVO, "answers with a wrong checksum"),
    FaultSpec(
        "truncated",
        Reach.SERVO,
        "leaves out the last bytes of each reply",
        Value("bytes", 2, 1, 200),
    ),
    FaultSpec("noise", Reach.SERVO, "sends noise before each reply", Value("bytes", 2, 1, 64)),
    FaultSpec("delayed", Reach.SERVO, "answers late", Value("ms", 60, 1, 2_000)),
    FaultSpec(
        "wrong_id", Reach.SERVO, "answers under another id", Value("id (-1: own + 32)", -1, -1, 253)
    ),
    FaultSpec("duplicate_id", Reach.SERVO, "has a second servo with this id on the bus"),
    FaultSpec(
        "loss",
        Reach.WIRE,
        "loses replies at random, one in so many",
        Value("replies", 20, 1, 1_000),
    ),
    FaultSpec(
        "stall",
        Reach.ARM,
        "has an adapter that stops now and then, for 5 ms up to the value (one request in 40)",
        Value("ms", 50, 5, 1_000),
    ),
    FaultSpec(
        "slow_usb",
        Reach.ARM,
        "delivers replies only at USB frames of 1 ms, and so much later",
        Value("ms", 1, 0, 100),
    ),
    FaultSpec("unplug", Reach.ARM, "has its USB cable pulled; back, it is the same device"),
    FaultSpec("unplug_moved", Reach.ARM, "has its USB cable pulled; back, it is another tty"),
    FaultSpec("voltage_bit", Reach.SERVO, "sets the voltage bit of the status byte"),
    FaultSpec("encoder_bit", Reach.SERVO, "sets the encoder bit"),
    FaultSpec("temperature_bit", Reach.SERVO, "sets the over-temperature bit"),
    FaultSpec("current_bit", Reach.SERVO, "sets the over-current bit"),
    FaultSpec("overload_bit", Reach.SERVO, "sets the overload bit"),
    FaultSpec(
        "hot", Reach.SERVO, "is heated to a temperature and kept there", Value("C", 66, 0, 120)
    ),
    FaultSpec("supply", Reach.ARM, "has a supply of this voltage", Value("0.1 V", 35, 0, 300)),
    FaultSpec("stuck", Reach.JOINT, "jams the joint"),
    FaultSpec(
        "reboot",
        Reach.SERVO,
        "restarts one servo: torque off, lock 1, goal 0, 48 = 16",
        momentary=True,
    ),
    FaultSpec("power_cut", Reach.ARM, "is without power; back, torque is off"),
    FaultSpec("power_cut_stiff", Reach.ARM, "is without power; back, torque is on"),
    FaultSpec(
        "firmware", Reach.SERVO, "has another firmware, 3.value", Value("minor version", 9, 0, 255)
    ),
    FaultSpec("model", Reach.SERVO, "is another model of servo", Value("model", 1029, 0, 65_535)),
    FaultSpec(
        "encoder_jump",
        Reach.SERVO,
        "tells a position that is off, within the turn (wraps at 0 and 4095)",
        Value("ticks", 1_024, -4_095, 4_095),
    ),
    FaultSpec(
        "encoder_turns",
        Reach.SERVO,
        "tells a position that is off by whole turns, outside 0..4095",
        Value("turns", 1, -7, 7),
    ),
)

FAULTS: dict[str, FaultSpec] = {spec.name: spec for spec in _SPECS}
"""By name, in the order in which they are listed."""


def table() -> str:
    """The table as text: one line a fault."""
    rows = [(spec.name, _taken(spec), spec.does) for spec in FAULTS.values()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in rows)


def _taken(spec: FaultSpec) -> str:
    words = {
        Reach.SERVO: "--servo",
        Reach.JOINT: "--servo",
        Reach.WIRE: "[--servo]",
        Reach.ARM: "",
    }[spec.reach]
    if spec.value is None:
        return words
    return f"{words} [--value {spec.value.unit} = {spec.value.default}]".strip()
