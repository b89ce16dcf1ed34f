"""What a person sees of the quality gate and of changed cameras, through the recorder's commands."""

from typing import Any

import pytest

from daemon.recorder import cameras, channel

from .test_recorder_process import Bench, bench, config, own_places
from .test_recorder_sessions import record, saved

__all__ = ["bench", "config", "own_places"]  # fixtures


def test_the_verdict_on_a_kept_episode_stands_in_its_line_and_in_the_closing_words(
    bench: Bench,
) -> None:
    bench.open()
    record(bench)
    saved(bench)
    (line,) = bench.status.episodes
    assert (line.episode, line.verdict) == (0, "bad")
    assert any("0.2 s long" in finding for finding in line.findings)
    assert line.do
    (flagged,) = bench.done(channel.Close)["flagged"]
    assert (flagged["episode"], flagged["findings"]) == (0, list(line.findings))


def test_cameras_that_changed_places_record_nothing_and_another_module_is_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugged: dict[str, dict[str, str]] = {}

    def plug(**serials: str) -> None:
        plugged.update({name: {"serial": serial} for name, serial in serials.items()})

    def found(*_: Any) -> dict[str, dict[str, str]]:
        return plugged

    monkeypatch.setattr(cameras, "found", found)
    names = list(bench.config.cameras)
    plug(**dict(zip(names, ("A", "B"), strict=True)))
    bench.open()
    record(bench)
    saved(bench)
    plug(**dict(zip(names, ("B", "A"), strict=True)))
    refused = bench.refused(channel.Start)
    assert refused.kind == "DatasetError"
    assert f"that was {names[1]}" in refused.what
    assert bench.status.phase == "ready"
    plug(**dict(zip(names, ("A", "C"), strict=True)))
    record(bench)
    (warning,) = [each for each in bench.status.warnings if "another module" in each]
    assert names[1] in warning
