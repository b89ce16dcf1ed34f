"""A person's afternoon at the keys: fifty episodes in a row, through a real terminal.

`robotd record --auto` runs in a terminal of its own, against the simulated arm with its leader and
two cameras of 640x480 at 30 Hz (see `drivers.cameras.synthetic`). The person presses Space once,
and after that one key for each episode: → when the line at the bottom says that it is long enough.
The next one begins by itself when the reset is over. What is measured is the time from that Space
to the last episode's word, against the sum of all episodes and resets.
"""

import argparse
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from typing import Any

from bench.machine import describe
from bench.rig import NAME, Rig, rig
from daemon.cli.numbers import positive_count, positive_number
from daemon.cli.start import start_daemon, stop_daemon
from robotd.errors import DaemonError

LIMIT = 1.02
"""The session's time over the sum of its episodes and resets."""

_PATIENCE_S = 120.0  # arming, the last episodes' publishing
_SUMMARY = 1 << 20  # characters: what it says of fifty flagged episodes is long
_SPACE, _KEEP = b" ", b"\x1b[C"
_READY = "Space starts"
_RECORDING = re.compile(r"REC (\d+\.\d)")
_KEPT = re.compile(r"kept: (\d+) frames")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--episodes", type=positive_count, default=50)
    parser.add_argument("--episode-seconds", type=positive_number, default=10.0)
    parser.add_argument("--reset-seconds", type=positive_number, default=5.0)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    machine = describe()
    with rig() as place:
        report = {"machine": machine} | _session(
            place, args.episodes, args.episode_seconds, args.reset_seconds
        )
    print(json.dumps(report) if args.json else "\n".join(table(report)))
    return 0 if report["good"] else 1


def judge(
    episodes: int, episode_s: float, reset_s: float, took_s: float, summary: dict[str, Any]
) -> dict[str, Any]:
    """How a session of `took_s` seconds went by what it was to be and by `record`'s own summary.

    `took_s` is that of all episodes and resets, the last one's reset counted though nobody waits for
    it. `good`: nothing was lost, and it took at most `LIMIT` times their sum.
    """
    sum_s = episodes * (episode_s + reset_s)
    ratio = took_s / sum_s
    whole = summary["kept"] == summary["published"] == episodes
    return {
        "episodes": episodes,
        "episode_s": episode_s,
        "reset_s": reset_s,
        "took_s": round(took_s, 3),
        "sum_s": sum_s,
        "ratio": round(ratio, 4),
        "kept": summary["kept"],
        "published": summary["published"],
        "flagged": len(summary["flagged"]),
        "good": whole and ratio <= LIMIT,
    }


def table(report: dict[str, Any]) -> list[str]:
    """The report for people, and for the page."""
    return [
        f"{report['episodes']} episodes of {report['episode_s']:g} s with resets of "
        f"{report['reset_s']:g} s took {report['took_s']:.1f} s where their sum is "
        f"{report['sum_s']:g} s ({report['ratio']:.3f}, at most {LIMIT:g}); {report['keys']} keys, "
        f"{report['frames']} frames, {report['published']} of {report['kept']} episodes in the "
        f"dataset {report['saved_after_s']:.1f} s after the last key."
    ]


def _session(place: Rig, episodes: int, episode_s: float, reset_s: float) -> dict[str, Any]:
    camera = {"device": "synthetic", "width": 640, "height": 480, "fps": 30}
    file = place.folder / f"{NAME}.yaml"
    settings = {
        "extends": "so101-sim",
        "name": NAME,
        "cameras": {"overhead": camera, "wrist": camera},
        "recording": {"fps": 30},
    }
    file.write_text(json.dumps(settings))
    print("starting the daemon with its body in MuJoCo", file=sys.stderr, flush=True)
    start_daemon(NAME, simulated=True, config=str(file))
    try:
        person = _Person(episodes, reset_s)
        try:
            took_s = person.record(episode_s)
            summary = person.finish()
        finally:
            person.leave()
    finally:
        stop_daemon(NAME)
    return judge(episodes, episode_s, reset_s, took_s, summary) | {
        "keys": person.keys,
        "frames": person.frames,
        "saved_after_s": round(person.saved_after_s, 3),
    }


class _Person:
    """Somebody at a terminal with `robotd record` in it, who reads the screen and presses keys."""

    def __init__(self, episodes: int, reset_s: float) -> None:
        self._episodes = episodes
        self._reset_s = reset_s
        self.keys = self.frames = 0
        self.saved_after_s = 0.0
        self._said = ""
        self._ended_s = 0.0
        self._terminal, screen = pty.openpty()
        command = [sys.executable, "-m", "daemon.cli.main", "record", "--name", NAME, "--yes"]
        command += ["--task", "pace", "--episodes", str(episodes), "--auto", "--json"]
        command += ["--reset-seconds", f"{reset_s:g}", "--sound", "off"]
        self._process = subprocess.Popen(
            command, stdin=screen, stdout=screen, stderr=screen, start_new_session=True
        )
        os.close(screen)

    def record(self, episode_s: float) -> float:
        """All episodes; the seconds from the first Space to the end of the last reset.

        The last episode's reset is counted as if another followed.
        """
        self._until(_READY)
        began_s = time.monotonic()
        self._press(_SPACE)
        for number in range(self._episodes):
            while self._elapsed_s() < episode_s:
                self._read_on()
            self._said = ""
            self._press(_KEEP)
            while (kept := _KEPT.search(self._said)) is None:
                self._read_on()
            self.frames += int(kept.group(1))
            done = f"{number + 1} of {self._episodes} kept, {time.monotonic() - began_s:.0f} s"
            print(done, file=sys.stderr, flush=True)
        self._ended_s = time.monotonic()
        return self._ended_s - began_s + self._reset_s

    def finish(self) -> dict[str, Any]:
        """What `record` says of the session when everything is in the dataset."""
        while self._look(keep=_SUMMARY):
            pass
        self._process.wait(_PATIENCE_S)
        self.saved_after_s = time.monotonic() - self._ended_s
        found = re.findall(r"^\{.*\}\s*$", self._said, re.MULTILINE)
        if not found:
            raise self._stuck()
        summary: dict[str, Any] = json.loads(found[-1])
        return summary

    def leave(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(_PATIENCE_S)
        os.close(self._terminal)

    def _press(self, key: bytes) -> None:
        self.keys += 1
        os.write(self._terminal, key)

    def _elapsed_s(self) -> float:
        shown = _RECORDING.findall(self._said)
        return float(shown[-1]) if shown else 0.0

    def _until(self, words: str) -> None:
        while words not in self._said:
            self._read_on()

    def _read_on(self) -> None:
        if not self._look():
            raise self._stuck()

    def _look(self, keep: int = 4000) -> bool:
        """Read on. False: the program has ended. Raises DaemonError when nothing comes any more."""
        readable, _, _ = select.select([self._terminal], [], [], _PATIENCE_S)
        if not readable:
            raise self._stuck()
        try:
            read = os.read(self._terminal, 65536)
        except OSError:  # how a pty says that nobody is at its other end
            read = b""
        self._said = (self._said + read.decode(errors="replace"))[-keep:]
        return bool(read)

    def _stuck(self) -> DaemonError:
        return DaemonError(
            "The recording session did not go on.",
            f"Its last words: {self._said[-400:]!r}",
            "Run the same by hand: robotd start --sim, then robotd record --task pace --auto.",
        )
