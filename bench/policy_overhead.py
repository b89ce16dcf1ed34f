"""What robotd adds to a model's own forward, chunk by chunk, in real time on this machine's CPU.

A chunk's path of the policy process: the row's tick to an observation, pictures and joints to what
the model takes, its answer to radians, ensembling or fading, and the proposal's record. All but the
forward itself, which is timed apart with the device synchronised.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.figures import spread
from config.schema import Config
from learning.world import lockstep_calibrations
from policies.border import ACTION, IMAGES, STATE, Border, robot_features
from policies.checkpoint.evidence import Evidence
from policies.checkpoint.folder import Feature
from policies.executor import Executor, ExecutorSettings
from policies.fit import Fit
from policies.loaded import LoadedPolicy, load_policy
from policies.model import Interface
from policies.modes import Mode, Rtc
from policies.observation import build_observation
from policies.pi0.normalise import make_normaliser
from policies.pi0.pictures import PadMode
from policies.pi0.policy import Pi0Policy
from policies.pi0.prompt import PromptStyle
from policies.pi0.sampling import NetworkInputs
from policies.pi0.settings import Pi0Settings
from policies.plan import Chunk
from robotd.clock import NS_PER_S
from robotd.frames import Frame
from robotd.layouts import plan_layout
from robotd.policy_channel import Load
from robotd.states import Source, Verdict

_WARM_UP = 3
_ENCODER = (2045, 2080, 2057, 1965, 2098, 2600)  # the shipped arm near home


def measure(checkpoint: Path, config: Config, rounds: int, *, threads: int = 1) -> dict[str, Any]:
    """Our path and the forward of `rounds` chunks, in µs."""
    request = Load(path=str(checkpoint), mode="chunk")
    policy = load_policy(request, config, lockstep_calibrations(config), threads=threads)
    path, forward = [], []
    for number in range(_WARM_UP + rounds):
        ours_ns, infer_ns = _one(policy, config, number)
        if number >= _WARM_UP:
            path.append(ours_ns)
            forward.append(infer_ns)
    return {
        "kind": policy.model.kind,
        "pictures": [
            f"{camera}: {config.cameras[camera].width}x{config.cameras[camera].height}"
            for camera in policy.fit.cameras
        ],
        "rounds": rounds,
        "ours": spread(path).as_json(),
        "forward": spread(forward).as_json(),
    }


def measure_pi0(config: Config, pad: PadMode, rounds: int) -> dict[str, Any]:
    """The same for a Pi0 with two pictures, its network left out: what is left is all ours."""
    policy = _pi0(config, pad)
    path = [_one(policy, config, number)[0] for number in range(_WARM_UP + rounds)][_WARM_UP:]
    return {
        "kind": f"pi0, {pad} padding",
        "pictures": [
            f"{name}: {each.width}x{each.height}" for name, each in config.cameras.items()
        ],
        "rounds": rounds,
        "ours": spread(path).as_json(),
        "forward": spread([]).as_json(),
    }


class _NoNetwork:
    """A network that answers at once with a chunk of zeros."""

    device = "cpu"
    acceleration = "left out"

    def prepare(self, inputs: NetworkInputs) -> NetworkInputs:
        return inputs

    def synchronize(self) -> None:
        """Nothing is under way."""

    def pulled(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return values

    def sample(self, _prepared: Any, noise: Any, _steps: int, _guide: Any) -> Any:
        return np.zeros(noise.shape, np.float32)


class _Words:
    """A tokenizer of one word."""

    bos, size = 2, 257_152

    def encode(self, _text: str) -> list[int]:
        return [7]


def _pi0(config: Config, pad: PadMode) -> LoadedPolicy:
    views = {IMAGES + name: Feature("VISUAL", (3, 224, 224)) for name in config.cameras}
    six = Feature("STATE", (6,))
    interface = Interface("pi0", {STATE: six, **views}, {ACTION: Feature("ACTION", (6,))})
    stats = {"mean": np.zeros(6), "std": np.full(6, 30.0)}
    normaliser = make_normaliser(stats, "MEAN_STD", "lerobot", 1e-8, "state")
    settings = Pi0Settings(
        kind="pi0",
        name="pi0",
        horizon=50,
        horizon_source="",
        n_action_steps=50,
        steps=10,
        views=tuple(views),
        state_key=STATE,
        pad=pad,
        pad_source="",
        prompt=PromptStyle(length=48),
        state=normaliser,
        action=normaliser,
        delta=np.zeros(6, np.bool_),
        adds_state=False,
        action_size=6,
        width=32,
        state_width=32,
        side=224,
        interface=interface,
    )
    model = Pi0Policy(settings, _NoNetwork(), _Words(), Evidence(30, "", "degrees", ""))
    border = Border(config, lockstep_calibrations(config), "degrees")
    robot = robot_features(config)
    playing = ExecutorSettings(
        source=Source.POLICY,
        joints=6,
        n_action_steps=20,
        row_ns=NS_PER_S // 30,
        first_delay_ns=NS_PER_S // 10,
        mode=Mode(rtc=Rtc()),
    )
    fit = Fit({key: key for key in interface.inputs})
    return LoadedPolicy(model, fit, border, robot, playing, "put it there", 0)


def _one(policy: LoadedPolicy, config: Config, number: int) -> tuple[int, int]:
    """One chunk from tick to record: what is ours and what the forward took, in ns."""
    executor = Executor(policy.settings)
    executor.hand_over(1, 0)
    deadline_ns = (number + 1) * NS_PER_S
    tick = {
        "deadline_ns": deadline_ns,
        "handover_version": 1,
        "present_position_ticks": _ENCODER,
    }
    frames = {
        name: Frame(1, deadline_ns - 1, 1, camera.width, camera.height, _picture(camera, number))
        for name, camera in config.cameras.items()
        if name in policy.fit.cameras
    }
    world = {"stamp_ns": deadline_ns, "values": (0.1,) * 7}
    began_ns = time.monotonic_ns()
    observation = build_observation(
        tick,
        policy.border,
        frames,
        world,
        NS_PER_S,
        told=policy.fit.environment,
    )
    actions_rad = policy.predict(observation, executor.leftover(deadline_ns))
    chunk = Chunk(number + 1, 1, deadline_ns, policy.step_ns, actions_rad, policy.raw)
    executor.offer(chunk, deadline_ns)
    proposal = executor.propose(deadline_ns, np.zeros(6))
    assert proposal is not None
    plan_layout(6).pack(proposal.record())
    executor.answer(proposal.id, Verdict.PASS, deadline_ns)
    took_ns = time.monotonic_ns() - began_ns
    return took_ns - policy.timings.infer_ns, policy.timings.infer_ns


def _picture(camera: Any, number: int) -> bytes:
    random = np.random.default_rng(number)
    return bytes(random.integers(0, 255, camera.width * camera.height * 3, np.uint8))
