"""Checkpoints load as LeRobot's own path would, or say what is wrong with them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.factory import make_pre_post_processors
from safetensors.torch import load_file, save_file

from config.schema import Config
from drivers.units import units_of
from policies.border import load_calibrations, robot_features
from policies.checkpoint.batch import as_batch
from policies.checkpoint.evidence import SIDECAR, Sidecar, find_evidence, write_sidecar
from policies.checkpoint.folder import CheckpointFolder, read_folder
from policies.checkpoint.loading import load_checkpoint
from policies.fit import fit
from policies.loaded import load_policy
from policies.model import Interface
from robotd.errors import CheckpointError
from robotd.installed import install_again
from robotd.policy_channel import Load

from .conftest import CHUNK, FEATURE_NAMES

STATE = np.array([1.5, -20.0, 33.0, 4.0, 5.0, 60.0], np.float32)
ENVIRONMENT = np.linspace(-0.3, 0.3, 7).astype(np.float32)


def lerobot_chunk(folder: Path, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """What LeRobot's own loading path answers: [1, T, 6] in the dataset's units."""
    config = ACTConfig.from_pretrained(folder)
    config.pretrained_backbone_weights = None
    policy = ACTPolicy.from_pretrained(folder, config=config).eval()
    pre, post = make_pre_post_processors(config, pretrained_path=str(folder))
    answer: torch.Tensor = post(policy.predict_action_chunk(pre(batch)))
    return answer


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every outgoing connection fails."""
    import socket

    def refuse(*_: object) -> None:
        raise OSError("this test has no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("no_network")
def test_a_chunk_is_lerobots_own_to_1e_6(saved_act: Path) -> None:
    checkpoint = load_checkpoint(saved_act, device="cpu")
    values = {"observation.state": STATE, "observation.environment_state": ENVIRONMENT}
    ours = checkpoint.predict(values, "put the block into the bowl")
    batch = {key: torch.from_numpy(value)[None] for key, value in values.items()}
    theirs = lerobot_chunk(saved_act, batch)
    assert ours.shape == (CHUNK, 6)
    np.testing.assert_allclose(ours, theirs[0].numpy(), atol=1e-6)
    assert np.abs(ours - 20.0).max() > 1.0  # un-normalised, and more than the mean action


@pytest.mark.usefixtures("no_network")
def test_a_chunk_from_pictures_is_lerobots_own_to_1e_6(saved_image_act: Path) -> None:
    checkpoint = load_checkpoint(saved_image_act, device="cpu")
    rng = np.random.default_rng(1)
    pictures = {
        f"observation.images.{name}": rng.integers(0, 256, (64, 64, 3), np.uint8)
        for name in ("front", "wrist")
    }
    batch = {"observation.state": torch.from_numpy(STATE)[None]}
    for key, picture in pictures.items():
        batch[key] = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    theirs = lerobot_chunk(saved_image_act, batch)
    values = {"observation.state": STATE, **pictures}
    ours = checkpoint.predict(values, "")
    np.testing.assert_allclose(ours, theirs[0].numpy(), atol=1e-6)
    swapped = dict(values)
    swapped["observation.images.front"] = pictures["observation.images.wrist"]
    assert np.abs(checkpoint.predict(swapped, "") - ours).max() > 1e-4


def test_predicting_leaves_the_observation_as_it_was(saved_act: Path) -> None:
    checkpoint = load_checkpoint(saved_act, device="cpu")
    values = {"observation.state": STATE.copy(), "observation.environment_state": ENVIRONMENT}
    first = checkpoint.predict(values, "")
    np.testing.assert_array_equal(values["observation.state"], STATE)
    np.testing.assert_array_equal(checkpoint.predict(values, ""), first)


def test_a_training_run_stands_for_its_last_checkpoint(saved_act: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last").symlink_to(saved_act.parent)
    assert read_folder(tmp_path).kind == "act"


# --- what is refused ------------------------------------------------------------------------------


def _tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return damage


def _truncate(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1000])


def _pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


def _poison_statistics(folder: Path) -> None:
    path = next(folder.glob("policy_postprocessor_step_*.safetensors"))
    stats = load_file(path)
    stats["action.mean"][2] = torch.inf
    save_file(stats, path)


def _drop_statistics(folder: Path) -> None:
    path = next(folder.glob("policy_postprocessor_step_*.safetensors"))
    stats = load_file(path)
    del stats["action.std"]
    save_file(stats, path)


def _claim_other_kind(folder: Path) -> None:
    """The weights are ACT's, whatever the folder and config.json say."""
    config = json.loads((folder / "config.json").read_text())
    config["dim_feedforward"] = 128
    (folder / "config.json").write_text(json.dumps(config))


def _unlink(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _write(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(text)

    return write


def _nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.action_head.weight"][0, 0] = torch.nan


def _delete(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["model.action_head.weight"]


def _add(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.second_head.weight"] = torch.zeros(3)


def _zero(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.action_head.weight"].zero_()


def _leave_random_weights(tensors: dict[str, torch.Tensor]) -> None:
    """What a loader that swallows errors amounts to."""
    tensors.clear()
    tensors["something.else"] = torch.rand(3)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(_truncate, "promises", id="truncated"),
        pytest.param(_pointer, "no readable header", id="git-lfs pointer"),
        pytest.param(_unlink("model.safetensors"), "no readable header", id="no weights"),
        pytest.param(_tensors(_nan), "not finite: model.action_head.weight", id="NaN"),
        pytest.param(_tensors(_delete), "missing: model.action_head.weight", id="missing"),
        pytest.param(_tensors(_add), "unknown: model.second_head.weight", id="extra"),
        pytest.param(_tensors(_zero), "all one value: model.action_head.weight", id="zero"),
        pytest.param(_tensors(_leave_random_weights), "missing: .* more", id="other weights"),
        pytest.param(_claim_other_kind, "of another shape", id="other shape"),
        pytest.param(_poison_statistics, "mean of action is not a finite number", id="inf stats"),
        pytest.param(_drop_statistics, "has no std", id="missing stats"),
        pytest.param(_unlink("policy_preprocessor.json"), "policy_preprocessor.json", id="g1"),
        pytest.param(_unlink("config.json"), "no config.json", id="no config"),
        pytest.param(_write("config.json", "{"), "cannot be read", id="broken config"),
        pytest.param(_write("config.json", "{}"), "which kind", id="no kind"),
        pytest.param(_write(SIDECAR, '{"fps": 15}'), SIDECAR, id="broken sidecar"),
    ],
)
def test_a_damaged_checkpoint_is_refused_with_its_damage(
    act: Path, damage: Callable[[Path], None], says: str
) -> None:
    damage(act)
    with pytest.raises(CheckpointError, match=says) as caught:
        load_checkpoint(act, device="cpu")
    assert caught.value.likely and caught.value.do


# --- rate and units are evidence ------------------------------------------------------------------


def test_units_that_overrule_a_sidecar_are_taken_and_said(act: Path) -> None:
    overruled = find_evidence(read_folder(act), None, "range_m100_100")
    assert overruled.units == "range_m100_100"
    assert overruled.units_source == f"asked for, against degrees ({SIDECAR})"
    assert find_evidence(read_folder(act), None, "degrees").units_source == "asked for"


def test_the_rate_is_asked_for_when_nothing_tells_it(act: Path) -> None:
    (act / SIDECAR).unlink()
    folder = read_folder(act)
    with pytest.raises(CheckpointError, match="--fps"):
        find_evidence(folder, None, "degrees")
    evidence = find_evidence(folder, 30, "degrees")
    assert (evidence.fps, evidence.fps_source) == (30, "asked for")


def test_rate_units_and_joints_come_from_the_training_dataset(act: Path, tmp_path: Path) -> None:
    (act / SIDECAR).unlink()
    root = tmp_path / "dataset"
    (root / "meta").mkdir(parents=True)
    feature = {"dtype": "float32", "shape": [6], "names": list(FEATURE_NAMES)}
    info = {"fps": 25, "features": {"action": feature}}
    (root / "meta/info.json").write_text(json.dumps(info))
    about = root / "robotd/episodes/episode-000000/episode.json"
    about.parent.mkdir(parents=True)
    about.write_text(json.dumps({"spec": {"units": "range_m100_100"}}))
    training = {"dataset": {"repo_id": "me/blocks", "root": str(root)}}
    (act / "train_config.json").write_text(json.dumps(training))
    evidence = find_evidence(read_folder(act), None, "")
    assert (evidence.fps, evidence.units, evidence.joints) == (25, "range_m100_100", FEATURE_NAMES)
    assert str(root) in evidence.fps_source


def test_units_are_proved_by_what_no_percentage_can_be() -> None:
    inside, beyond = [90.0, -99.0, 50, 50, 50, 100], [90.0, -101.0, 50, 50, 50, 100]
    zero = [0.0] * 6
    assert units_of({"min": np.array(zero), "max": np.array(inside)}) == ""
    assert units_of({"min": np.array(beyond), "max": np.array(zero)}) == "degrees"
    gripper_only = [0.0] * 5 + [130.0]
    assert units_of({"min": np.array(zero), "max": np.array(gripper_only)}) == ""
    assert units_of({}) == ""


def test_units_within_100_are_asked_for(act: Path) -> None:
    (act / SIDECAR).unlink()
    with pytest.raises(CheckpointError, match="units"):
        find_evidence(read_folder(act), 15, "")


# --- does it fit the robot ------------------------------------------------------------------------


def test_a_policy_that_fits_is_ready_with_its_own_steps(saved_act: Path, config: Config) -> None:
    policy = load_policy(Load(path=str(saved_act)), config, load_calibrations(config))
    assert policy.settings.n_action_steps == CHUNK  # smaller than the configuration's
    assert policy.step_ns == round(1e9 / 15)
    assert "block" in policy.fit.told
    assert policy.inference_ns > 0


def interface_of(folder: CheckpointFolder) -> Interface:
    return Interface(str(folder.path), folder.inputs, folder.outputs)


def test_cameras_of_another_name_are_named_with_the_way_to_map_them(
    saved_image_act: Path, config: Config
) -> None:
    robot = robot_features(config)
    folder = read_folder(saved_image_act)
    evidence = find_evidence(folder, None, "")
    with pytest.raises(CheckpointError) as caught:
        fit(interface_of(folder), evidence, robot, {})
    assert "observation.images.front, which this robot has not" in caught.value.what
    assert "--rename observation.images.front=observation.images.overhead" in caught.value.do
    fitted = fit(interface_of(folder), evidence, robot, {"front": "overhead"})
    assert set(fitted.cameras) == {"overhead", "wrist"}
    assert fitted.inputs["observation.images.front"] == "observation.images.overhead"
    assert fitted.told == ""


def test_everything_that_does_not_fit_is_said_at_once(act: Path, config: Config) -> None:
    content = json.loads((act / "config.json").read_text())
    content["input_features"]["observation.state"]["shape"] = [7]
    content["input_features"]["observation.images.side"] = {
        "type": "VISUAL",
        "shape": [3, 480, 640],
    }
    content["output_features"]["action"]["shape"] = [7]
    (act / "config.json").write_text(json.dumps(content))
    folder = read_folder(act)
    robot = robot_features(config)
    blind = type(robot)(robot.joints, robot.cameras, environment_state=False)
    with pytest.raises(CheckpointError) as caught:
        fit(interface_of(folder), find_evidence(folder, None, ""), blind, {"nonsense": "overhead"})
    for part in ("observation.state", "images.side", "action", "environment_state", "nonsense"):
        assert part in caught.value.what


def test_joints_in_another_order_do_not_fit(act: Path, config: Config) -> None:
    shuffled = (FEATURE_NAMES[1], FEATURE_NAMES[0], *FEATURE_NAMES[2:])
    write_sidecar(act, Sidecar(fps=15, units="degrees", joints=shuffled))
    folder = read_folder(act)
    with pytest.raises(CheckpointError, match="another order"):
        fit(interface_of(folder), find_evidence(folder, None, ""), robot_features(config), {})


@pytest.mark.parametrize("absent", ["safetensors.numpy", "torch", "lerobot.policies"])
def test_the_light_set_says_how_to_install_what_a_policy_needs(
    saved_act: Path, monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)  # as where it is not installed
    with pytest.raises(CheckpointError, match="No policy can be loaded") as caught:
        load_checkpoint(saved_act)
    assert install_again("policy") in caught.value.do


@pytest.mark.parametrize("fps", [0, -15, 2000])
def test_a_rate_that_is_none_is_named_with_who_said_it(act: Path, fps: int) -> None:
    with pytest.raises(CheckpointError, match=r"asked for") as caught:
        find_evidence(read_folder(act), fps, "")
    assert str(fps) in caught.value.what and "--fps" in caught.value.do


def test_an_observation_is_prepared_to_the_bit_as_lerobot_prepares_it() -> None:
    import torch
    from lerobot.policies.utils import prepare_observation_for_inference

    draw = np.random.default_rng(0)
    values = {
        "observation.state": draw.normal(0, 50, 6).astype(np.float32),
        "observation.images.overhead": draw.integers(0, 256, (48, 64, 3), np.uint8),
    }
    for value in values.values():
        value.flags.writeable = False  # as it comes out of a ring
    ours = as_batch(values, "cpu", "put it there")
    copies = {key: value.copy() for key, value in values.items()}
    theirs = prepare_observation_for_inference(copies, torch.device("cpu"), "put it there")
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        same = ours[key] == value
        assert same if isinstance(same, bool) else bool(same.all()), key
        if key in values:
            assert (ours[key].dtype, ours[key].shape) == (value.dtype, value.shape)
            assert ours[key].stride() == value.stride()
