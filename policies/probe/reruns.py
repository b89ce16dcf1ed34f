"""Mistakes that can only be taken back by showing the model something else, and inputs exchanged.

Each variant is a change of the moment that is shown and, where the same units come out again, of
what is said. The rerun itself is the asker's; here is only what to change. Pure.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from policies.border import IMAGES, STATE
from policies.probe.asking import Change, Values
from policies.probe.samples import Array, Samples
from policies.probe.undo import HALF_RANGES_DEG

_DEG = 180.0 / math.pi
_MOST_CAMERAS = 3  # of which every order is tried; of more, every exchange of two

Spoken = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Variant:
    """One mistake: what to show instead, and how what is then said is to be read."""

    cause: str
    detail: str
    change: Change
    read: Spoken | None = None


def variants(
    samples: Samples,
    cameras: Mapping[str, tuple[int, int]],
    state: Mapping[str, Array],
    *,
    reads_state: bool,
) -> list[Variant]:
    """Every mistake worth a rerun, the likeliest first.

    `cameras` are those that the model looks through, by the recording's keys, with their sizes;
    `state` the statistics of the recorded state (`mean`, `std`).
    """
    found = [*_swaps(cameras)]
    if reads_state and samples.state is not None:
        found += _states(samples, state)
    found += _turned(tuple(cameras))
    return found


def _swaps(cameras: Mapping[str, tuple[int, int]]) -> list[Variant]:
    keys = tuple(cameras)
    if len(keys) <= _MOST_CAMERAS:
        orders = [list(each) for each in itertools.permutations(keys) if each != keys]
    else:
        orders = []
        for a, b in itertools.combinations(range(len(keys)), 2):
            order = list(keys)
            order[a], order[b] = order[b], order[a]
            orders.append(order)
    found = []
    for order in orders:
        if any(cameras[a] != cameras[b] for a, b in zip(keys, order, strict=True)):
            continue  # of another size: it would not even be taken
        pairs = dict(zip(keys, order, strict=True))
        words = ", ".join(f"{_name(a)} shown {_name(b)}" for a, b in pairs.items() if a != b)
        found.append(Variant("cameras-swapped", words, _taking(pairs)))
    return found


def _name(key: str) -> str:
    return key.removeprefix(IMAGES)


def _taking(pairs: Mapping[str, str]) -> Change:
    def change(values: Values) -> Values:
        return {**values, **{to: values[source] for to, source in pairs.items()}}

    return change


def _turned(cameras: tuple[str, ...]) -> list[Variant]:
    def on(keys: Sequence[str], turn: Callable[[Array], Array]) -> Change:
        def change(values: Values) -> Values:
            turned = {key: np.ascontiguousarray(turn(values[key])) for key in keys}
            return {**values, **turned}

        return change

    found = []
    for keys in [*((key,) for key in cameras), *([cameras] if len(cameras) > 1 else [])]:
        words = ", ".join(_name(key) for key in keys)
        found.append(
            Variant("pictures-turned", f"{words} upside down", on(keys, lambda p: p[::-1, ::-1]))
        )
    if cameras:
        found.append(
            Variant(
                "pictures-turned", "blue and red exchanged", on(cameras, lambda p: p[..., ::-1])
            )
        )
    return found


def _states(samples: Samples, state: Mapping[str, Array]) -> list[Variant]:
    body, grippers = list(samples.body), list(samples.grippers)
    found = []

    def scaled(factor: Array | float, joints: list[int]) -> Change:
        def change(values: Values) -> Values:
            moved = values[STATE].copy()
            moved[joints] = moved[joints] * factor
            return {**values, STATE: moved}

        return change

    def read(factor: Array | float) -> Spoken:
        def spoken(said: Array) -> Array:
            found = said.copy()
            found[..., body] = found[..., body] * factor
            return found

        return spoken

    for half in HALF_RANGES_DEG:
        if body and len(body) % len(half) == 0:
            ranges = np.tile(half, len(body) // len(half)) / 100.0
            words = "it hears and speaks LeRobot's ±100, the recording is in degrees"
            found.append(Variant("units", words, scaled(1.0 / ranges, body), read(ranges)))
            words = "it hears and speaks degrees, the recording is in LeRobot's ±100"
            found.append(Variant("units", words, scaled(ranges, body), read(1.0 / ranges)))
    for words, factor in (("radians", 1.0 / _DEG), ("degrees", _DEG)):
        other = "degrees" if words == "radians" else "radians"
        both = f"it hears and speaks {words}, the recording is in {other}"
        found.append(Variant("units", both, scaled(factor, body), read(1.0 / factor)))
        found.append(
            Variant(
                "state-units", f"its state in {words}, recorded in {other}", scaled(factor, body)
            )
        )
    if grippers:
        found += _gripper_states(samples, grippers)
    if "mean" in state and "std" in state and (state["std"] > 1e-9).all():

        def normalised(values: Values) -> Values:
            told = (values[STATE] - state["mean"]) / state["std"]
            return {**values, STATE: told.astype(np.float32)}

        words = "shown the state normalised by the recording's statistics"
        found.append(Variant("state-un-normalised", words, normalised))
    return found


def _gripper_states(samples: Samples, grippers: list[int]) -> list[Variant]:
    full = 1.0 if np.nanmax(samples.done[..., grippers]) <= 1.5 else 100.0

    def change(values: Values) -> Values:
        moved = values[STATE].copy()
        moved[grippers] = full - moved[grippers]
        return {**values, STATE: moved}

    def read(said: Array) -> Array:
        turned = said.copy()
        turned[..., grippers] = full - turned[..., grippers]
        return turned

    return [
        Variant("polarity", "the gripper is turned round in what it hears and says", change, read),
        Variant("polarity", "the gripper is turned round in what it hears", change),
    ]
