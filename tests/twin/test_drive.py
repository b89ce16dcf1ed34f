"""The twin's servos against those of plant and drivers, which share no table with it."""

import math

import numpy as np
import pytest

from config.loader import load
from drivers.variant import VARIANTS
from sim.model.arm import POSITION_GAIN_NM_PER_RAD
from sim.model.scene import ArmPlacement
from sim.plant.lockstep import LockStepPlant
from sim.plant.options import PlantOptions
from sim.twin.apply import TwinBody
from sim.twin.drive import DRIVES, drives

HOME_RAD = tuple(math.radians(angle) for angle in load(simulated=True).config.poses.home_deg)


def test_the_twins_servos_are_those_of_the_drivers_and_of_the_plant() -> None:
    assert set(DRIVES) == set(VARIANTS)
    for name, drive in DRIVES.items():
        assert drive.stall_nm == pytest.approx(VARIANTS[name].stall_nm)
        assert drive.no_load_rad_s == pytest.approx(VARIANTS[name].no_load_rad_s)
        plant = LockStepPlant(PlantOptions(leader=False, plant_seed=None, supply=name))  # type: ignore[arg-type]
        arm = plant.world.arm("follower")
        servo = arm.servos[1].variant
        assert servo.torque_nm(1.0, arm.supply.open_circuit_v) == pytest.approx(drive.stall_nm)
    assert DRIVES["12V"].gain_nm_per_rad == pytest.approx(POSITION_GAIN_NM_PER_RAD, rel=0.01)


def test_a_weaker_kit_hangs_lower_by_as_much_as_its_torque_is_less() -> None:
    strong = TwinBody((ArmPlacement(),)).sag_rad(HOME_RAD)
    weak = TwinBody((ArmPlacement(),), drives=(DRIVES["5V"],)).sag_rad(HOME_RAD)
    heavy = np.abs(strong) > 0.01
    ratio = DRIVES["12V"].stall_nm / DRIVES["5V"].stall_nm
    assert heavy.sum() >= 2
    assert weak[heavy] / strong[heavy] == pytest.approx(ratio)


def test_an_arm_of_which_nobody_said_otherwise_is_taken_for_twelve_volts() -> None:
    assert drives(load(simulated=True).config) == (DRIVES["12V"],)
