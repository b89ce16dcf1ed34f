"""The queue in words for a terminal. Pure but for the local time of day."""

import time
from collections.abc import Iterator

from robotd.uploading import FINAL, Upload, Uploads

_MB = 1e6


def lines(state: Uploads, running: bool) -> Iterator[str]:
    """The queue, a few lines an upload."""
    if not state.uploads:
        yield "Nothing was queued. Queue a dataset: robotd upload NAME (robotd dataset list)."
        return
    if state.paused:
        yield "Paused: robotd upload resume."
    for each in state.uploads:
        yield f"{each.name} → {each.repo or '(your account)'}: {_how_far(each, state)}"
        if each.state not in ("done", "cancelled") and each.what:
            yield f"  {each.what}"
            yield f"  likely: {each.likely}"
            yield f"  do:     {each.do}"
        elif each.state == "done":
            yield f"  {each.url}"
    unfinished = any(each.state not in FINAL for each in state.uploads)
    if unfinished and not running and not state.paused:
        yield "The uploader does not run; robotd upload retry starts it."


def _how_far(each: Upload, state: Uploads) -> str:
    match each.state:
        case "waiting":
            clock = time.strftime("%H:%M:%S", time.localtime(each.next_try_wall_s))
            return f"waiting, next try at {clock} (try {each.attempt + 1})"
        case "refused":
            return "needs you"
        case "done":
            clock = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.finished_wall_s))
            return f"done {clock}, {each.episodes} episodes in {each.files} files, verified"
        case "sending" | "committing":
            left = f"{each.files_left} files, {each.bytes_left / _MB:.1f} MB left"
            rate = f", {state.rate_bytes_s / _MB:.2f} MB/s"
            held = ", held: the arm moves" if state.arm_moves else ""
            return f"{each.state}, {left}{rate}{held}"
    return each.state
