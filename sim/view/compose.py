"""One picture of a robot: a line of state above, the twin large on the left, the cameras on the
right.

Pure: pictures and words in, a picture out. The demo, `robotd view` and its MP4 all use it. Text is
drawn with OpenCV's stroke fonts, which know ASCII only."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from robotd.states import State

Rgb = npt.NDArray[np.uint8]
"""uint8 [height, width, 3]."""

BAR_PX = 40
FOOT_PX = 26
GAP_PX = 4
CAMERA_OLD_MS = 1000.0

Colour = tuple[int, int, int]
BACKGROUND: Colour = (13, 17, 23)
TEXT: Colour = (213, 221, 230)
DIM: Colour = (133, 147, 163)
WARN: Colour = (245, 185, 74)
SIM: Colour = (189, 147, 255)
REC: Colour = (214, 58, 66)

_STATES: dict[State, Colour] = {
    State.DISARMED: DIM,
    State.ARMING: WARN,
    State.HOLDING: (86, 199, 245),
    State.TELEOP: (98, 214, 139),
    State.POLICY: SIM,
    State.REPLAY: (122, 168, 255),
    State.HOMING: (98, 214, 139),
    State.PARKING: WARN,
    State.RELEASING: WARN,
    State.FAULT: (255, 100, 100),
    State.ESTOP: (255, 100, 100),
}


@dataclass(frozen=True, slots=True)
class CameraPicture:
    """What one camera saw last. `rgb` is None before the first frame."""

    name: str
    rgb: Rgb | None = None
    age_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Caption:
    """The words on the picture. `state` is None while no tick has come.

    `note` stands at the bottom (what a policy is told, where the objects' poses come from);
    `recording` is the running episode, empty for none; `age_ms` is how old the measured joints are;
    `kind` takes the place of what says whether the arm is real, where there is none.
    """

    robot: str
    simulated: bool
    state: State | None
    detail: str = ""
    recording: str = ""
    note: str = ""
    age_ms: float = 0.0
    kind: str = ""

    @property
    def body(self) -> str:
        """What is being looked at: an arm, a simulated one, or something else."""
        return self.kind or ("SIM" if self.simulated else "REAL ARM")


def compose(
    twin: Rgb, cameras: Sequence[CameraPicture], caption: Caption, captions: bool = True
) -> Rgb:
    """The whole picture: uint8 [H, W, 3] with even H and W (as h264 wants them), a fresh array.

    The twin keeps its size; the cameras share a column as high as the twin and half as wide.
    Without `captions` only the pictures are there, for a terminal that prints the words itself."""
    height, width = twin.shape[:2]
    column = width // 2 if cameras else 0
    top, bottom = (BAR_PX, FOOT_PX) if captions else (0, 0)
    canvas = np.empty((_even(height + top + bottom), _even(width + column + GAP_PX), 3), np.uint8)
    canvas[:] = BACKGROUND
    canvas[top : top + height, :width] = twin
    share = (height - GAP_PX * (len(cameras) - 1)) // max(1, len(cameras))
    for number, camera in enumerate(cameras):
        y = top + number * (share + GAP_PX)
        _place_camera(canvas[y : y + share, width + GAP_PX : width + GAP_PX + column], camera)
    if captions:
        _bar(canvas[:BAR_PX], caption)
        _write(canvas, caption.note, (10, top + height + 18), DIM, 0.45)
    return canvas


def state_colour(state: State | None) -> Colour:
    """The colour of a state, as on the record screen."""
    return DIM if state is None else _STATES[state]


def state_words(caption: Caption) -> str:
    """The bar as one line of text."""
    state = "waiting for the first tick" if caption.state is None else _name(caption.state)
    parts = [caption.body, caption.robot, state, caption.detail, caption.recording]
    if caption.age_ms > CAMERA_OLD_MS:
        parts.append(f"OLD: {caption.age_ms / 1000:.1f} s")
    return "   ".join(part for part in parts if part)


def fit(rgb: Rgb, height: int, width: int) -> Rgb:
    """The largest picture of the same shape inside `height` x `width`, by area means."""
    scale = min(width / rgb.shape[1], height / rgb.shape[0])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, size, interpolation=way), dtype=np.uint8)


def _place_camera(area: Rgb, camera: CameraPicture) -> None:
    height, width = area.shape[:2]
    area[:] = (22, 28, 36)
    old = camera.age_ms is not None and camera.age_ms > CAMERA_OLD_MS
    if camera.rgb is not None:
        picture = fit(camera.rgb, height, width)
        top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
        area[top : top + picture.shape[0], left : left + picture.shape[1]] = (
            picture // 3 if old else picture
        )
    if camera.rgb is None or camera.age_ms is None:
        words = f"{camera.name}: no picture yet"
    elif old:
        words = f"{camera.name}  OLD: {camera.age_ms / 1000:.1f} s"
    else:
        words = f"{camera.name}  {camera.age_ms:.0f} ms"
    _write(area, words, (8, height - 10), WARN if old else TEXT, 0.45, shadow=True)


def _bar(area: Rgb, caption: Caption) -> None:
    x = _block(area, f" {caption.body} ", 8, SIM if caption.simulated else WARN)
    x = _write(area, caption.robot, (x + 12, 26), TEXT, 0.55) + 16
    if caption.state is None:
        _write(area, "waiting for the first tick", (x, 26), WARN, 0.5)
        return
    x = _block(area, f" {_name(caption.state)} ", x, state_colour(caption.state)) + 12
    x = _write(area, caption.detail, (x, 26), DIM, 0.5) + 16
    if caption.recording:
        x = _block(area, f" {caption.recording} ", x, REC, ink=(255, 255, 255)) + 12
    if caption.age_ms > CAMERA_OLD_MS:
        _write(area, f"OLD: {caption.age_ms / 1000:.1f} s", (x, 26), WARN, 0.5)


def _name(state: State) -> str:
    return "E-STOP" if state is State.ESTOP else state.name


def _block(area: Rgb, words: str, x: int, colour: Colour, ink: Colour = BACKGROUND) -> int:
    """Words on a filled block; returns the x after it."""
    width = int(cv2.getTextSize(words, cv2.FONT_HERSHEY_DUPLEX, 0.5, 1)[0][0])
    cv2.rectangle(area, (x, 8), (x + width, BAR_PX - 8), colour, cv2.FILLED)
    cv2.putText(area, words, (x, 26), cv2.FONT_HERSHEY_DUPLEX, 0.5, ink, 1, cv2.LINE_AA)
    return x + width


def _write(
    area: Rgb,
    words: str,
    at: tuple[int, int],
    colour: Colour,
    size: float,
    shadow: bool = False,
) -> int:
    """One line of text with its baseline at `at`; returns the x after it."""
    plain = words.replace("°", " deg").encode("ascii", "replace").decode()
    if shadow:
        cv2.putText(area, plain, at, cv2.FONT_HERSHEY_SIMPLEX, size, BACKGROUND, 3, cv2.LINE_AA)
    cv2.putText(area, plain, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
    return at[0] + int(cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0])


def _even(length: int) -> int:
    return length + length % 2
