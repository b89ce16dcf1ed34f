"""`robotd bench crash`: nothing saved is lost, and a recorder that loses something is found out."""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bench import crash
from bench.crashing import check as crash_check
from bench.crashing import world as crash_world
from bench.crashing.disk import Strike
from bench.crashing.fork import Zygote, zygote
from bench.crashing.ledger import Found, Ledger
from bench.crashing.life import Order, said, survived, world_parts
from bench.crashing.platter import File, Platter
from daemon.recorder.disk import DiskLimits
from daemon.recorder.durable import AppendFile
from daemon.recorder.session import Session
from daemon.recorder.syncing import InlineSyncer
from robotd.errors import DatasetError

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="lives are watched through a pidfd"),
    pytest.mark.timeout(600),
]

SAVING = (("recover", 0), ("start", 0), ("rows", 8), ("keep", 0), ("publish", 0))

NOTHING_IS_SYNCED = """
from daemon.recorder import durable, staging, stored
durable.sync_descriptor = durable.sync_file = staging.sync_file = lambda *_: None
stored.sync_file = lambda *_: None
"""

KEPT_IS_NOT_WRITTEN = """
import msgspec
from daemon.recorder import journal
save = journal.save_manifest
journal.save_manifest = lambda folder, it: save(folder, msgspec.structs.replace(it, kept=False))
"""

INFO_COMES_FIRST = """
import msgspec
from daemon.recorder import dataset
begin = dataset.begin

def hasty(root, intent):
    steps = sorted(intent.steps, key=lambda step: step[1] != "meta/info.json")
    begin(root, msgspec.structs.replace(intent, steps=tuple(steps)))

dataset.begin = hasty
"""


@pytest.fixture
def reader(lerobot_datasets: ModuleType, tmp_path: Path) -> crash_check.Reader:
    return crash_check.Reader(tmp_path / "cache")


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Zygote]:
    with zygote(tmp_path, "bench.crashing.life") as made:
        yield made


def broken(tmp_path: Path, how: str) -> Path:
    path = tmp_path / "broken.py"
    path.write_text(how)
    return path


def quiet(_: str) -> None:
    """Progress is for a person."""


def test_crashes_of_every_kind_lose_nothing(lerobot_datasets: ModuleType) -> None:
    report = crash.measure(24, 5, quiet)
    assert report["failures"] == []
    assert (report["kills"], report["saved_lost"]) == (24, 0)
    assert report["max_unsaved_loss_s"] <= 1.0
    assert report["saved"] >= 10
    assert report["dataset_loads"] >= 12
    assert len(report["kinds"]) >= 5
    assert "| power |" in "\n".join(crash.page(report))


@pytest.mark.parametrize("how", [NOTHING_IS_SYNCED, KEPT_IS_NOT_WRITTEN])
def test_a_recorder_that_loses_what_it_promised_is_found_out(
    how: str, tmp_path: Path, lerobot_datasets: ModuleType
) -> None:
    report = crash.measure(60, 1, quiet, prepare=broken(tmp_path, how))
    assert report["saved_lost"] > 0
    assert report["failures"]
    assert str(report["seed"]) in crash.table(report)


@pytest.mark.parametrize("how", ["", INFO_COMES_FIRST])
def test_info_json_that_changes_first_is_found_out(
    how: str, tmp_path: Path, reader: crash_check.Reader
) -> None:
    wrong = []
    with zygote(tmp_path, "bench.crashing.life", broken(tmp_path, how)) as lives:
        for renames in (1, 3):
            world = tmp_path / f"world-{renames}"
            world.mkdir()
            ledger = Ledger()
            ledger.hear(life(lives, world, SAVING, Strike("none", -2, 0), 0))
            strike = Strike("sigkill", 4, renames, "after", ("rename",))
            ledger.hear(life(lives, world, SAVING, strike, 1))
            firsts = {name: each.first for name, each in ledger.episodes.items()}
            root, _ = world_parts(world)
            wrong += crash_check.look_before(reader, root, firsts, always=False)
    assert reader.loads + len(wrong) >= 2
    assert bool(wrong) == bool(how)


def life(lives: Zygote, world: Path, script: Any, strike: Strike, number: int) -> list[list[Any]]:
    """Live once; what was said."""
    order = Order(
        world=str(world),
        seed=(number,),
        script=script,
        strike=strike,
        episode=number,
        moment_s=number * 1000,
    )
    said(world).unlink(missing_ok=True)
    lives.live(order)
    if survived(world).exists():
        shutil.rmtree(world)
        survived(world).rename(world)
    return crash_check.heard(world)


def test_an_undo_that_a_kill_cut_short_is_finished_at_the_next_start(
    tmp_path: Path, lives: Zygote
) -> None:
    """Its dataset is named by no journal any more."""
    world = tmp_path / "world"
    world.mkdir()
    life(lives, world, SAVING, Strike("none", -2, 0), 0)
    strike = Strike("sigkill", 1, 2, "after", ("rename",))
    lines = life(lives, world, (("recover", 0), ("undo", 0)), strike, 1)
    assert lines[-1][0] == "struck"
    session, found, wrong = crash_check.recovered(world)
    session.close()
    assert (found.saved, wrong) == ({}, [])


def test_what_was_undone_after_its_saving_failed_half_way_is_not_saved_again(
    tmp_path: Path, lives: Zygote
) -> None:
    world = tmp_path / "world"
    world.mkdir()
    strike = Strike("eio", 4, 1, "before", ("rename",), errno.EIO)
    lines = life(lives, world, (*SAVING, ("undo", 0)), strike, 0)
    assert [line[0] for line in lines][-3:] == ["undoing", "undone", "ended"]
    session, found, wrong = crash_check.recovered(world)
    session.close()
    assert (found.saved, found.offered, wrong) == ({}, {}, [])


def test_an_end_that_the_disk_did_not_take_is_made_up_for_when_it_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, journals = world_parts(tmp_path)
    limits = DiskLimits(refuse_below_bytes=0, stop_below_bytes=0)
    session = Session(journals, limits=limits, syncer=InlineSyncer())
    session.start(crash_world.spec_of(root))
    for number in range(20):
        session.append(crash_world.row_of(number), crash_world.frames_of(number))
    session.flush()

    def refuse(file: AppendFile, _: memoryview) -> int:
        raise OSError(errno.EIO, "Input/output error", str(file.path))

    with monkeypatch.context() as patch:
        patch.setattr(AppendFile, "write_some", refuse)
        with pytest.raises(DatasetError):
            session.keep()
        assert (session.recording, session.offered()) == (None, [])
    (offered,) = session.offered()
    assert offered.rows >= 17  # a fragment of 0.2 s was not written out yet
    session.decide(offered.journal_id, keep=True)
    assert [each.error for each in session.publish_pending()] == [None]
    session.close()


def test_what_was_not_synced_may_be_gone_and_what_was_is_there(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    (root / "old").write_bytes(b"old")
    platter = Platter(root)
    for name, synced in (("named", True), ("nameless", False)):
        file = File()
        platter.make(str(root / name), file)
        platter.write(file, 0, b"content")
        platter.sync(file)
        if synced:
            platter.sync(platter.node(str(root)) or file)
        platter.write(file, 7, b" and more")
    seen = set()
    for seed in range(40):
        left = tmp_path / f"left-{seed}"
        how = platter.survive(left, np.random.default_rng(seed))
        assert (left / "old").read_bytes() == b"old"
        assert (left / "named").read_bytes().startswith(b"content")
        if how == "loose, nothing more":
            assert (left / "named").read_bytes() == b"content"
            assert not (left / "nameless").exists()
        seen.add(((left / "nameless").exists(), (left / "named").read_bytes()))
    assert {there for there, _ in seen} == {True, False}
    assert len(seen) > 4


def test_the_ledger_tells_what_must_be_from_what_may_be() -> None:
    ledger = Ledger()
    ledger.hear([("began", "a", 0), *[("appending", "a"), ("row", "a")] * 30, ("keeping", "a")])
    assert ledger.compare(Found({}, {"a": 20})) == ([], 0)
    assert ledger.max_unsaved_loss_s == pytest.approx(10 / crash_world.FPS)
    ledger.hear([("decided", "a", True, 20)])
    wrong, lost = ledger.compare(Found({"a": 19}, {}))
    assert (len(wrong), lost, ledger.saved) == (1, 1, 1)
    ledger.hear([("began", "b", 64), *[("appending", "b"), ("row", "b")] * 30])
    wrong, lost = ledger.compare(Found({"a": 19, "c": 3}, {"b": 14}))
    assert ["c appeared" in wrong[0], "more than a second" in wrong[1], lost] == [True, True, 0]


@pytest.mark.slow
def test_a_bench_that_is_asked_to_end_leaves_neither_folders_nor_processes(tmp_path: Path) -> None:
    words = ["bench", "crash", "--kills", "100000", "--daemon", "0", "--json"]
    program = (
        "import pathlib, sys; from bench import crash; from daemon.cli.main import main; "
        f"crash._MEMORY = pathlib.Path({str(tmp_path)!r}); sys.exit(main({words!r}))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until_s = time.monotonic() + 300
        while not list(tmp_path.glob("robotd-crash-*/world-*")):  # lives are lived
            assert process.poll() is None and time.monotonic() < until_s
            time.sleep(0.1)
        process.terminate()
        assert process.wait(120) == 128 + signal.SIGTERM
    finally:
        process.kill()
    assert list(tmp_path.iterdir()) == []
    assert not [each for each in _commands() if str(tmp_path) in each]


def _commands() -> Iterator[str]:
    """The command lines of all processes that are there."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
