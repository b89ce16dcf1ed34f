"""The scripted operator: the expert at the arm's controls, through the same client as any person.

It asks for the arm as source `scripted`, sends goals at 30 Hz and lets go when it is done, told to stop, or somebody
else has taken the arm. Which task it is, and where its things are, it learns from the robot's configuration and from
the plant, so it works with --sim only. What is done already is laid out anew first, as a person would between two
episodes.
"""

import time
from collections.abc import Mapping
from threading import Event
from typing import Any

import msgspec

from config.schema import Config
from robotd.client import Robot
from robotd.clock import NS_PER_S
from robotd.errors import DaemonError, StateError
from robotd.layouts import ENVIRONMENT_STATE, tick_layout
from robotd.messages import Goal, Hold, Teleop
from robotd.shm import RingReader, SlotReader
from robotd.states import State
from sim.expert_legs import HOME_RAD, Expert, Scene, Step
from sim.experts import expert_type
from sim.kinematics import ArmKinematics
from sim.plant.server_paths import ENVIRONMENT_FILE, PLANT_FOLDER
from sim.plant.world_client import WorldClient
from sim.tasks.spec import DrawerTask, TaskSpec, load_task

SOURCE = "scripted"
GOALS_HZ = 30
_TICK_STALE_S = 0.5


def run(robot: Robot, stop: Event) -> Step | None:
    """The task of its table done once with the arm that `robot` is connected to. Returns the expert's last answer.

    None when `stop` was set or the arm was taken away before the expert answered. Raises StateError when the arm
    cannot be had (not armed, two arms, no simulation), DaemonError when daemon or plant do not answer.
    """
    _check(robot)
    ticks = _ticks(robot)
    world = _open_environment(robot)
    try:
        task = _task(robot)
        _lay_out(robot, world, task)
        version = int(robot.request(Teleop(source=SOURCE))["handover_version"])
        expert = expert_type(task)(ArmKinematics(), HOME_RAD)
        last = _operate(robot, ticks, world, expert, version, stop)
        if _owns(_newest(ticks), version):
            robot.request(Hold())
        return last
    finally:
        ticks.close()
        world.close()


def _operate(
    robot: Robot,
    ticks: RingReader,
    world: SlotReader,
    expert: Expert,
    version: int,
    stop: Event,
) -> Step | None:
    """Send goals until the expert is done. The pace is kept by absolute deadlines."""
    step: Step | None = None
    next_s = time.monotonic()
    while not stop.is_set():
        tick = _newest(ticks)
        if step is not None and not _owns(tick, version):
            return step
        step = expert.step(
            tick["deadline_ns"] / NS_PER_S,
            tick["present_position_rad"],
            tick["applied_rad"],
            Scene.from_environment_state(_environment(world)),
        )
        if step.done:
            return step
        try:
            robot.request(Goal(source=SOURCE, handover_version=version, goal_rad=step.goal_rad))
        except StateError:
            return step  # somebody else has the arm: the daemon refuses our goals
        next_s += 1.0 / GOALS_HZ
        pause_s = next_s - time.monotonic()
        if pause_s > 0:
            stop.wait(pause_s)
        else:
            next_s = time.monotonic()
    return step


def _task(robot: Robot) -> TaskSpec:
    """What is to be done on the simulated table."""
    config = msgspec.json.decode((robot.runtime / "config.json").read_bytes(), type=Config)
    assert config.simulation is not None  # `_check` has refused a real arm
    return load_task(config.simulation.task)


def _check(robot: Robot) -> None:
    if not robot.instance.simulated:
        raise StateError(
            "The scripted operator works only with --sim.",
            "It is told where the block is, which only the simulation knows.",
            "Start one: robotd start --sim. On a real arm use --source leader.",
        )
    if len(robot.instance.joints) != len(HOME_RAD):
        raise StateError(
            f"The scripted operator knows one arm, and this robot has {len(robot.instance.joints)} joints.",
            "It was started with the bimanual profile.",
            "Start the single arm: robotd start --sim.",
        )


def _ticks(robot: Robot) -> RingReader:
    try:
        return RingReader(robot.runtime / "ticks", tick_layout(len(robot.instance.joints)))
    except FileNotFoundError as error:
        raise _silent("control", error) from error


def _open_environment(robot: Robot) -> SlotReader:
    try:
        return SlotReader(robot.runtime / PLANT_FOLDER / ENVIRONMENT_FILE, ENVIRONMENT_STATE)
    except FileNotFoundError as error:
        raise _silent("the plant", error) from error


def _silent(who: str, error: Exception) -> DaemonError:
    return DaemonError(
        f"Nothing is heard of {who} ({error}).",
        "It is still starting, or it ended.",
        "Look: robotd status, robotd logs.",
    )


def _newest(ticks: RingReader) -> Mapping[str, Any]:
    """The newest tick. Raises DaemonError when control is silent."""
    # Looked at before reading: where this process stood still in between, control did not.
    asked_ns = time.monotonic_ns()
    tick = ticks.latest()
    if tick is None or asked_ns - tick["deadline_ns"] > _TICK_STALE_S * NS_PER_S:
        raise _silent("control", TimeoutError(f"no tick for {_TICK_STALE_S:g} s"))
    return tick


def _environment(world: SlotReader) -> tuple[float, ...]:
    record = world.read()
    if record is None:
        raise _silent("the plant", TimeoutError("it has not said where the block is"))
    values: tuple[float, ...] = record["values"]
    return values


def _owns(tick: Mapping[str, Any], version: int) -> bool:
    return bool(tick["state"] == State.TELEOP and tick["handover_version"] == version)


def _lay_out(robot: Robot, world: SlotReader, task: TaskSpec) -> None:
    """Put what is where it is wanted back to a new start."""
    done_m = task.open_m / 2.0 if isinstance(task, DrawerTask) else task.success.half_width_m
    x, y, _, _, _, bowl_x, bowl_y = _environment(world)
    if max(abs(x - bowl_x), abs(y - bowl_y)) > done_m:
        return
    client = WorldClient(robot.runtime)
    try:
        client.reset(client.truth().seed + 1)
    finally:
        client.close()
