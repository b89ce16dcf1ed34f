"""Uploads under faults: a changing dataset, a hub that fails, an uploader that is killed.

The hub is on this machine and speaks the hub's HTTP API to the real client. What goes wrong is
drawn from the seed: errors, nonsense, cut lines at every point of a request, and SIGKILL of the
uploader at such a point or at any time. The dataset grows and shrinks between uploads and under
them. Nothing may be missing on the hub, nothing doubled, and no tag on an incomplete set.
"""

import argparse
import json
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from bench.crashing.fork import Zygote, zygote
from bench.local_hub import TOKEN, Fault, FaultKind, LocalHub
from bench.local_hub_routes import Request
from bench.local_hub_store import Blob
from bench.machine import describe
from bench.uploading.life import Order
from bench.uploading.world import NAME, World, held
from daemon.cli.numbers import positive_count
from robotd.errors import DaemonError
from robotd.uploading import read_uploads, requests_file
from uploads.requests import Queue, Retry, ask

_KINDS: tuple[FaultKind, ...] = (
    "status",
    "late_status",
    "html",
    "json",
    "cut_before",
    "cut_body",
    "cut_after",
    "cut_answer",
)
_DEADLY: tuple[FaultKind, ...] = ("cut_before", "cut_body", "cut_after", "cut_answer")
_STATUSES = (408, 429, 500, 502, 503, 504)
_FAULT_SHARE, _KILL_SHARE, _TIMED_KILL_SHARE = 0.12, 0.2, 0.3
_LIVES_A_ROUND = 60
WRONG = ("files_missing", "files_doubled", "tags_on_incomplete", "gave_up", "unfinished")
"""What of the report has to be 0."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--faults", type=positive_count, default=200, help="faults and kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    report = run_bench(args.faults, args.seed)
    if args.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:20} {value}")
    return 1 if any(report[name] for name in WRONG) else 0


def table(report: Mapping[str, Any]) -> list[str]:
    """The report's lines on the benchmarks page."""
    rows = ("faults", "kills", "uploads", "requests", "tags_set", *WRONG)
    kinds = "; ".join(f"{name} {count}" for name, count in sorted(report["faults_by_kind"].items()))
    return [
        "| | |",
        "|---|---|",
        *(f"| {name.replace('_', ' ')} | {report[name]} |" for name in rows),
        "",
        f"Seed {report['seed']}, {report['seconds']:g} s. What went wrong: {kinds}.",
    ]


def run_bench(wanted: int, seed: int, prepare: Path | None = None) -> dict[str, Any]:
    """`wanted` faults and kills; `prepare` is a Python file that is run in the uploader's process
    first, for tests that break it on purpose."""
    began_s, machine = time.monotonic(), describe()
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # everything is synced all the time
    with tempfile.TemporaryDirectory(prefix="robotd-uploads-", dir=memory) as folder:
        home = Path(folder)
        storm = Storm(World(home, seed), home / "pid", wanted, seed)
        with (
            LocalHub(fault_for=storm.fault_for, tagged=storm.tagged, page_size=7) as hub,
            _environment(home, hub.endpoint),
            zygote(home, "bench.uploading.life", prepare) as lives,
        ):
            while storm.left > 0:
                storm.one_round(lives, hub)
        return {
            "faults": sum(storm.faults.values()),
            "kills": storm.kills,
            "uploads": storm.uploads,
            "files_missing": storm.missing,
            "files_doubled": storm.doubled + sum(n - 1 for n in hub.store.stored.values()),
            "tags_on_incomplete": storm.bad_tags,
            "gave_up": storm.gave_up,
            "unfinished": storm.unfinished,
            "tags_set": storm.tags,
            "requests": len(hub.seen),
            "faults_by_kind": dict(storm.faults),
            "seconds": round(time.monotonic() - began_s, 1),
            "seed": seed,
            "machine": machine,
        }


class Storm:
    """What goes wrong, and what came of it. `fault_for` and `tagged` are called by the hub."""

    def __init__(self, world: World, pid: Path, wanted: int, seed: int) -> None:
        self.world = world
        self.left = wanted
        self.kills = self.uploads = self.tags = 0
        self.missing = self.doubled = self.bad_tags = self.gave_up = self.unfinished = 0
        self.faults: Counter[str] = Counter()
        self._pid = pid
        self._chance = Random(seed)
        self._lock = threading.Lock()
        self._calm = False

    def one_round(self, lives: Zygote, hub: LocalHub) -> None:
        """The dataset changes, is uploaded through all that goes wrong, and is judged."""
        meanwhile = self.uploads > 0 and self._chance.random() < 0.25
        if not meanwhile:
            self.world.change()
        ask(requests_file(), Queue(root=str(self.world.root), name=NAME))
        changer = threading.Thread(target=self.world.change) if meanwhile else None
        if changer is not None:
            changer.start()
        self._until_done(lives)
        if changer is not None:
            changer.join()
            ask(requests_file(), Queue(root=str(self.world.root), name=NAME))
            self._until_done(lives)
        self._judge(hub)

    def _until_done(self, lives: Zygote) -> None:
        for life in range(_LIVES_A_ROUND):
            self._calm = self.left <= 0 or life > _LIVES_A_ROUND // 2
            timed = not self._calm and self._chance.random() < _TIMED_KILL_SHARE * _KILL_SHARE * 3
            after_s = self._chance.uniform(0.0, 0.5) if timed else -1.0
            outcome = lives.live(Order(pid=str(self._pid), kill_after_s=after_s))
            if outcome.code:
                raise DaemonError(
                    "The uploader ended by an error of its own.",
                    "It has a defect.",
                    "What it said last:\n" + lives.log()[-2000:],
                )
            if outcome.signal:
                self.kills += 1
                if after_s >= 0:
                    self.left -= 1
                    self.faults["kill at any time"] += 1
            states = {each.state for each in read_uploads().uploads}
            if states == {"done"}:
                self.uploads += 1
                return
            if "refused" in states:  # every fault here passes: none is a person's business
                self.gave_up += 1
                ask(requests_file(), Retry())
        self.unfinished += 1

    def _judge(self, hub: LocalHub) -> None:
        repo = hub.store.repos.get(NAME)
        wanted = self.world.walks[-1]
        for revision in ("main", "v3.0"):
            there = held(repo.files(revision)) if repo is not None and _has(repo, revision) else {}
            self.missing += sum(there.get(path) != digest for path, digest in wanted.items())
            self.doubled += sum(path not in wanted for path in there)

    def fault_for(self, _: int, request: Request) -> Fault | None:
        """Draws whether something goes wrong with this request."""
        with self._lock:
            if self._calm or self.left <= 0 or self._chance.random() >= _FAULT_SHARE:
                return None
            self.left -= 1
            if self._chance.random() < _KILL_SHARE:
                kind = self._chance.choice(_DEADLY)
                self.faults[f"kill, {kind}"] += 1
                return Fault(kind, act=self._kill)
            kind = self._chance.choice(_KINDS)
            self.faults[kind] += 1
            status = self._chance.choice(_STATUSES)
            return Fault(kind, status=status, retry_after_s=0 if status == 429 else None)

    def tagged(self, _: str, __: str, files: Mapping[str, Blob]) -> None:
        """Judges every tag at the moment it is set."""
        self.tags += 1
        self.bad_tags += not self.world.whole(files)

    def _kill(self) -> None:
        os.kill(int(self._pid.read_text()), signal.SIGKILL)


def _has(repo: Any, revision: str) -> bool:
    return revision == "main" or revision in repo.tags


@contextmanager
def _environment(home: Path, endpoint: str) -> Iterator[None]:
    """The uploader's own folders, hub and token, and nothing of the person's."""
    ours = {
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "HF_HOME": str(home / "hf"),
        "HF_LEROBOT_HOME": str(home / "home"),
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": TOKEN,
        "HF_HUB_OFFLINE": "0",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
