"""A policy on a server: the same actions as here, and an arm that holds when the server goes."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openpi_client import msgpack_numpy
from websockets.asyncio.server import serve

from config.schema import Config
from policies import remote
from policies.border import load_calibrations, robot_features
from policies.loaded import load_policy
from policies.model import ModelOptions, load_model
from policies.observation import Observation
from policies.remote import RemoteModel
from policies.rtc import Leftover
from policies.server.client import ServerLink
from robotd.clock import NS_PER_S
from robotd.errors import CheckpointError, PolicyServerError
from robotd.policy_channel import POLICY_SOCKET, Failed, Load, Ready
from robotd.states import State

from .server.conftest import CHUNK, KEYS, EchoModel, ServedElsewhere, observation
from .test_lockstep import ENCODER, World
from .test_processes import Stage, stage  # noqa: F401 (a fixture)

VALUES = {key: value for key, value in observation().items() if key != "prompt"}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about how busy this machine is, except where a test says so."""
    monkeypatch.setattr("policies.server.client.CONNECT_S", 60.0)
    monkeypatch.setattr(remote, "LEAST_ANSWER_S", 60.0)


@pytest.fixture
def server() -> Iterator[ServedElsewhere]:
    """A server that each test starts as it wants."""
    made = ServedElsewhere(EchoModel())
    yield made
    made.stop()


def connected(url: str, **options: Any) -> RemoteModel:
    model = load_model(url, ModelOptions(**options))
    assert isinstance(model, RemoteModel)
    return model


def test_a_served_policy_is_what_it_says_of_itself_and_says_the_very_same(
    server: ServedElsewhere,
) -> None:
    model = connected(server.start())
    assert (model.kind, model.chunk, model.n_action_steps) == ("echo", CHUNK, 2)
    assert (model.evidence.fps, model.evidence.units) == (15.0, "degrees")
    assert server.url in model.evidence.fps_source and model.interface.name == server.url
    assert model.interface.inputs == EchoModel().interface.inputs
    noise = np.ones((CHUNK, 6), np.float32)
    leftover = Leftover(noise[:2] * 3, delay_steps=1, horizon=2)
    model.reset()
    said = model.predict(VALUES, "put it there", noise=noise, leftover=leftover)
    own = EchoModel()
    expected = own.predict(VALUES, "put it there", noise=noise)
    assert said.tobytes() == expected.tobytes()
    assert model.raw is not None and own.raw is not None
    np.testing.assert_array_equal(model.raw.actions, own.raw.actions)
    got = server.model.leftovers[-1]
    np.testing.assert_array_equal(got.actions, leftover.actions)
    assert (got.delay_steps, got.horizon, got.schedule) == (1, 2, leftover.schedule)
    assert model.timings.infer_ns <= 3_000_000
    assert connected(server.url, fps=15).evidence.fps == 15
    overruled = connected(server.url, units="range_m100_100").evidence
    assert overruled.units == "range_m100_100" and "against degrees" in overruled.units_source
    with pytest.raises(CheckpointError, match="at 15 steps a second") as refused:
        connected(server.url, fps=30)
    assert "--time-scale 2" in refused.value.do


def test_an_episode_begins_with_each_reset_and_with_each_new_connection(
    server: ServedElsewhere,
) -> None:
    model = connected(server.start())
    begun = [model.predict(VALUES, "")[0, 0] for _ in range(2)]
    model.reset()
    begun.append(model.predict(VALUES, "")[0, 0])
    server.stop()
    server.start()
    begun.append(model.predict(VALUES, "")[0, 0])  # connects again by itself
    assert begun == [1, 101, 1, 1]


def test_a_server_that_came_back_with_another_policy_is_refused(server: ServedElsewhere) -> None:
    model = connected(server.start())
    model.predict(VALUES, "")
    server.stop()
    server.model = EchoModel(fps=30.0)
    server.start()
    with pytest.raises(PolicyServerError, match="another policy") as refused:
        model.predict(VALUES, "")
    assert "Load the policy again" in refused.value.do


def test_a_silent_server_is_given_up_in_time_and_its_late_answer_reaches_nobody(
    server: ServedElsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "LEAST_ANSWER_S", 0.3)
    model = connected(server.start())
    model.predict(VALUES, "")
    go_on = threading.Event()
    server.model.before = lambda: go_on.wait(60)
    with pytest.raises(PolicyServerError, match=r"did not answer within 0\.3 s"):
        model.predict({**VALUES, KEYS[0]: np.full(6, 50, np.float32)}, "")
    go_on.set()
    monkeypatch.setattr(remote, "LEAST_ANSWER_S", 60.0)
    assert model.predict(VALUES, "")[0, 0] == 1  # the answer to this question, not to the last


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the debugger, say: the kernel takes the connection for it."""
    monkeypatch.setattr("policies.server.client.CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = ServerLink(f"ws://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(PolicyServerError):
            link.open()
        link.close()


def test_an_absent_server_is_tried_again_after_a_pause_that_doubles() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    now_ns = 0
    tries: list[int] = []
    link = ServerLink(f"ws://127.0.0.1:{port}", now_ns=lambda: now_ns)
    real = link._connected

    def count() -> Any:
        tries.append(now_ns)
        return real()

    link._connected = count  # type: ignore[method-assign]
    for _ in range(400):
        with pytest.raises(PolicyServerError, match="cannot be reached"):
            link.open()
        now_ns += NS_PER_S // 50
    gaps_ms = np.diff(tries) / 1e6
    assert list(gaps_ms[:5]) == [60, 100, 200, 400, 800]


async def openpi_server(socket: Any) -> None:
    """openpi's protocol and nothing of robotd's: metadata of its own, other keys, float32."""
    await socket.send(msgpack_numpy.packb({"reset_pose": [0, 1]}))
    async for body in socket:
        asked = msgpack_numpy.unpackb(body)
        assert set(asked) == {"observation/image", "observation/state", "prompt"}, set(asked)
        assert asked["observation/image"].dtype == np.uint8
        actions = np.tile(np.asarray(asked["observation/state"], np.float32), (10, 1))
        await socket.send(
            msgpack_numpy.packb({"actions": actions, "server_timing": {"infer_ms": 1.0}})
        )


@pytest.fixture
def openpi() -> Iterator[str]:
    """The address of a server like openpi's own."""
    ready, ended = threading.Event(), threading.Event()
    found: list[str] = []

    async def run() -> None:
        async with serve(openpi_server, "127.0.0.1", 0, compression=None, max_size=None) as server:
            found.append(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            ready.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(60)
    yield found[0]
    ended.set()
    thread.join()


def test_openpis_own_server_is_asked_for_what_it_does_not_say(openpi: str, config: Config) -> None:
    with pytest.raises(CheckpointError, match=r"how many steps a second.*") as unknown:
        connected(openpi)
    assert "--fps 30" in unknown.value.do and "reset_pose" in unknown.value.likely
    with pytest.raises(CheckpointError, match="which units"):
        connected(openpi, fps=30)
    with pytest.raises(CheckpointError, match="does not say what it wants") as unnamed:
        load_policy(Load(path=openpi, fps=30, units="degrees"), config, load_calibrations(config))
    assert "--rename observation/image=overhead" in unnamed.value.do
    request = Load(
        path=openpi,
        task="put it there",
        fps=30,
        units="degrees",
        rename={"observation/image": "overhead", "observation/state": "observation.state"},
    )
    policy = load_policy(request, config, load_calibrations(config))
    assert (policy.model.chunk, policy.model.kind) == (10, "openpi server")
    assert policy.fit.cameras == ("overhead",)
    robot = robot_features(config)
    values = {
        "observation.state": policy.border.state(ENCODER),
        "observation.images.overhead": np.zeros((*robot.cameras["overhead"], 3), np.uint8),
    }
    chunk_rad = policy.predict(Observation(0, 1, 0, values))
    expected = policy.border.actions_rad(np.tile(values["observation.state"], (10, 1)))
    np.testing.assert_allclose(chunk_rad, expected, atol=1e-12)


def test_a_served_policy_moves_the_arm_as_it_does_here_and_when_it_goes_the_arm_holds(
    config: Config,
) -> None:
    server = ServedElsewhere(EchoModel(sees=False))
    try:
        far = load_policy(Load(path=server.start()), config, load_calibrations(config))
        near = replace(far, model=EchoModel(sees=False))
        assert far.settings.n_action_steps == 2
        worlds = World(far, config), World(near, config)
        for world in worlds:
            world.run(200)
        pairs = zip(worlds[0].proposals, worlds[1].proposals, strict=True)
        for (far_ns, ours), (near_ns, theirs) in pairs:
            assert far_ns == near_ns
            np.testing.assert_array_equal(ours.goals_rad, theirs.goals_rad)

        # The server goes while the arm is moving: what was approved is finished, then it is said.
        world = worlds[0]
        count = len(world.proposals)
        server.stop()
        with pytest.raises(PolicyServerError, match=r"is gone|cannot be reached") as gone:
            world.run(2000)
        executor = world.runner.runner.executor
        assert executor.starved(world.clock.now_ns())
        assert len(world.proposals) == count
        until_ns = world.proposals[-1][1].end_ns
        assert 0 <= world.clock.now_ns() - until_ns <= NS_PER_S // 10
        assert gone.value.do.endswith("run the policy again.")

        server.start()  # back: nothing goes on before a person runs it again
        world.state = State.HOLDING
        world.run(100)
        assert len(world.proposals) == count
        world.state = State.POLICY
        give_up_s = time.monotonic() + 60
        while len(world.proposals) == count:
            world.hand_over()  # the person runs it again, and again while the link still pauses
            with contextlib.suppress(PolicyServerError):
                world.run(200)
            assert time.monotonic() < give_up_s
        assert len(world.proposals) > count
        for _, proposal in world.proposals[count:]:
            assert proposal.handover_version == world.version
            assert proposal.observation_ns > world.handover_ns
    finally:
        server.stop()


def test_a_hiccup_within_an_approved_plan_is_not_seen_in_the_motion(config: Config) -> None:
    server = ServedElsewhere(EchoModel(sees=False))
    try:
        policy = load_policy(Load(path=server.start()), config, load_calibrations(config))
        world = World(policy, config)
        world.run(60)
        server.stop()
        while not world.runner.runner.trouble:
            world.run(1)
        assert "policy server" in world.runner.runner.trouble
        assert not world.runner.runner.executor.starved(world.clock.now_ns())
        server.start()
        time.sleep(0.3)  # the link pauses 0.05 s after its first failure: virtual time waits for it
        world.run(100)
        assert world.runner.runner.trouble == ""
        assert not world.runner.runner.executor.starved(world.clock.now_ns())
    finally:
        server.stop()


class Program:
    """`robotd serve-policy` as a person starts it. `facts` waits until it serves."""

    def __init__(self, policy: Path, port: int = 0) -> None:
        code = "import sys; from daemon.cli.main import main; sys.exit(main(sys.argv[1:]))"
        arguments = ["--policy", str(policy), "--port", str(port), "--threads", "1", "--json"]
        command = [sys.executable, "-c", code, "serve-policy", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)

    def facts(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def end(self, number: int) -> int:
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        return self.process.wait(60)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_server_ends_the_run_in_words_and_the_next_run_goes_on(
    stage: Stage,  # noqa: F811
    saved_act: Path,
) -> None:
    """Two programs and a policy process, each of which imports torch: on a busy machine that takes
    minutes, and nothing here minds. Chunks of six seconds, so that no answer is too late."""
    program = Program(saved_act)
    try:
        stage.start("policies.serve", POLICY_SOCKET)
        facts = program.facts()
        url, port = facts["url"], facts["port"]
        stage.send(POLICY_SOCKET, Load(id=1, path=url, time_scale=2 / 15, n_action_steps=1))
        stage.until(lambda: stage.heard(Ready), 300)
        assert (stage.heard(Ready)[0].kind, stage.heard(Ready)[0].fps) == ("act", 15)
        stage.give_to(State.POLICY)
        stage.until(lambda: len(stage.proposals) >= 3, 120)
        program.end(signal.SIGKILL)
        stage.until(lambda: stage.heard(Failed), 120)
        failed = stage.heard(Failed)[0]
        assert failed.kind == "PolicyServerError"
        assert any(words in failed.what for words in ("gone", "cannot be reached", "not answer"))
        count = len(stage.proposals)
        program = Program(saved_act, port)
        program.facts()
        for _ in range(60):
            stage.tick()
        assert len(stage.proposals) == count  # a server that is back starts nothing
        stage.give_to(State.HOLDING)
        stage.tick()
        stage.send(POLICY_SOCKET, Load(id=2, path=url, time_scale=2 / 15, n_action_steps=1))
        stage.until(lambda: stage.heard(Ready)[-1].id == 2, 300)
        stage.give_to(State.POLICY)
        stage.until(lambda: len(stage.proposals) > count, 120)
        assert all(p["handover_version"] == stage.version for p in stage.proposals[count:])
        assert program.end(signal.SIGTERM) == 0
    finally:
        program.end(signal.SIGKILL)
