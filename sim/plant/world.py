"""The plant as a world: arms, leaders and the task's objects on one clock, and what may be asked of and
done to it.

Pure of processes and sockets: the real-time server and lock-step both drive this object. `handle`
answers one message of the world socket.
"""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import mujoco

from sim.model.scene import REST_POSE_RAD, place_object
from sim.plant import world_messages as msg
from sim.plant.arm import Arm
from sim.plant.grip import grip_margin
from sim.plant.injection import Injector
from sim.plant.leader import LeaderArm
from sim.plant.options import PlantOptions
from sim.plant.physics import Physics
from sim.plant.servo import Servo
from sim.tasks.spec import DrawerTask, load_task, sample_pose

_DECODER = msgspec.json.Decoder(msg.Request)


class World:
    """Everything on the far side of the serial lines. Time is milliseconds since the plant woke
    up."""

    def __init__(self, options: PlantOptions) -> None:
        self.options = options
        self.task = load_task(options.task)
        self.physics = Physics(options)
        self.leaders: tuple[LeaderArm, ...] = (
            tuple(
                LeaderArm(prefix + "leader", REST_POSE_RAD, options) for prefix in options.prefixes
            )
            if options.leader
            else ()
        )
        self.arms: dict[str, Arm] = {arm.name: arm for arm in self.physics.arms}
        self.arms.update({leader.arm.name: leader.arm for leader in self.leaders})
        self.injector = Injector(self.arms, self.set_stuck)
        self.seed = options.seed
        self._open_at_m: list[float] = []
        self.reset(options.seed)

    def advance(self, to_ms: int) -> None:
        """Step servos and physics to `to_ms`."""
        self.physics.advance(to_ms)
        for leader in self.leaders:
            leader.advance(to_ms)
        self.injector.expire(to_ms)

    # --- objects ---------------------------------------------------------------------------------

    def reset(self, seed: int, arms: bool = False) -> None:
        """Lay the task's object where `seed` says, the same on every machine (`sample_pose`)."""
        self.seed = seed
        if arms:
            self.physics.rest()
        if self.options.objects:
            pose = sample_pose(self.task, seed)
            self.set_object(pose.x_m, pose.y_m, pose.yaw_rad)

    def set_object(self, x_m: float, y_m: float, yaw_rad: float) -> None:
        """Put the block, or the cabinet by its shut drawer's handle, on the table, at rest.

        Raises ValueError without objects.
        """
        physics = self.physics
        place_object(physics.model, physics.data, physics.index, x_m, y_m, yaw_rad)
        mujoco.mj_forward(physics.model, physics.data)
        if isinstance(self.task, DrawerTask):
            out_m, turn = self.task.open_m, self.object_yaw_rad()
            x, y, _ = self._object_position()
            self._open_at_m = [x - out_m * math.cos(turn), y - out_m * math.sin(turn)]

    def _wanted(self) -> list[float]:
        """Where the object is wanted (x, y): bowl, mat, or the handle of the open drawer."""
        index = self.physics.index
        body = index.bowl_body if index.mat_body is None else index.mat_body
        if body is None:
            return self._open_at_m
        return [float(v) for v in self.physics.data.xpos[body][:2]]

    def object_yaw_rad(self) -> float:
        """Turn of the block's long axis about the vertical; of a cabinet, where its back looks."""
        return _yaw_rad(self._object_quaternion())

    def environment_state(self) -> list[float]:
        """[object x, y, z, cos 2yaw, sin 2yaw, wanted x, y]: what a sim profile may show a policy.

        A block looks the same after half a turn, hence the doubled angle. Raises ValueError
        without objects.
        """
        yaw2 = 2.0 * self.object_yaw_rad()
        return [*self._object_position(), math.cos(yaw2), math.sin(yaw2), *self._wanted()]

    def opened_m(self) -> float:
        """How far the drawer is open; 0 where there is none."""
        at = self.physics.index.drawer_qpos
        return 0.0 if at is None else float(self.physics.data.qpos[at])

    def truth(self) -> msg.TruthReply:
        """Where everything really is. Raises ValueError without objects."""
        physics = self.physics
        velocity = self._object_velocity()
        return msg.TruthReply(
            time_s=physics.time_ms / 1000.0,
            seed=self.seed,
            block_m=self._object_position(),
            block_quaternion_wxyz=self._object_quaternion(),
            block_yaw_rad=self.object_yaw_rad(),
            block_velocity_m_s=velocity,
            block_speed_m_s=math.hypot(*velocity),
            bowl_m=[*self._wanted(), 0.0],
            opened_m=self.opened_m(),
            arms=self._arm_truths(),
        )

    def _arm_truths(self) -> list[msg.ArmTruth]:
        physics = self.physics
        touching = self._geoms_on_object()
        truths = []
        for arm, index in zip(physics.arms, physics.index.arms, strict=True):
            position = [float(q) for q in physics.data.qpos[index.qpos]]
            truths.append(
                msg.ArmTruth(
                    name=arm.name,
                    position_rad=position,
                    velocity_rad_s=[float(v) for v in physics.data.qvel[index.dof]],
                    gripper_rad=position[5],
                    tcp_m=[float(x) for x in physics.data.site_xpos[index.tcp_site]],
                    touches_block_fixed=bool(touching & index.fixed_finger_geoms),
                    touches_block_moving=bool(touching & index.moving_finger_geoms),
                    torque_enable=[servo.torque_enable for servo in arm.servos],
                )
            )
        return truths

    def grip_margin(self) -> float:
        """How many times the block's weight the first arm's pads could hold; 0 where it does not hold
        one."""
        physics = self.physics
        return grip_margin(physics.model, physics.data, physics.index, physics.index.arms[0])

    def _geoms_on_object(self) -> set[int]:
        own = self.physics.index.block_geoms | self.physics.index.handle_geoms
        touching: set[int] = set()
        for first, second in self.physics.data.contact.geom.tolist():
            if first in own:
                touching.add(second)
            elif second in own:
                touching.add(first)
        return touching

    def _object_at(self) -> int:
        """The first of the seven coordinates of the block or the cabinet."""
        index = self.physics.index
        at = index.cabinet_qpos if index.block_qpos is None else index.block_qpos
        if at is None:
            raise ValueError("this plant was started without objects")
        return at

    def _object_position(self) -> list[float]:
        """The block's centre, or the handle's."""
        handle = self.physics.index.handle_site
        if handle is not None:
            return [float(v) for v in self.physics.data.site_xpos[handle]]
        at = self._object_at()
        return [float(v) for v in self.physics.data.qpos[at : at + 3]]

    def _object_velocity(self) -> list[float]:
        """The block's linear velocity, or the handle's: the cabinet's and the drawer's own."""
        physics = self.physics
        index, qvel = physics.index, physics.data.qvel
        if index.block_dof is not None:
            return [float(v) for v in qvel[index.block_dof : index.block_dof + 3]]
        if index.cabinet_dof is None or index.drawer_dof is None:
            return []
        x, y, z = (float(v) for v in qvel[index.cabinet_dof : index.cabinet_dof + 3])
        turn, slide = self.object_yaw_rad(), float(qvel[index.drawer_dof])
        return [x - slide * math.cos(turn), y - slide * math.sin(turn), z]

    def _object_quaternion(self) -> list[float]:
        at = self._object_at()
        return [float(v) for v in self.physics.data.qpos[at + 3 : at + 7]]

    # --- hands and faults ------------------------------------------------------------------------

    def arm(self, name: str) -> Arm:
        """An arm by name. Raises msg.WorldError when there is none."""
        try:
            return self.arms[name]
        except KeyError:
            raise msg.WorldError(f"no arm {name!r}: {', '.join(self.arms)}") from None

    def servo(self, arm: str, servo_id: int) -> Servo:
        """A servo by arm and id. Raises msg.WorldError when there is none."""
        servo = self.arm(arm).bus.servo(servo_id)
        if servo is None:
            raise msg.WorldError(f"no servo {servo_id} on {arm}")
        return servo

    def hand(self, name: str, target_rad: Sequence[float] | None) -> None:
        """Move a leader by hand, or let go. Raises msg.WorldError for a wrong name or length."""
        for leader in self.leaders:
            if leader.arm.name == name:
                if target_rad is not None and len(target_rad) != len(leader.arm.servos):
                    raise msg.WorldError(f"a hand needs {len(leader.arm.servos)} angles")
                leader.hand(target_rad)
                return
        raise msg.WorldError(f"no leader {name!r}")

    def set_stuck(self, arm: str, servo_id: int, stuck: bool) -> None:
        """Jam a follower's joint. Raises msg.WorldError for a leader."""
        names = [follower.name for follower in self.physics.arms]
        if arm not in names:
            raise msg.WorldError(f"only a follower's joint can stick: {', '.join(names)}")
        self.servo(arm, servo_id)
        self.physics.set_stuck(6 * names.index(arm) + servo_id - 1, stuck)

    def push(self, arm: str, link: str, force_n: Sequence[float]) -> None:
        """A hand on a link. Raises msg.WorldError for an unknown link or a force that is none."""
        if len(force_n) != 3 or not all(map(math.isfinite, force_n)):
            raise msg.WorldError(f"a push has three finite components, not {force_n}")
        try:
            self.physics.push(self._follower(arm), link, force_n)
        except KeyError:
            raise msg.WorldError(f"no link {link!r}") from None

    def _follower(self, arm: str) -> int:
        names = [follower.name for follower in self.physics.arms]
        if arm not in names:
            raise msg.WorldError(f"no follower {arm!r}: {', '.join(names)}")
        return names.index(arm)

    def clear_faults(self, arm: str) -> None:
        """Repair an arm: every fault that was set, forced status bits and stuck joints."""
        repaired = self.arm(arm)
        self.injector.clear(arm)
        for servo in repaired.servos:
            servo.forced_status = 0
        if repaired in self.physics.arms:
            for servo in repaired.servos:
                self.set_stuck(arm, servo.servo_id, False)

    def handle(self, request: msg.Request) -> Any:
        """Do what a message asks, those about processes and cables excepted.

        Raises msg.WorldError or ValueError when it cannot be done.
        """
        match request:
            case msg.Truth():
                return self.truth()
            case msg.Reset(seed, arms):
                self.reset(seed, arms)
            case msg.SetBlock(x_m, y_m, yaw_rad):
                self.set_object(x_m, y_m, yaw_rad)
            case msg.Hand(target_rad, arm):
                self.hand(arm, target_rad)
            case msg.SetFault():
                self.injector.inject(request, self.physics.time_ms)
            case msg.ListFaults():
                return self.injector.now(self.physics.time_ms)
            case msg.ClearFaults(arm):
                self.clear_faults(arm)
            case msg.ForceStatus(servo_id, bits, arm):
                self.servo(arm, servo_id).forced_status = bits & 0x7F
            case msg.Power(on, arm, torque_enable):
                self.arm(arm).power(on, torque_enable)
            case msg.Stuck(servo_id, stuck, arm):
                self.set_stuck(arm, servo_id, stuck)
            case msg.Push(force_n, link, arm):
                self.push(arm, link, force_n)
            case msg.Payload(kg, arm):
                self.physics.set_payload(self._follower(arm), kg)
            case msg.Registers(servo_id, arm):
                servo = self.servo(arm, servo_id)
                servo.read(0, 1)
                return {"memory": servo.memory.hex(), "flash": servo.flash.hex()}
            case _:
                raise msg.WorldError(f"{type(request).__name__} needs a running plant process")
        return None


def decode_request(data: bytes) -> msg.Request:
    """One message. Raises msgspec.DecodeError when it is none."""
    request: msg.Request = _DECODER.decode(data)
    return request


def _yaw_rad(quaternion_wxyz: Sequence[float]) -> float:
    w, x, y, z = quaternion_wxyz
    return math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
