"""One picture of a robot: what must be on it."""

import numpy as np

from robotd.states import State
from sim.view.compose import (
    BAR_PX,
    FOOT_PX,
    GAP_PX,
    SIM,
    WARN,
    CameraPicture,
    Caption,
    compose,
    state_words,
)

TWIN = np.full((480, 640, 3), 90, np.uint8)
CAPTION = Caption("so101-sim", True, State.TELEOP, "leader, torque on", note="a note")


def camera(name: str, age_ms: float | None = 33.0, value: int = 200) -> CameraPicture:
    return CameraPicture(name, np.full((240, 320, 3), value, np.uint8), age_ms)


def has_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == colour).all(axis=2).any())


def test_a_video_codec_can_take_any_composition() -> None:
    odd = np.zeros((479, 639, 3), np.uint8)
    for cameras in ([], [camera("a")], [camera("a"), camera("b"), camera("c")]):
        picture = compose(odd, cameras, CAPTION)
        assert picture.dtype == np.uint8
        assert picture.shape[0] % 2 == 0 and picture.shape[1] % 2 == 0


def test_simulation_cannot_be_mistaken_for_the_arm() -> None:
    real = Caption("bench", False, State.TELEOP, "leader, torque on")
    bar = slice(0, BAR_PX)
    assert has_colour(compose(TWIN, [], CAPTION)[bar], SIM)
    assert not has_colour(compose(TWIN, [], real)[bar], SIM)
    assert has_colour(compose(TWIN, [], real)[bar], WARN)
    assert state_words(CAPTION).startswith("SIM") and state_words(real).startswith("REAL ARM")


def test_an_old_camera_picture_is_dark_and_says_its_age() -> None:
    fresh = compose(TWIN, [camera("wrist")], CAPTION)
    old = compose(TWIN, [camera("wrist", age_ms=2300.0)], CAPTION)
    area = (slice(BAR_PX + 150, BAR_PX + 200), slice(700, 800))
    assert fresh[area].mean() > 180
    assert old[area].mean() < 80
    words = old[BAR_PX + 440 : BAR_PX + 480, 644:].astype(int)
    assert (np.abs(words - WARN).max(axis=2) < 60).any(), "its age is written in the warning colour"


def test_a_camera_without_a_picture_leaves_its_place_and_its_name() -> None:
    picture = compose(TWIN, [CameraPicture("overhead"), camera("wrist")], CAPTION)
    upper = picture[BAR_PX : BAR_PX + 230, 644:]
    assert upper.max() > 150, "its name is written there"
    assert np.median(upper) < 60


def test_old_joints_are_called_old() -> None:
    caption = Caption("so101-sim", True, State.HOLDING, age_ms=4200.0)
    assert "OLD: 4.2 s" in state_words(caption)


def test_without_captions_only_pictures_are_left() -> None:
    bare = compose(TWIN, [camera("a"), camera("b")], CAPTION, captions=False)
    full = compose(TWIN, [camera("a"), camera("b")], CAPTION)
    assert full.shape[0] - bare.shape[0] == BAR_PX + FOOT_PX
    assert (bare[:480, :640] == TWIN).all()
    assert bare.shape[1] == 640 + GAP_PX + 320
