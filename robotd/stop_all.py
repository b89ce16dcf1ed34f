"""Pressing every software e-stop of this user, and looking whether control followed.

A press needs no living supervisor: control polls the counter itself, and the case that matters most
is an arm that control holds while everything above it is gone. So nothing here asks who runs; every
counter there is gets pressed, each on its own, and what tells success is control's own tick.

This is not an emergency stop. The plug is.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from robotd import messages
from robotd.estop import FILE_NAME, EstopCounter
from robotd.layouts import tick_layout
from robotd.shm import LayoutError, RingReader
from robotd.states import State

WATCH_S = 0.3  # 36 ticks: control polls the counter in each
_POLL_S = 0.01
_JOINTS = (6, 12)  # one arm or two
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Press:
    """What came of one press. `state` is control's, None when it did not follow; `error` says why
    the counter itself could not be pressed."""

    name: str
    state: State | None
    error: str = ""


def counters(roots: Sequence[Path], name: str | None = None) -> list[Path]:
    """The runtime folders under `roots` that have a counter, of the robot `name` or of all.

    A folder from before the machine was started last has no process behind it and is left out.
    """
    found: list[Path] = []
    for root in roots:
        try:
            folders = sorted(file.parent for file in root.glob(f"*/{FILE_NAME}"))
        except OSError:
            continue  # the folder of another session, or one that just went away
        found += [each for each in folders if name in (None, each.name) and _of_this_boot(each)]
    return found


def press_all(
    folders: Sequence[Path], sleep: Callable[[float], None] = time.sleep, watch_s: float = WATCH_S
) -> list[Press]:
    """Press each counter, then watch for up to `watch_s` which controls follow. Never raises for
    one of them: the others are pressed all the same."""
    errors: dict[Path, str] = {}
    wanted: dict[Path, int] = {}
    for folder in folders:
        try:
            counter = EstopCounter(folder)
            wanted[folder] = counter.press()
            counter.close()
        except (OSError, ValueError) as error:  # ValueError: a counter that was cut to nothing
            errors[folder] = str(error)
    followed: dict[Path, State] = {}
    end_s = time.monotonic() + watch_s
    while len(followed) < len(wanted):
        for folder, presses in wanted.items():
            state = _follows(folder, presses)
            if state is not None:
                followed[folder] = state
        if time.monotonic() >= end_s:
            break
        sleep(_POLL_S)
    return [Press(each.name, followed.get(each), errors.get(each, "")) for each in folders]


def _follows(folder: Path, presses: int) -> State | None:
    """The state in control's newest tick, when that tick has seen the press."""
    for joints in _JOINTS:
        try:
            reader = RingReader(folder / "ticks", tick_layout(joints))
        except LayoutError:
            continue
        except (OSError, ValueError):
            return None
        tick = reader.latest()
        reader.close()
        return State(tick["state"]) if tick and tick["estop_presses"] >= presses else None
    return None


def _of_this_boot(folder: Path) -> bool:
    try:
        instance = messages.decode_instance((folder / messages.INSTANCE_FILE).read_bytes())
        return instance.boot_id in ("", _BOOT_ID.read_text().strip())
    except (OSError, msgspec.DecodeError):
        return True  # not known: it is pressed
