"""What Linux has and macOS has not: recording goes on without it."""

import fcntl
import os
from pathlib import Path

import pytest

from daemon.recorder.durable import AppendFile
from daemon.recorder.worker import Worker


def test_without_fdatasync_data_is_synced_by_the_full_sync_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.delattr(os, "fdatasync")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda _, command: calls.append(f"fcntl {command}"))
    monkeypatch.setattr(os, "fsync", lambda _: calls.append("fsync"))
    with AppendFile(tmp_path / "a") as file:
        file.write(b"rows")
        file.sync()
    assert calls == ["fcntl 51"]


def test_a_file_system_without_the_full_sync_gets_the_plain_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "fdatasync")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 9999, raising=False)  # the kernel does not know it
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    with AppendFile(tmp_path / "a") as file:
        file.sync()
    assert len(synced) == 1


def test_publishing_works_where_a_thread_has_no_priority_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_: int) -> None:
        raise ProcessLookupError(3, "No such process")

    monkeypatch.setattr(os, "setpriority", unknown)
    worker = Worker()
    results: list[object] = []
    worker.post(lambda: "saved", lambda result, error: results.append((result, error)))
    worker.close()
    worker.collect()
    assert results == [("saved", None)]
