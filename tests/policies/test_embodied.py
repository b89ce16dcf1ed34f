"""A model of the Pi0 family as a policy of this robot, and how its embodiment is known."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.schema import Config
from policies.border import RobotFeatures, robot_features
from policies.checkpoint.evidence import Evidence
from policies.checkpoint.folder import Feature
from policies.embodied import for_environment, for_robot
from policies.embodiment_choice import Chosen, choose_embodiment
from policies.model import Interface, Model
from robotd.errors import CheckpointError, ConfigError

POSE = np.array([10, 20, 30, 40, 50, 60], np.float32)


class Pi0:
    """What a model of openpi looks like from outside; says one in every place."""

    kind = "pi0"
    chunk = n_action_steps = 4
    evidence = Evidence(30.0, "robotd_ckpt.json", "degrees", "asked for")

    def __init__(self, chosen: Chosen | None) -> None:
        self.chosen = chosen
        self.relative: list[bool] = []
        self.seen: dict[str, Any] = {}
        self.interface = Interface(
            "a/pi0",
            {"base_0_rgb": Feature("VISUAL", (3, 224, 224)), "state": Feature("STATE", (32,))},
            {"action": Feature("ACTION", (32,))},
        )

    def relative_to_state(self, mask: np.ndarray) -> None:
        self.relative = mask.tolist()

    def predict(self, values: Mapping[str, Any], task: str, **_: Any) -> np.ndarray:
        self.seen = {**values, "task": task}
        return np.ones((self.chunk, 32))


def chosen(name: str) -> Chosen:
    return choose_embodiment(name, Path("/nowhere"), "pi0")


def on_robot(
    model: Pi0, config: Config, rename: Mapping[str, str] | None = None
) -> tuple[Model, RobotFeatures]:
    robot = robot_features(config)
    embodied, left = for_robot(model, robot, rename or {})  # type: ignore[arg-type]
    assert left == {}
    return embodied, robot


def values(**more: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "observation.state": POSE,
        "observation.images.overhead": np.full((64, 64, 3), 10, np.uint8),
        "observation.images.wrist": np.full((64, 64, 3), 20, np.uint8),
        **more,
    }


def test_the_robots_keys_go_in_and_its_joints_come_out(config: Config) -> None:
    model = Pi0(chosen("so101"))
    policy, _ = on_robot(model, config)
    assert set(policy.interface.inputs) == set(values())
    assert policy.interface.outputs["action"].shape == (6,)
    assert policy.evidence.units_source == "embodiment so101 (asked for)"
    goals = policy.predict(values(), "do it")
    np.testing.assert_allclose(goals, [[11, 21, 31, 41, 51, 1]] * 4)
    assert model.relative == [True] * 5 + [False]
    # Filled up before it is normalised, as openpi's SO-101 configuration does.
    np.testing.assert_array_equal(model.seen["state"], [*POSE, *[0] * 26])
    assert model.seen["base_0_rgb"].mean() == 10 and model.seen["left_wrist_0_rgb"].mean() == 20
    assert "right_wrist_0_rgb" not in model.seen  # masked
    assert model.seen["task"] == "do it"


def test_a_model_that_needs_no_embodiment_is_left_alone(config: Config) -> None:
    model, rename = Pi0(None), {"a": "b"}
    assert for_robot(model, robot_features(config), rename) == (model, rename)  # type: ignore[arg-type]


def test_a_camera_that_is_missing_is_named_and_can_be_renamed_or_masked(config: Config) -> None:
    import msgspec

    wrist = config.cameras["wrist"]
    one = msgspec.structs.replace(config, cameras={"front": wrist})
    with pytest.raises(CheckpointError, match="base_0_rgb is overhead") as caught:
        on_robot(Pi0(chosen("so101")), one)
    assert "left_wrist_0_rgb is wrist" in caught.value.what
    model = Pi0(chosen("so101"))
    policy, _ = on_robot(model, one, {"base_0_rgb": "front", "left_wrist_0_rgb": "none"})
    seen = {"observation.state": POSE, "observation.images.front": np.zeros((64, 64, 3), np.uint8)}
    policy.predict(seen, "")
    assert set(model.seen) == {"base_0_rgb", "state", "task"}
    assert policy.cameras == {"overhead": "front"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["droid", "libero", "aloha"])
def test_a_model_of_another_robot_never_moves_this_one(name: str, config: Config) -> None:
    with pytest.raises(CheckpointError, match="and this is an SO-101"):
        on_robot(Pi0(chosen(name)), config)


def test_poses_need_kinematics_that_only_lock_step_has(config: Config) -> None:
    with pytest.raises(CheckpointError, match="poses of the fingers") as caught:
        on_robot(Pi0(chosen("so101-ee")), config)
    assert "robotd eval" in caught.value.do

    def stage(units: str) -> Any:
        return lambda poses, state: np.full((len(poses), 6), float(poses.shape[1]))

    made, _ = for_robot(Pi0(chosen("so101-ee")), robot_features(config), {}, stage)  # type: ignore[arg-type]
    np.testing.assert_array_equal(made.predict(values(), ""), np.full((4, 6), 8.0))


# --- which one it is ------------------------------------------------------------------------------


def statistics(
    folder: Path, low: list[float], high: list[float], asset: str = "x/y", *, relative: bool = True
) -> Path:
    """A state that went from `low` to `high`, mostly high; actions relative to it, or where it was."""
    file = folder / "assets" / asset / "norm_stats.json"
    file.parent.mkdir(parents=True)
    mean = [0.3 * a + 0.7 * b for a, b in zip(low, high, strict=True)]
    state = {"mean": mean, "std": high, "q01": low, "q99": high}
    size = len(mean)
    offsets = {"mean": [0.4] * size, "std": [3.0] * size, "q01": [-9.0] * size, "q99": [9.0] * size}
    table = {"state": state, "actions": offsets if relative else state}
    file.write_text(json.dumps({"norm_stats": table}))
    return folder


def test_nothing_is_guessed_where_degrees_and_hundreds_look_alike(tmp_path: Path) -> None:
    folder = statistics(tmp_path, [-60.0] * 6, [60.0] * 6)
    with pytest.raises(CheckpointError, match="Nothing says on which robot") as caught:
        choose_embodiment("", folder, "pi0")
    assert "so101-m100" in caught.value.do and "libero" not in caught.value.do
    assert choose_embodiment("", folder, "pi0", "range_m100_100").name == "so101-m100"
    assert choose_embodiment("", folder, "pi0", "degrees").name == "so101"


BEYOND = ([-110.0, -60, -60, -60, -60, 0], [110.0, 60, 60, 60, 60, 100])
"""A state that can only be in degrees."""


def test_statistics_that_leave_one_convention_decide(tmp_path: Path) -> None:
    low, high = ([*each, *[0.0] * 26] for each in BEYOND)
    found = choose_embodiment("", statistics(tmp_path, low, high), "pi0")
    assert (found.name, found.source) == ("so101", "statistics of the state")
    assert found.row.delta_mask == (True,) * 5 + (False,)


def test_whether_actions_are_relative_is_asked_where_they_lie_with_the_state(
    tmp_path: Path,
) -> None:
    """Absolute goals taken for offsets: the arm goes to its pose plus the goal."""
    folder = statistics(tmp_path, *BEYOND, relative=False)
    for units in ("", "degrees", "range_m100_100"):
        with pytest.raises(CheckpointError, match="how far from where") as caught:
            choose_embodiment("", folder, "pi0", units)
    written = re.search(r"{.*}", caught.value.do)
    assert written is not None
    (folder / "robotd_ckpt.json").write_text(written[0])  # what the error says to write
    said = choose_embodiment("", folder, "pi0")
    assert said.name == "so101-m100" and not any(said.row.delta_mask)


@pytest.mark.parametrize(
    "reach",
    [
        [1.9, 1.0, 1.0, 1.0, 2.0, 1.0],  # a gripper in radians: a recording of a simulator
        [0.9] * 6,  # whatever was scaled to ±1
        [1.9, 1.0, 1.0, 1.0, 2.0, 0.98],  # radians and a fraction look the same
    ],
)
def test_small_numbers_do_not_prove_radians(reach: list[float], tmp_path: Path) -> None:
    folder = statistics(tmp_path, [-value for value in reach], reach)
    with pytest.raises(CheckpointError, match="Nothing says on which robot") as caught:
        choose_embodiment("", folder, "pi0")
    assert "look most like so101-radians" in caught.value.likely


def test_the_sidecars_mask_wins_over_every_row(tmp_path: Path, config: Config) -> None:
    """On the robot, and in what real-time chunking is told of a leftover."""
    (tmp_path / "robotd_ckpt.json").write_text('{"delta_mask": [false, true]}')
    found = choose_embodiment("so101", tmp_path, "pi0")
    assert found.source == "asked for, delta_mask of robotd_ckpt.json"
    model = Pi0(found)
    embodied, _ = on_robot(model, config)
    np.testing.assert_allclose(embodied.predict(values(), ""), [[1, POSE[1] + 1, 1, 1, 1, 1]] * 4)
    assert model.relative == [False, True, False, False, False, False]


def test_the_statistics_name_decides_and_the_kind_between_two_that_share_it(
    tmp_path: Path,
) -> None:
    folder = statistics(tmp_path, [0.0] * 8, [1.0] * 8, "physical-intelligence/libero")
    assert choose_embodiment("", folder, "pi05").name == "libero"
    assert choose_embodiment("", folder, "pi0").name == "libero-pi0"
    assert "physical-intelligence/libero" in choose_embodiment("", folder, "pi0").source


def test_what_is_said_wins_over_what_is_noted_and_that_over_what_is_shown(tmp_path: Path) -> None:
    folder = statistics(tmp_path, [-110.0] * 6, [110.0] * 6)
    (folder / "robotd_ckpt.json").write_text('{"embodiment": "so101-m100"}')
    noted = choose_embodiment("", folder, "pi0")
    assert (noted.name, noted.source) == ("so101-m100", "robotd_ckpt.json")
    assert noted.units == "range_m100_100"
    assert choose_embodiment("so101", folder, "pi0").source == "asked for"
    with pytest.raises(ConfigError, match="no embodiment"):
        choose_embodiment("so102-", folder, "pi0")


class Act(Pi0):
    """A LeRobot policy: its keys are the robot's, its actions poses of the fingers or joints."""

    def __init__(self, actions: int) -> None:
        super().__init__(None)
        self.interface = Interface(
            "an/act",
            {"observation.state": Feature("STATE", (6,))},
            {"action": Feature("ACTION", (actions,))},
        )

    def predict(self, values: Mapping[str, Any], task: str, **_: Any) -> np.ndarray:
        return np.full((self.chunk, self.interface.outputs["action"].shape[0]), 0.5)


def test_an_act_that_says_poses_is_followed_by_joints(config: Config) -> None:
    def stage(units: str) -> Any:
        assert units == "degrees"
        return lambda poses, state: np.tile(state, (len(poses), 1)) + poses.shape[1]

    robot = robot_features(config)
    made, rename = for_robot(Act(8), robot, {"a": "b"}, stage, "so101-ee")  # type: ignore[arg-type]
    assert rename == {"a": "b"}  # its keys are renamed as any other's
    assert made.interface.outputs["action"].shape == (6,)
    assert made.chunk == 4 and made.kind == "pi0"
    np.testing.assert_allclose(made.predict(values(), "")[0], POSE + 8)
    with pytest.raises(CheckpointError, match="a pose of the fingers has 8"):
        for_robot(Act(6), robot, {}, stage, "so101-ee")  # type: ignore[arg-type]


def test_an_embodiment_said_of_a_model_that_needs_none_is_no_silent_wish(config: Config) -> None:
    robot = robot_features(config)
    with pytest.raises(CheckpointError, match="needs no embodiment"):
        for_robot(Act(6), robot, {}, None, "so101-radians")  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="inverse kinematics"):
        for_robot(Act(8), robot, {}, None, "so101-ee")  # type: ignore[arg-type]


def test_in_an_environment_its_own_names_go_in_and_its_own_actions_come_out() -> None:
    model = Pi0(chosen("libero-pi0"))
    policy = for_environment(model)  # type: ignore[arg-type]
    picture = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    seen = {
        "agentview_image": picture,
        "robot0_eye_in_hand_image": picture,
        "robot0_eef_pos": np.array([1.0, 2.0, 3.0]),
        "robot0_eef_quat": np.array([0.0, 0.0, 0.0, 1.0]),
        "robot0_gripper_qpos": np.array([0.02, -0.02]),
        "something_else": np.zeros(3),
    }
    goals = policy.predict(seen, "open the drawer")
    np.testing.assert_allclose(goals, [[2, 3, 4, 1, 1, 1, 1]] * 4)
    assert model.relative == [True] * 6 + [False]
    np.testing.assert_array_equal(model.seen["base_0_rgb"], picture[::-1, ::-1])
    with pytest.raises(CheckpointError, match="wants robot0_eef_pos"):
        policy.predict({name: seen[name] for name in seen if name != "robot0_eef_pos"}, "")
    with pytest.raises(CheckpointError, match="of an SO-101"):
        for_environment(Pi0(chosen("so101")))  # type: ignore[arg-type]
    assert for_environment(Pi0(None)).kind == "pi0"  # type: ignore[arg-type]
