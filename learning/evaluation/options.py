"""Which option of `robotd eval` means something where: what would be ignored is refused by name. Pure.

An option that is taken and not played is worse than none: two variants that differ by it alone are then compared, and
are the same.
"""

import argparse
from typing import Any

from robotd.errors import StateError

_PLANT, _GYM, _LIBERO, _ARM = "plant", "gym", "libero", "arm"
_GYMS = (_GYM, _LIBERO)

# attribute of the arguments: the value that says nothing, and where it means something
_POLICYS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "fps": (None, (_PLANT, _ARM)),
    "units": ("", (_PLANT, _ARM)),
    "n_action_steps": (None, (_PLANT, *_GYMS, _ARM)),
    "mode": ("", (_PLANT, _ARM)),
    "ensemble": ("", (_PLANT, _ARM)),
    "rename": (None, (_PLANT, *_GYMS, _ARM)),
    "embodiment": ("", (_PLANT, *_GYMS, _ARM)),
    "tokenizer": ("", (_PLANT, *_GYMS, _ARM)),
    "backend": ("", (_PLANT, *_GYMS, _ARM)),
    "time_scale": (1.0, (_PLANT, _ARM)),
    "gripper_bias": (0.0, (_PLANT, _ARM)),
    "gripper_clip": ("", (_PLANT, _ARM)),
    "latency_ms": (None, (_PLANT,)),
}
_OTHERS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "task": ("block_in_bowl", (_PLANT, _ARM)),
    "first_seed": (0, (_PLANT, *_GYMS)),
    "grid": (None, (_PLANT,)),
    "grid_half_m": (None, (_PLANT,)),
    "picture_size": (None, (_PLANT,)),
    "video": ("failures", (_PLANT, *_GYMS)),
    "workers": (None, (_PLANT, *_GYMS)),
    "ray": (None, (_PLANT, *_GYMS)),
    "seconds": (None, (_ARM,)),
    "name": (None, (_ARM,)),
    "suite": ("libero_10", (_LIBERO,)),
    "task_ids": (None, (_LIBERO,)),
    "relaxed": (False, (_LIBERO,)),
}

_WHY = {
    _PLANT: "It belongs to --arm or to --env, and neither was said.",
    _GYM: "A gym waits for the policy: chunk after chunk is played as it is, at the gym's own rate, "
    "in its own units and pictures.",
    _ARM: "A person lays the things out, and the arm's cameras and time are its own.",
}
_INSTEAD = {
    _PLANT: "Leave it out, or say --arm or --env.",
    _GYM: "Leave it out; the plant (without --env) plays it.",
    _ARM: "Leave it out; the plant (without --arm) plays it.",
}


def refuse_meaningless(args: argparse.Namespace) -> None:
    """Raise StateError naming every option that was given and would decide nothing."""
    if args.arm and args.env:
        raise StateError(
            f"--arm and --env {args.env} were said at once.",
            "An evaluation is played in one place.",
            "Say one of them.",
        )
    place = _ARM if args.arm else _PLANT
    where = "--arm" if args.arm else "the plant"
    if args.env:
        place, where = (_LIBERO if args.env == "libero" else _GYM), f"--env {args.env}"
    own = _POLICYS | _OTHERS
    if found := _given(args, [name for name, (_, places) in own.items() if place not in places]):
        kind = _GYM if place == _LIBERO else place
        raise _refused(found, f"in {where}" if place == _PLANT else f"with {where}", kind)
    if args.source and (found := _given(args, list(_POLICYS))):
        raise StateError(
            f"{_listed(found)} says nothing to --source {args.source}.",
            "It is of a policy, and nobody's policy is played.",
            "Leave it out, or give a --policy.",
        )


def _given(args: argparse.Namespace, names: list[str]) -> list[str]:
    return [name for name in names if _says(getattr(args, name), (_POLICYS | _OTHERS)[name][0])]


def _says(value: Any, silent: Any) -> bool:
    """Whether it is more than the default; two values are a comparison, whatever they are."""
    values = value if isinstance(value, list) else [value]
    return len(values) > 1 or any(each not in (silent, None) for each in values)


def _refused(names: list[str], where: str, kind: str) -> StateError:
    return StateError(f"{_listed(names)} decides nothing {where}.", _WHY[kind], _INSTEAD[kind])


def _listed(names: list[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
