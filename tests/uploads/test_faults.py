"""Whatever goes wrong with whichever request: it comes to its end, nothing twice, no tag too early."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.local_hub import READER, TOKEN, Fault, FaultKind, LocalHub
from bench.local_hub_routes import Request
from bench.uploads import WRONG, run_bench
from robotd.uploading import (
    FINAL,
    lock_file,
    read_uploads,
    requests_file,
    uploader_runs,
    wake_uploader,
)
from uploads import snapshot
from uploads.patience import Patience
from uploads.requests import Retry, ask

from .conftest import Clock, only, queue, work
from .test_upload import REPO, assert_holds

KINDS: tuple[FaultKind, ...] = (
    "status",
    "late_status",
    "html",
    "json",
    "cut_before",
    "cut_body",
    "cut_after",
    "cut_answer",
)


@pytest.mark.parametrize("kind", KINDS)
def test_one_fault_at_each_request_in_turn_changes_nothing_about_the_end(
    hub: LocalHub, root: Path, kind: FaultKind
) -> None:
    """The n-th request of attempt n fails, so that every step of the way is interrupted once."""
    attempt, number = [0], [0]

    def in_turn(_: int, __: Request) -> Fault | None:
        number[0] += 1
        if number[0] <= attempt[0]:
            return None
        attempt[0] += 1
        number[0] = 0
        return Fault(kind, status=503)

    tagged: list[bool] = []

    def judge(_: str, __: str, files: Any) -> None:
        assert_holds(dict(files), root)
        tagged.append(True)

    hub.fault_for = in_turn
    hub.store._tagged = judge
    queue(root)
    clock = Clock()
    assert only(work(clock)).state == "done"
    assert attempt[0] > 10
    assert tagged
    assert_holds(hub.store.repos[REPO].files("v3.0"), root)
    assert set(hub.store.stored.values()) == {1}


def test_offline_for_days_is_a_state_that_says_when_it_tries_again(
    hub: LocalHub, root: Path
) -> None:
    clock, seen = Clock(), []
    began_s, days_s = clock.now_s, 3 * 86400.0

    def look() -> None:
        # Sleeps of this test are as long as the wait, or it would take days of them.
        upload = only(read_uploads())
        if upload.state == "waiting":
            seen.append((upload.what, upload.next_try_wall_s - clock.now_s))
            clock.now_s = max(clock.now_s, upload.next_try_wall_s)

    def no_network(_: int, __: Request) -> Fault | None:
        return Fault("cut_before") if clock.now_s - began_s < days_s else None

    clock.at_wake, hub.fault_for = look, no_network
    queue(root)
    assert only(work(clock, Patience(longest_s=7200.0))).state == "done"
    assert clock.now_s - began_s >= days_s
    assert all("cannot be reached" in what for what, _ in seen)
    assert max(wait_s for _, wait_s in seen) <= 7200
    assert days_s / 7200 <= len(hub.seen) < 4 * days_s / 7200  # asked every hour or two


def test_a_hub_that_says_how_long_to_wait_is_obeyed(hub: LocalHub, root: Path) -> None:
    clock = Clock()
    asked_s: list[float] = []

    def limited(number: int, _: Request) -> Fault | None:
        asked_s.append(clock.now_s)
        return Fault("status", status=429, retry_after_s=90) if number == 3 else None

    hub.fault_for = limited
    queue(root)
    assert only(work(clock)).state == "done"
    assert asked_s[4] - asked_s[3] >= 90


@pytest.mark.parametrize(
    ("token", "status", "words"),
    [("hf_wrong", 401, "Log in again"), (READER, 403, "only read"), (None, 0, "hf auth login")],
)
def test_a_token_that_may_not_write_waits_for_a_person_and_goes_on_with_a_better_one(
    hub: LocalHub,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    status: int,
    words: str,
) -> None:
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    queue(root)
    upload = only(work())
    assert upload.state == "refused"
    assert words in upload.likely + upload.do
    assert not status or f"answered {status}" in upload.what
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    ask(requests_file(), Retry())
    assert only(work()).state == "done"


def test_somebody_elses_name_is_refused_with_the_way_out(hub: LocalHub, root: Path) -> None:
    queue(root, repo="somebody/pick")
    upload = only(work())
    assert upload.state == "refused"
    assert "--repo owner/name" in upload.do


def test_a_disk_that_does_not_give_a_file_is_named(
    hub: LocalHub, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> str:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(snapshot, "sha256_of", broken)
    queue(root)
    upload = only(work())
    assert upload.state == "refused"
    assert "cannot be read: Input/output error" in upload.what
    assert "dmesg" in upload.do
    assert not hub.seen


def test_a_dataset_that_is_not_whole_stays_here(hub: LocalHub, root: Path) -> None:
    next((root / "videos").rglob("*.mp4")).unlink()
    queue(root)
    upload = only(work())
    assert upload.state == "refused"
    assert "is missing" in upload.what
    assert not hub.seen


def test_a_change_that_a_crash_left_half_done_is_finished_first(
    hub: LocalHub, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from daemon.recorder import dataset, transaction

    with monkeypatch.context() as broken:
        broken.setattr(dataset, "finish", lambda root: None)
        broken.setattr(dataset, "_mark_committed", lambda *_: None)
        from .conftest import keep_episode

        keep_episode(root, 2)
    assert (root / transaction.INTENT).exists()
    monkeypatch.setattr(snapshot, "_STALE_INTENT_S", 0.0)
    queue(root)
    assert only(work()).episodes == 3
    assert_holds(hub.store.repos[REPO].files(), root)


def test_the_uploader_outlives_who_started_it_and_a_kill_and_a_hang_up(
    hub: LocalHub, root: Path
) -> None:
    """Started by a program that ends; hung up; killed while it sends; woken by the next program."""
    pids: list[int] = []

    def strike(_: int, request: Request) -> Fault | None:
        if request.method != "PUT" or hub.broken:
            return None
        pids.append(read_uploads().pid)
        assert os.getpriority(os.PRIO_PROCESS, pids[0]) == 19
        os.kill(pids[0], signal.SIGHUP)
        return Fault("cut_body", act=lambda: os.kill(pids[0], signal.SIGKILL))

    hub.fault_for = strike
    program = [sys.executable, "-m", "daemon.cli.main", "upload", "me/pick", "--json"]
    asked = subprocess.run(program, capture_output=True, start_new_session=True, check=True)
    assert b'"running":true' in asked.stdout
    _wait_until(lambda: pids and not uploader_runs())
    assert "v3.0" not in hub.store.repos[REPO].tags
    assert only(read_uploads()).state not in FINAL
    assert wake_uploader()
    _wait_until(lambda: only(read_uploads()).state == "done")
    _wait_until(lambda: not uploader_runs())
    assert lock_file().exists()
    assert not wake_uploader()
    assert_holds(hub.store.repos[REPO].files("v3.0"), root)


def _wait_until(reached: Any, limit_s: float = 150.0) -> None:
    end_s = time.monotonic() + limit_s
    while not reached():
        assert time.monotonic() < end_s
        time.sleep(0.05)


@pytest.mark.slow
def test_faults_and_kills_leave_nothing_missing_doubled_or_tagged_too_early() -> None:
    report = run_bench(40, seed=3)
    assert report["faults"] >= 40
    assert report["kills"] > 0
    assert not any(report[name] for name in WRONG), report


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "caught_by"),
    [("broken_tag_first.py", "tags_on_incomplete"), ("broken_forgets_a_file.py", "files_missing")],
)
def test_the_benchmark_catches_an_uploader_that_is_wrong(broken: str, caught_by: str) -> None:
    report = run_bench(5, seed=4, prepare=Path(__file__).with_name(broken))
    assert report[caught_by] > 0


def test_an_undo_at_the_shell_reaches_the_hub_by_itself(hub: LocalHub, root: Path) -> None:
    queue(root)
    assert only(work()).episodes == 2
    undo = [sys.executable, "-m", "daemon.cli.main", "dataset", "undo", "me/pick", "--yes"]
    subprocess.run(undo, check=True, capture_output=True)
    _wait_until(lambda: only(read_uploads()).episodes == 1)
    _wait_until(lambda: not uploader_runs())
    assert_holds(hub.store.repos[REPO].files("v3.0"), root)


def test_the_recorder_wakes_the_uploader_when_it_starts_keeps_and_takes_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from daemon.recorder import saving

    woken: list[bool] = []
    monkeypatch.setattr(saving, "dataset_changed", lambda: woken.append(True) or "")
    session: Any = SimpleNamespace(
        pending=(),
        recover=lambda: SimpleNamespace(offered=(), unreadable=()),
        undo=lambda *_: None,
    )
    desk = saving.Saving(session, lambda *_: None)
    desk.recover()
    done: list[bool] = []
    desk.undo(Path("/"), "", lambda: done.append(True), lambda error: None)
    while not (done and desk.idle):
        desk.collect()
        time.sleep(0.001)
    assert len(woken) == 2
    desk.close()
    assert len(woken) == 3
