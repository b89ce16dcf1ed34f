"""`robotd probe` on real checkpoints: the shipped ACT, whole and with one fault in its files.

The full count over every fault and checkpoint is `robotd bench probe`.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.probing.checkpoints import Good, Made, shipped_act
from bench.probing.faults import FAULTS, planted
from daemon.cli.main import main
from daemon.probes import ProbeStore, probe_key
from policies.checkpoint.digests import FileDigests
from policies.checkpoint.folder import read_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
]  # seconds of work, on a busy machine minutes

FRAMES = "16"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    """The shipped checkpoint, and three demonstrations that it was not trained on."""
    return shipped_act(Made(tmp_path_factory.mktemp("probe"), 0, 3, 0), lambda _words: None)


def probe(
    policy: Path, dataset: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, dict[str, Any]]:
    """The command's exit status and its JSON. Time enough, so that moments are what limits it."""
    command = ["probe", "--policy", str(policy), "--dataset", str(dataset), "--device", "cpu"]
    status = main([*command, "--frames", FRAMES, "--seconds", "3600", "--json", *options])
    return status, json.loads(capsys.readouterr().out)


def test_a_good_checkpoint_passes_on_moments_that_it_was_not_trained_on(
    good: Good, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    status, report = probe(good.policy, good.dataset, capsys)
    assert (status, report["outcome"], report["findings"]) == (0, "pass", [])
    assert report["held_out"] is True and report["frames"] == int(FRAMES)
    assert report["error"] < 0.4 < 0.8 < report["standing_still"]
    used = {each["key"]: each["change"] for each in report["inputs"]}
    assert used["observation.state"] > 0.1 and used["observation.environment_state"] > 0.1
    assert report["latency_ms"]["p50"] > 0


@pytest.mark.parametrize(
    "name",
    ["un-normalised actions", "gripper turned round", "random weights", "state is no joints"],
)
def test_one_fault_in_the_files_is_named_and_kept_for_the_arming_list(
    name: str,
    good: Good,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    fault = next(each for each in FAULTS if each.name == name)
    bad = planted(fault, good.policy, good.dataset, tmp_path)
    status, report = probe(bad.policy, bad.dataset, capsys)
    assert (status, report["outcome"]) == (1, "fail")
    assert report["cause"] in fault.causes
    first = report["findings"][0]
    assert all(first[part] for part in ("what", "evidence", "likely", "do"))
    sha256 = read_folder(bad.policy).sha256(FileDigests())
    kept = ProbeStore().find(probe_key(sha256, report["fps"], report["units"], {}))
    assert kept is not None and kept.cause == report["cause"] and kept.do == first["do"]
    # The good one, and the same read in other units, are other things.
    assert ProbeStore().find(probe_key(sha256, 30.0, report["units"], {})) is None
    assert msgspec.to_builtins(kept)["dataset_sha256"] == report["dataset_sha256"]


def test_an_overlay_of_a_policy_without_words_is_refused_with_what_to_do(
    good: Good, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    status, said = probe(
        good.policy, good.dataset, capsys, "--overlay", str(tmp_path / "words.png")
    )
    assert status == 1 and said["error"] == "CheckpointError"
    assert "ACT reads no words" in said["likely"]
    assert not (tmp_path / "words.png").exists()


def test_a_dataset_that_is_not_there_is_said(
    good: Good, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = probe(good.policy, Path("/no/such"), capsys)
    assert status == 1 and said["error"] == "DatasetError" and "robotd dataset list" in said["do"]
