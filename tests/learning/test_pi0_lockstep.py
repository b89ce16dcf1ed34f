"""A Pi0 of random weights drives the simulated arm: nonsense, within every limit, and twice the same."""

import json

import numpy as np
import pytest

from config.schema import Config
from learning.episode import PolicyDriver
from learning.evaluate import TwinJudge
from learning.world import lockstep_calibrations, lockstep_config, lockstep_world
from policies.loaded import LoadedPolicy, load_policy
from robotd.frames import Frame
from robotd.policy_channel import Load
from robotd.states import State

from ..policies.checkpoint import tiny_pi0
from ..policies.pi0.tiny_tokenizer import train_tokenizer

pytestmark = pytest.mark.timeout(900)  # torch is imported on a busy machine

SECONDS, LATENCY_NS = 3, 60_000_000


@pytest.fixture(scope="module")
def request_for(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """A tiny Pi0 in openpi's container whose goals wander a few degrees around where the arm is:
    with more the twin refuses every plan for its speed."""
    root = tmp_path_factory.mktemp("pi0")
    folder = tiny_pi0.write_openpi_torch(root / "checkpoint", tiny_pi0.arrays())
    spread = {"mean": [*[0.0] * 5, 27.0, *[0.0] * 26], "std": [1.5] * 32}
    spread |= {"q01": [-3.0] * 32, "q99": [3.0] * 32}
    stats = {"norm_stats": {"state": spread, "actions": spread}}
    (folder / "assets/so101/norm_stats.json").write_text(json.dumps(stats))
    return Load(
        path=str(folder),
        task="put the block into the bowl",
        embodiment="so101",
        tokenizer=str(train_tokenizer(root)),
    )


class Painted:
    """Pictures without GL: a camera sees a colour that changes as time goes by."""

    def at(self, camera: str, stamp_ns: int) -> Frame:
        shade = np.uint8(stamp_ns // 10_000_000 % 256)
        pixels = np.full((48, 64, 3), shade, np.uint8)
        pixels[:, :32] = 255 if camera == "overhead" else 0
        return Frame(0, stamp_ns, 0, 64, 48, pixels.tobytes())


def drive(config: Config, policy: LoadedPolicy) -> tuple[np.ndarray, PolicyDriver, TwinJudge]:
    """The goals applied at every tick [ticks, 6] in radians, who drove and who judged."""
    applied = []
    with lockstep_world(config, seed=0, plant_seed=101) as world:
        judge = TwinJudge(world.config)
        driver = PolicyDriver(policy, world, judge, LATENCY_NS, Painted())  # type: ignore[arg-type]
        tick = driver.begin(world)
        for _ in range(SECONDS * world.config.control.tick_hz):
            judge.core.observe(tick)
            driver.after(world, tick)
            tick = world.tick()
            applied.append(tick["applied_rad"])
        assert State(tick["state"]) is State.POLICY
    return np.array(applied), driver, judge


def test_a_random_pi0_moves_the_arm_within_its_limits_and_twice_the_same(
    request_for: Load,
) -> None:
    config = lockstep_config()
    runs = []
    for _ in range(2):
        policy = load_policy(request_for, config, lockstep_calibrations(config))
        assert policy.model.kind == "pi0"
        applied, driver, judge = drive(config, policy)
        assert driver.plans >= 3 and driver.rejected < driver.plans, judge.refused
        runs.append(applied)
    np.testing.assert_array_equal(runs[0], runs[1])
    moved_deg = np.degrees(np.ptp(runs[0], axis=0))
    assert moved_deg.max() > 2.0, "it was to move nonsense, not to stand"
    speed_deg_s = np.abs(np.degrees(np.diff(runs[0], axis=0))) * config.control.tick_hz
    assert (speed_deg_s <= np.array(config.limits.speed_deg_s) * 1.001).all()
