"""A dataset goes to the hub: whole, private, tagged last; and what is taken out goes from it too."""

import fcntl
import hashlib
import json
import os
import threading
import time
from pathlib import Path

import pytest

from bench.local_hub import TOKEN, Fault, LocalHub
from bench.local_hub_routes import Request
from bench.local_hub_store import Blob, Change
from daemon.recorder.dataset import remove_last
from robotd.uploading import (
    has_work,
    lock_file,
    read_uploads,
    requests_file,
    status_file,
    uploads_dir,
)
from uploads.patience import Patience
from uploads.requests import Cancel, Pause, Resume, Retry, ask, job_id
from uploads.worker import run_uploader

from .conftest import Clock, keep_episode, only, queue, work

REPO = "me/pick"


def contents(root: Path) -> dict[str, bytes]:
    """The dataset's files as they are to be on the hub, found without the uploader's code."""
    names = [path for folder in ("data", "videos", "meta") for path in (root / folder).rglob("*")]
    names += [*(root / "robotd/episodes").rglob("*"), root / "robotd/commits.jsonl"]
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in names
        if path.is_file() and path.parent.name != "before"
    }


def assert_holds(files: dict[str, Blob], root: Path) -> None:
    """The repository's files are the dataset's, and nothing else of a dataset."""
    wanted = contents(root)
    assert {path for path in files if "/" in path} == set(wanted)
    for path, data in wanted.items():
        if path.endswith("episode.json"):
            page = json.loads(data)
            page["spec"]["dataset_root"] = ""
            assert json.loads(files[path].data) == page
        else:
            assert files[path].data == data, path


def test_a_dataset_arrives_whole_private_and_tagged_and_every_file_is_sent_once(
    hub: LocalHub, root: Path
) -> None:
    queue(root)
    upload = only(work())
    assert (upload.state, upload.episodes, upload.repo) == ("done", 2, REPO)
    repo = hub.store.repos[REPO]
    assert repo.private
    assert repo.tags == {"v3.0": repo.head}
    assert len(repo.commits) == 2  # the hub's own first one, and the whole dataset as one
    assert_holds(repo.files(), root)
    assert set(hub.store.stored.values()) == {1}
    assert not any(str(root.parent).encode() in blob.data for blob in repo.files().values())


def test_uploading_again_sends_nothing_again(hub: LocalHub, root: Path) -> None:
    queue(root)
    work()
    before = len(hub.seen)
    queue(root)
    assert only(work()).state == "done"
    assert {request.method for request in hub.seen[before:]} == {"GET"}


def test_the_card_has_the_datasets_facts_and_no_licence_that_nobody_stated(
    hub: LocalHub, root: Path
) -> None:
    queue(root)
    work()
    card = hub.store.repos[REPO].files()["README.md"].data.decode()
    assert "2 episodes of so_follower, 12 frames at 15 fps" in card
    assert "- put the block into the bowl" in card
    assert "| observation.images.wrist | 128×96 | h264 |" in card
    assert "degrees" in card
    assert "| Flagged by the quality gate (episodes) | " in card
    assert "license" not in card
    queue(root, licence="mit")
    work()
    assert "license: mit\n" in hub.store.repos[REPO].files()["README.md"].data.decode()
    queue(root, licence="my-own")
    upload = only(work())
    assert upload.state == "refused"
    assert "must be one of" in upload.what


def test_an_episode_that_is_undone_is_taken_off_the_hub_with_its_meta_in_one_commit(
    hub: LocalHub, root: Path
) -> None:
    queue(root)
    work()
    remove_last(root)
    assert has_work(read_uploads())  # which wakes the uploader; nobody asked
    assert only(work()).episodes == 1
    repo = hub.store.repos[REPO]
    assert len(repo.commits) == 3
    assert repo.tags == {"v3.0": repo.head}
    assert_holds(repo.files(), root)


def test_when_the_last_episode_is_undone_nothing_of_the_dataset_stays_on_the_hub(
    hub: LocalHub, root: Path
) -> None:
    queue(root)
    work()
    remove_last(root)
    remove_last(root)
    upload = only(work())
    assert (upload.state, upload.episodes, upload.files) == ("done", 0, 0)
    repo = hub.store.repos[REPO]
    assert (set(repo.files()), repo.tags) == ({".gitattributes"}, {})
    assert not has_work(read_uploads())
    keep_episode(root, 4)
    queue(root)
    assert only(work()).episodes == 1
    assert_holds(repo.files("v3.0"), root)


def test_a_later_episode_goes_up_by_itself_only_where_that_was_asked(
    hub: LocalHub, root: Path
) -> None:
    queue(root)
    work()
    keep_episode(root, 2)
    assert only(work()).episodes == 2
    queue(root, follow=True)
    work()
    keep_episode(root, 3)
    assert has_work(read_uploads())
    assert only(work()).episodes == 4
    assert_holds(hub.store.repos[REPO].files(), root)
    assert not has_work(read_uploads())


def test_an_episode_saved_while_it_sends_is_on_the_hub_wholly_or_not_at_all(
    hub: LocalHub, root: Path
) -> None:
    before = contents(root)

    def keep() -> None:
        keep_episode(root, 2)

    def meanwhile(_: int, request: Request) -> Fault | None:
        first = request.method == "PUT" and not hub.broken
        return Fault("slow", act=keep) if first else None

    hub.fault_for = meanwhile
    queue(root)
    work()
    files = hub.store.repos[REPO].files()
    assert {path for path in files if "/" in path} == set(before)
    assert json.loads(files["meta/info.json"].data)["total_episodes"] == 2
    queue(root)
    work()
    assert_holds(hub.store.repos[REPO].files(), root)


def test_an_episode_undone_while_it_sends_does_not_reach_the_hub(hub: LocalHub, root: Path) -> None:
    def undo(_: int, request: Request) -> Fault | None:
        first = request.path.endswith("/preupload/main") and not hub.broken
        return Fault("slow", act=lambda: remove_last(root) and None) if first else None

    hub.fault_for = undo
    queue(root)
    assert only(work()).episodes == 1
    repo = hub.store.repos[REPO]
    assert repo.tags == {"v3.0": repo.head}
    assert_holds(repo.files(), root)


def test_what_others_put_into_the_repository_is_never_written_over_unasked(
    hub: LocalHub, root: Path
) -> None:
    theirs = {"meta/info.json": b"{}", "data/other.txt": b"theirs", "README.md": b"# mine\n"}
    hub.store.create(REPO, private=True)
    hub.store.commit(REPO, Change("theirs", files=theirs))
    queue(root)
    upload = only(work())
    assert upload.state == "refused"
    assert "meta/info.json, data/other.txt" in upload.what
    assert len(hub.store.repos[REPO].commits) == 2
    queue(root, replace=True)
    assert only(work()).state == "done"
    files = hub.store.repos[REPO].files()
    assert_holds(files, root)
    assert files["README.md"].data == b"# mine\n"  # a person's words stay


def test_a_repository_that_everybody_may_read_takes_no_private_dataset(
    hub: LocalHub, root: Path
) -> None:
    hub.store.create(REPO, private=False)
    queue(root)
    upload = only(work())
    assert (upload.state, upload.likely) == (
        "refused",
        "The repository was there before, and everybody may read it.",
    )
    queue(root, public=True)
    assert only(work()).state == "done"


def test_a_dataset_without_an_owner_goes_under_the_tokens(hub: LocalHub, root: Path) -> None:
    local = root.parents[1] / "local" / "pick"
    local.parent.mkdir()
    root.rename(local)
    from uploads.requests import Queue

    ask(requests_file(), Queue(root=str(local), name="local/pick"))
    assert only(work()).repo == "me/pick"


def test_a_pause_stops_within_a_file_and_going_on_loses_nothing(hub: LocalHub, root: Path) -> None:
    def pause(_: int, request: Request) -> Fault | None:
        if request.method == "PUT" and not hub.broken:
            ask(requests_file(), Pause())
            return Fault("slow", delay_s=0.8)
        return None

    hub.fault_for = pause
    queue(root)
    state = work()
    assert (only(state).state, state.paused) == ("paused", True)
    assert REPO not in hub.store.repos or "v3.0" not in hub.store.repos[REPO].tags
    ask(requests_file(), Resume())
    assert has_work(read_uploads())
    assert only(work()).state == "done"
    assert_holds(hub.store.repos[REPO].files(), root)


def test_a_cancelled_upload_is_left_alone_and_can_be_queued_again(
    hub: LocalHub, root: Path
) -> None:
    queue(root)
    ask(requests_file(), Cancel(job_id(str(root), "")))
    assert only(work()).state == "cancelled"
    ask(requests_file(), Retry())
    assert only(work()).state == "cancelled"
    assert not hub.seen
    queue(root)
    assert only(work()).state == "done"


def test_the_rate_holds_over_all_connections(hub: LocalHub, root: Path) -> None:
    keep_episode(root, 2, rows=60)
    size = sum(len(data) for data in contents(root).values())
    rate = 0.1e6
    queue(root, rate_mb_s=rate / 1e6)
    began_s = time.monotonic()
    assert only(work()).state == "done"
    took_s = time.monotonic() - began_s
    received = sum(count for _, count in hub.received)
    assert received >= size
    # One piece of 32 KiB may go at the very beginning; what the socket holds is no more than that.
    assert took_s >= (received - 64 * 1024) / rate


def test_the_token_is_in_no_file_whatever_the_hub_says(hub: LocalHub, root: Path) -> None:
    def echo(number: int, _: Request) -> Fault | None:
        return Fault("status", status=403, echo_token=True) if number == 1 else None

    hub.fault_for = echo
    queue(root)
    upload = only(work())
    assert upload.state == "refused"
    assert "token hf_… is not liked" in upload.what
    for path in uploads_dir().rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()


def test_two_uploaders_never_work_at_the_same_time(hub: LocalHub, root: Path) -> None:
    from uploads.patience import Patience
    from uploads.worker import run_uploader

    most, now, lock = [0], [0], threading.Lock()

    def count(_: int, request: Request) -> None:
        if request.path.endswith("/revision/main"):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.3)
            with lock:
                now[0] -= 1

    hub.fault_for = count
    queue(root)
    threads = [threading.Thread(target=run_uploader, args=(Patience(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert only(read_uploads()).state == "done"


def test_a_status_file_that_is_lost_or_of_another_version_costs_a_comparison(
    hub: LocalHub, root: Path
) -> None:
    queue(root)
    work()
    stored = hub.store.stored.copy()
    for broken in (b"", b'{"version": 2, "uploads": 7}'):
        status_file().write_bytes(broken)
        assert only(work()).state == "done"
    assert hub.store.stored == stored


def test_a_file_changed_under_the_upload_is_sent_as_it_is_now(hub: LocalHub, root: Path) -> None:
    path = root / "robotd/episodes/episode-000000/evidence.parquet"

    def edit(_: int, request: Request) -> Fault | None:
        if request.path.endswith("/tree/main") or "/preupload/" not in request.path or hub.broken:
            return None
        path.write_bytes(b"edited, and longer" * 100)
        return Fault("slow")

    hub.fault_for = edit
    queue(root)
    assert only(work(Clock())).state == "done"
    blob = hub.store.repos[REPO].files()[path.relative_to(root).as_posix()]
    assert blob.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["no-owner", "me/with space", "me/--", "a/b/c", "me/" + "x" * 97])
def test_a_name_that_the_hub_would_not_take_is_refused_before_anything_is_sent(
    hub: LocalHub, root: Path, name: str
) -> None:
    queue(root, repo=name)
    upload = only(work())
    assert upload.state == "refused"
    assert "no repository's name" in upload.what
    assert not hub.seen


def test_an_uploader_that_waits_takes_over_from_one_that_was_killed(
    hub: LocalHub, root: Path
) -> None:
    queue(root)
    uploads_dir().mkdir(parents=True, exist_ok=True)
    other = os.open(lock_file(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(other, fcntl.LOCK_EX)
    assert run_uploader(Patience()) == 0  # one that does not wait leaves it to the other
    waiting = threading.Thread(target=lambda: run_uploader(Patience(), waits=True))
    waiting.start()
    time.sleep(1.0)
    assert read_uploads().uploads == ()
    os.close(other)  # as the kernel does for one that is killed
    waiting.join(60)
    assert only(read_uploads()).state == "done"
