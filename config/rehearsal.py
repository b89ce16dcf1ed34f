"""A person's robot with its body in the plant: what is theirs, what has to be the simulation's. Pure.

Speeds, limits, poses, rates and names are the person's: those are rehearsed. What describes the
body is the simulated profile's, because the body is: ports, calibrations and their offsets to the
model, where the arms stand, the size of the pictures. What cannot be carried over is said.
"""

import msgspec

from config.schema import Arm, Camera, Config

PLANT = "plant"
OVERHEAD = "overhead"


def in_simulation(config: Config, sim: Config) -> tuple[Config, tuple[str, ...]]:
    """`config` with the body of the shipped simulated robot `sim`, which has as many arms; and what
    is not as on the real robot. Its name is never the real one's."""
    notes: list[str] = []
    bodies = dict(zip(config.arms, sim.arms.values(), strict=True))
    arms = {name: _arm(arm, bodies[name]) for name, arm in config.arms.items()}
    for name, arm in config.arms.items():
        if (arm.base_xyz_m, arm.base_yaw_deg) != (arms[name].base_xyz_m, arms[name].base_yaw_deg):
            notes.append(f"arms.{name} stands where the simulated one does, not at its own base")
    pattern = next(iter(sim.cameras.values()))
    cameras: dict[str, Camera] = {}
    for name, camera in config.cameras.items():
        view = view_of(name, sim)
        cameras[name] = Camera(
            device=PLANT,
            view=view,
            width=pattern.width,
            height=pattern.height,
            fps=max(pattern.fps, config.recording.fps),
        )
        if name != view:
            notes.append(
                f"cameras.{name} shows the simulated {view} view: where yours stands is not known"
            )
        if (camera.width, camera.height) != (pattern.width, pattern.height):
            notes.append(f"cameras.{name} has {pattern.width}x{pattern.height} pixels")
    # What stands around the simulated arm is there besides what a person said of their own.
    twin = msgspec.structs.replace(
        config.twin, obstacles=sim.twin.obstacles | config.twin.obstacles
    )
    simulation = sim.simulation
    kits = {arm.supply for arm in config.arms.values() if arm.supply != "auto"}
    if simulation is not None and len(kits) == 1:
        simulation = msgspec.structs.replace(simulation, supply=kits.pop())
    elif kits:
        notes.append("both arms have the simulated servos: the plant has one kit for all")
    name = config.name if config.name.endswith("-sim") else f"{config.name}-sim"
    rehearsed = msgspec.structs.replace(
        config, name=name, arms=arms, cameras=cameras, simulation=simulation, twin=twin
    )
    return rehearsed, tuple(notes)


def _arm(real: Arm, body: Arm) -> Arm:
    leader = body.leader if real.leader is not None else None
    return msgspec.structs.replace(body, leader=leader)


def view_of(name: str, sim: Config) -> str:
    """The view of the simulated scene that stands for a camera: the one of its name, a wrist's for
    a name that says wrist (or hand, or gripper), else the one from above."""
    if name in sim.cameras:
        return name
    words = name.lower()
    wrists = [each for each in sim.cameras if "wrist" in each]
    if any(word in words for word in ("wrist", "hand", "gripper")):
        right = [each for each in wrists if each.startswith("right") == ("right" in words)]
        return (right or wrists)[0]
    return OVERHEAD
