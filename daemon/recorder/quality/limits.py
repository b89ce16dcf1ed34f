"""The quality gate's thresholds, each with its reason, in one place.

An alarm that is wrong teaches people to look away, so each stands well beyond what sound episodes
showed: the scripted expert's in lock-step (24 episodes, 15 rows/s, pictures of 320x240 through the
recorder's own encoder) and in real time on two loaded cores. `tests/recording/quality_cases.py` has
what each must still catch.
"""

from typing import Final

# --- time -----------------------------------------------------------------------------------------

SHORT_S: Final = 1.0
"""A task that a policy can learn takes longer; a key pressed twice does not."""

GAP_ROWS: Final = 1.5
"""Rows further apart than this many periods have a lost one between them; one skipped control tick
moves a row by an eighth to a quarter of a period."""

BAD_GAP_S: Final = 0.2
"""From here a gap is a jump that an arm at half its speed (60 deg/s) makes 12 degrees wide."""

RATE_ERROR: Final = 0.01
"""LeRobot's timestamps are row / fps: 1 % is 0.1 s after ten seconds, three rows at 30/s."""

FRESHEST_PERCENT: Final = 10.0
"""Of an episode's pictures, those by whose age a camera is judged: the others may have been repeated
because a new one was missed, which is said by itself."""

PICTURE_AGE_MS: Final = 150.0
"""A USB camera's picture is 20 to 80 ms old at its row; one this old shows the arm 9 degrees back."""

PICTURE_DRIFT_MS: Final = 100.0
"""How much older (or newer) pictures may become from the first to the last fifth of an episode: a
camera whose clock runs apart from ours, or whose pictures queue."""

MISSED_TICKS: Final = 0.02
"""Share of control ticks that were skipped: at 120 Hz two a second, more than a machine that only
records and controls ever had here."""

READ_AGE_MS: Final = 60.0
"""Joint positions older than this are repeated ones: seven reads in a row were lost at 120 Hz."""

READ_AGE_SHARE: Final = 0.02

# --- joints, in LeRobot's units: degrees, gripper 0..100 ------------------------------------------

SPEED_PER_S: Final = 270.0
"""The servo's no-load speed (deg/s). The gripper's 100 units are 110 degrees."""

JUMP_FACTOR: Final = 1.5
"""A jump is this much faster than the servo can turn: rows are not read at exactly their time."""

ACCELERATION_PER_S2: Final = 5000.0
"""What the motor's stall torque gives the bare gripper (deg/s2); twice that, out and back within two
rows, is no motion."""

MOVED: Final = 5.0
"""A joint whose action spans less says too little to be compared with its state: friction's band is
up to 4 degrees wide."""

MOVED_GRIPPER: Final = 15.0
"""The same of a gripper: one that holds something is asked to squeeze some degrees further in vain."""

DEAD_SHARE: Final = 0.1
"""A joint whose state spans less than this share of its action does not follow it."""

STUCK_S: Final = 1.0
STUCK_ACTION: Final = 10.0
"""Within a second the action went this far (a tenth of the range, twice the droop under load) while
the joint stood."""

FROZEN_STATE_S: Final = 0.5
FROZEN_STATE_ACTION: Final = 3.0
"""All joints to the last bit the same for half a second while a goal moved 3 degrees: an encoder tick
is 0.09 degrees and a resting arm flickers by it. The longest seen while the arm rested: 0.13 s."""

CORRELATED: Final = 0.5
"""Least correlation of a joint's speed with its action's, over the lags tried. Sound ones: 0.78 (a
joint that crept 8 degrees through its friction) to 1.00."""

REVERSED: Final = -0.6
"""Below this a joint runs against its action: a calibration with the wrong sign."""

COMPARED: Final = 10.0
"""Span of the action (degrees or units) from which speeds are compared: friction hides slower ones."""

SMOOTH_S: Final = 0.13
"""Speeds are averaged over this before they are compared: an encoder's ticks are noise beside 5 deg/s."""

LAG_BEFORE_S: Final = 0.4
LAG_AFTER_S: Final = 0.8
"""How far an action is shifted against the state to find it again. A servo follows 0.09 s behind, and
0.13 s at 15 rows/s."""

LAG_SLOW_S: Final = 0.5
"""An arm that follows this late is not the one that a policy will be given."""

SWAPPED: Final = 0.8
"""Correlation of one arm's actions with the other's state, from which the two are in each other's place."""

NOTHING_MOVED: Final = 2.0
"""If no joint's action spans more, nobody drove the arm."""

GRIPPER_MOVED: Final = 3.0
"""A gripper whose action spans less was not used: its own play is about 1 unit."""

SAME: Final = 0.02
"""Action and state closer than this (a quarter of an encoder tick) are one number written twice."""

# --- pictures: grey levels 0..255 of a picture scaled to 160 columns ------------------------------

THUMB_WIDTH: Final = 160
"""Fine enough to see a shift of one per cent, small enough to look at every frame (0.3 ms)."""

CHANGED: Final = 7.0
"""Greatest change of a cell from one picture to the next that still is none. An encoder goes on
refining a picture that stands, by 6 levels at most and then by 4 (x264 ultrafast, crf 23); with the
arm moving 0.5 degrees a row 99.9 % of the rendered rows changed by more, 95 % of them by 42 and more."""

FROZEN_S: Final = 0.5
FROZEN_TRAVEL: Final = 5.0
"""A picture that stands for half a second while the joints travel this far (degrees, summed rows)."""

MOVING_PER_S: Final = 7.5
"""From this speed on (deg/s) the next picture must differ: 0.5 degrees a row at 15 rows/s."""

REPEATED_SHARE: Final = 0.05
REPEATED_BAD_SHARE: Final = 0.25
"""Share of rows that show the picture of the row before. A camera at the rows' own rate misses one
now and then; a quarter is a camera that is slower than the rows."""

BLACK_LEVEL: Final = 25.0
BLACK_SHARE: Final = 0.95
"""A picture of which 95 % is darker than a tenth: a lens cap, a dead sensor, the light off."""

BRIGHT_LEVEL: Final = 250.0
BRIGHT_SHARE: Final = 0.6
"""More than half of the picture is saturated. A white table under the plant's light reaches 220."""

FLAT_SPREAD: Final = 6.0
"""Standard deviation below which a picture shows nothing: a hand or a cloth on the lens. The least
seen: 23 (overhead on a white table)."""

COVERED_S: Final = 0.5
"""A gripper that comes down on a white sheet may fill the view for a moment."""

# --- where a camera stands ------------------------------------------------------------------------

SCENE_FRAMES: Final = 48
"""Pictures that the still background is made from: the median of so many loses a moving arm."""

STATIC_SPREAD: Final = 12.0
"""A cell that varies less (10th to 90th percentile) over the episode belongs to what stands still."""

STATIC_SHARE: Final = 0.05
"""Less of the picture than this standing still is too little to compare by."""

TEXTURE: Final = 40.0
"""Least strength of the still edges (root of the sum of squared slopes): a bare wall cannot be placed."""

SAME_VIEW: Final = 0.9
"""Agreement of the still edges at which nothing moved. Between sound episodes: 0.99 to 1.00."""

KNOWN_VIEW: Final = 0.5
"""Agreement at the best shift from which the view is the old one, moved."""

SHIFT_GAIN: Final = 0.1
"""What a shift must improve the agreement by to count as one."""

SHIFT_CELLS: Final = 1.5
"""Least shift that is said: 1 % of the width, half a degree of a 60 degree view."""

SEARCH_CELLS: Final = 14
"""How far a shift is looked for: 9 % of the width. Beyond, the view is another one."""

OTHER_VIEW: Final = 0.3
"""Agreement at the best shift below which the camera shows something else."""

SWAPPED_VIEW: Final = 0.6
"""Agreement with another camera's last view, from which two cameras are in each other's place."""

LOOK_BACK: Final = 5
"""Episodes to look back for a view that can be compared with: the last ones may have been black."""
