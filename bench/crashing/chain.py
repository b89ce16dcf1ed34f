"""A chain of crashes: one world, killed, recovered and killed again, and looked at after each.

Everything about a chain follows from the campaign's seed and the chain's number, so one that went
wrong is lived again with `--chain`.
"""

import errno
import shutil
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.crashing import check as crash_check
from bench.crashing.disk import EVERYTHING, WRITES, Strike
from bench.crashing.fork import Outcome, Zygote
from bench.crashing.ledger import Ledger
from bench.crashing.life import Order, said, survived, world_parts

KINDS = {
    "sigkill": 0.26,
    "sigkill any time": 0.12,
    "sigterm": 0.07,
    "power": 0.18,
    "sigkill then power": 0.12,
    "enospc": 0.12,
    "eio": 0.13,
}
"""What goes wrong, and how often."""

CHAIN_KILLS = 8
"""A world's episodes grow in number with its kills, and so does what a look at it costs."""

_EMPTY_EVERY = 4  # of so many worlds one begins without a dataset
_AGAIN = 0.3  # how often a crash is followed by one during the recovery from it
_DECIDED, _DECIDED_KEEP = 0.8, 0.5  # of what is offered: decided on at all, kept
_MOST_ROWS = 40
_WORK = {"keep": 0.5, "discard": 0.1, "leave": 0.05, "overlap": 0.15, "undo": 0.15}
_WORK |= {"compact": 0.05}
_CHANGES = {"recover": 60, "start": 30, "rows": 40, "keep": 25, "discard": 15}
_CHANGES |= {"publish": 170, "overlap": 200, "undo": 90, "compact": 200}
"""About how many changes to the file system a step makes."""


@dataclass(slots=True)
class Kill:
    """One crash and what it cost. `where`: the step, and the change it struck."""

    kind: str
    where: str
    chain: int
    number: int
    lost: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Chain:
    """What became of one world."""

    kills: list[Kill] = field(default_factory=list)
    saved: int = 0
    max_unsaved_loss_s: float = 0.0


class World:
    """Lives a chain: one folder, one ledger, and what follows from (`seed`, `number`)."""

    def __init__(
        self,
        zygote: Zygote,
        reader: crash_check.Reader,
        folder: Path,
        seed: int,
        number: int,
    ) -> None:
        self._zygote = zygote
        self._reader = reader
        self._world = folder / f"world-{number}"
        self._root, _ = world_parts(self._world)
        self._seed, self._number = seed, number
        self._ledger = Ledger()
        self._life = 0

    def live(self, kills: int) -> Chain:
        """Until `kills` crashes were looked at, at most 8, or one of them was not survived."""
        chain = Chain()
        self._world.mkdir()
        if self._number % _EMPTY_EVERY:
            self._begin()
        recovering = False
        while len(chain.kills) < min(kills, CHAIN_KILLS) and self._life < 4 * CHAIN_KILLS:
            rng = np.random.default_rng([self._seed, self._number, self._life])
            kill = self._crash(rng, recovering)
            self._life += 1
            if kill is None:
                continue
            kill.number = len(chain.kills)
            chain.kills.append(kill)
            recovering = rng.random() < _AGAIN and len(chain.kills) < min(kills, CHAIN_KILLS)
            try:
                self._look(rng, kill, recovering)
            except Exception:  # noqa: BLE001  no start may end so: it is the finding
                kill.wrong.append(f"a new start fails: {traceback.format_exc(limit=-4)}")
            if kill.wrong:
                break  # what comes after a failure says nothing more
        chain.saved = self._ledger.saved
        chain.max_unsaved_loss_s = self._ledger.max_unsaved_loss_s
        for path in (self._world, survived(self._world), said(self._world)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return chain

    def _begin(self) -> None:
        """An episode that is saved before anything goes wrong."""
        script = (("recover", 0), ("start", 0), ("rows", 6), ("keep", 0), ("publish", 0))
        seed = (self._seed, self._number, 10**6)
        self._live(
            Order(
                world=str(self._world),
                seed=seed,
                script=script,
                strike=Strike("none", -2, 0),
                episode=0,
                moment_s=-1000,
            )
        )

    def _live(self, order: Order) -> tuple[Outcome, list[list[Any]]]:
        said(self._world).unlink(missing_ok=True)
        outcome = self._zygote.live(order)
        lines = crash_check.heard(self._world)
        self._ledger.hear(lines)
        if survived(self._world).exists():
            shutil.rmtree(self._world)
            survived(self._world).rename(self._world)
        return outcome, lines

    def _crash(self, rng: np.random.Generator, recovering: bool) -> Kill | None:
        """One life. None: it ended before anything went wrong."""
        kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
        order = self._order(kind, rng, recovering)
        outcome, lines = self._live(order)
        wrong = _misbehaviour(kind, outcome, lines)
        struck = outcome.signal if order.kill_after_s >= 0 else _struck(lines)
        if not struck and not wrong:
            return None
        return Kill(kind, _where(lines), self._number, 0, wrong=wrong)

    def _order(self, kind: str, rng: np.random.Generator, recovering: bool) -> Order:
        def order(strike_kind: str, short: bool, later: int, second: Order | None = None) -> Order:
            script = _script(rng, short)
            return Order(
                world=str(self._world),
                seed=(self._seed, self._number, self._life, later),
                script=script,
                strike=_strike(strike_kind, script, rng),
                episode=len(self._ledger.episodes) + later,
                moment_s=1000 * self._life + 100 * later,
                second=second,
                kill_after_s=float(rng.uniform(0, 0.15)) if kind == "sigkill any time" else -1.0,
            )

        if kind == "sigkill then power":
            return order("gone", recovering, 0, order("power", bool(rng.random() < 0.7), 8))
        return order(kind, recovering, 0)

    def _look(self, rng: np.random.Generator, kill: Kill, recovering: bool) -> None:
        """Recover, decide on what is offered, and have LeRobot read it all; if another crash is to
        come before the recovery, only have LeRobot read what is there."""
        firsts = {name: each.first for name, each in self._ledger.episodes.items()}
        kill.wrong += crash_check.look_before(self._reader, self._root, firsts, recovering)
        if recovering:
            return
        session, found, wrong = crash_check.recovered(self._world)
        kill.wrong += wrong
        wrong, kill.lost = self._ledger.compare(found)
        kill.wrong += wrong
        if not kill.wrong:
            for name in found.offered:
                choice = float(rng.random())
                if choice < _DECIDED:
                    manifest = session.decide(name, keep=choice < _DECIDED_KEEP)
                    words = ("decided", name, manifest.kept, manifest.rows)
                    self._ledger.hear([words])
            found, wrong = crash_check.published(session, self._world)
            more, lost = self._ledger.compare(found)
            kill.wrong += wrong + more
            kill.lost += lost
        session.close()
        wrong = crash_check.look(self._reader, self._root, firsts, rng)
        kill.wrong += wrong
        if wrong and found.saved:
            kill.lost = max(kill.lost, 1)


def _script(rng: np.random.Generator, short: bool) -> tuple[tuple[str, int], ...]:
    """A morning's work: every life begins with a recovery, a `short` one is nothing else."""
    script = [("recover", 0)]
    for _ in range(0 if short else int(rng.integers(2, 5))):
        rows = int(rng.integers(1, _MOST_ROWS))
        what = str(rng.choice(list(_WORK), p=list(_WORK.values())))
        if what in ("keep", "discard", "leave"):
            script += [("start", 0), ("rows", rows)]
        if what in ("keep", "discard"):
            script.append((what, 0))
        elif what == "overlap":
            script += [("overlap", rows), ("keep", 0)]
        elif what in ("undo", "compact"):
            script.append((what, 0))
        if what == "keep" and rng.random() < 0.6:
            script.append(("publish", 0))
    return tuple(script)


def _strike(kind: str, script: tuple[tuple[str, int], ...], rng: np.random.Generator) -> Strike:
    """Where it strikes: steps that change much more often, any change of a step alike."""
    weights = np.sqrt([_CHANGES[verb] for verb, _ in script])
    step = int(rng.choice(len(script), p=weights / weights.sum()))
    at = int(rng.integers(_CHANGES[script[step][0]]))
    how = str(rng.choice(["before", "torn", "after"]))
    lasting = int(rng.choice([1, 3, 30, 100_000]))
    if kind == "sigkill any time":
        return Strike(kind, -2, 0)
    if kind == "enospc":
        number = int(rng.choice([errno.ENOSPC, errno.EDQUOT], p=[0.8, 0.2]))
        how = "before" if how == "after" else how
        return Strike(kind, step, at // 2, how, WRITES, number, lasting)
    if kind == "eio":
        return Strike(kind, step, at, how, EVERYTHING, errno.EIO, lasting)
    return Strike(kind, step, at, how)


def _struck(lines: list[list[Any]]) -> bool:
    return any(line[0] == "struck" for line in lines)


def _where(lines: list[list[Any]]) -> str:
    """The step that was under way, and the change that was struck."""
    step, change = "start", ""
    for verb, *words in lines:
        if verb == "step" and not change:
            step = str(words[0])
        elif verb == "struck":
            change = f" {words[0]} {words[1]} ({words[2]})"
    return step + change


def _misbehaviour(kind: str, outcome: Outcome, lines: list[list[Any]]) -> list[str]:
    """What a recorder may not do while it is being struck: fall over, hang, refuse for nothing."""
    wrong = ["it hung"] if outcome.hung else []
    disk_failed = False
    for verb, *words in lines:
        disk_failed = disk_failed or (verb == "struck" and kind in ("enospc", "eio"))
        if verb == "escaped":
            wrong.append(f"an error that nobody handles: {words[0]}")
        elif verb == "error" and not disk_failed:
            wrong.append(f"it refused though nothing was wrong with the disk: {words[1]}")
        elif verb == "stuck":
            wrong.append(f"the disk works again, and {words[0]} is still refused: {words[1]}")
        elif verb == "disk" and words[1]:
            wrong.append(f"the bench did not see these being written: {words[1]}")
    if not wrong and outcome.code:
        wrong.append(f"it ended with exit code {outcome.code}")
    return wrong
