"""The camera that is not there: full size, full rate, and never mistaken for a real one."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from config.loader import load
from daemon.camera import make_source
from drivers.cameras.synthetic import SyntheticCamera
from robotd.clock import NS_PER_S, VirtualClock
from robotd.errors import CameraError, ConfigError


def camera(clock: VirtualClock) -> SyntheticCamera:
    made = SyntheticCamera("overhead", 640, 480, 30, clock)
    made.open()
    return made


def test_pictures_come_at_full_size_and_at_their_rate_and_move() -> None:
    clock = VirtualClock()
    source = camera(clock)
    frames = [source.read(1.0) for _ in range(31)]
    assert all(frame is not None and frame.rgb.shape == (480, 640, 3) for frame in frames)
    stamps = [frame.stamp_ns for frame in frames if frame is not None]
    assert stamps[-1] - stamps[0] == pytest.approx(NS_PER_S, abs=2)
    assert [frame.sequence for frame in frames if frame is not None] == list(range(1, 32))
    pictures = [frame.rgb for frame in frames if frame is not None]
    changes = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(pictures)]
    assert min(changes) > 2.0
    assert pictures[0].std() > 20.0


def test_what_nobody_took_in_time_is_missing_from_the_sequence() -> None:
    clock = VirtualClock()
    source = camera(clock)
    first = source.read(1.0)
    clock.sleep_until_ns(clock.now_ns() + NS_PER_S + 10_000_000)
    after = source.read(1.0)
    assert first is not None and after is not None
    assert after.sequence - first.sequence == 30
    assert clock.now_ns() - after.stamp_ns == 10_000_000  # taken when it was due


def test_a_read_waits_no_longer_than_it_was_told() -> None:
    clock = VirtualClock()
    source = camera(clock)
    before_ns = clock.now_ns()
    assert source.read(0.01) is None
    assert clock.now_ns() - before_ns == 10_000_000
    assert source.read(0.1) is not None


def test_it_is_read_only_between_open_and_close() -> None:
    source = camera(VirtualClock())
    source.close()
    source.close()
    with pytest.raises(CameraError, match="not open"):
        source.read(0.1)


def test_the_configuration_has_it_on_the_simulated_arm_only(tmp_path: Path) -> None:
    lines = "cameras: {overhead: {device: synthetic, width: 640, height: 480, fps: 30}}\n"
    simulated = tmp_path / "sim.yaml"
    simulated.write_text("extends: so101-sim\n" + lines)
    config = load(file=simulated).config
    clock = VirtualClock()
    source = make_source("overhead", config.cameras["overhead"], tmp_path, clock)
    assert isinstance(source, SyntheticCamera)
    real = tmp_path / "real.yaml"
    real.write_text("extends: so101\narms: {arm: {port: /dev/null, id: x}}\n" + lines)
    with pytest.raises(ConfigError, match="synthetic on a real robot"):
        load(file=real)
