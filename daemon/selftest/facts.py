"""What robotd believes of an SO-101 without having seen one, as data: each fact can be contradicted.

The sources are those of docs/hardware.md: [FW] the public clean-room description of the firmware,
[DOC] Feetech's tables, [REP] reports of people with real arms, [INF] inferred, [SRC] LeRobot's
code. A fact that is `needed` has to be confirmed before an arm is trusted with full speed and
torque. Facts that would need a power cycle, a stall or a hot servo are not tried.
"""

from dataclasses import dataclass
from typing import Literal

type Verdict = Literal["confirmed", "contradicted", "unclear", "not tried"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One belief: what it says, where it is from, how it is measured, what is expected."""

    id: str
    text: str
    source: str
    how: str
    predicted: str
    needed: bool = False


JOINT_DIRECTIONS: dict[str, tuple[str, str]] = {
    "shoulder_pan": ("to its right (clockwise, seen from above)", "to its left"),
    "shoulder_lift": ("forward and down", "back and up"),
    "elbow_flex": ("down (the forearm sinks)", "up (the forearm rises)"),
    "wrist_flex": ("down (the hand nods)", "up"),
    "wrist_roll": (
        "counter-clockwise, seen from the base along the arm",
        "clockwise, seen from the base along the arm",
    ),
    "gripper": ("open", "closed"),
}
"""The positive and the negative direction of every joint, from the axes of `so101_new_calib.xml`."""

FACTS: tuple[Fact, ...] = (
    Fact(
        "model",
        "The servos are STS3215 (model 777), all with one firmware.",
        "SRC, DOC",
        "registers 0, 1 and 3 of each servo",
        "777, one version",
        needed=True,
    ),
    Fact(
        "supply",
        "Register 14 tells 7.4 V from 12 V servos, and the brick is that of their kit.",
        "DOC",
        "registers 14, 15 and 62; a person reads the label",
        "12V, 7.4V or 5V, inside the window",
        needed=True,
    ),
    Fact(
        "lock-boot",
        "Lock (55) is 1 after power-on.",
        "FW",
        "register 55, if no program ran since power-on",
        "1",
    ),
    Fact(
        "limp-load",
        "Present_Load is the duty of the output stage: 0 while nothing is driven.",
        "FW",
        "register 60 of the limp arm",
        "0 on every joint",
    ),
    Fact(
        "limp-goal",
        "While torque is off the servo's own goal (67) follows the shaft.",
        "FW",
        "registers 56 and 67 of the limp arm",
        "equal within 4 ticks",
    ),
    Fact(
        "hand",
        "The readings follow a hand that moves the limp arm.",
        "INF",
        "each joint in turn, by hand",
        "8 degrees or more",
    ),
    Fact(
        "usb-2",
        "Reading 2 bytes of six servos takes one USB frame.",
        "REP",
        "200 sync reads of register 56",
        "1.0 ms (0.8 ms on the virtual arm)",
    ),
    Fact(
        "usb-15",
        "Reading the 15 bytes of telemetry of six servos takes two USB frames.",
        "REP",
        "200 telemetry reads",
        "2.0 ms (1.6 ms on the virtual arm)",
    ),
    Fact(
        "replies",
        "A reply that does not come in time is the exception.",
        "REP",
        "replies lost in all ticks of this run",
        "fewer than 1 in 200",
    ),
    Fact(
        "goal-is-torque",
        "Writing a goal turns torque on by itself.",
        "FW",
        "wrist_roll: torque off, goal := present, read register 40",
        "0, then 1",
        needed=True,
    ),
    Fact(
        "48-at-once",
        "Register 48 bounds the torque at once.",
        "DOC, FW",
        "wrist_roll driven 8 degrees off its goal under 48 = 100 and 48 = 400: largest load",
        "at most 100, then more than 150",
        needed=True,
    ),
    Fact(
        "16-not-at-once",
        "Register 16 does nothing until the next power-on.",
        "DOC, FW",
        "wrist_roll driven with 16 = 100 (not kept) and 48 = 400: largest load",
        "more than 150, and 48 reads 400",
    ),
    Fact(
        "off-is-off",
        "A servo whose torque was cut stays limp while no goal comes.",
        "FW",
        "register 40 half a second later",
        "0",
        needed=True,
    ),
    *(
        Fact(
            f"sign-{joint}",
            f"{joint} reads more when it moves {direction}.",
            "INF",
            "moved by hand, or while a person looks; and the reading follows the goal by 3 degrees",
            "as the model has it",
            needed=True,
        )
        for joint, (direction, _) in JOINT_DIRECTIONS.items()
    ),
    Fact(
        "velocity-quantum",
        "Present_Velocity counts in steps of 50 ticks/s.",
        "FW",
        "register 58 while the arm moves",
        "multiples of 50, not all 0",
    ),
    Fact(
        "law",
        "Load = error x P/4 + 16 permille: the firmware's position law.",
        "FW",
        "load and error of joints that hold a weight, still",
        "within 30 permille",
    ),
    Fact(
        "droop",
        "At LeRobot's gains a raised arm hangs a few degrees below its goal.",
        "FW, simulated",
        "goal minus measured in the folded and in the home pose",
        "at most 7 degrees at 12 V, 11 at 7.4 V, 16 at 5 V",
    ),
    Fact(
        "sag",
        "Holding the arm does not pull the supply out of the servos' window.",
        "INF",
        "lowest voltage while the arm moved and held",
        "within 10 % of the voltage at rest",
    ),
    Fact(
        "temperature",
        "The temperature sensors agree with each other.",
        "INF",
        "register 63 of each servo",
        "5 to 50 degrees C, within 20 of each other",
        needed=True,
    ),
    Fact(
        "release",
        "The governed release lets a raised arm down slowly.",
        "FW, simulated",
        "fastest joint while the arm sinks from the folded pose",
        "at most 0.5 rad/s (0.31 in simulation)",
        needed=True,
    ),
)

BY_ID = {fact.id: fact for fact in FACTS}
