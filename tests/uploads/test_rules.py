"""The queue's pure rules: requests, turns, waiting, what differs from the hub."""

import random
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robotd.uploading import Upload
from uploads.difference import COMMIT_FILES, commits, difference
from uploads.hub import Remote
from uploads.patience import RETRY_AFTER_LIMIT_S, Patience
from uploads.queue import due, reconciled, wait_s
from uploads.requests import (
    Cancel,
    Pause,
    Queue,
    Resume,
    Retry,
    ask,
    fold,
    job_id,
    read_requests,
)
from uploads.snapshot import File
from uploads.traffic import KEEP_ALIVE_S, PIECE_BYTES, StoppedError, Traffic

A, B = Queue(root="/a", name="me/a"), Queue(root="/b", name="me/b", repo="me/c")


def test_asking_again_is_the_same_job_with_newer_options() -> None:
    faster = Queue(root="/a", name="me/a", rate_mb_s=9.0)
    orders = fold([A, B, Pause(), faster, Resume()])
    first = orders.jobs[job_id("/a", "")]
    assert (len(orders.jobs), first.asked, first.wanted.rate_mb_s) == (2, 2, 9.0)
    assert not orders.paused
    assert fold([A, Cancel(first.id)]).jobs[first.id].cancelled
    assert not fold([A, Cancel(first.id), A]).jobs[first.id].cancelled


def test_a_request_torn_by_a_crash_is_no_request_and_hides_no_later_one(tmp_path: Path) -> None:
    log = tmp_path / "uploads" / "requests.jsonl"
    ask(log, A)
    with log.open("ab") as file:
        file.write(b'{"type":"queue","root":"/x","na')
    ask(log, Pause())
    requests, size = read_requests(log)
    assert [type(each) for each in requests] == [Queue, Pause]
    assert size == log.stat().st_size


def test_trying_again_takes_up_what_waits_or_was_refused_and_nothing_that_is_done() -> None:
    orders = fold([A, B])
    states = {"me/a": "refused", "me/b": "done"}
    before = tuple(
        Upload(id=job.id, name=job.wanted.name, root="/", state=states[job.wanted.name], asked=1)
        for job in orders.jobs.values()
    )
    assert [each.state for each in reconciled(before, orders)] == ["refused", "done"]
    after = reconciled(before, fold([A, B, Retry()]))
    assert [each.state for each in after] == ["queued", "done"]


def test_a_clock_that_was_set_back_makes_nothing_wait_for_days() -> None:
    upload = Upload(id="1", name="a", root="/", state="waiting", next_try_wall_s=1e9)
    assert wait_s(upload, 0.0) <= RETRY_AFTER_LIMIT_S
    assert due([upload], 2e9) is upload
    assert due([upload], 0.0) is None


@given(st.integers(1, 10_000), st.none() | st.floats(0, 1e6), st.integers(0, 1000))
def test_waiting_grows_is_bounded_and_never_less_than_the_hub_asks(
    attempt: int, asked_s: float | None, seed: int
) -> None:
    patience = Patience(first_s=2.0, longest_s=300.0)
    wait = patience.wait_s(attempt, asked_s, random.Random(seed))
    assert min(2.0 * 2.0 ** min(attempt - 1, 20), 300.0) / 2 <= wait
    assert wait <= max(300.0, min(asked_s or 0.0, RETRY_AFTER_LIMIT_S))
    assert wait >= min(asked_s or 0.0, RETRY_AFTER_LIMIT_S)


def make_file(path: str, content: str = "x") -> File:
    return File(path, content.encode(), len(content), content)


def test_only_what_we_put_there_is_written_over_or_removed() -> None:
    listed = {
        "data/a": Remote(1, "x", large=True),
        "data/old": Remote(1, "ours", large=True),
        "data/theirs": Remote(1, "theirs", large=True),
        "meta/info.json": Remote(1, "theirs", large=True),
        "notes.md": Remote(1, "theirs", large=True),
    }
    wanted = {each.path: each for each in map(make_file, ("data/a", "data/b", "meta/info.json"))}
    found = difference(wanted, listed, {"data/old": ["ours"]})
    assert [each.path for each in found.added] == ["data/b", "meta/info.json"]
    assert found.deleted == ("data/old", "data/theirs")
    assert set(found.foreign) == {"data/theirs", "meta/info.json"}


def test_of_a_large_upload_the_last_commit_has_all_meta_and_every_deletion() -> None:
    names = [f"videos/{n}.mp4" for n in range(COMMIT_FILES)] + [f"data/{n}" for n in range(30)]
    names += ["meta/info.json", "meta/episodes/0.parquet", "robotd/commits.jsonl", "README.md"]
    change = difference(
        {name: make_file(name) for name in names}, {"data/old": Remote(1, "o", large=True)}, {}
    )
    parts = commits(change)
    assert sorted(each.path for added, _ in parts for each in added) == sorted(names)
    assert all(len(added) <= COMMIT_FILES and not deleted for added, deleted in parts[:-1])
    assert all(not each.path.startswith("meta/") for added, _ in parts[:-1] for each in added)
    assert parts[-1][1] == ("data/old",)


class FakeTime:
    def __init__(self) -> None:
        self.now_s = 0.0

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@given(st.lists(st.integers(1, PIECE_BYTES), max_size=60), st.floats(1e3, 1e7))
def test_no_more_passes_than_the_rate_allows_but_for_one_piece(
    pieces: list[int], rate: float
) -> None:
    fake = FakeTime()
    traffic = Traffic(fake.clock, fake.sleep)
    traffic.limits.bytes_s = rate
    passed = 0
    for piece in pieces:
        traffic.take(piece)
        passed += piece
        assert passed <= fake.now_s * rate + PIECE_BYTES + 1


def test_while_the_arm_moves_only_so_much_goes_as_keeps_the_connection() -> None:
    fake = FakeTime()
    traffic = Traffic(fake.clock, fake.sleep)
    traffic.limits.held = True
    for _ in range(6):
        traffic.take(PIECE_BYTES)
    assert fake.now_s >= 6 * KEEP_ALIVE_S - 1
    traffic.limits.held = False
    before = fake.now_s
    traffic.take(PIECE_BYTES)
    assert fake.now_s == before


def test_what_is_stopped_sends_nothing_more() -> None:
    traffic = Traffic()
    traffic.limits.stopped = True
    with pytest.raises(StoppedError):
        traffic.take(1)
    with pytest.raises(StoppedError):
        traffic.hook(httpx.Request("GET", "http://hub"))
    assert traffic.sent_bytes == 0
