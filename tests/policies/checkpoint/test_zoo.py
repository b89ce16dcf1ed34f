"""A zoo of bad checkpoints: each is given its right verdict, with what to do about it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lerobot.policies.factory  # noqa: F401 (slow to import: not in a test's own time)
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from policies import ckpt_command
from policies.checkpoint.container import open_container
from policies.checkpoint.evidence import amend_sidecar
from policies.checkpoint.folder import read_folder
from policies.checkpoint.stats_check import statistics_problems
from policies.checkpoint.verify import Report, verify
from robotd.errors import CheckpointError

from ..conftest import make_act
from . import damage, tiny_pi0
from .tiny_pi0 import CONTAINERS, Arrays


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A good checkpoint of each kind of container. Do not write into them."""
    root = tmp_path_factory.mktemp("zoo")
    arrays, arrays05 = tiny_pi0.arrays(), tiny_pi0.arrays("pi05")
    made = {name: write(root / name, arrays) for name, write in CONTAINERS.items()}
    made["pi05-torch"] = tiny_pi0.write_openpi_torch(root / "pi05-torch", arrays05)
    made["pi05-g2"] = tiny_pi0.write_lerobot(root / "pi05-g2", arrays05, "g2")
    made["act"] = make_act(root / "act")
    return made


def errors(report: Report) -> dict[str, str]:
    """Code -> what, of everything that is wrong."""
    return {f.code: f.what for f in report.findings if f.severity == "error"}


KINDS = {"pi05-torch": "pi05", "pi05-g2": "pi05", "act": "act"}


@pytest.mark.parametrize("name", [*CONTAINERS, *KINDS])
def test_a_good_one_is_sound_and_says_what_was_checked(name: str, sound: dict[str, Path]) -> None:
    report = verify(sound[name])
    assert (report.verdict, report.exit_code, errors(report)) == ("sound", 0, {})
    assert report.kind == KINDS.get(name, "pi0")
    assert report.generation == {"lerobot": name[-2:], "orbax": name[6:], "act": "g3"}.get(
        name.split("-")[0], "g2" if name == "pi05-g2" else ""
    )
    assert len(report.checked) == 3 and "every number" in " ".join(report.checked)


def _infinite(entry: dict[str, Any]) -> None:
    entry["actions"]["mean"][2] = float("inf")


def _short(entry: dict[str, Any]) -> None:
    for part in ("state", "actions"):
        entry[part] = {name: values * 2 for name, values in entry[part].items()}


def _frozen(entry: dict[str, Any]) -> None:
    entry["state"]["std"] = [1e-7] * 32


def _nan_mean(held: dict[str, Any]) -> None:
    held["action.mean"][1] = np.nan


def _another_robots(held: dict[str, Any]) -> None:
    for name in held:
        held[name] = np.tile(held[name], 2)[:14].copy()


Q_PROJ = "gemma_expert.model.layers.1.self_attn.q_proj.weight"
ONE_OF_PI0 = ("openpi-torch", "lerobot-g1", "lerobot-g3")

BAD: list[tuple[str, damage.Damage, str, str]] = [
    *((name, damage.delete(Q_PROJ), "missing", Q_PROJ) for name in ONE_OF_PI0),
    *((name, damage.reshape(Q_PROJ), "shape", Q_PROJ) for name in ONE_OF_PI0),
    *((name, damage.put(Q_PROJ, np.nan), "non_finite", Q_PROJ) for name in ONE_OF_PI0),
    ("openpi-torch", damage.add("second_head.weight"), "extra", "second_head"),
    ("openpi-torch", damage.put(Q_PROJ, 0.0, everywhere=True), "all_equal", Q_PROJ),
    ("openpi-torch", damage.delete("paligemma.lm_head.weight"), "missing", "embed_tokens"),
    ("openpi-torch", damage.untie, "untied", "embed_tokens and lm_head"),
    ("openpi-torch", damage.cut("*.safetensors", 0.9), "unreadable", "promises"),
    ("openpi-torch", damage.pointer, "unreadable", "git-lfs pointer"),
    ("openpi-torch", damage.remove("*.safetensors"), "unreadable", "no model.safetensors"),
    ("openpi-torch", damage.remove("assets/*/*.json"), "stats", "norm_stats.json"),
    ("openpi-torch", damage.norm_stats(_infinite), "stats", "not a finite number"),
    ("openpi-torch", damage.norm_stats(_short), "stats", "has 64 values"),
    ("openpi-torch", damage.norm_stats(_frozen), "stats", "nothing in observation.state varies"),
    (
        "openpi-torch",
        lambda folder: tiny_pi0.write_assets(folder, "droid"),
        "stats",
        "several robots: droid, so101",
    ),
    ("pi05-torch", damage.delete("time_mlp_in.weight"), "missing", "time_mlp_in"),
    ("pi05-torch", damage.norm_stats(lambda e: e["state"].pop("q99")), "stats", "no q99"),
    (
        "lerobot-g1",
        damage.put("normalize_inputs.buffer_observation_state.mean", np.inf, everywhere=True),
        "stats",
        "mean of observation.state is not a finite number",
    ),
    ("lerobot-g1", damage.delete("unnormalize_outputs.buffer_action.std"), "stats", "no std"),
    ("lerobot-g3", damage.state_file(_nan_mean), "stats", "mean of action is not a finite"),
    ("lerobot-g3", damage.state_file(_another_robots), "stats", "has 14 values"),
    ("lerobot-g3", damage.state_file(lambda held: held.pop("action.std")), "stats", "no std"),
    ("lerobot-g3", damage.configured(type="pi05"), "kind", "calls it a pi05"),
    ("lerobot-g3", damage.configured(max_action_dim=7), "config", "max_action_dim 7"),
    ("lerobot-g2", damage.remove("policy_preprocessor.json"), "stats", "is not there"),
    ("act", damage.delete("model.action_head.weight"), "missing", "action_head"),
    ("act", damage.add("model.second_head.weight"), "extra", "second_head"),
    ("act", damage.configured(dim_feedforward=128), "shape", "linear1.weight"),
    ("act", damage.put("model.action_head.weight", np.nan), "non_finite", "action_head"),
    ("act", damage.put("action_head.weight", 0, everywhere=True), "all_equal", "action_head"),
    ("act", damage.configured(type="diffusion"), "kind", "calls it a diffusion"),
    ("act", damage.remove("config.json"), "unreadable", "no config.json"),
    ("orbax-released", damage.cut("params/d/*", 0.5), "unreadable", "cannot be read"),
    ("orbax-released", damage.remove("params/d/*"), "unreadable", "cannot be read"),
    ("orbax-released", damage.remove("params/_METADATA"), "unreadable", "without Orbax's"),
    ("orbax-released", damage.cut("params/_METADATA", 0.5), "unreadable", "cannot be read"),
    ("orbax-released", damage.remove("params/manifest.ocdbt"), "unreadable", "manifest.ocdbt"),
    ("orbax-training", damage.remove("assets/*/*.json"), "stats", "norm_stats.json"),
]


@pytest.mark.parametrize(
    ("name", "break_it", "code", "says"),
    BAD,
    ids=[f"{n}-{c}-{i}" for i, (n, _, c, _) in enumerate(BAD)],
)
def test_what_is_wrong_is_named_with_its_mend(
    name: str, break_it: damage.Damage, code: str, says: str, sound: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(sound[name], tmp_path / "copy")
    break_it(folder)
    report = verify(folder)
    assert report.exit_code == 2
    assert says in errors(report)[code]
    assert all(finding.likely and finding.do for finding in report.findings)


Q_EINSUM = "PaliGemma/llm/layers/attn/q_einsum/w"

BAD_ARRAYS: list[tuple[Callable[[Arrays], Arrays], str, str]] = [
    (damage.without("action_out_proj/kernel"), "missing", "action_out_proj/kernel"),
    (lambda values: {**values, "lora_left": values["state_proj/bias"]}, "extra", "lora_left"),
    (damage.changed(Q_EINSUM, lambda w: w[:, :, :-1]), "shape", "q_einsum/w"),
    (damage.changed(Q_EINSUM, damage.poisoned), "non_finite", "layers.0.self_attn.q_proj"),
    (damage.changed("action_in_proj/kernel", lambda w: w * 0), "all_equal", "action_in_proj"),
]


@pytest.mark.parametrize(("change", "code", "says"), BAD_ARRAYS, ids=[c for _, c, _ in BAD_ARRAYS])
def test_what_is_wrong_in_an_orbax_checkpoint_is_named(
    change: Callable[[Arrays], Arrays], code: str, says: str, tmp_path: Path
) -> None:
    folder = tiny_pi0.write_orbax(tmp_path / "100", change(tiny_pi0.arrays()))
    report = verify(folder)
    assert report.exit_code == 2
    assert says in errors(report)[code]


def test_a_pi0_stays_one_in_a_folder_named_pi05(sound: dict[str, Path], tmp_path: Path) -> None:
    for name in ("openpi-torch", "orbax-released", "lerobot-g2"):
        folder = shutil.copytree(sound[name], tmp_path / name / "pi05_libero")
        report = verify(folder)
        assert (report.verdict, report.kind) == ("sound", "pi0")
        assert "says pi05" in next(f.what for f in report.findings if f.code == "name")


def test_a_missing_tokenizer_is_said_and_no_fault(
    sound: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in ("HOME", "HF_HOME", "XDG_CACHE_HOME", "OPENPI_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    report = verify(sound["orbax-released"])
    said = next(f for f in report.findings if f.code == "tokenizer")
    assert (said.severity, report.exit_code) == ("warning", 0)
    assert "hf auth login" in said.do and "--tokenizer" in said.do


def test_one_of_several_robots_statistics_is_chosen(sound: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(sound["orbax-released"], tmp_path / "copy")
    tiny_pi0.write_assets(folder, "droid")
    assert verify(folder).exit_code == 2
    assert verify(folder, asset_id="so101").exit_code == 0
    amend_sidecar(folder, asset_id="so101")
    assert verify(folder).exit_code == 0


def test_a_checkpoint_that_was_never_finished_is_one(tmp_path: Path) -> None:
    name = "100.orbax-checkpoint-tmp-1732"
    folder = tiny_pi0.write_orbax(tmp_path / name, tiny_pi0.arrays())
    assert "never finished" in errors(verify(folder))["unreadable"]


def test_verify_as_a_command(
    sound: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    ckpt_command.configure(parser)
    assert ckpt_command.run(parser.parse_args(["verify", str(sound["act"]), "--json"])) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "sound"
    broken = shutil.copytree(sound["act"], tmp_path / "broken")
    damage.put("model.action_head.weight", np.nan)(broken)
    assert ckpt_command.run(parser.parse_args(["verify", str(broken)])) == 2
    printed = capsys.readouterr().out
    assert "error: Numbers that are none" in printed and "do:" in printed
    arguments = parser.parse_args(["inspect", str(sound["openpi-torch"]), "--json"])
    assert ckpt_command.run(arguments) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["kind"], said["chunk"]["value"], said["fps"]["value"]) == ("pi0", 10, 30)
    assert said["normalisation"]["modes"]["ACTION"] == "MEAN_STD"
    with pytest.raises(CheckpointError, match="does not exist"):
        ckpt_command.run(parser.parse_args(["inspect", str(tmp_path / "nothing")]))


def test_statistics_of_dark_pictures_are_refused(saved_image_act: Path, tmp_path: Path) -> None:
    """A deviation of 0.002 makes pixels of ±300 (what a wrongly scaled picture leaves)."""
    folder = shutil.copytree(saved_image_act, tmp_path / "copy")
    path = next(folder.glob("policy_preprocessor_step_*.safetensors"))
    held = {name: value.copy() for name, value in load_file(path).items()}
    held["observation.images.front.std"][:] = 0.002
    save_file(held, path)
    problems = list(statistics_problems(open_container(folder)))
    assert [p.fatal for p in problems] == [True]
    assert "nothing in observation.images.front varies" in problems[0].what
    with pytest.raises(CheckpointError, match=r"images\.front varies"):
        read_folder(folder)


def test_a_joint_that_never_moved_is_a_warning(sound: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(sound["openpi-torch"], tmp_path / "copy")

    def still(entry: dict[str, Any]) -> None:
        entry["state"]["std"][4] = 0.0
        for name in ("mean", "std"):
            entry["actions"][name][6:] = [0.0] * 26  # padding: neither a joint nor a warning

    damage.norm_stats(still)(folder)
    report = verify(folder)
    warned = [f.what for f in report.findings if f.code == "stats"]
    assert report.exit_code == 0 and len(warned) == 1
    assert "never varied in training: 4 (of 32)" in warned[0]
