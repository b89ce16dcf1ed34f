"""A Pi0 in the policy process: loaded, refused and played like any other policy."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.schema import Config
from robotd.frames import FrameRingWriter
from robotd.policy_channel import POLICY_SOCKET, Failed, Load, Ready
from robotd.states import State

from ..checkpoint import tiny_pi0
from ..test_processes import Stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # an import of torch on a busy machine


@pytest.fixture
def stage(tmp_path: Path, config: Config) -> Iterator[Stage]:
    made = Stage(tmp_path, config)
    yield made
    made.close()


def test_a_pi0_is_loaded_into_the_policy_process_and_proposes(
    stage: Stage, tokenizer_file: Path
) -> None:
    folder = tiny_pi0.write_orbax(stage.runtime / "tiny", tiny_pi0.arrays())
    process = stage.start("policies.serve", POLICY_SOCKET)
    stage.send(POLICY_SOCKET, Load(id=1, path=str(folder), embodiment="so101", tokenizer="nowhere"))
    stage.until(lambda: stage.heard(Failed), 300)
    assert "There is no tokenizer nowhere" in stage.heard(Failed)[0].what

    asked = Load(
        id=2, path=str(folder), embodiment="so101", tokenizer=str(tokenizer_file), task="pick up"
    )
    stage.send(POLICY_SOCKET, asked)
    stage.until(lambda: stage.heard(Ready), 300)
    ready = stage.heard(Ready)[0]
    assert (ready.kind, ready.chunk, ready.fps) == ("pi0", tiny_pi0.HORIZON, 30)
    assert set(ready.cameras) == {"overhead", "wrist"} and ready.embodiment == "so101"
    assert len(ready.sha256) == 64

    stage.give_to(State.POLICY)
    cameras = [
        FrameRingWriter(stage.runtime / f"frames-{name}", 64, 64, 64)
        for name in ("overhead", "wrist")
    ]

    def film() -> bool:
        for camera in cameras:
            camera.append(time.monotonic_ns(), camera.count, bytes(64 * 64 * 3))
        return len(stage.proposals) >= 2

    stage.until(film, 120)
    assert stage.proposals[0]["step_ns"] == round(1e9 / 30)
    process.terminate()
    stage.until(lambda: process.poll() == 0)
    for camera in cameras:
        camera.close()
