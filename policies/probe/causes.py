"""Why a checkpoint does not do what people did: every cause with its words and its mend.

Which of them is named, and why in that order, is the judge's business (`policies/probe/judge.py`).
"""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause. Its figures, the evidence, stand beside it in a finding."""

    name: str
    what: str
    likely: str
    do: str


_TABLE = (
    Cause(
        "state-not-joints",
        "observation.state is not where the joints are.",
        "The recording program wrote another part of the simulator's state into it, or it froze; "
        "whoever trained on it learnt from numbers that mean nothing.",
        "Look: robotd dataset check NAME. Record again, or train without observation.state.",
    ),
    Cause(
        "picture-statistics",
        "The pictures reach the model far outside the range that it was trained on.",
        "The statistics of its pictures have a spread of nearly nothing, so every pixel becomes a "
        "huge number.",
        "Mend the statistics into a copy: robotd ckpt stats POLICY --from TRAINING.",
    ),
    Cause(
        "un-normalised",
        "Its actions are still normalised numbers: the step that makes joint positions of them is missing.",
        "Its postprocessor does nothing (no statistics, or mode IDENTITY), or it was exported without.",
        "Look at its modes: robotd ckpt inspect POLICY. Statistics that are lost: robotd ckpt stats "
        "POLICY --from TRAINING puts them into a copy. A mode that is IDENTITY: write MEAN_STD (or what "
        "it was trained with) in norm_map of policy_postprocessor.json.",
    ),
    Cause(
        "units",
        "It speaks in other units than the recording.",
        "It was trained on a dataset in degrees and is told ±100 (or the other way round), or on "
        "radians.",
        "Say what it was trained on: --units range_m100_100 or --units degrees. A Pi0 in radians: "
        "--embodiment so101-radians; any other: train on data in degrees (robotd dataset convert).",
    ),
    Cause(
        "polarity",
        "Its gripper is turned round: it opens where people close it.",
        "It was trained on data with 1 for closed (Pi0's way, 1 - x/100); the arm has 0 for closed.",
        "A Pi0: the embodiment whose gripper is 1 - x/100. Any other: train on data in the arm's own "
        "convention (robotd dataset convert NAME --gripper 100-100x --out NEW turns it back).",
    ),
    Cause(
        "gripper-scale",
        "Its gripper is on another scale than the recording's.",
        "One of both counts 0 to 1, the other 0 to 100.",
        "Say so in the embodiment (gripper scale), or convert the dataset: robotd dataset convert.",
    ),
    Cause(
        "sign",
        "Joints turn the other way round.",
        "It was trained on an arm with another drive_mode, or on an older calibration.",
        "Compare the calibrations; train on data of this arm, or migrate the dataset.",
    ),
    Cause(
        "order",
        "Its joints come in another order.",
        "It was trained on a dataset whose action names its joints in another order.",
        "Look at the names: robotd ckpt inspect POLICY; train on this robot's datasets.",
    ),
    Cause(
        "relative",
        "It says differences, and they are taken for positions.",
        "It was trained on delta actions; the step that adds the state is missing.",
        "Say so where it is known: delta_mask in robotd_ckpt.json or the embodiment; LeRobot: keep "
        "its relative-action step when the processors are saved.",
    ),
    Cause(
        "rate",
        "It plays at another rate than it was trained on.",
        "The fps that was said, or that its sidecar says, is not that of its training data.",
        "Say the right one: --fps N, or in robotd_ckpt.json.",
    ),
    Cause(
        "foreign-statistics",
        "Its actions are scaled by another dataset's statistics.",
        "The processors were saved with (or copied from) another dataset or asset.",
        "Put the right ones into a copy: robotd ckpt stats POLICY --from TRAINING.",
    ),
    Cause(
        "offset",
        "Joints are a constant off.",
        "It was trained on an arm with another calibration (another zero).",
        "Calibrate both arms alike, or train on data of this one.",
    ),
    Cause(
        "cameras-swapped",
        "It gets the pictures of one camera where it expects another's.",
        "The cameras have other names than in its training data, or --rename crosses them.",
        "Name them as they were: swap the devices in the profile, or --rename A=B for each.",
    ),
    Cause(
        "pictures-turned",
        "Its pictures come turned or in other colours than it knows.",
        "A camera hangs upside down, or delivers BGR for RGB.",
        "Set the rotation in the embodiment or profile as it was in training.",
    ),
    Cause(
        "state-units",
        "It is told its joints in other units than it knows.",
        "It was trained on a dataset whose state was in other units than this one's.",
        "Say what it was trained on: --units …; or convert the dataset: robotd dataset convert.",
    ),
    Cause(
        "state-un-normalised",
        "Its joints reach the model without normalisation.",
        "Its preprocessor does nothing for observation.state (no statistics, or mode IDENTITY).",
        "Put the statistics back into a copy: robotd ckpt stats POLICY --from TRAINING.",
    ),
    Cause(
        "random-weights",
        "It was never trained: its weights are as they were drawn.",
        "An error while it was loaded or saved was swallowed, or a step-0 checkpoint was taken.",
        "Check it: robotd ckpt verify POLICY. Copy it again, or take a later step of the run.",
    ),
    Cause(
        "mean-regressed",
        "It says nearly the same whatever it sees: the middle of what people did.",
        "It was trained too briefly, on demonstrations that contradict each other, or its pictures "
        "and state never reached it in training.",
        "Train longer; look at the loss; check the data: robotd dataset check NAME.",
    ),
    Cause(
        "gripper-mean-regressed",
        "Its gripper stays half open.",
        "It saw too few closings, or at moments that contradict each other.",
        "More demonstrations of the grasp; until then a gripper bias or clip in the embodiment.",
    ),
    Cause(
        "state-ignored",
        "It does not look at where its joints are.",
        "The state never reached it in training (a constant column, a missing key), or it was trained "
        "without it.",
        "Check the data: robotd dataset check NAME; train with observation.state.",
    ),
    Cause(
        "blind",
        "No picture changes what it does.",
        "Its pictures never reached it in training (black, frozen, or another key), or state alone "
        "predicted everything.",
        "Look at the pictures: robotd dataset check NAME; train with varied scenes.",
    ),
    Cause(
        "stands-still",
        "It repeats where the joints are and goes nowhere.",
        "It learnt to copy its state: chunks were short, or the data stood still most of the time.",
        "Train with longer chunks; cut the pauses out of the demonstrations.",
    ),
    Cause(
        "no-relation",
        "What it says has no relation to what was done.",
        "It is another robot's or another task's checkpoint, its weights are not those of its "
        "config, or it was hardly trained.",
        "Check it: robotd ckpt verify POLICY; probe it on the dataset that it was trained on.",
    ),
    Cause(
        "does-not-listen",
        "Another instruction changes nothing.",
        "Every instruction of its training data went with one scene, so the picture alone told it "
        "what to do.",
        "Train on scenes where the same picture goes with several instructions.",
    ),
    Cause(
        "weak",
        "It follows what people did only roughly.",
        "It is not trained enough, the recording is of another scene, or people did it in many ways.",
        "Try a later step of the run, and rehearse it before it moves: robotd rehearse.",
    ),
)

CAUSES = {cause.name: cause for cause in _TABLE}
