"""Embodiments: golden vectors of the published adapters, and the order of what is done to actions.

Golden numbers are computed by hand or from the sources' own formulas, never by robotd.
"""

import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from config.embodiment import embodiment_names, load_embodiment, parse_embodiment
from policies.embodiment import Adapter, axis_angle, padded, shown
from robotd.errors import CheckpointError, ConfigError

ROOT_HALF = math.sqrt(0.5)
PICTURE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
SHIPPED = [
    "aloha",
    "aloha-sim",
    "droid",
    "libero",
    "libero-pi0",
    "pusht",
    "robocasa",
    "so101",
    "so101-ee",
    "so101-m100",
    "so101-radians",
]


def adapter(name: str) -> Adapter:
    return Adapter(load_embodiment(name))


def so101_values(state: tuple[float, ...]) -> dict[str, np.ndarray]:
    return {
        "observation.state": np.array(state, np.float32),
        "observation.images.overhead": np.full((4, 6, 3), 10, np.uint8),
        "observation.images.wrist": np.full((2, 3, 3), 20, np.uint8),
    }


# --- as data --------------------------------------------------------------------------------------


def test_every_shipped_row_loads_and_its_list_is_known() -> None:
    assert embodiment_names() == SHIPPED
    for name in SHIPPED:
        assert load_embodiment(name).about


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    text = """
about: mine
robot: so101
robot_units: degrees
cameras:
  base_0_rgb: {source: observation.images.top, rotate_degrees: 180}
state: [{source: observation.state}]
actions: [{to: [0]}]
action_size: 6
"""
    with pytest.raises(ConfigError) as caught:
        parse_embodiment(text, "mine.yaml")
    assert "rotate_degrees" in caught.value.what
    assert "rotate_deg" in caught.value.do
    with pytest.raises(ConfigError, match="Write actions instead"):
        parse_embodiment(text.replace("actions:", "action:").replace("_degrees", "_deg"), "x")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("base_0_rgb", "front", "no view of the model"),
        ("to: [0]", "to: [6]", "value 6 of a robot that has 6"),
        ("to: [0]", "to: [0, 0]", "same value"),
        ("rotate_deg: 180", "rotate_deg: 45", "rotate_deg"),
        ("{source: observation.state}", "{source: q, take: [0], form: axis_angle}", "not 4"),
    ],
)
def test_a_row_that_no_robot_could_have_is_refused(old: str, new: str, said: str) -> None:
    text = """
about: mine
robot: so101
robot_units: degrees
cameras: {base_0_rgb: {source: observation.images.top, rotate_deg: 180}}
state: [{source: observation.state}]
actions: [{to: [0]}]
action_size: 6
"""
    parse_embodiment(text, "mine.yaml")
    with pytest.raises(ConfigError, match=said):
        parse_embodiment(text.replace(old, new), "mine.yaml")


def test_a_mistyped_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="so101-m100 is near"):
        load_embodiment("so101-m10")


# --- pictures -------------------------------------------------------------------------------------


def test_pictures_turn_clockwise_and_flip() -> None:
    view = load_embodiment("so101").cameras["base_0_rgb"]
    cell = PICTURE[..., 0]  # [[0, 3, 6], [9, 12, 15]]

    def turned(**changes: object) -> list[list[int]]:
        changed = {**_view(view), **changes}
        return shown(PICTURE, type(view)(**changed))[..., 0].tolist()  # type: ignore[arg-type]

    assert turned() == cell.tolist()
    assert turned(rotate_deg=90) == [[9, 0], [12, 3], [15, 6]]
    assert turned(rotate_deg=180) == [[15, 12, 9], [6, 3, 0]]
    assert turned(rotate_deg=270) == [[6, 15], [3, 12], [0, 9]]
    assert turned(flip="horizontal") == [[6, 3, 0], [15, 12, 9]]
    assert turned(flip="vertical") == [[9, 12, 15], [0, 3, 6]]


def _view(view: object) -> dict[str, object]:
    return {name: getattr(view, name) for name in ("source", "crop", "rotate_deg", "flip")}


def test_a_crop_is_a_share_of_the_picture_and_comes_before_the_turn() -> None:
    row = parse_embodiment(
        """
about: x
robot: pusht
robot_units: own
cameras:
  base_0_rgb:
    {source: pixels, rotate_deg: 90, crop: {left: 0.5, top: 0.25, width: 0.5, height: 0.5}}
state: [{source: agent_pos}]
actions: [{to: [0, 1]}]
action_size: 2
""",
        "x.yaml",
    )
    picture = np.zeros((40, 20, 3), np.uint8)
    picture[10:30, 10:20] = 7
    result = shown(picture, row.cameras["base_0_rgb"])
    assert result.shape == (10, 20, 3)
    assert (result == 7).all()


def test_a_view_that_the_robot_has_not_is_masked_never_shown_twice() -> None:
    seen = adapter("so101").observe(so101_values((0, 0, 0, 0, 0, 0)), "do it")
    assert seen.present == {
        "base_0_rgb": True,
        "left_wrist_0_rgb": True,
        "right_wrist_0_rgb": False,
    }
    assert seen.images["base_0_rgb"].mean() == 10
    assert seen.images["left_wrist_0_rgb"].mean() == 20
    assert not seen.images["right_wrist_0_rgb"].any()
    assert seen.prompt == "do it"


def test_a_view_can_be_renamed_or_masked_on_purpose() -> None:
    row = load_embodiment("so101")
    values = so101_values((0, 0, 0, 0, 0, 0)) | {
        "observation.images.front": np.full((4, 4, 3), 30, np.uint8)
    }
    renamed = Adapter(
        row, {"base_0_rgb": "observation.images.front", "left_wrist_0_rgb": "none"}
    ).observe(values, "")
    assert renamed.images["base_0_rgb"].mean() == 30
    assert not renamed.present["left_wrist_0_rgb"]
    with pytest.raises(CheckpointError, match="no view of this embodiment"):
        Adapter(row, {"front": "observation.images.front"})


# --- golden vectors -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quaternion", "expected"),
    [
        ((0, 0, 0, 1), (0, 0, 0)),
        ((0, 0, 0, -1), (0, 0, 0)),
        ((0, 0, 0, 1 + 1e-9), (0, 0, 0)),  # a simulator's rounding
        ((1, 0, 0, 0), (math.pi, 0, 0)),
        ((0, ROOT_HALF, 0, ROOT_HALF), (0, math.pi / 2, 0)),
        ((0, 0, ROOT_HALF, -ROOT_HALF), (0, 0, 1.5 * math.pi)),  # not made canonical: as trained
    ],
)
def test_quaternions_become_axis_angles_as_libero_has_them(
    quaternion: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    np.testing.assert_allclose(axis_angle(np.array(quaternion)), expected, atol=1e-9)


def test_robocasa_is_shown_like_libero_and_driven_in_twelve() -> None:
    robocasa = adapter("robocasa")
    picture = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    seen = robocasa.observe(
        {
            "robot0_agentview_left_image": picture,
            "robot0_eye_in_hand_image": picture,
            "robot0_base_to_eef_pos": np.array([0.1, -0.2, 0.3]),
            "robot0_base_to_eef_quat": np.array([0, 0, ROOT_HALF, ROOT_HALF]),
            "robot0_gripper_qpos": np.array([0.04, -0.0399]),
        },
        "open the drawer",
    )
    np.testing.assert_allclose(
        seen.state, [0.1, -0.2, 0.3, 0, 0, math.pi / 2, 0.04, -0.04], atol=1e-9
    )
    np.testing.assert_array_equal(seen.images["base_0_rgb"], picture[::-1, ::-1])
    actions = np.arange(32.0).reshape(1, 32)
    np.testing.assert_array_equal(
        robocasa.to_robot(actions, seen.state), [[0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0]]
    )


def test_libero_has_both_fingers_and_seven_actions() -> None:
    values = {
        "agentview_image": PICTURE,
        "robot0_eye_in_hand_image": PICTURE,
        "robot0_eef_pos": np.array([1.0, 2.0, 3.0]),
        "robot0_eef_quat": np.array([0.0, 0.0, 0.0, 1.0]),
        "robot0_gripper_qpos": np.array([0.02, -0.02]),
    }
    state = adapter("libero").state(values)
    np.testing.assert_allclose(state, [1, 2, 3, 0, 0, 0, 0.02, -0.02])
    chunk = np.ones((1, 32))
    np.testing.assert_array_equal(adapter("libero").to_robot(chunk, state), np.ones((1, 7)))
    np.testing.assert_allclose(  # pi0_libero: six values relative to the state, the gripper not
        adapter("libero-pi0").to_robot(chunk, state), [[2, 3, 4, 1, 1, 1, 1]]
    )


def test_so101_in_degrees_is_relative_but_for_the_gripper() -> None:
    so101 = adapter("so101")
    state = so101.state(so101_values((10, 20, 30, 40, 50, 60)))
    chunk = np.concatenate([np.ones((2, 6)), np.full((2, 26), 9.0)], axis=1)
    np.testing.assert_allclose(so101.to_robot(chunk, state), [[11, 21, 31, 41, 51, 1]] * 2)
    assert so101.delta_mask.tolist() == [True] * 5 + [False]


def test_so101_in_radians_closes_towards_one() -> None:
    radians = adapter("so101-radians")
    state = radians.state(so101_values((180, -90, 45, 0, 0, 76)))
    np.testing.assert_allclose(state, [math.pi, -math.pi / 2, math.pi / 4, 0, 0, 0.24], atol=1e-6)
    closed_then_open = np.zeros((2, 32))
    closed_then_open[:, 5] = (1.0, 0.0)
    goals = radians.to_robot(closed_then_open, state)
    np.testing.assert_allclose(goals[:, 5], [0, 100])  # 0 closed .. 100 open at the arm
    np.testing.assert_allclose(goals[:, :5], [[180, -90, 45, 0, 0]] * 2, atol=1e-5)


def test_so101_in_hundreds_leaves_numbers_to_the_border() -> None:
    hundreds = load_embodiment("so101-m100")
    assert hundreds.robot_units == "range_m100_100"
    state = Adapter(hundreds).state(so101_values((-100, 100, 0, 50, -50, 30)))
    np.testing.assert_array_equal(state, [-100, 100, 0, 50, -50, 30])


def test_aloha_in_pi0s_convention_turns_two_joints_and_bends_the_gripper() -> None:
    aloha = adapter("aloha")
    values = {"state": np.array([1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1.0])}
    state = aloha.state(values)
    signs = [1, -1, -1, 1, 1, 1, 1, 1, -1, -1, 1, 1, 1, 1]
    np.testing.assert_array_equal(state[[0, 1, 2, 7, 8, 9]], [1, -1, -1, 1, -1, -1])
    # openpi's own formula at 18.44 mm (closed) and 58 mm (open).
    for index, metres in ((6, 0.01844), (13, 0.058)):
        sine = (0.022**2 + metres**2 - 0.036**2) / (2 * 0.022 * metres)
        expected = (math.asin(max(-1.0, min(1.0, sine))) - 0.5476) / (1.6296 - 0.5476)
        assert state[index] == pytest.approx(expected, abs=1e-12)
    command = aloha.to_robot(np.zeros((1, 32)), np.zeros(14))[0]
    np.testing.assert_allclose(command[[6, 13]], (0.5476 + 0.6213) / (1.4910 + 0.6213))
    ones = np.ones((1, 32))
    moved = aloha.to_robot(ones, np.zeros(14))[0]
    still = [i for i in range(14) if i not in (6, 13)]
    np.testing.assert_array_equal(moved[still], np.array(signs)[still])


def test_droid_and_pusht_are_left_as_they_are() -> None:
    droid = adapter("droid").state(
        {
            "observation/joint_position": np.arange(7.0),
            "observation/gripper_position": np.array([0.5]),
        }
    )
    np.testing.assert_array_equal(droid, [0, 1, 2, 3, 4, 5, 6, 0.5])
    np.testing.assert_array_equal(
        adapter("pusht").to_robot(np.arange(64.0).reshape(2, 32), np.zeros(2)), [[0, 1], [32, 33]]
    )


def test_simulated_aloha_is_the_real_ones_convention_with_absolute_actions() -> None:
    """openpi's pi0_aloha_sim: use_delta_joint_actions=False, adapt_to_pi as everywhere."""
    sim, real = adapter("aloha-sim"), adapter("aloha")
    own = np.linspace(-0.5, 0.8, 14)
    np.testing.assert_array_equal(sim.state({"agent_pos": own}), real.state({"state": own}))
    assert not sim.delta_mask.any() and real.delta_mask.sum() == 12
    commands = sim.to_robot(np.ones((1, 32)), np.full(14, 7.0))[0]
    signs = np.array([1, -1, -1, 1, 1, 1, 0, 1, -1, -1, 1, 1, 1, 0])
    np.testing.assert_array_equal(commands[signs != 0], signs[signs != 0])
    np.testing.assert_allclose(commands[[6, 13]], (1 + 0.5476 + 0.6213) / (1.4910 + 0.6213))


@pytest.mark.parametrize(
    ("name", "kind", "horizon", "state_text"),
    [
        ("libero", "pi05", 10, "none"),
        ("libero-pi0", "pi0", 50, ""),
        ("droid", "pi0", 10, "plain"),
        ("droid", "pi05", 15, "plain"),
        ("aloha-sim", "pi0", 50, ""),
    ],
)
def test_a_row_says_of_openpis_published_models_what_their_files_do_not(
    name: str, kind: Literal["pi0", "pi05"], horizon: int, state_text: str
) -> None:
    """From openpi's own training configurations: action_horizon, discrete_state_input."""
    row = load_embodiment(name)
    assert (row.horizon[kind], row.state_text) == (horizon, state_text)


def test_filling_up_adds_zeros_and_never_drops_a_value() -> None:
    np.testing.assert_array_equal(padded(np.ones((2, 3)), 5), [[1, 1, 1, 0, 0]] * 2)
    with pytest.raises(ValueError, match="do not fit"):
        padded(np.ones(6), 5)


# --- properties -----------------------------------------------------------------------------------

_NUMBERS = st.floats(-1000, 1000, allow_nan=False)


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(SHIPPED), data=st.data())
def test_what_goes_in_comes_out_for_every_row(name: str, data: st.DataObject) -> None:
    row = load_embodiment(name)
    used = sorted(index for part in row.actions for index in part.to)
    state = data.draw(hnp.arrays(np.float64, 16, elements=_NUMBERS))
    robot = np.full((3, row.action_size), row.rest)
    robot[:, used] = data.draw(hnp.arrays(np.float64, (3, len(used)), elements=_NUMBERS))
    one = Adapter(row)
    there = one.to_model(robot, state)
    assert there.shape == (3, row.model_actions)
    back = one.to_robot(padded(there, 32), state)
    np.testing.assert_allclose(back, robot, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    state=hnp.arrays(np.float64, 6, elements=_NUMBERS),
    chunk=hnp.arrays(np.float64, (4, 32), elements=_NUMBERS),
    moved=hnp.arrays(np.float64, 6, elements=_NUMBERS),
)
def test_one_state_counts_for_a_whole_chunk(
    state: np.ndarray, chunk: np.ndarray, moved: np.ndarray
) -> None:
    """Relative actions are all relative to the chunk's own observation, not to each other."""
    so101 = adapter("so101")
    here, there = so101.to_robot(chunk, state), so101.to_robot(chunk, moved)
    shift = np.where(so101.delta_mask, moved - state, 0.0)
    np.testing.assert_allclose(there - here, np.tile(shift, (4, 1)), atol=1e-9)


def test_a_value_that_is_no_number_stays_none() -> None:
    chunk = np.zeros((1, 32))
    chunk[0, 2] = np.nan
    goals = adapter("so101-radians").to_robot(chunk, np.zeros(6))
    assert np.isnan(goals[0, 2])
    assert np.isfinite(np.delete(goals[0], 2)).all()
