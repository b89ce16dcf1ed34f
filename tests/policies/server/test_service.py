"""The server in openpi's protocol, with openpi's own client and with one that misbehaves."""

import asyncio
import threading
from typing import Any

import numpy as np
import pytest
from openpi_client.websocket_client_policy import WebsocketClientPolicy
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from policies.server.command import read_key, refuse_open_door
from policies.server.recording import Recording, read_recording
from policies.server.request import said_of
from policies.server.wire import pack, unpack
from robotd.errors import CheckpointError, ConfigError

from .conftest import CHUNK, KEYS, EchoModel, ServedElsewhere, observation, served


async def ask(socket: Any, message: dict[str, Any]) -> Any:
    await socket.send(pack(message))
    answer = await socket.recv()
    return answer if isinstance(answer, str) else unpack(answer)


def test_openpis_own_client_connects_unchanged_and_gets_the_very_bytes() -> None:
    model = EchoModel()
    server = ServedElsewhere(model)
    client = WebsocketClientPolicy(server.start())
    try:
        metadata = client.get_server_metadata()
        assert (metadata["action_horizon"], metadata["action_dim"]) == (CHUNK, 6)
        for number in range(3):
            answer = client.infer(observation(0.1 * number))
            expected = np.tile(observation(0.1 * number)[KEYS[0]].astype(np.float64), (CHUNK, 1))
            expected += 100 * number
            assert answer["actions"].dtype == np.float64
            assert answer["actions"].tobytes() == expected.tobytes()
            assert answer["server_timing"]["infer_ms"] >= 0
            assert ("prev_total_ms" in answer["server_timing"]) == (number > 0)
        values, task = model.asked[-1]
        assert task == "put it there"
        assert values[KEYS[1]].dtype == np.uint8 and (values[KEYS[1]] == 7).all()
        with pytest.raises(RuntimeError, match=r"has no observation\.state") as refused:
            client.infer({"prompt": "x"})
        assert "Traceback" not in str(refused.value)
    finally:
        client._ws.close()
        server.stop()


async def test_the_metadata_says_all_that_a_checkpoint_would() -> None:
    async with served(EchoModel()) as url, connect(url, compression=None) as socket:
        said = said_of(unpack(await socket.recv()))
    assert said is not None
    assert (said.kind, said.fps, said.units, said.chunk) == ("echo", 15.0, "degrees", CHUNK)
    assert said.inputs[KEYS[1]].shape == (3, 64, 64)


async def test_pings_and_health_are_answered_however_long_the_model_takes() -> None:
    """openpi's server computes in its event loop: a minute of compiling drops every connection."""
    model = EchoModel()
    compiled, began = threading.Event(), threading.Event()

    def compile_for_long() -> None:
        began.set()
        assert compiled.wait(120)

    model.before = compile_for_long
    async with served(model) as url, connect(url, compression=None) as socket:
        await socket.recv()
        await socket.send(pack(observation()))
        await asyncio.to_thread(began.wait, 60)
        for _ in range(3):
            await (await socket.ping())  # raises when the connection is dropped
        async with connect(url, compression=None) as other:
            assert "robotd" in unpack(await other.recv())
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"OK\n")
        writer.close()
        compiled.set()
        assert unpack(await socket.recv())["actions"].shape == (CHUNK, 6)


async def test_only_the_newest_observation_waits_and_every_one_is_answered_in_order() -> None:
    model = EchoModel()
    go_on, began = threading.Event(), threading.Event()

    def wait_once() -> None:
        began.set()
        assert go_on.wait(60)

    model.before = wait_once
    async with served(model) as url, connect(url, compression=None) as socket:
        await socket.recv()
        for number in range(1, 6):
            await socket.send(pack(observation(number) | {"__id__": number}))
            if number == 1:
                await asyncio.to_thread(began.wait, 60)
        await (await socket.ping())  # answered after all five have been read
        await asyncio.sleep(0)
        go_on.set()
        answers = [unpack(await socket.recv()) for _ in range(5)]
    numbers = [answer["__id__"] for answer in answers]
    assert numbers == [1, 2, 3, 4, 5]
    assert ["dropped" in answer for answer in answers] == [False, True, True, True, False]
    assert "newer one" in answers[1]["error"] and "do:" in answers[1]["error"]
    assert len(model.asked) == 2  # nobody computes what nobody waits for


async def test_a_new_client_begins_an_episode_and_so_do_reset_and_done() -> None:
    model = EchoModel()
    async with served(model) as url:
        async with connect(url, compression=None) as socket:
            await socket.recv()
            first = await ask(socket, observation(0))
            second = await ask(socket, observation(0))
            assert await ask(socket, {"__cmd__": "reset"}) == {"__cmd__": "reset"}
            third = await ask(socket, observation(0))
            fourth = await ask(socket, observation(0))
            fifth = await ask(socket, observation(0) | {"done": True})
            assert await ask(socket, {"done": np.array(True)}) == {"__cmd__": "reset"}
        async with connect(url, compression=None) as socket:
            await socket.recv()
            other = await ask(socket, observation(0))
    begun = [answer["actions"][0, 0] for answer in (first, second, third, fourth, fifth, other)]
    assert begun == [0, 100, 0, 100, 0, 0]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"\xc1", "could not be read"),
        ("hello", "could not be read"),
        (pack({"__cmd__": "shutdown"}), "no command 'shutdown'"),
        (pack(observation() | {KEYS[0]: np.zeros(5, np.float32)}), r"has shape \(5,\)"),
        (pack(observation() | {KEYS[0]: np.array(["a"] * 6)}), "not numbers"),
        (pack(observation() | {KEYS[1]: np.zeros((64, 64, 3), np.float32)}), "uint8"),
        (pack(observation() | {KEYS[1]: np.zeros((32, 64, 3), np.uint8)}), "64x32"),
        (pack(observation() | {"prompt": np.zeros(3)}), "not text"),
    ],
)
async def test_a_wrong_message_is_answered_in_three_parts_and_ends_the_connection(
    message: bytes | str, said: str
) -> None:
    async with served(EchoModel()) as url, connect(url, compression=None) as socket:
        await socket.recv()
        await socket.send(message)
        answer = await socket.recv()
        assert isinstance(answer, str)
        with pytest.raises(CheckpointError, match=said):
            raise CheckpointError(answer, "", "")
        assert "likely:" in answer and "do:" in answer and "Traceback" not in answer
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1011


async def test_whatever_the_model_raises_the_client_is_told_and_the_next_one_is_served() -> None:
    model = EchoModel()

    def fail() -> None:
        raise KeyError("left_wrist_0_rgb")

    model.before = fail
    async with served(model) as url:
        async with connect(url, compression=None) as socket:
            await socket.recv()
            answer = await ask(socket, observation())
            assert "KeyError" in answer and "File " not in answer
        model.before = lambda: None
        async with connect(url, compression=None) as socket:
            await socket.recv()
            assert (await ask(socket, observation()))["actions"].shape == (CHUNK, 6)


async def test_a_message_beyond_the_limit_is_refused_with_its_size() -> None:
    async with (
        served(EchoModel(), max_bytes=10_000) as url,
        connect(url, compression=None) as socket,
    ):
        await socket.recv()
        with pytest.raises(ConnectionClosed) as closed:
            await socket.send(pack(observation()))
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009 and "10000" in closed.value.rcvd.reason


async def test_without_the_key_nobody_is_served_but_health_is_told() -> None:
    async with served(EchoModel(), api_key="sesame") as url:
        for headers in ({}, {"Authorization": "Api-Key sesam"}, {"Authorization": "sesame"}):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(url, additional_headers=headers):
                    raise AssertionError("it was let in")
            assert refused.value.response.status_code == 401
            assert b"ROBOTD_POLICY_API_KEY" in bytes(refused.value.response.body or b"")
        right = {"Authorization": "Api-Key sesame"}
        async with connect(url, additional_headers=right, compression=None) as socket:
            assert "robotd" in unpack(await socket.recv())


def test_a_door_to_the_network_needs_a_key(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.1.2.3"):
        refuse_open_door(host, "")
    for host in ("0.0.0.0", "::", "192.168.1.2", "robot.local"):
        with pytest.raises(ConfigError, match="Without an API key"):
            refuse_open_door(host, "")
        refuse_open_door(host, "key")
    (tmp_path / "key").write_text("sesame\n")
    monkeypatch.setenv("ROBOTD_POLICY_API_KEY", "of the environment")
    assert read_key(f"@{tmp_path / 'key'}") == "sesame"
    assert read_key("word") == "word"
    assert read_key(None) == "of the environment"
    (tmp_path / "empty").write_text("\n")
    for name in ("empty", "absent"):
        with pytest.raises(ConfigError):
            read_key(f"@{tmp_path / name}")


async def test_what_was_recorded_can_be_asked_again(tmp_path: Any) -> None:
    recording = Recording(tmp_path / "kept", spare_bytes=0)
    async with (
        served(EchoModel(), recording=recording) as url,
        connect(url, compression=None) as socket,
    ):
        await socket.recv()
        answers = [await ask(socket, observation(number)) for number in range(3)]
    again = EchoModel()
    kept = list(read_recording(tmp_path / "kept"))
    for each, answer in zip(kept, answers, strict=True):
        said = again.predict(each.values, each.task, noise=each.noise)
        assert said.tobytes() == each.actions.tobytes() == answer["actions"].tobytes()
    assert Recording(tmp_path / "kept")._next == 4  # a second run adds to the first
    full = Recording(tmp_path / "full", spare_bytes=1 << 60)
    async with served(EchoModel(), recording=full) as url, connect(url, compression=None) as socket:
        await socket.recv()
        assert (await ask(socket, observation()))["actions"].shape == (CHUNK, 6)
    assert not list(read_recording(tmp_path / "full"))
