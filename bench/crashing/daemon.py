"""The processes of a whole daemon, killed in turn while it records: real processes, real time.

The daemon is started as anybody starts it, with its body in MuJoCo. One episode is kept, a second
one runs when the victim dies. Then everything is ended, recovered as a new start does it, and read
with LeRobot.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from bench.crashing.chain import Kill
from bench.crashing.check import Reader, frames_in
from bench.crashing.ledger import LOST_ROWS
from bench.rig import NAME, Rig, rig
from bench.robotd_side import sway_about_here
from daemon.cli.session import ARMING_TIMEOUT_S
from daemon.cli.start import start_daemon, stop_daemon
from daemon.recorder.catalog import dataset_root
from daemon.recorder.session import Session
from daemon.recorder.stored import EVIDENCE
from daemon.recorder.tables import read_stream
from daemon.recorder.transaction import read_commits, standing
from daemon.supervisor.process import ProcessId, alive, identify, kill
from robotd import paths
from robotd.client import Robot
from robotd.errors import RobotdError
from robotd.messages import Arm, KeepEpisode, OpenSession, StartEpisode

VICTIMS = (
    *("recorder", "control", "camera-overhead", "plant-cameras", "plant", "twin"),
    *("supervisor", "SIGTERM", "SIGTERM to recorder"),
)
"""Who is killed, in this order; the last two are asked to end."""

_ENDING = ("recorder", "supervisor", "SIGTERM", "SIGTERM to recorder")
"""After these there is nobody to keep the running episode."""

_DATASET = "local/crash"
_ATTEMPTS = 3  # to get as far as the crash: on a machine that is too busy an arm lets itself down
_FPS = 15
_SETTINGS = {"extends": "so101-sim", "name": NAME, "control": {"supervisor_gone_hold_s": 1}}
_JOINTS = (4, 4)  # wrist_roll turns where the arm lies: nothing is raised, so nothing has to park
_SWAY_RAD = 0.3
_PATIENCE_S = 90.0
_LOST_S = LOST_ROWS / _FPS

type Say = Callable[[str], None]


class Daemons:
    """Daemons that record into one dataset and are killed. `saved` counts what was promised."""

    def __init__(self, reader: Reader, seed: int, say: Say) -> None:
        self.kills: list[Kill] = []
        self.saved = 0
        self.max_unsaved_loss_s = 0.0
        self._reader = reader
        self._rng = np.random.default_rng([seed, 0xDAE])
        self._say = say
        self._promised: dict[str, int] = {}

    def live(self, kills: int) -> None:
        """Kill the victims in turn, `kills` times in all."""
        with rig() as place:
            file = place.folder / f"{NAME}.yaml"
            file.write_text(json.dumps(_SETTINGS))
            for number in range(kills):
                victim = VICTIMS[number % len(VICTIMS)]
                self._say(f"daemon {number + 1} of {kills}: {victim}")
                made = Kill(f"daemon: {victim}", "recording", -1, number)
                for attempt in range(_ATTEMPTS):
                    try:
                        self._one(place, str(file), victim, made)
                        break
                    except RobotdError as error:
                        if attempt + 1 == _ATTEMPTS:
                            made.wrong.append(str(error))
                self.kills.append(made)
        self.saved = len(self._promised)

    def _one(self, place: Rig, config: str, victim: str, made: Kill) -> None:
        start_daemon(NAME, simulated=True, config=config)
        processes: dict[str, ProcessId] = {}
        running, killed_ns = "", 0
        try:
            with Robot.connect(NAME) as robot:
                processes = _processes(robot)
                _armed(robot)
                try:
                    with sway_about_here(robot, _JOINTS, _SWAY_RAD):
                        self._episode(robot, float(self._rng.uniform(0.7, 1.5)))
                        running = str(
                            robot.request(StartEpisode(), timeout_s=_PATIENCE_S)["journal"]
                        )
                        time.sleep(float(self._rng.uniform(0.8, 2.5)))
                        killed_ns = time.monotonic_ns()
                        _strike(victim, processes)
                        if victim not in _ENDING:
                            time.sleep(0.6)
                            running = "" if self._kept(robot) else running
                except RobotdError:
                    if not killed_ns:
                        raise  # what comes after is what a client of a killed daemon hears
        finally:
            _end(processes)
        made.wrong += self._look(place, running, killed_ns, made)

    def _episode(self, robot: Robot, seconds: float) -> None:
        robot.request(
            OpenSession(dataset=_DATASET, task="crash", episodes=10_000), timeout_s=_PATIENCE_S
        )
        robot.request(StartEpisode(), timeout_s=_PATIENCE_S)
        time.sleep(seconds)
        answer = robot.request(KeepEpisode(), timeout_s=_PATIENCE_S)
        self._promised[str(answer["journal"])] = int(answer["frames"])

    def _kept(self, robot: Robot) -> bool:
        """Whether the running episode could be kept although somebody died: then it is promised."""
        try:
            answer = robot.request(KeepEpisode(), timeout_s=_PATIENCE_S)
        except RobotdError:
            return False
        self._promised[str(answer["journal"])] = int(answer["frames"])
        return True

    def _look(self, place: Rig, running: str, killed_ns: int, made: Kill) -> list[str]:
        """What is wrong after a new start; the running episode is then kept too."""
        root = dataset_root(paths.lerobot_home(), _DATASET)
        journals = paths.state_dir() / NAME / "journals"
        session = Session(journals)
        try:
            wrong = [f"after a new start: {what}" for what in session.recover().unreadable]
            wrong += self._published(session, root, made)
            for manifest in session.offered():
                if manifest.journal_id == running:
                    wrong += self._lost(journals / running, manifest.rows, killed_ns)
                    running = ""
                session.decide(manifest.journal_id, keep=True)
                self._promised[manifest.journal_id] = manifest.rows
            if running:
                wrong.append(f"{running} ran when the process died, and is not offered")
            wrong += self._published(session, root, made)
        finally:
            session.close()
        return wrong + self._read(root)

    def _published(self, session: Session, root: Path, made: Kill) -> list[str]:
        wrong = [
            f"{each.journal_id} cannot be published: {each.error}"
            for each in session.publish_pending()
            if each.error is not None
        ]
        there = {name: each.rows for name, each in standing(read_commits(root)).items()}
        for name, rows in self._promised.items():
            if there.get(name) != rows:
                made.lost += 1
                wrong.append(f"{name} was saved with {rows} rows and has {there.get(name)}")
        return wrong

    def _lost(self, journal: Path, rows: int, killed_ns: int) -> list[str]:
        evidence: pa.Table = read_stream(journal / EVIDENCE)
        last_ns = int(evidence["deadline_ns"][rows - 1].as_py())
        lost_s = max(0.0, (killed_ns - last_ns) / 1e9)
        self.max_unsaved_loss_s = max(self.max_unsaved_loss_s, lost_s)
        if lost_s > _LOST_S:
            return [f"{lost_s:.2f} s of {journal.name} are lost"]
        return []

    def _read(self, root: Path) -> list[str]:
        if not self._promised:
            return []
        try:
            loaded = self._reader.load(root)
        except Exception as error:  # noqa: BLE001  whatever it is, it is the finding
            return [f"LeRobot does not load it: {type(error).__name__}: {error}"]
        kept = list(standing(read_commits(root)).values())
        lengths = [each.rows for each in kept]
        if list(loaded.meta.episodes["length"]) != lengths or len(loaded) != sum(lengths):
            return ["LeRobot reads other lengths than were saved"]
        wrong = [
            f"episode {index}: {each.rows} rows and {frames} frames of {key}"
            for index, each in enumerate(kept)
            for key in loaded.meta.video_keys
            if (frames := frames_in(root / loaded.meta.get_video_file_path(index, key)))
            != each.rows
        ]
        ends = np.cumsum([0, *lengths])
        for at in {int(ends[-2]), int(ends[-1]) - 1}:  # decoded: the newest's first and last frame
            item: dict[str, Any] = loaded[at]
            if int(item["index"]) != at:
                wrong.append(f"row {at} says it is {int(item['index'])}")
        return wrong


def _armed(robot: Robot) -> None:
    """Arm it; a daemon that has only just begun may have no picture of a camera yet."""
    end_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            robot.request(Arm(consent=True), timeout_s=ARMING_TIMEOUT_S)
        except RobotdError:
            if time.monotonic() > end_s:
                raise
            time.sleep(1.0)
        else:
            return


def _processes(robot: Robot) -> dict[str, ProcessId]:
    data = (robot.runtime / "children.json").read_bytes()
    children = {each.name: each for each in msgspec.json.decode(data, type=list[ProcessId])}
    return children | {"supervisor": identify("supervisor", robot.instance.pid)}


def _strike(victim: str, processes: dict[str, ProcessId]) -> None:
    if victim.startswith("SIGTERM"):
        asked = "recorder" if victim.endswith("recorder") else "supervisor"
        os.kill(processes[asked].pid, signal.SIGTERM)
    else:
        kill(processes[victim])


def _end(processes: dict[str, ProcessId]) -> None:
    """End the daemon, the way that is left; nothing of it may write any more when this returns."""
    with contextlib.suppress(RobotdError, OSError):  # it was killed: its children end by themselves
        stop_daemon(NAME)
    left = list(processes.values())
    end_s = time.monotonic() + _PATIENCE_S
    while _any_alive(left) and time.monotonic() < end_s:
        time.sleep(0.1)
    for each in left:
        kill(each)


def _any_alive(processes: Sequence[ProcessId]) -> bool:
    return any(alive(each) for each in processes)
