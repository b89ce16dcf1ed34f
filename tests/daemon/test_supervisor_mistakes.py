"""A mistake in the supervisor never lets go of the arm: parts fail alone, control is never killed.

The supervisor is the real one with its real files and sockets; its processes are the zoo's.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from config.loader import load
from daemon.supervisor import supervisor as supervisor_module
from daemon.supervisor.__main__ import joint_maps
from daemon.supervisor.children import Children, Spec
from daemon.supervisor.guarded import Guarded
from daemon.supervisor.notify import Notifier
from daemon.supervisor.observed import _free_gb
from daemon.supervisor.runtime import RuntimeFolder
from daemon.supervisor.supervisor import Supervisor
from robotd import messages
from robotd.clock import NS_PER_S, MonotonicClock
from robotd.errors import ConfigError, DaemonError
from robotd.messages import AnyRequest, Clear, Failed, GetStatus, Reply

ZOO = Path(__file__).parent / "zoo"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[RuntimeFolder]:
    with tempfile.TemporaryDirectory(prefix="rd") as short:  # a socket's path is not long
        yield RuntimeFolder.take(Path(short) / "t")


def animal(name: str, module: str, *arguments: str, restarts: bool = False) -> Spec:
    environment = {"PYTHONPATH": f"{ZOO}:{ROOT}"}
    return Spec(name, module, arguments, restarts=restarts, environment=environment)


def made(
    folder: RuntimeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *specs: Spec
) -> Supervisor:
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(ROOT / "config" / "calibration"))
    monkeypatch.setattr(supervisor_module, "body_specs", lambda *_: [])
    monkeypatch.setattr(supervisor_module, "robot_specs", lambda *_: list(specs))
    config = load(file="so101-sim").config
    return Supervisor(
        config,
        folder,
        tmp_path / "logs",
        joint_maps(config),
        MonotonicClock(),
        Notifier(""),
        lambda _: None,
    )


def answer(supervisor: Supervisor, folder: RuntimeFolder, request: AnyRequest) -> Reply:
    """What the supervisor says to one request, stepped by hand."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.connect(f"ipc://{folder.path / messages.API_SOCKET}")
        envelope = messages.Envelope(schema=messages.SCHEMA, id=7, request=request)
        dealer.send(messages.encode(envelope))
        for _ in range(500):
            supervisor.step([])
            if dealer.poll(10):
                reply: Reply = messages.decode_reply(dealer.recv())
                dealer.close(linger=0)
                return reply
    raise AssertionError("no answer")


def test_an_exception_in_a_handler_is_an_answer_in_three_parts_and_the_rest_is_served(
    folder: RuntimeFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    supervisor = made(folder, tmp_path, monkeypatch)

    def broken(_: object) -> dict[str, Any]:
        raise ValueError("embedded null byte")

    with monkeypatch.context() as sabotage:
        sabotage.setattr("daemon.supervisor.requests.as_data", broken)
        reply = answer(supervisor, folder, GetStatus())
    assert isinstance(reply, Failed)
    assert reply.kind == "DaemonError"
    assert "embedded null byte" in reply.what
    assert reply.likely
    assert "robotd logs" in reply.do
    assert any(record.exc_info for record in caplog.records)  # with its traceback
    assert not isinstance(answer(supervisor, folder, GetStatus()), Failed)
    supervisor.run([15])


def test_clear_before_there_is_a_control_is_refused_in_words(
    folder: RuntimeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = made(folder, tmp_path, monkeypatch)
    reply = answer(supervisor, folder, Clear())
    assert isinstance(reply, Failed)
    assert reply.kind == "StateError"
    assert "not started yet" in reply.what
    supervisor.run([15])


def test_a_runtime_folder_that_is_gone_stops_nothing(
    folder: RuntimeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = made(folder, tmp_path, monkeypatch)
    shutil.rmtree(folder.path)
    for _ in range(30):
        supervisor.step([])
        time.sleep(0.01)
    supervisor.run([15])


def test_when_a_start_fails_control_is_asked_to_end_and_waited_for_not_killed(
    folder: RuntimeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = tmp_path / "down"
    supervisor = made(
        folder,
        tmp_path,
        monkeypatch,
        animal("control", "parks_slowly", str(down)),
        animal("recorder", "crashes_later", str(down), restarts=True),
    )
    with pytest.raises(DaemonError, match="The cable is gone"):
        supervisor.run([])
    assert down.read_text() == "down"


def test_when_the_loop_itself_breaks_control_is_waited_for_too(
    folder: RuntimeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = tmp_path / "down"
    spec = animal("control", "parks_slowly", str(down))
    supervisor = made(folder, tmp_path, monkeypatch, spec)

    def broken() -> int:
        if down.exists():
            raise OSError("no more descriptors")
        return 10

    monkeypatch.setattr(supervisor, "_wait_ms", broken)
    with pytest.raises(OSError, match="no more descriptors"):
        supervisor.run([])
    assert down.read_text() == "down"


def test_a_child_that_cannot_be_started_is_one_that_ended(tmp_path: Path) -> None:
    children = Children(tmp_path / "logs", time.monotonic_ns, lambda _: None)
    child = children.start(Spec("replay", "policies.replay", ("x\0y",), restarts=False))
    assert not child.running
    assert children.poll() == [child]
    assert child.word == "dead (exit 127)"
    assert "null byte" in children.last_words("replay")
    assert children.poll() == []


def test_a_list_of_processes_that_cannot_be_written_ends_no_process(tmp_path: Path) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    children = Children(tmp_path / "logs", time.monotonic_ns, full)
    child = children.start(animal("well_behaved", "well_behaved"))
    try:
        assert child.running
    finally:
        assert child.process is not None
        child.process.kill()
        child.process.wait()


def test_a_disk_that_does_not_answer_is_not_known_instead_of_an_end(tmp_path: Path) -> None:
    assert _free_gb(Path("/" + "x" * 300)) is None  # ENAMETOOLONG, as EIO and EACCES raise
    assert (_free_gb(tmp_path / "not" / "there") or 0.0) > 0.0


def test_the_same_mistake_is_logged_once_and_then_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_ns = 0
    guarded = Guarded(lambda: now_ns)

    def broken() -> None:
        raise OSError("full")

    with caplog.at_level(logging.ERROR):
        for _ in range(1000):
            guarded.run("trimming the logs", broken)
        assert len(caplog.records) == 1
        now_ns = 61 * NS_PER_S
        guarded.run("trimming the logs", broken)
    assert len(caplog.records) == 2
    assert "1000 times" in caplog.text


def test_whatever_ends_the_supervisor_is_said_to_the_one_who_started_it(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "daemon.supervisor", "--sim", "--ready-fd", str(writer)],
        pass_fds=(writer,),
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "XDG_RUNTIME_DIR": str(tmp_path),
            "XDG_CONFIG_HOME": str(tmp_path),
        },
    )
    os.close(writer)
    with os.fdopen(reader) as line:
        said = json.loads(line.readline())
    assert process.wait(10) != 0
    assert said["kind"] == "DaemonError"
    assert said["what"]
    assert said["likely"]
    assert said["do"]


def test_a_margin_that_leaves_a_joint_no_way_is_refused_with_the_widest_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(ROOT / "config" / "calibration"))
    config = load(file="so101-sim").config
    limits = msgspec.structs.replace(config.limits, range_margin_deg=60.0)
    with pytest.raises(ConfigError, match="leaves arm's gripper no way to go") as caught:
        joint_maps(msgspec.structs.replace(config, limits=limits))
    assert "below 55.0 deg" in caught.value.do
