"""robotd's side of `bench tick`: the real daemon at its work, and how it keeps time.

The daemon is started as anybody starts it, with its body in MuJoCo; only its port is the wire
recorder's. A client arms it, brings it home and moves it, so that control, twin, recorder, cameras
and policy all do what they do in a session.
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.figures import Spread
from bench.goal_writes import Kept, beyond_the_wire_ns, kept_time
from bench.rig import NAME, Rig, line, wire_recorder
from bench.sway import Sway
from bench.turns import Turns, in_turns
from bench.wire import Recorded
from daemon.cli.session import ARMING_TIMEOUT_S, wait_for
from daemon.cli.start import start_daemon, stop_daemon
from robotd import paths
from robotd.client import Robot
from robotd.messages import (
    Arm,
    DiscardEpisode,
    Hold,
    Home,
    LoadPolicy,
    OpenSession,
    RunPolicy,
    StartEpisode,
)
from sim.plant.world_client import WorldClient

SHIPPED_ACT = Path(__file__).parent.parent / "policies" / "shipped" / "so101_block_in_bowl_act"
_PATIENCE_S = 60.0
_LOADING_S = 600.0  # LeRobot is imported first: 8 s of a core, minutes of a busy machine
_SWAY_JOINTS = (0, 4)  # shoulder_pan and wrist_roll: the arm keeps its height
_SWAY_RAD = math.radians(20.0)

Said = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Work:
    """What the daemon is to do meanwhile, and for how long it is measured."""

    hz: int
    seconds: float
    encode: bool
    policy: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """robotd and the bare loop of the same run. `beyond_wire_ns`: each tick's work less the time
    that the line took to answer; empty where no wire recorder was."""

    kept: Kept
    beyond_wire_ns: npt.NDArray[np.int64]
    bare: Spread
    bare_missed: int
    schedulers: dict[str, str]
    slices: int


def configuration(rig: Rig, work: Work) -> dict[str, Any]:
    """The robot's file: the shipped simulated arm behind the wire recorder, cameras where pictures
    are to be encoded."""
    camera = {"device": "synthetic", "width": 640, "height": 480, "fps": 30}
    wanted = camera if work.encode else None
    return {
        "extends": "so101-sim",
        "name": NAME,
        "arms": {"arm": {"port": str(rig.wire), "leader": None}},
        "cameras": {"overhead": wanted, "wrist": wanted},
        "control": {"tick_hz": work.hz},
        # 250 Hz is no multiple of 30: rows are made at 25 a second then.
        "recording": {"fps": 30 if work.hz % 30 == 0 else 25},
    }


def measure(rig: Rig, work: Work, said: Said) -> Measured:
    """Run the daemon under its load and measure it, in turns with a bare loop.

    Raises DaemonError when the arm did not keep moving, and what the daemon refused.
    """
    file = rig.folder / f"{NAME}.yaml"
    file.write_text(json.dumps(configuration(rig, work)))  # JSON is YAML
    with wire_recorder(rig, line(paths.runtime_dir(NAME))) as recorder:
        said("starting the daemon with its body in MuJoCo")
        start_daemon(NAME, simulated=True, config=str(file))
        try:
            scheduler = recorder.ready()
            with Robot.connect(NAME) as robot:
                arm_and_home(robot)
                turns = _loaded(rig, robot, work, said)
        finally:
            said("parking, letting the arm down, ending the daemon")
            stop_daemon(NAME)
    seen = Recorded.read(rig.recorded)
    return Measured(
        kept_time(seen.goals, turns.ticks, turns.slices, work.hz),
        beyond_the_wire_ns(turns.ticks, turns.slices, seen.asked, seen.answered),
        turns.bare,
        turns.bare_missed,
        turns.schedulers | {"wire_recorder": scheduler},
        len(turns.slices),
    )


def arm_and_home(robot: Robot) -> None:
    """Arm with consent and bring the arm home."""
    robot.request(Arm(consent=True), timeout_s=ARMING_TIMEOUT_S)
    robot.request(Home())
    wait_for(robot, lambda status: status.state == "holding", _PATIENCE_S, "the home pose")


def _loaded(rig: Rig, robot: Robot, work: Work, said: Said) -> Turns:
    world = WorldClient(robot.runtime)

    def between(number: int) -> None:
        if work.policy:
            # Something to do for the policy; between slices, because it holds up the plant.
            world.reset(number + 1)

    try:
        with load(robot, work, said):
            return in_turns(rig.folder, robot, work.seconds, said, between)
    finally:
        world.close()


@contextmanager
def load(robot: Robot, work: Work, said: Said) -> Iterator[None]:
    """Motion, and what was asked for beside it, until the end of the `with`."""
    with ExitStack() as stack:
        if work.policy:
            said("loading the shipped ACT")
            robot.request(LoadPolicy(path=str(SHIPPED_ACT)), timeout_s=_LOADING_S)
        if work.encode:
            said("recording two cameras of 640x480 at 30 Hz")
            robot.request(
                OpenSession(dataset="local/robotd_bench", task="benchmark", episodes=1),
                timeout_s=_PATIENCE_S,
            )
            robot.request(StartEpisode(), timeout_s=_PATIENCE_S)
            stack.callback(robot.request, DiscardEpisode(), timeout_s=_PATIENCE_S)
        if work.policy:
            robot.request(RunPolicy(), timeout_s=ARMING_TIMEOUT_S)
            stack.callback(robot.request, Hold())
        else:
            stack.enter_context(sway_about_here(robot, _SWAY_JOINTS, _SWAY_RAD))
        yield


def sway_about_here(robot: Robot, joints: tuple[int, int], amplitude_rad: float) -> Sway:
    """The sway around where the arm stands now."""
    pose_rad = tuple(joint.position_rad for joint in robot.status().joints)
    return Sway(robot.instance, pose_rad, joints, amplitude_rad)
