"""The plant's table against the one LeRobot ships: two independent transcriptions must agree."""

import pytest

from sim.plant import registers as reg

LEROBOT_NAMES = {
    "firmware_major": "Firmware_Major_Version",
    "firmware_minor": "Firmware_Minor_Version",
    "return_delay": "Return_Delay_Time",
    "velocity_p": "Velocity_closed_loop_P_proportional_coefficient",
    "velocity_i": "Velocity_closed_loop_I_integral_coefficient",
    "over_current_time": "Over_Current_Protection_Time",
    "moving_threshold": "Moving_Velocity_Threshold",
    "derivative_time": "DTs",
    "velocity_unit_factor": "Velocity_Unit_factor",
    "minimum_velocity": "Hts",
    "maximum_velocity": "Maximum_Velocity_Limit",
    "acceleration_multiplier": "Acceleration_Multiplier ",
    "profile_velocity": "Goal_Position_2",
    "id": "ID",
    "cw_dead_zone": "CW_Dead_Zone",
    "ccw_dead_zone": "CCW_Dead_Zone",
    "led_alarm_condition": "LED_Alarm_Condition",
}
OURS_ALONE = {"integral_limit", "asynchronous_write", "interpolated_goal"}
SIZES_THAT_DIFFER = {"minimum_startup_force"}  # register 25 is a limit of its own in the firmware


def test_the_table_agrees_with_lerobots() -> None:
    tables = pytest.importorskip("lerobot.motors.feetech.tables")
    theirs = tables.STS_SMS_SERIES_CONTROL_TABLE
    for register in reg.TABLE:
        if register.name in OURS_ALONE:
            continue
        title = "_".join(part.capitalize() for part in register.name.split("_"))
        address, size = theirs[LEROBOT_NAMES.get(register.name, title)]
        assert register.address == address, register.name
        if register.name not in SIZES_THAT_DIFFER:
            assert register.size == size, register.name
    for name, bit in tables.STS_SMS_SERIES_ENCODINGS_TABLE.items():
        ours = reg.BY_NAME.get(name.lower())
        if ours is not None:
            assert ours.sign_bit == bit, name


def test_registers_do_not_overlap() -> None:
    taken = [a for r in reg.TABLE for a in range(r.address, r.address + r.size)]
    assert len(taken) == len(set(taken))
    assert max(taken) <= reg.LAST_READABLE
