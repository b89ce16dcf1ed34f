"""Numbers that a person types, judged where they are typed: `nan`, 0 episodes or -3 seconds are a
mistyped option and not a session."""

import argparse
import math
import re


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


def picture_size(text: str) -> tuple[int, int]:
    """Width and height in pixels, written 128x96, for argparse. Even, as video has it, and 16 or more."""
    said = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    size = (int(said[1]), int(said[2])) if said else (0, 0)
    if min(size) < 16 or size[0] % 2 or size[1] % 2:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size of a picture: WIDTHxHEIGHT in even pixels, like 128x96"
        )
    return size
