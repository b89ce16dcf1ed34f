"""What one episode is made of: its specification, its rows, the evidence beside them, its manifest.

The dataset's own features stay exactly LeRobot's, because LeRobot merges only identical ones;
whatever else is known about a frame goes into `Evidence`, which never becomes a column.
"""

import re
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from robotd.errors import DatasetError

JOINTS = (
    "shoulder_pan",
    "shoulder_lift",
    "elbow_flex",
    "wrist_flex",
    "wrist_roll",
    "gripper",
)
"""The joints of an SO-101 in bus-id order, by LeRobot's names."""

MANIFEST_VERSION = 1
TASK_LIMIT_CHARACTERS = 1000
"""A task is a sentence; this is far above any and keeps a pasted file out of every row."""

Units = Literal["degrees", "range_m100_100"]
State = Literal["recording", "closed", "published", "committed", "discarded", "interrupted"]
_NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}  # control, half a surrogate pair, line and paragraph ends
_CAMERA_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def joint_feature_names(arms: Sequence[str] = ("",)) -> tuple[str, ...]:
    """LeRobot's names for the joints: bare for the arm "", `left_…`, `right_…` for two arms."""
    prefixes = [f"{arm}_" if arm else "" for arm in arms]
    return tuple(f"{prefix}{joint}.pos" for prefix in prefixes for joint in JOINTS)


class CameraSpec(msgspec.Struct, frozen=True):
    """One camera of an episode. Sizes in pixels, both even (h264 yuv420p halves them).

    `identity` says what is known of it: `device`, `fovy_deg`, `rotation_deg` and `crop` by the robot's
    profile; of a USB module `by_id`, `usb_port`, `usb_id`, `product`, `serial`; of a simulated one
    `view`, `body`, `pos_m`, `quat_wxyz`.
    """

    name: str
    width: int
    height: int
    identity: dict[str, str] = {}

    @property
    def key(self) -> str:
        """LeRobot's feature key of this camera."""
        return f"observation.images.{self.name}"


class EpisodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What an episode records and where it is to go. Constant over the episode.

    `dataset_root` is the dataset's folder, `units` those of state and action (LeRobot's: degrees,
    gripper 0 closed .. 100 open), the hashes are SHA-256 of what moved the arm. `units_confirmed`: a
    person said that a dataset which does not tell its units has these. `video_crf` is x264's quality.
    `encoder` is FFmpeg's name of the one that makes the videos, `encoder_note` why others do not.
    `gate`: whether a bad finding at save is only said (flag) or the episode waits for a person (hold).
    """

    dataset_root: str
    repo_id: str
    fps: int
    robot_type: str
    task: str
    state_names: tuple[str, ...]
    action_names: tuple[str, ...]
    cameras: tuple[CameraSpec, ...] = ()
    environment_names: tuple[str, ...] = ()
    units: Units = "degrees"
    units_confirmed: bool = False
    video_crf: int = 23
    robot_name: str = ""
    calibration_sha256: str = ""
    policy_sha256: str = ""
    gate: Literal["flag", "hold"] = "flag"
    encoder: str = "libx264"
    encoder_note: str = ""


def check_task(task: str) -> None:
    """Raise DatasetError for a task that is no sentence: empty, too long, or not of one line."""
    if not task.strip():
        raise DatasetError(
            "The task is empty.",
            "Recording was asked for without `--task`.",
            'Say what the arm is to do, e.g. --task "put the block into the bowl".',
        )
    if len(task) > TASK_LIMIT_CHARACTERS:
        raise DatasetError(
            f"The task is {len(task)} characters long; {TASK_LIMIT_CHARACTERS} is the limit.",
            "A file or a log was passed where a sentence was meant.",
            "Pass one sentence: it is stored with every episode and read by the policy.",
        )
    strange = next((each for each in task if unicodedata.category(each) in _NO_TEXT), None)
    if strange is not None:
        raise DatasetError(
            f"The task contains the character U+{ord(strange):04X}, which is no text.",
            "It was pasted with a line break, a tab or an escape sequence.",
            "Pass one sentence on one line.",
        )


def check_units_word(units: str) -> None:
    """Raise DatasetError for what a person says of a dataset's units, where it is not ours."""
    if units in ("", "degrees"):
        return
    raise DatasetError(
        f"Episodes cannot be added to a dataset in {units!r}.",
        "robotd records degrees (gripper 0 to 100), as LeRobot does unless told otherwise.",
        "Say --units degrees if the dataset is in degrees; else record into a new dataset.",
    )


def check_spec(spec: EpisodeSpec) -> None:
    """Raise DatasetError when no episode could be recorded by this specification."""
    check_task(spec.task)
    problems = []
    if spec.fps < 1:
        problems.append(f"fps is {spec.fps}")
    if not spec.state_names or not spec.action_names:
        problems.append("there is no state or no action")
    for camera in spec.cameras:
        if not _CAMERA_NAME.fullmatch(camera.name):
            problems.append(f"camera name {camera.name!r} is not letters, digits, _ . -")
        if camera.width < 2 or camera.height < 2 or camera.width % 2 or camera.height % 2:
            problems.append(f"{camera.name} is {camera.width}x{camera.height}, sizes must be even")
    if len({camera.name for camera in spec.cameras}) != len(spec.cameras):
        problems.append("two cameras have one name")
    if problems:
        raise DatasetError(
            f"This robot cannot be recorded: {'; '.join(problems)}.",
            "The robot's profile has a camera or a rate that a dataset cannot hold.",
            "Correct the profile (`robotd status --paths` shows where it is).",
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about one frame beyond its features. Times are CLOCK_MONOTONIC.

    `requested_rad` and `applied_rad` are the goals before and after the limits gate, one value a
    joint; `limited_by` the gate's bit mask over all joints, `limited_by_joint` each one's own.
    `source` is who moved the arm, a `robotd.states.Source` in lower case: leader, keyboard and
    scripted are people's and scripts' goals, policy a policy's, correction a person's hand in a
    policy's run; `intervention_id` numbers such corrections within an episode, -1 outside of one.
    `chunk_id` is -1 where no policy chunk was running. `read_age_ns` is the age of the oldest joint
    position, `command_age_ns` that of the newest goal (-1: none was given); `chunk_latency_us` has
    the stages (`robotd.latency.STAGES`) of that chunk's way from picture to first goal, empty where
    none is known; how old a picture was is
    `deadline_ns - capture_ns`. `missed_ticks` counts since control started.
    """

    tick_index: int
    deadline_ns: int
    requested_rad: npt.NDArray[np.float64]
    applied_rad: npt.NDArray[np.float64]
    capture_ns: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, bool] = field(default_factory=dict)
    limited_by: int = 0
    source: str = "teleop"
    chunk_id: int = -1
    chunk_index: int = -1
    missed_ticks: int = 0
    read_age_ns: int = 0
    command_age_ns: int = -1
    limited_by_joint: tuple[int, ...] = ()
    intervention_id: int = -1
    chunk_latency_us: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `state` [n] and `action` [m] in the dataset's units, float32; all finite."""

    state: npt.NDArray[np.float32]
    action: npt.NDArray[np.float32]
    task: str
    evidence: Evidence
    environment_state: npt.NDArray[np.float32] | None = None


class Stamp(msgspec.Struct, frozen=True):
    """When something happened, so that CLOCK_MONOTONIC stamps can be placed in wall time."""

    boot_id: str
    wall_ns: int
    monotonic_ns: int


def machine_stamp() -> Stamp:
    """Now, with the identity of this boot (Linux; elsewhere the boot is not known)."""
    path = Path("/proc/sys/kernel/random/boot_id")
    boot_id = path.read_text().strip() if path.exists() else ""
    return Stamp(boot_id=boot_id, wall_ns=time.time_ns(), monotonic_ns=time.monotonic_ns())


class Label(msgspec.Struct, frozen=True):
    """What a person or a judge said of an episode. `success` None: nobody said.

    `reward` is that of the last frame; None: 1 for a success, else 0 (`labels.columns`).
    """

    success: bool | None = None
    note: str = ""
    source: str = "person"
    reward: float | None = None


class Mark(msgspec.Struct, frozen=True):
    """A named place in an episode: `row` is the frame_index at which somebody put it."""

    row: int
    name: str = "subgoal"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The page about a journal, `manifest.json`: replaced atomically at each change of state."""

    journal_id: str
    spec: EpisodeSpec
    started: Stamp
    state: State = "recording"
    schema_version: int = MANIFEST_VERSION
    kept: bool = False
    label: Label = Label()
    marks: tuple[Mark, ...] = ()
    rows: int = 0
    reason: str = ""
    sha256: dict[str, str] = {}
    episode_index: int = -1
    held: bool = False
