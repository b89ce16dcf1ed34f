"""When the screen itself breaks: a report in a file, three sentences on a restored terminal, the
robot untouched.

The last ten reports are kept, so that a crash loop cannot push out the first evidence unread in an
afternoon."""

import platform
import time
import traceback
from importlib.metadata import version
from pathlib import Path

from robotd.errors import RobotdError
from robotd.paths import state_dir

KEPT = 10


class ScreenCrashError(RobotdError):
    """The screen met a defect of its own."""


def write_report(error: BaseException, context: str, folder: Path | None = None) -> Path:
    """Write the traceback and `context` to a new file and return it; of older ones nine stay."""
    target = (folder or state_dir()) / "tui-crashes"
    target.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    path = target / f"{stamp}-{time.monotonic_ns()}.txt"
    lines = [
        f"robotd tui crashed at {stamp}",
        f"python {platform.python_version()}, textual {version('textual')}, {platform.platform()}",
        context,
        "",
        *traceback.format_exception(error),
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    for old in sorted(target.glob("*.txt"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def crashed(error: BaseException, report: Path) -> ScreenCrashError:
    """The error for the person in front of the terminal."""
    return ScreenCrashError(
        f"The screen stopped: {type(error).__name__}: {error}",
        "A defect of the screen; the robot goes on without it and was told nothing.",
        f"Start it again: robotd tui. To stop the arm: robotd estop, or the plug. Report: {report}",
    )
