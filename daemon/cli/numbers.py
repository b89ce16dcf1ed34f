"""Numbers that a person types, judged where they are typed: `nan`, 0 episodes or -3 seconds are a
mistyped option and not a session."""

import argparse
import math


def positive_number(text: str) -> float:
    """A finite number above 0, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def positive_count(text: str) -> int:
    """A whole number of 1 or more, for argparse."""
    number = positive_number(text)
    if number != int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(number)
