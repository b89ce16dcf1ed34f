"""The field's gym environments that robotd plays policies in: what each is called and what it needs. Pure.

`--env` offers all names that people try, so that one that cannot work is refused with its reason.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from robotd.errors import StateError
from robotd.installed import install_again

ENVIRONMENTS = ("pusht", "aloha", "aloha-insertion", "libero", "robocasa", "xarm")


@dataclass(frozen=True, slots=True)
class GymSpec:
    """One environment. `fps` is the rate of its own clock, `max_steps` the episode's length.

    `keys`: for each of LeRobot's feature names what the environment calls it, parts of a nested observation joined
    with a slash. The environment's own names are known besides.
    """

    name: str
    package: str
    gym_id: str
    fps: int
    max_steps: int
    keys: Mapping[str, str] = field(default_factory=dict)
    draws_with_gl: bool = True


_ALOHA_KEYS = {"observation.images.top": "pixels/top", "observation.state": "agent_pos"}

SPECS = {
    "pusht": GymSpec(
        name="pusht",
        package="gym_pusht",
        gym_id="gym_pusht/PushT-v0",
        fps=10,
        max_steps=300,
        draws_with_gl=False,
        keys={
            "observation.image": "pixels",
            "observation.images.image": "pixels",
            "observation.state": "agent_pos",
        },
    ),
    # 400 steps as LeRobot evaluates it; the package's own limit is 300.
    "aloha": GymSpec("aloha", "gym_aloha", "gym_aloha/AlohaTransferCube-v0", 50, 400, _ALOHA_KEYS),
    "aloha-insertion": GymSpec(
        "aloha-insertion", "gym_aloha", "gym_aloha/AlohaInsertion-v0", 50, 400, _ALOHA_KEYS
    ),
    "libero": GymSpec(
        name="libero",
        package="libero",
        gym_id="",
        fps=20,
        max_steps=0,  # its suites have their own
        keys={
            "observation.images.image": "agentview_image/turned",
            "observation.images.image2": "robot0_eye_in_hand_image/turned",
            "observation.state": "state8",
        },
    ),
}

LIBERO_STEPS = {
    "libero_spatial": 220,
    "libero_object": 280,
    "libero_goal": 300,
    "libero_10": 520,
    "libero_90": 400,
}
"""Steps after which an episode of a suite is over: a little more than its longest demonstration (openpi, LeRobot)."""

Installed = Callable[[str], bool]


def installed(package: str) -> bool:
    """Whether a package can be imported here."""
    return importlib.util.find_spec(package) is not None


def spec_of(name: str, has: Installed = installed) -> GymSpec:
    """The environment of that name. Raises StateError for one that cannot be played here, with the reason."""
    if name == "xarm":
        raise StateError(
            "xarm is not played.",
            "gym-xarm needs mujoco 2 and gymnasium 0.29, and LeRobot 0.6 has dropped it.",
            "Use --env pusht or --env aloha.",
        )
    if name == "robocasa":
        missing = [each for each in ("robocasa", "robosuite") if not has(each)]
        raise StateError(
            f"RoboCasa cannot be played here: {', '.join(missing)} not installed."
            if missing
            else "RoboCasa is installed, and robotd has no scenes of it that were tried.",
            "It is on no package registry, and its kitchens are 5 GB of assets beside it.",
            "Run RoboCasa in its own environment against robotd serve-policy; the row of its action "
            "and state space is config/embodiments/robocasa.yaml.",
        )
    spec = SPECS[name]
    if not has(spec.package):
        extra = "libero" if name == "libero" else "envs"
        raise StateError(
            f"{name} cannot be played here: {spec.package} is not installed.",
            f"It is in robotd's extra `{extra}`, which this installation was made without.",
            f"Install it: {install_again(extra)}",
        )
    return spec
