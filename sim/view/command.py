"""See a running robot: the twin posed from measured joints, the cameras and the state.

In a terminal the picture is drawn there until q or Ctrl-C; SPACE stops it, LEFT and RIGHT step
through the last 500 pictures, R goes back to now. The green line is the way on which the newest plan
takes the fingertips (red: refused), blue are the plans before it, orange is the way that was gone.
With --mp4 FILE it is also written to a file that plays anywhere. Watching never moves the arm.
"""

import argparse
import contextlib
import math
import sys
import time
from pathlib import Path

from robotd.client import Robot
from robotd.errors import DaemonError
from robotd.messages import Status
from sim.view.compose import Caption, compose, state_words
from sim.view.history import KEYS, History
from sim.view.live import LiveView
from sim.view.seen import Seen
from sim.view.terminal import Canvas
from sim.view.video import Mp4Writer

_LAST_LINE = "software stop: robotd estop (the plug is the emergency stop)"
_SHARE = 0.5
"""Part of one core that looking may take: a picture that took t to draw is followed by t of rest.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--name", help="which robot, when several run (or $ROBOTD_NAME)")
    parser.add_argument("--mp4", type=Path, metavar="FILE", help="also write a video")
    parser.add_argument("--seconds", type=_more_than_nothing, help="end after this long")
    parser.add_argument(
        "--fps", type=_more_than_nothing, default=10.0, help="pictures a second (10)"
    )
    parser.add_argument("--pretty", action="store_true", help="shadows and smooth edges (slower)")
    parser.add_argument("--quiet", action="store_true", help="no picture in the terminal")


def _more_than_nothing(text: str) -> float:
    value = float(text)
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not more than 0")
    return value


def run(args: argparse.Namespace) -> int:
    """Look until q, Ctrl-C or the time is over."""
    show = sys.stdout.isatty() and not args.quiet
    if not show and args.mp4 is None:
        raise DaemonError(
            "There is nowhere to show the picture.",
            "The output is not a terminal and no file was named.",
            "Name a file: robotd view --mp4 FILE --seconds 10",
        )
    with Robot.connect(args.name) as robot, contextlib.ExitStack() as stack:
        view = LiveView(robot.runtime, robot.instance, pretty=args.pretty)
        stack.callback(view.close)
        video = stack.enter_context(Mp4Writer(args.mp4)) if args.mp4 else None
        canvas = stack.enter_context(Canvas()) if show else None
        with contextlib.suppress(KeyboardInterrupt):
            _look(robot, view, video, canvas, args)
    if video is not None:
        sys.stdout.write(f"{video.path}: {video.pictures} pictures\n")
    return 0


def _look(
    robot: Robot,
    view: LiveView,
    video: Mp4Writer | None,
    canvas: Canvas | None,
    args: argparse.Namespace,
) -> None:
    begun_s = time.monotonic()
    status: Status | None = None
    history: History[Seen] = History()
    while args.seconds is None or time.monotonic() - begun_s < args.seconds:
        at_s = time.monotonic()
        status = robot.watch(timeout_s=0.0) or status
        now = view.moment(status)
        history.add(now)
        if video is not None:
            video.add(compose(*view.drawn(now)), at_s)
        if canvas is not None:
            shown = history.shown or now
            twin, cameras, caption = view.drawn(shown)
            bare = compose(twin, cameras, caption, captions=False)
            canvas.show(bare, _words(caption, history.back), f"{KEYS}   {_LAST_LINE}")
            while key := canvas.pressed():
                if not history.press(key) and key in ("q", "Q", "\x1b"):
                    return
        elif video is not None and video.pictures % 50 == 0:
            sys.stderr.write(f"{video.path}: {at_s - begun_s:.0f} s\n")
        took_s = time.monotonic() - at_s
        time.sleep(max(1.0 / args.fps - took_s, took_s * (1 / _SHARE - 1), 0.0))


def _words(caption: Caption, back: int | None) -> str:
    words = state_words(caption)
    return words if back is None else f"PAUSED, {back} pictures ago   {words}"
