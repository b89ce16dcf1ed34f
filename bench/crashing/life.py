"""One life of a recorder: what it does between its start and the moment at which it is killed.

The recorder's own `Session` in lock-step: a virtual clock, publishing inline or in a thread, so that
seconds of recording take milliseconds. Everything it is told or answers is said on a file that
outlives it, before and after, so that whoever looks later knows what was promised.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.crashing import world as crash_world
from bench.crashing.disk import Disk, Gone, Strike
from bench.crashing.fork import serve
from bench.crashing.platter import Platter
from daemon.recorder import edits
from daemon.recorder.disk import DiskLimits
from daemon.recorder.schema import Stamp
from daemon.recorder.session import Session
from daemon.recorder.syncing import InlineSyncer
from daemon.recorder.transaction import read_commits, standing
from robotd.errors import RobotdError, StateError

_ROW_NS = 10**9 // crash_world.FPS
_NO_LIMITS = DiskLimits(refuse_below_bytes=0, stop_below_bytes=0)
_EPOCH_NS = 1_700_000_000 * 10**9


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One life: in which folder, what it does, what goes wrong, from which episode it counts, and
    at which second of the world's time it begins.

    `second` is a life right after this one in the same machine: the first then ends as if killed,
    and what it had not synced is still only in the machine's memory when the power goes.
    """

    world: str
    seed: tuple[int, ...]
    script: tuple[tuple[str, int], ...]
    strike: Strike
    episode: int
    moment_s: int = 0
    second: "Order | None" = None
    kill_after_s: float = -1.0


def world_parts(world: Path) -> tuple[Path, Path]:
    """(dataset, journals) of a world."""
    return world / "dataset", world / "journals"


def survived(world: Path) -> Path:
    """Where a life leaves what a power loss left."""
    return world.with_name(f"{world.name}-survived")


def said(world: Path) -> Path:
    """Where a life says what it did."""
    return world.with_name(f"{world.name}-said")


def live(order: Order) -> None:
    """Live `order` in this process, which has threads of nobody and is given up afterwards."""
    world = Path(order.world)
    say = _Voice(said(world))
    rng = np.random.default_rng(order.seed)
    power = "power" in (order.strike.kind, order.second.strike.kind if order.second else "")
    platter = Platter(world) if power else None

    def power_off() -> None:
        assert platter is not None
        unseen = platter.unseen()
        say("disk", platter.survive(survived(world), rng), unseen)
        os.kill(os.getpid(), signal.SIGKILL)

    disk = Disk(world, order.strike, platter, say, power_off)
    disk.install()
    try:
        _Life(order, disk, say, rng).run()
    except Gone:
        disk.drop()
    if order.second is not None:
        disk.again(order.second.strike)
        _Life(order.second, disk, say, rng).run()


def warm(folder: Path) -> None:
    """Record and publish once for nothing: a first encoder, a first Parquet file cost a second."""
    root, journals = world_parts(folder)
    session = Session(journals, limits=_NO_LIMITS, syncer=InlineSyncer())
    session.start(crash_world.spec_of(root))
    for number in range(4):
        session.append(crash_world.row_of(number), crash_world.frames_of(number))
    session.keep()
    session.publish_pending()
    session.close()


class _Voice:
    """Appends what is said, a JSON line each, past everything that may go wrong."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor, self._write = os.open(path, flags, 0o644), os.write

    def __call__(self, *words: Any) -> None:
        self._write(self._descriptor, json.dumps(words).encode() + b"\n")


class _Ended(BaseException):
    """SIGTERM came: end as the recorder process does."""


class _Life:
    def __init__(
        self, order: Order, disk: Disk, say: Callable[..., None], rng: np.random.Generator
    ) -> None:
        self._order = order
        self._disk = disk
        self._say_anything = say
        self._rng = rng
        self._root, self._journals = world_parts(Path(order.world))
        self._spec = crash_world.spec_of(self._root)
        self._episode = order.episode
        self._now_ns = 0
        self._stamps = 0
        self._number = 0
        self._last = ""  # the journal of the last episode that this life kept
        self._ending = False
        signal.signal(signal.SIGTERM, self._end)

    def run(self) -> None:
        """The whole script, then what the recorder does when it is asked to end."""
        try:
            self._disk.arm(-1)
            session = self._session = Session(
                self._journals,
                limits=_NO_LIMITS,
                stamp=self._stamp,
                now_ns=lambda: self._now_ns,
                syncer=InlineSyncer(),
            )
            for step, (verb, size) in enumerate(self._order.script):
                self._disk.arm(step)
                self._say("step", verb)
                self._tried(getattr(self, f"_{verb}"), size)
                self._disk.strike_now()
                self._look()
            self._disk.calm()
            self._tried(lambda _: self._end_well(), 0)
            session.close()
            self._say("ended")
        except _Ended:
            self._tried(lambda _: self._session.close(), 0)
            self._say("ended")
        except Gone:
            raise
        except BaseException:
            self._say("escaped", traceback.format_exc(limit=-6))
            raise

    # --- steps ------------------------------------------------------------------------------------

    def _recover(self, _: int) -> None:
        found = self._session.recover()
        for what in found.unreadable:
            self._say("error", "unreadable", what)
        for manifest in found.offered:
            choice = self._rng.random()
            if choice < 0.5:
                self._decide(manifest.journal_id, choice < 0.35)
        self._publish(0)

    def _start(self, _: int) -> None:
        if self._session.recording is not None:
            return
        manifest = self._session.start(
            msgspec.structs.replace(
                self._spec, task=crash_world.task_of(crash_world.first_number(self._episode))
            )
        )
        self._number = crash_world.first_number(self._episode)
        self._say("began", manifest.journal_id, self._number)
        self._episode += 1

    def _rows(self, count: int) -> None:
        for _ in range(count):
            episode = self._session.recording
            if episode is None or self._session.rows >= crash_world.EPISODE_NUMBERS:
                return
            self._now_ns += _ROW_NS
            number, self._number = self._number, self._number + 1
            self._say("appending", episode.journal_id)
            self._session.append(crash_world.row_of(number), crash_world.frames_of(number))
            self._say("row", episode.journal_id)
            self._look()

    def _keep(self, _: int) -> None:
        episode = self._session.recording
        if episode is None:
            return
        self._say("keeping", episode.journal_id)
        manifest = self._session.keep()
        self._say("kept" if manifest.kept else "empty", manifest.journal_id, manifest.rows)
        self._last = manifest.journal_id if manifest.kept else self._last

    def _discard(self, _: int) -> None:
        episode = self._session.recording
        if episode is None:
            return
        self._say("discarding", episode.journal_id)
        self._session.discard()
        self._say("discarded", episode.journal_id)

    def _publish(self, _: int) -> None:
        for result in self._session.publish_pending():
            if result.error is not None:
                self._say("error", type(result.error).__name__, str(result.error))
            else:
                self._say("published", result.journal_id)

    def _overlap(self, count: int) -> None:
        """Publish in a thread while the next episode is recorded, as the recorder does."""
        failure: list[BaseException] = []

        def work() -> None:
            try:
                self._publish(0)
            except BaseException as error:  # noqa: BLE001  raised again below
                failure.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            self._start(0)
            self._rows(count)
        finally:
            thread.join()
        for error in failure:
            raise error

    def _undo(self, _: int) -> None:
        last = self._last
        if not last:
            kept = list(standing(read_commits(self._root))) if self._root.exists() else []
            last = kept[-1] if kept else ""
        if not last or self._session.recording is not None:
            return
        self._say("undoing", last)
        try:
            self._session.undo(self._root, last)
        except StateError as error:
            self._say("refused", last, error.what)
            return
        self._say("undone", last)
        self._last = ""

    def _compact(self, _: int) -> None:
        """As `robotd dataset compact`, which waits for no recorder."""
        if not self._root.exists() or not standing(read_commits(self._root)):
            return
        edits.compact(self._root, lambda: self._stamp().wall_ns)

    def _decide(self, journal_id: str, keep: bool) -> None:
        self._say("deciding", journal_id, keep)
        manifest = self._session.decide(journal_id, keep=keep)
        self._say("decided", journal_id, keep, manifest.rows)

    def _end_well(self) -> None:
        """A disk that works again takes what it had refused."""
        if self._disk.struck and self._session.pending:
            for result in self._session.publish_pending():
                if result.error is not None:
                    self._say("stuck", result.journal_id, str(result.error))

    # --- around them ------------------------------------------------------------------------------

    def _tried(self, step: Callable[[int], None], size: int) -> None:
        """Robotd's own errors are answers; the recorder tells the person and works on."""
        try:
            step(size)
        except RobotdError as error:
            self._say("error", type(error).__name__, str(error))

    def _say(self, *words: Any) -> None:
        if self._disk.gone:
            raise Gone  # what was just done never reached the disk, so nobody was told either
        self._say_anything(*words)

    def _look(self) -> None:
        if self._disk.gone:
            raise Gone
        if self._ending:
            self._ending = False
            raise _Ended

    def _end(self, _: int, __: Any) -> None:
        self._ending = True

    def _stamp(self) -> Stamp:
        self._stamps += 1
        wall_ns = _EPOCH_NS + (self._order.moment_s + self._stamps) * 10**9
        return Stamp(boot_id="bench", wall_ns=wall_ns, monotonic_ns=self._now_ns)


if __name__ == "__main__":
    sys.exit(serve(live, Order, warm, sys.argv[1:]))
