"""Which processes a robot is made of, and the configuration that they all read. Pure.

The simulation is spelt out here and nowhere above: its ports become paths to the plant's virtual
serial devices, its calibrations the ones that robotd ships. The children do not know.
"""

from importlib import resources
from pathlib import Path

import msgspec

from config.joints import arm_prefixes
from config.schema import Arm, Config
from daemon.supervisor.children import Spec
from robotd import messages

PLANT = "plant"
CONTROL, RECORDER, TWIN, GUARD = "control", "recorder", "twin", "guard"


def resolve(config: Config, runtime: Path, *, yields_priority: bool) -> Config:
    """The configuration for the children: `plant` ports as paths.

    `yields_priority`: a rehearsal runs beside a real arm, so it asks for no real-time priority.
    """
    prefixes = dict(zip(config.arms, arm_prefixes(config), strict=True))
    arms = {name: _resolved(arm, runtime, prefixes[name]) for name, arm in config.arms.items()}
    control = config.control
    if yields_priority:
        control = msgspec.structs.replace(control, realtime_priority=0)
    return msgspec.structs.replace(config, arms=arms, control=control)


def _resolved(arm: Arm, runtime: Path, prefix: str) -> Arm:
    leader = arm.leader
    if leader is not None and leader.port == PLANT:
        port = str(runtime / PLANT / f"{prefix}leader")
        leader = msgspec.structs.replace(leader, port=port)
    port = str(runtime / PLANT / f"{prefix}follower") if arm.port == PLANT else arm.port
    return msgspec.structs.replace(arm, port=port, leader=leader)


def environment(config: Config) -> dict[str, str]:
    """What the children get in their environment besides ours."""
    if config.simulation is None:
        return {}
    folder = resources.files("config").joinpath("calibration")
    return {"HF_LEROBOT_CALIBRATION": str(folder)}


def body_specs(config: Config, runtime: Path) -> list[Spec]:
    """The simulated body: servos and world, and the pictures of it. Empty for a real arm."""
    if config.simulation is None:
        return []
    place = ("--runtime", str(runtime))
    options = {
        "seed": config.simulation.seed,
        "task": config.simulation.task,
        "bimanual": len(config.arms) == 2,
        "leader": any(arm.leader is not None for arm in config.arms.values()),
        "zero_time": config.simulation.wire == "zero",
        "supply": config.simulation.supply,
        # A real servo answers whatever the computer is busy with; the virtual one needs its turn.
        "realtime_priority": config.control.realtime_priority > 0,
    }
    cameras = [
        {
            "name": name,
            "view": camera.view,
            "width": camera.width,
            "height": camera.height,
            "fps": camera.fps,
        }
        for name, camera in config.cameras.items()
        if camera.device == PLANT
    ]
    placements = [
        {"prefix": prefix, "x_m": arm.base_xyz_m[0], "y_m": arm.base_xyz_m[1]}
        for prefix, arm in zip(arm_prefixes(config), config.arms.values(), strict=True)
    ]
    plant = Spec("plant", "sim.plant", (*place, "--options", _json(options)), restarts=False)
    if not cameras:
        return [plant]
    task = config.simulation.task
    pictures = _json({"cameras": cameras, "arms": placements, "task": task})
    return [plant, Spec("plant-cameras", "sim.plant.cameras", (*place, "--options", pictures))]


def robot_specs(config: Config, runtime: Path) -> list[Spec]:
    """Everything above the serial line, in the order in which it is started."""
    place = ("--runtime", str(runtime))
    extra = environment(config)
    return [
        # Control is never restarted by rule: whether it may be depends on how it died.
        Spec(CONTROL, "daemon.control", place, restarts=False, environment=extra),
        Spec(TWIN, "sim.twin", place, environment=extra),
        Spec(RECORDER, "daemon.recorder", place, environment=extra),
        *(
            Spec(f"camera-{name}", "daemon.camera", (*place, "--name", name))
            for name in config.cameras
        ),
    ]


def guard_spec(runtime: Path) -> Spec:
    """The process that brings the arm down when control cannot."""
    return Spec(GUARD, "daemon.guard", ("--runtime", str(runtime)))


def policy_spec(runtime: Path, config: Config) -> Spec:
    """The process that a policy is loaded into."""
    place = ("--runtime", str(runtime))
    return Spec("policy", "policies.serve", place, restarts=False, environment=environment(config))


def replay_spec(runtime: Path, config: Config, request: messages.Replay) -> Spec:
    """The process that replays one episode."""
    arguments = ["--dataset", request.dataset, "--episode", str(request.episode)]
    if request.fps is not None:
        arguments += ["--fps", str(request.fps)]
    if request.units:
        arguments += ["--units", request.units]
    place = ("--runtime", str(runtime), *arguments)
    return Spec("replay", "policies.replay", place, restarts=False, environment=environment(config))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
