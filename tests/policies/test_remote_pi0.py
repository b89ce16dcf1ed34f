"""A Pi0 behind a server: through its embodiment as if it were here, held on to by real-time chunking, its flow seen."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.schema import Config
from learning.whiskers.flow import flow_of
from policies.border import load_calibrations
from policies.checkpoint.evidence import amend_sidecar
from policies.embodied import EmbodiedModel
from policies.loaded import load_policy
from policies.model import ModelOptions, load_model
from policies.observation import Observation
from policies.pi0.policy import Pi0Policy
from policies.remote import RemoteModel
from policies.rtc import Leftover
from policies.server.command import warmed
from robotd.policy_channel import Load

from .checkpoint import tiny_pi0
from .pi0.tiny_tokenizer import train_tokenizer
from .server.conftest import ServedElsewhere

ENCODER = (2045, 2080, 2057, 1965, 2098, 2600)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_served_pi0_says_what_it_says_here_in_the_robots_own_units(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policies.server.client.CONNECT_S", 60.0)
    monkeypatch.setattr("policies.remote.LEAST_ANSWER_S", 60.0)
    folder = tiny_pi0.write_openpi_torch(tmp_path / "tiny", tiny_pi0.arrays())
    mask = [True] * 4 + [False] * 2  # not the row's: it goes with the checkpoint, over the line too
    amend_sidecar(folder, delta_mask=mask)
    tokenizer = str(train_tokenizer(tmp_path))
    options = ModelOptions(device="cpu", tokenizer=tokenizer, embodiment="so101", fps=30, seed=0)
    served, _ = warmed(load_model(folder, options))
    server = ServedElsewhere(served)
    try:
        calibrations = load_calibrations(config)
        near = load_policy(
            Load(path=str(folder), fps=30, embodiment="so101", tokenizer=tokenizer, task="pick up"),
            config,
            calibrations,
        )
        far = load_policy(Load(path=server.start(), task="pick up"), config, calibrations)
        assert isinstance(far.model, EmbodiedModel) and isinstance(far.model.inner, RemoteModel)
        assert far.embodiment[0] == "so101" and server.url in far.embodiment[1]
        named = Load(path=server.url, task="pick up", embodiment="so101")
        for policy in (near, far, load_policy(named, config, calibrations)):
            assert isinstance(policy.model, EmbodiedModel)
            assert policy.model.adapter.delta_mask.tolist() == mask
        assert far.fit.cameras == near.fit.cameras == ("overhead", "wrist")
        assert far.model.inner.sha256 is not None and far.model.evidence.fps == 30

        inner = near.model.inner  # type: ignore[union-attr]
        assert isinstance(inner, Pi0Policy)
        noise = np.random.default_rng(1).standard_normal(inner.draw().shape[1:]).astype(np.float32)
        values: dict[str, Any] = {"observation.state": near.border.state(ENCODER)}
        for name in near.fit.cameras:
            values[f"observation.images.{name}"] = np.full((64, 64, 3), 80, np.uint8)
        given = {key: values[source] for key, source in near.fit.inputs.items()}
        ours = near.model.predict(given, "pick up", noise=noise)
        theirs = far.model.predict(given, "pick up", noise=noise)
        np.testing.assert_array_equal(theirs, ours)
        raw = near.model.raw
        assert raw is not None and raw.state is not None and far.model.raw is not None
        np.testing.assert_array_equal(far.model.raw.actions, raw.actions)
        np.testing.assert_array_equal(far.model.raw.state, raw.state)
        leftover = Leftover(raw.actions[3:] + 0.5, 2, 5, state=raw.state)
        pulled = [
            policy.model.predict(given, "pick up", noise=noise, leftover=leftover)
            for policy in (near, far)
        ]
        np.testing.assert_array_equal(pulled[0], pulled[1])
        assert np.abs(pulled[0] - ours).max() > 1e-3

        # The flow of the one that is here, in radians; a server shows none.
        assert flow_of(far.model) is None
        watch = flow_of(near.model)
        assert watch is not None
        seen = Observation(0, 1, 0, values)
        steady = replace(near)
        with watch:
            chunk = steady.predict(seen)
            flow = watch.replayed(lambda: steady.predict(seen))
        assert flow.shape == (inner.settings.steps + 1, *chunk.shape)
        np.testing.assert_array_equal(flow[-1], chunk)
        assert np.abs(flow[0] - chunk).max() > np.abs(flow[-2] - chunk).max() > 0
    finally:
        server.stop()
