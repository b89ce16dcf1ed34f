"""Telling 7.4 V from 12 V servos by what they say."""

import pytest

from drivers.so101 import VoltageReading
from drivers.variant import VARIANTS, identify


def six(maximum_v: float, present_v: float) -> list[VoltageReading]:
    return [VoltageReading(f"joint {i}", i, present_v, 4.0, maximum_v) for i in range(1, 7)]


@pytest.mark.parametrize(
    ("maximum_v", "present_v", "name"),
    [(14.0, 12.1, "12V"), (8.0, 7.4, "7.4V"), (8.0, 5.0, "5V"), (8.0, 4.8, "5V")],
)
def test_the_kit_is_known_by_its_highest_voltage_and_its_brick(
    maximum_v: float, present_v: float, name: str
) -> None:
    found = identify(six(maximum_v, present_v))
    assert found.variant is VARIANTS[name]
    assert not found.outside and not found.weak


def test_twelve_volts_on_weak_servos_is_said_of_every_one_of_them() -> None:
    found = identify(six(8.0, 12.0))
    assert len(found.outside) == 6
    assert "joint 1 sees 12.0 V, its limits are 4.0…8.0 V" in found.outside[0]


def test_strong_servos_on_a_weak_brick_are_a_warning_with_both_numbers() -> None:
    found = identify(six(14.0, 7.4))
    assert found.variant is VARIANTS["12V"]
    assert "12V" in found.weak and "7.4 V" in found.weak


def test_two_kinds_on_one_wire_are_no_kit() -> None:
    assert identify([*six(14.0, 7.4)[:5], *six(8.0, 7.4)[5:]]).variant is None
