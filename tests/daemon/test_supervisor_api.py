"""The wire answers everything, and nothing that comes over it can stop or crash the daemon."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.supervisor.api import Api, _understand
from daemon.supervisor.pending import Pending, Waiters, failure
from robotd import messages
from robotd.errors import RobotdError, StateError
from robotd.messages import Envelope, Failed, GetStatus, Hold, Ok, SetTask


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[tuple[Api, Any]]:
    context = zmq.Context()
    api = Api(context, tmp_path)
    client = context.socket(zmq.DEALER)
    client.connect(f"ipc://{tmp_path / messages.API_SOCKET}")
    yield api, client
    client.close(linger=0)
    api.close()
    context.term()


def answer(api: Api, client: Any, body: bytes) -> Failed | Envelope:
    client.send(body)
    api.router.poll(2000)
    received = api.receive()
    if received is not None:
        return received[1]
    assert client.poll(2000)
    reply = messages.decode_reply(client.recv())
    assert isinstance(reply, Failed)
    return reply


def test_a_request_comes_through_with_its_id(wire: tuple[Api, Any]) -> None:
    body = messages.encode(Envelope(schema=messages.SCHEMA, id=7, request=Hold()))
    envelope = answer(*wire, body)
    assert isinstance(envelope, Envelope)
    assert envelope.id == 7
    assert envelope.request == Hold()


def test_a_task_of_ten_megabytes_is_refused_in_words_with_its_id(wire: tuple[Api, Any]) -> None:
    request = SetTask(task="x" * 10_000_000)
    reply = answer(*wire, messages.encode(Envelope(schema=messages.SCHEMA, id=9, request=request)))
    assert isinstance(reply, Failed)
    assert reply.id == 9
    assert "bytes long" in reply.what
    assert reply.do


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "no request"),
        (b"\xff\xfe", "no request"),
        (b"[1,2]", "no request"),
        (b'{"id": 3}', "cannot be understood"),
        (b'{"schema": 99, "id": 3, "request": {"type": "hold"}}', "schema 99"),
        (b'{"schema": 1, "id": 3, "request": {"type": "dance"}}', "cannot be understood"),
        (b'{"schema": 1, "id": 3, "request": {"type": "teleop"}}', "cannot be understood"),
        (b'{"schema": 1, "id": 3, "request": {"type": "arm", "consent": 1}}', "understood"),
    ],
)
def test_what_is_no_request_is_answered_in_words(
    wire: tuple[Api, Any], body: bytes, word: str
) -> None:
    reply = answer(*wire, body)
    assert isinstance(reply, Failed)
    assert word in reply.what
    if b"id" in body:
        assert reply.id == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_robotd_error(body: bytes) -> None:
    try:
        _understand(body)
    except RobotdError:
        return
    raise AssertionError("random bytes became a request")


def test_a_client_that_is_gone_costs_nothing(wire: tuple[Api, Any]) -> None:
    api, client = wire
    client.send(messages.encode(Envelope(schema=messages.SCHEMA, id=1, request=GetStatus())))
    api.router.poll(2000)
    received = api.receive()
    assert received is not None
    client.close(linger=0)
    for number in range(5000):
        api.reply(received[0], Ok(id=number))


def test_a_watcher_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    context = zmq.Context()
    api = Api(context, tmp_path)
    lazy = context.socket(zmq.SUB)
    lazy.setsockopt(zmq.SUBSCRIBE, b"")
    lazy.connect(f"ipc://{tmp_path / messages.STATE_SOCKET}")
    status = _status()
    done = threading.Event()

    def publish() -> None:
        for _ in range(3000):
            api.publish(status)
        done.set()

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    assert done.wait(10.0)
    lazy.close(linger=0)
    api.close()
    context.term()


def _status() -> messages.Status:
    loop = messages.LoopStatus(
        tick_hz=120,
        ticks=0,
        missed_ticks=0,
        late_p50_us=0,
        late_p99_us=0,
        read_p50_us=0,
        read_p99_us=0,
        age_ms=0,
        scheduler="",
        memory_locked=False,
        rss_mb=0,
    )
    return messages.Status(
        name="a",
        simulated=True,
        state="disarmed",
        torque="off",
        source="none",
        stamp_ns=0,
        uptime_s=0,
        handover_version=0,
        estop_presses=0,
        joints=(),
        cameras=(),
        loop=loop,
    )


def test_a_pending_answer_comes_when_it_is_there() -> None:
    answers: list[dict[str, Any] | None] = [None, {"state": "holding"}]
    waiters = Waiters()
    waiters.add(b"me", 4, Pending(lambda: answers.pop(0), 5.0, "control"), now_ns=0)
    assert waiters.answers(1) == []
    assert waiters.answers(2) == [(b"me", Ok(id=4, data={"state": "holding"}))]
    assert len(waiters) == 0


def test_a_pending_answer_that_never_comes_is_an_error_that_names_who_was_waited_for() -> None:
    waiters = Waiters()
    waiters.add(b"me", 4, Pending(lambda: None, 0.5, "recorder"), now_ns=0)
    assert waiters.answers(499_999_999) == []
    ((_, reply),) = waiters.answers(500_000_001)
    assert isinstance(reply, Failed)
    assert "recorder" in reply.what
    assert reply.kind == "DaemonError"


def test_an_error_in_a_pending_answer_reaches_the_client_as_it_is() -> None:
    error = StateError("what", "likely", "do")

    def poll() -> dict[str, Any] | None:
        raise error

    waiters = Waiters()
    waiters.add(b"me", 4, Pending(poll, 0.5, "control"), now_ns=0)
    assert waiters.answers(0) == [(b"me", failure(4, error))]
