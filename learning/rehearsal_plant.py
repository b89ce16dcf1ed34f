"""Rehearsal in the plant: this robot's own limits, poses, rates and calibration, its body in MuJoCo.

The daemon's control, gate, executor and twin in lock-step, as in an evaluation; what differs is the robot. A person's
configuration is taken as it is but for what describes the body (`config.rehearsal`), and the plant's servos are
calibrated and mounted as the person's calibration says, so that the ranges it gives the gate are those of the arm.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import mujoco

from config.joints import joint_names
from config.loader import BIMANUAL_PROFILE, SIM_PROFILE, load
from config.rehearsal import in_simulation
from config.schema import Config
from daemon.rehearsals import Subject, rehearsal_key
from drivers.calibration import Calibration, fingerprint, load_robot_calibration
from learning.episode import Driver, PolicyDriver, run_episode, to_plan
from learning.evaluate import TwinJudge, pictures_for
from learning.world import (
    LockStepWorld,
    Tick,
    evaluation_plant,
    lockstep_config,
    lockstep_world,
)
from learning.world import lockstep_calibrations as plant_calibrations
from policies.border import Border
from policies.loaded import LoadedPolicy
from policies.recording import RecordedActions
from policies.replay import ReplaySession
from policies.runner import Answer
from robotd.errors import CalibrationError, StateError
from robotd.states import Fault, LimitedBy, RequestKind, State
from sim.model.scene import set_arm_position
from sim.tasks.spec import TaskSpec, load_task

GRIPPER = "gripper"
_PER_ARM = 6
_REPLAY_PATIENCE_S = 60.0  # beyond its own length: the soft way to its start, pauses for verdicts


@dataclass(frozen=True, slots=True)
class RehearsedRobot:
    """A robot ready for the plant.

    `own` is its configuration as it would move the arm, `config` the same with a body in MuJoCo; `calibrations` are
    the own ones, by arm; `notes` say what the plant has otherwise.
    """

    own: Config
    config: Config
    calibrations: Mapping[str, Calibration]
    notes: tuple[str, ...]

    def key(self, subject: Subject) -> str:
        """The hash that a verdict on `subject` is kept under."""
        prints = [fingerprint(self.calibrations[name]) for name in self.own.arms]
        return rehearsal_key(self.own, prints, subject)

    @property
    def by_id(self) -> dict[str, Calibration]:
        """The calibrations by the ids of the arms, as policies want them."""
        return {arm.id: self.calibrations[name] for name, arm in self.config.arms.items()}


def rehearsed_robot(own: Config) -> RehearsedRobot:
    """`own` with its body in the plant. Raises CalibrationError when an arm has no calibration."""
    if own.simulation is not None:
        config = lockstep_config(own)
        known = plant_calibrations(config)
        by_arm = {name: known[arm.id] for name, arm in config.arms.items()}
        return RehearsedRobot(own, config, by_arm, ())
    sim = load(file=BIMANUAL_PROFILE if len(own.arms) == 2 else SIM_PROFILE, simulated=True).config
    config, notes = in_simulation(own, sim)
    calibrations = {name: load_robot_calibration(arm.id) for name, arm in own.arms.items()}
    for name, calibration in calibrations.items():
        if calibration[GRIPPER].drive_mode:
            raise CalibrationError(
                f"The gripper of {name} is calibrated to count backwards; the plant's cannot.",
                "Its servo is built in turned around, or drive_mode was set by hand.",
                "Rehearse it in shadow: robotd rehearse --shadow.",
            )
    arms = {
        name: msgspec.structs.replace(
            config.arms[name], id=arm.id, joint_offset_deg=arm.joint_offset_deg
        )
        for name, arm in own.arms.items()
    }
    # A checkpoint fits only pictures of the size that it was trained on.
    cameras = {
        name: msgspec.structs.replace(
            config.cameras[name], width=camera.width, height=camera.height
        )
        for name, camera in own.cameras.items()
    }
    kept = tuple(note for note in notes if not note.endswith("pixels"))
    config = lockstep_config(msgspec.structs.replace(config, arms=arms, cameras=cameras))
    return RehearsedRobot(own, config, calibrations, kept)


@dataclass(slots=True)
class PlantRun:
    """What came of it, over all episodes. `seconds` are virtual ones; `limited` counts ticks by what held them back."""

    episodes: int = 0
    successes: int = 0
    seconds: float = 0.0
    chunks: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    limited: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    ended_early: str = ""

    @property
    def refused_chunks(self) -> int:
        return self.refused.total()


Progress = Callable[[PlantRun], None]


class _Watched:
    """A driver whose every tick is seen by the twin and counted; a fault ends the episode."""

    def __init__(self, driver: Driver, judge: TwinJudge, run: PlantRun) -> None:
        self._driver = driver
        self._judge = judge
        self._run = run

    def begin(self, world: LockStepWorld) -> Tick:
        return self._driver.begin(world)

    def after(self, world: LockStepWorld, tick: Tick) -> bool:
        self._judge.core.observe(tick)
        self._run.seconds += 1.0 / world.config.control.tick_hz
        flags = LimitedBy.NOTHING
        for limited in tick["limited_by"]:
            flags |= LimitedBy(limited)
        for flag in flags:
            self._run.limited[flag.words()] += 1
        if tick["state"] in (State.FAULT, State.ESTOP):
            joint = int(tick["fault_joint"])
            where = f" at {joint_names(world.config)[joint]}" if joint >= 0 else ""
            self._run.faults.append(Fault(tick["fault"]).name.lower().replace("_", " ") + where)
            return True
        return self._driver.after(world, tick)


def rehearse_policy(
    robot: RehearsedRobot,
    policy: LoadedPolicy,
    task: TaskSpec,
    seeds: Sequence[int],
    max_rows: int | None = None,
    progress: Progress = lambda _run: None,
) -> PlantRun:
    """A policy over `seeds`; each episode ends with the task done, a fault, or its time over.

    A chunk takes the time that one took here. Raises ModelError when nothing can draw its pictures, CheckpointError
    for a chunk that is no action.
    """
    run = PlantRun()
    for seed in seeds:
        plant = evaluation_plant(seed)
        with lockstep_world(robot.config, seed, plant, robot.calibrations) as world:
            judge = TwinJudge(robot.config)
            with pictures_for(world, policy.fit.cameras) as pictures:
                driver = PolicyDriver(policy, world, judge, policy.inference_ns, pictures)
                watched = _Watched(driver, judge, run)
                result = run_episode(world, task, watched, stop_at_success=True, max_rows=max_rows)
            run.episodes += 1
            run.successes += result.success
            run.chunks += driver.plans
            run.refused += judge.refused
        progress(run)
    return run


class _ReplayDriver:
    """A recorded episode with its executor; what the twin refuses ends it, as on the arm."""

    def __init__(
        self, robot: RehearsedRobot, recorded: RecordedActions, fps: int | None, judge: TwinJudge
    ) -> None:
        self.chunks = 0
        self.ended_early = ""
        self._border = Border(robot.config, robot.by_id, recorded.units)
        self._recorded = recorded
        self._fps = fps
        self._judge = judge
        self._session: ReplaySession | None = None
        self._answer: Answer | None = None

    def begin(self, world: LockStepWorld) -> Tick:
        self._session = ReplaySession(
            self._recorded, world.config, self._border, world.clock, fps=self._fps, latency_ns=0
        )
        return world.give_to(RequestKind.REPLAY)

    def after(self, world: LockStepWorld, tick: Tick) -> bool:
        assert self._session is not None
        answer, self._answer = self._answer, None
        try:
            proposal = self._session.step(tick, tick if world.is_row(tick) else None, answer)
        except StateError as error:
            self.ended_early = error.what
            return True
        if proposal is not None:
            verdict = self._judge(proposal, tick)
            self.chunks += 1
            self._answer = Answer(proposal.id, verdict)
            world.exchange.newest_plan = to_plan(proposal, verdict)
        return self._session.finished


def rehearse_replay(
    robot: RehearsedRobot,
    recorded: RecordedActions,
    fps: int | None = None,
    start_ticks: Sequence[int] | None = None,
) -> PlantRun:
    """The recorded actions through executor, twin, gate and plant, from where an arm stands
    (`start_ticks` [joints], as its encoders say it), else from home.

    `fps` None: the recording's own rate. `ended_early` says why it did not come to its end.
    """
    run = PlantRun(episodes=1)
    world = LockStepWorld(robot.config, 0, evaluation_plant(0), robot.calibrations)
    try:
        if start_ticks is None:
            world.arm_and_home()
        else:
            _arm_at(world, start_ticks)
        judge = TwinJudge(robot.config)
        driver = _ReplayDriver(robot, recorded, fps, judge)
        length_s = len(recorded.actions) / (fps or recorded.fps) + _REPLAY_PATIENCE_S
        rows = round(length_s * robot.config.recording.fps)
        any_task = load_task(sim_task(robot.config))
        run_episode(world, any_task, _Watched(driver, judge, run), max_rows=rows)
        run.chunks = driver.chunks
        run.refused = judge.refused
        run.ended_early = driver.ended_early
    finally:
        world.close()
    return run


def sim_task(config: Config) -> str:
    """The task that the plant of `config` can judge."""
    assert config.simulation is not None  # a rehearsed robot's body is the plant's
    return config.simulation.task


def _arm_at(world: LockStepWorld, ticks: Sequence[int]) -> None:
    """Put the arms there, held as a hand would hold them, and take them.

    Raises StateError when a check of the arming list failed.
    """
    physics = world.plant.world.physics
    for number, (index, arm) in enumerate(zip(physics.index.arms, physics.arms, strict=True)):
        at = ticks[number * _PER_ARM : (number + 1) * _PER_ARM]
        pose = [joint.angle_rad(tick) for joint, tick in zip(arm.maps, at, strict=True)]
        set_arm_position(physics.data, index, pose)
    mujoco.mj_forward(physics.model, physics.data)
    physics.resync_servos()
    joints = range(len(ticks))
    for joint in joints:
        physics.set_stuck(joint, True)
    world.arm()
    for joint in joints:
        physics.set_stuck(joint, False)
