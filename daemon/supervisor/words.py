"""Faults in words for the person at the robot: what it means, and what to do now."""

from robotd.states import Fault

_WORDS: dict[Fault, tuple[str, str]] = {
    Fault.BUS_LOST: (
        "no servo answers in time",
        "Check the adapter's USB plug and the servo power; the port reopens by itself. Then clear. "
        "An adapter slower than control.read_deadline_ms looks the same.",
    ),
    Fault.SERVO_LOST: (
        "{joint} does not answer",
        "Check the cable into that servo and the one before it. Then clear.",
    ),
    Fault.SERVO_REBOOTED: (
        "{joint} lost its torque: it rebooted or its supply broke down",
        "Support the arm, check the power plug and supply, then clear and arm again.",
    ),
    Fault.SERVO_STATUS: (
        "{joint} reports an electrical fault",
        "Let the arm down (disarm), power the servos off and on, then clear.",
    ),
    Fault.OVERHEATED: (
        "{joint} is too hot",
        "Disarm and let it cool below 50 °C; is something jammed or held for long?",
    ),
    Fault.STALLED: (
        "{joint} pushes against something",
        "Free what it pushes against, then clear. The arm holds with bounded torque.",
    ),
    Fault.ARMING_FAILED: (
        "arming broke off",
        "See the arming list for the line that failed, mend it, clear, and arm again.",
    ),
    Fault.TWIN_DIVERGED: (
        "arm and model do not agree at {joint}",
        "Is something in the way or held? Is the calibration this arm's? Then clear.",
    ),
    Fault.COLLISION: (
        "the arm meets something at {joint}",
        "Free the arm, then clear. It holds with bounded torque meanwhile.",
    ),
    Fault.SLIPPED: (
        "{joint} moved without being driven",
        "Is its horn screwed tight, did somebody push it? Look, then clear.",
    ),
    Fault.JOINT_SIGN: (
        "{joint} moves against its goals",
        "The servo was built in turned around, or its Phase register (18) turns its drive: disarm, "
        "put that right, run lerobot-calibrate, then clear.",
    ),
    Fault.SWAPPED_ARM: (
        "the joints do not move as this arm's should",
        "Are two arms or two cables swapped? Compare port and id in the configuration, then clear.",
    ),
    Fault.ENCODER: (
        "{joint} tells positions that it cannot be at",
        "Its encoder jumped or counts turns: look where the joint is, cut the servo power and give "
        "it back, then clear and arm. If it stays, the magnet or the servo is broken.",
    ),
    Fault.SUPPLY_VOLTAGE: (
        "the supply voltage at {joint} left the servos' window",
        "Check the supply's label (7.4 V and 12 V kits differ), its plug and its cable, then clear.",
    ),
}

CONTROL_DIED = (
    "the control process died while it held the arm; the servos keep their last goal",
    "Support the arm or leave the power on; `robotd clear` starts control again without moving, "
    "then disarm lets the arm down slowly. The plug drops it.",
)
CONTROL_DIED_UNKNOWN = (
    "the control process died before its first tick; whether the arm is stiff is not known",
    "Look: robotd logs control. `robotd clear` starts control again without moving; then disarm "
    "lets a stiff arm down slowly.",
)
CONTROL_ENDED_LIMP = (
    "the control process ended while the arm was limp",
    "It is started again by itself unless it ends too often; then: robotd logs control, and "
    "robotd clear.",
)
CONTROL_SILENT = (
    "control is silent; the servos keep their last goal and torque",
    "No software can release them now: support the arm and pull the plug of the servo supply. "
    "Then: robotd stop, robotd logs control.",
)


def fault_words(fault: Fault, joint: str | None) -> tuple[str, str]:
    """What happened and what to do; empty for no fault. `joint` None: not one joint."""
    if fault is Fault.NONE:
        return "", ""
    what, do = _WORDS[fault]
    return what.format(joint=joint or "a joint"), do
