"""robotd's side of `bench tick`: the real daemon at its work, and how it keeps time.

The daemon is started as anybody starts it, with its body in MuJoCo; only its port is the wire
recorder's. A client arms it, brings it home and moves it, so that control, twin, recorder, cameras
and policy all do what they do in a session.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import bare
from bench.bare import Slices
from bench.figures import Spread
from bench.goal_writes import Kept, Ticks, beyond_the_wire_ns, kept_time
from bench.rig import BARE_PRIORITY, NAME, Rig, helper, line, sleep_until_ns, wire_recorder
from bench.sway import Sway
from bench.ticklog import TickLog
from bench.wire import Recorded
from daemon.cli.session import ARMING_TIMEOUT_S, wait_for
from daemon.cli.start import start_daemon, stop_daemon
from robotd import paths
from robotd.client import Robot
from robotd.clock import NS_PER_S
from robotd.errors import DaemonError
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
from robotd.states import State
from sim.plant.world_client import WorldClient

SHIPPED_ACT = Path(__file__).parent.parent / "policies" / "shipped" / "so101_block_in_bowl_act"
_SLICE_S = 5.0
_LEAD_S = 2.0  # from the start of the load to the first slice
_PATIENCE_S = 60.0
_LOADING_S = 180.0
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
    """robotd and the bare loop of the same run."""

    kept: Kept
    beyond_wire_ns: Any
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
        "recording": {"fps": 30 if work.hz % 30 == 0 else 25, "environment_state": True},
    }


def measure(rig: Rig, work: Work, said: Said) -> Measured:
    """Run the daemon under its load and measure it, in turns with a bare loop.

    Raises DaemonError when the arm did not keep moving, or whatever the daemon refused.
    """
    file = rig.folder / f"{NAME}.yaml"
    file.write_text(json.dumps(configuration(rig, work)))  # JSON is YAML
    runtime = paths.runtime_dir(NAME)
    with wire_recorder(rig, line(runtime)) as recorder:
        said("starting the daemon with its body in MuJoCo")
        start_daemon(NAME, simulated=True, config=str(file))
        try:
            recorder_scheduler = recorder.ready()
            with Robot.connect(NAME) as robot:
                arm_and_home(robot)
                ticks, slices, bare_slices, bare_scheduler = _run(rig, robot, work, said)
            obtained = json.loads((runtime / "realtime.json").read_bytes())
        finally:
            said("parking, letting the arm down, ending the daemon")
            stop_daemon(NAME)
    recorder_log = Recorded.read(rig.recorded)
    _check_moved(ticks, slices)
    stamped = json.loads((rig.folder / "bare.json").read_text())
    return Measured(
        kept_time(recorder_log.goals, ticks, slices, work.hz),
        beyond_the_wire_ns(ticks, slices, recorder_log.asked, recorder_log.answered),
        bare.judge(np.asarray(stamped["stamps"], np.int64), bare_slices, work.hz),
        int(stamped["missed"]),
        {
            "control": str(obtained["scheduler"]),
            "bare": bare_scheduler,
            "wire_recorder": recorder_scheduler,
        },
        len(slices),
    )


def arm_and_home(robot: Robot) -> None:
    """Arm with consent and bring the arm home."""
    robot.request(Arm(consent=True), timeout_s=ARMING_TIMEOUT_S)
    robot.request(Home())
    wait_for(robot, lambda status: status.state == "holding", _PATIENCE_S, "the home pose")


def _run(rig: Rig, robot: Robot, work: Work, said: Said) -> tuple[Ticks, Slices, Slices, str]:
    """Load, slices, end of load; returns the ticks, the slices of both and the bare scheduler."""
    world = WorldClient(robot.runtime)
    log: TickLog | None = None
    try:
        with load(robot, work, said):
            log = TickLog(robot.runtime, len(robot.instance.joints))
            start_ns = time.monotonic_ns() + round(_LEAD_S * NS_PER_S)
            ours, theirs = bare.alternate(start_ns, work.seconds, slice_s(work.seconds))
            arguments = ("--hz", str(work.hz), "--priority", str(BARE_PRIORITY))
            out = str(rig.folder / "bare.json")
            with helper(
                rig, "bench.bare", (*arguments, "--slices", json.dumps(theirs), "--out", out)
            ) as loop:
                scheduler = loop.ready()
                for number, (_, end_ns) in enumerate(ours):
                    said(f"measuring, slice {number + 1} of {len(ours)}, then the bare loop")
                    sleep_until_ns(end_ns)
                    if work.policy:
                        # Something to do for the policy; between slices, for it holds up the plant.
                        world.reset(number + 1)
                sleep_until_ns(theirs[-1][1])
                loop.finish(_PATIENCE_S)
        return log.close(), ours, theirs, scheduler
    finally:
        if log is not None:
            log.stop()
        world.close()


def slice_s(seconds: float) -> float:
    """How long one slice is: five seconds, or a third of a short run."""
    return min(_SLICE_S, max(1.0, seconds / 3))


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
            pose_rad = tuple(joint.position_rad for joint in robot.status().joints)
            stack.enter_context(Sway(robot.instance, pose_rad, _SWAY_JOINTS, _SWAY_RAD))
        yield


def _check_moved(ticks: Ticks, slices: Slices) -> None:
    """Every tick of the slices was in a state in which somebody's goals move the arm."""
    for begin, end in slices:
        inside = ticks[(ticks["deadline_ns"] >= begin) & (ticks["deadline_ns"] < end)]
        states = {State(int(state)) for state in np.unique(inside["state"])}
        still = [state.name.lower() for state in states if not state.moving]
        if still or not len(inside):
            raise DaemonError(
                f"The arm did not move all the time: {', '.join(still) or 'no tick was seen'}.",
                "Something took the arm from the benchmark, or a limit or fault stopped it.",
                "Run it again; if it stays so, run the same motion by hand and look at "
                "robotd status.",
            )
