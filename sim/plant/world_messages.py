"""The `world` socket's messages: truth out, hands in. For the expert, evaluation and tests; never
for control.

One JSON object a request, tagged by `op`; one JSON object a reply. Units are in the names; joint
arrays are in bus order. `WorldClient` speaks this from another process.
"""

from typing import Any

import msgspec


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op"):
    pass


class Truth(_Request, tag="truth", frozen=True):
    """Ask for `TruthReply`."""


class Reset(_Request, tag="reset", frozen=True):
    """Put the task's object where `seed` says; with `arms`, also every follower back to rest, torque as it
    is."""

    seed: int
    arms: bool = False


class SetBlock(_Request, tag="set_block", frozen=True):
    """Lay the task's object on the table: the block, or the cabinet by its shut drawer's handle
    (`yaw_rad` then from square to the arm)."""

    x_m: float
    y_m: float
    yaw_rad: float = 0.0


class Hand(_Request, tag="hand", frozen=True):
    """A hand takes a leader to `target_rad` [6], or lets go (null)."""

    target_rad: list[float] | None
    arm: str = "leader"


class SetFault(_Request, tag="fault", frozen=True):
    """A fault of `sim.plant.fault_table`, by its name (`kind`), until `ClearFaults` or for as long.

    `servo_id` None: the whole arm, where the fault can be that. `replies` only where the table says
    so; `seconds` on the plant's clock. `onward`: of this servo and all behind it.
    """

    servo_id: int | None
    kind: str
    arm: str = "follower"
    value: int | None = None
    replies: int | None = None
    onward: bool = False
    seconds: float | None = None


class ClearFaults(_Request, tag="clear_faults", frozen=True):
    """Repair an arm: every `SetFault`, forced status bits, stuck joints. What `Power` and `Plug`
    did stays."""

    arm: str = "follower"


class ListFaults(_Request, tag="list_faults", frozen=True):
    """Ask which faults are set now: a list of `FaultNow`."""


class ForceStatus(_Request, tag="status", frozen=True):
    """OR `bits` into a servo's status byte."""

    servo_id: int
    bits: int
    arm: str = "follower"


class Power(_Request, tag="power", frozen=True):
    """Pull or plug an arm's supply; `torque_enable` 1: the servos come back stiff."""

    on: bool
    arm: str = "follower"
    torque_enable: int = 0


class Stuck(_Request, tag="stuck", frozen=True):
    """Jam or free a follower's joint."""

    servo_id: int
    stuck: bool = True
    arm: str = "follower"


class Push(_Request, tag="push", frozen=True):
    """A hand pushes a follower's link (a body of the model: shoulder … gripper) with a force in the
    world frame, until the next `Push` of that link; all zero lets go."""

    force_n: list[float]
    link: str = "gripper"
    arm: str = "follower"


class Payload(_Request, tag="payload", frozen=True):
    """A follower's fingers carry so much; 0 for nothing."""

    kg: float
    arm: str = "follower"


class Plug(_Request, tag="plug", frozen=True):
    """Pull the USB cable of an arm (its serial device vanishes) or put it back."""

    connected: bool
    arm: str = "follower"


class Registers(_Request, tag="registers", frozen=True):
    """Ask for a servo's 88 bytes without the bus: `{"memory": hex, "flash": hex}`."""

    servo_id: int
    arm: str = "follower"


class Stats(_Request, tag="stats", frozen=True):
    """Ask how the process keeps up."""


Request = (
    Truth
    | Reset
    | SetBlock
    | Hand
    | SetFault
    | ClearFaults
    | ListFaults
    | ForceStatus
    | Power
    | Stuck
    | Push
    | Payload
    | Plug
    | Registers
    | Stats
)


class ArmTruth(msgspec.Struct, frozen=True):
    """One follower as it really is."""

    name: str
    position_rad: list[float]
    velocity_rad_s: list[float]
    gripper_rad: float
    tcp_m: list[float]
    touches_block_fixed: bool
    touches_block_moving: bool
    torque_enable: list[int]


class TruthReply(msgspec.Struct, frozen=True):
    """What success, the expert and the failure taxonomy are computed from. World frame, SI
    units.

    `block` is the task's object, of a drawer its handle (the quaternion is the cabinet's); `bowl` is
    where that is wanted. `opened_m`: of the drawer, 0 where there is none.
    """

    time_s: float
    seed: int
    block_m: list[float]
    block_quaternion_wxyz: list[float]
    block_yaw_rad: float
    block_velocity_m_s: list[float]
    block_speed_m_s: float
    bowl_m: list[float]
    opened_m: float
    arms: list[ArmTruth]


class FaultNow(msgspec.Struct, frozen=True):
    """A fault that is set. `seconds_left` None: until it is cleared."""

    arm: str
    kind: str
    servo_id: int | None
    value: int | None
    seconds_left: float | None


class WorldError(Exception):
    """A request the world refused; the text says why."""


class Reply(msgspec.Struct, frozen=True):
    """Every answer: `error` or `value`."""

    ok: bool
    value: Any = None
    error: str = ""
